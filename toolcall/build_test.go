package toolcall_test

import (
	"testing"

	"mcpguard/toolcall"
)

func TestWith(t *testing.T) {
	for _, e := range []struct{ object, name, value, want string }{
		{"", "a", "1", `{"a":1}`},
		{"{}", "a", "1", `{"a":1}`},
		{"{ }", "a", "[1,2]", `{ "a":[1,2]}`},
		{`{"a" : 1, "b":2}`, "b", `"x"`, `{"a" : 1, "b":"x"}`},
		{`{"a":{"b":1}}`, "b", "2", `{"a":{"b":1},"b":2}`},
		{`{"\u0061":1}`, "a", "2", `{"\u0061":2}`},
		{`{"a":1}`, "x\"\n", "true", `{"a":1,"x\"\n":true}`},
		{"[1]", "a", "1", ""},
		{"7", "a", "1", ""},
		{"{}", "a", "", ""},
	} {
		var object, value toolcall.JSON
		if e.object != "" {
			object = parse(t, e.object)
		}
		if e.value != "" {
			value = parse(t, e.value)
		}
		got := object.With(e.name, value)
		if got.Text() != e.want {
			t.Errorf("%s with %q: %s, want %s", e.object, e.name, got.Text(), e.want)
		}
		if e.want != "" && !parse(t, got.Text()).Member(e.name).Equal(value) {
			t.Errorf("%s: the member is not %s", got.Text(), e.value)
		}
	}
}

func TestToldDefinition(t *testing.T) {
	schema := parse(t, `{"type":"object"}`)
	for _, e := range []struct{ def, text, want string }{
		{`{"name":"x","inputSchema":{},"y":1.0}`, "", `{"name":"x","inputSchema":{"type":"object"},"y":1.0}`},
		{`{"name":"x","description":"Old."}`, "New.", `{"name":"x","description":"Old.\n\nNew."}`},
		{`{"name":"x","description":""}`, "New.", `{"name":"x","description":"New."}`},
		{`{"name":"x","description":7}`, "New.", `{"name":"x","description":7}`},
		{`{"name":"x"}`, "New.", `{"name":"x","description":"New."}`},
	} {
		d := toolcall.NewToolDef("t", parse(t, e.def))
		if got := d.Told(schema, e.text).Text(); got != e.want {
			t.Errorf("%s: %s, want %s", e.def, got, e.want)
		}
		if d.Raw.Text() != e.def {
			t.Errorf("the definition itself changed to %s", d.Raw.Text())
		}
	}
}
