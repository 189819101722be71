package toolcall_test

import (
	"fmt"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

func tool(t testing.TB, schema string) *toolcall.ToolDef {
	t.Helper()
	d := toolcall.NewToolDef("crm", parse(t, `{"name":"get","inputSchema":`+schema+`}`))
	if d == nil {
		t.Fatal("a tool with a name is none")
	}
	return d
}

// Which arguments a schema declares: its properties, through local references
// and allOf. What is not certainly declared is not declared: then a rule that
// names arguments does not match.
func TestDeclares(t *testing.T) {
	for _, c := range []struct{ schema, declared, undeclared string }{
		{`{"properties":{"id":{"type":"integer"},"a/b":true}}`, "id a/b", "ID x a"},
		{`{"$ref":"#/$defs/in","$defs":{"in":{"properties":{"id":{}}}}}`, "id", "in"},
		{`{"$ref":"#/$defs/a~1b~0c","$defs":{"a/b~c":{"properties":{"id":{}}}}}`, "id", ""},
		{`{"$ref":"#/%24defs/in","$defs":{"in":{"properties":{"id":{}}}}}`, "id", ""},
		{`{"allOf":[{"properties":{"a":{}}},{"$ref":"#/$defs/b"}],"properties":{"c":{}},"$defs":{"b":{"properties":{"b":{}}}}}`, "a b c", "d"},
		{`{"$ref":"#/allOf/1","allOf":[{},{"properties":{"id":{}}}]}`, "id", ""},
		{`{"properties":{"\u0069d":{}}}`, "id", ""},
		// Loops end.
		{`{"$ref":"#","properties":{"id":{}}}`, "id", "x"},
		{`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b","properties":{"x":{}}},"b":{"$ref":"#/$defs/a","properties":{"y":{}}}}}`, "x y", "a b"},
		{`{"allOf":[{"$ref":"#"},{"$ref":"#"},{"$ref":"#"}],"properties":{"id":{}}}`, "id", "x"},
		// Alternatives promise nothing about one call.
		{`{"anyOf":[{"properties":{"a":{}}}],"oneOf":[{"properties":{"b":{}}}],"if":{"properties":{"c":{}}}}`, "", "a b c"},
		// References that lead elsewhere, nowhere, or from another base.
		{`{"$ref":"https://example.com/schema"}`, "", "x"},
		{`{"$ref":"other.json#/$defs/in","$defs":{"in":{"properties":{"id":{}}}}}`, "", "id"},
		{`{"$ref":"#/$defs/none"}`, "", "x"},
		{`{"$ref":"#anchor"}`, "", "x"},
		{`{"$ref":"#/%zz"}`, "", "x"},
		{`{"allOf":[{"$id":"https://example.com/b","$ref":"#/$defs/in"}],"$defs":{"in":{"properties":{"id":{}}}}}`, "", "id"},
		{`{"$id":"https://example.com/a","$ref":"#/$defs/in","$defs":{"in":{"properties":{"id":{}}}}}`, "id", ""},
		// Proved JSON that is no schema.
		{`null`, "", "x"}, {`[]`, "", "0 x"}, {`"properties"`, "", "x"}, {`true`, "", "x"}, {`7`, "", "x"},
		{`{"properties":["id"]}`, "", "id 0"},
		{`{"properties":"id"}`, "", "id"},
		{`{"properties":{"id":null,"n":7,"s":"x"}}`, "id n s", "x"},
		{`{"$ref":7,"allOf":{"properties":{"a":{}}}}`, "", "a"},
		{`{"allOf":[null,1,"x",[{"properties":{"a":{}}}]]}`, "", "a"},
	} {
		d := tool(t, c.schema)
		for _, name := range strings.Fields(c.declared) {
			if !d.Declares(name) {
				t.Errorf("%s does not declare %s", c.schema, name)
			}
		}
		for _, name := range strings.Fields(c.undeclared) {
			if d.Declares(name) {
				t.Errorf("%s declares %s", c.schema, name)
			}
		}
	}
}

func TestDefault(t *testing.T) {
	d := tool(t, `{
		"properties": {
			"limit": {"default": 10},
			"none": {"default": null},
			"mode": {"$ref": "#/$defs/mode"},
			"own": {"$ref": "#/$defs/mode", "default": "rw"},
			"far": {"$ref": "#/$defs/alias"},
			"filter": {"$ref": "#/$defs/filter"},
			"loop": {"$ref": "#/$defs/loop"},
			"odd": 7,
			"list": {"items": {"properties": {"n": {"default": 3}}}},
			"refs": {"items": {"$ref": "#/$defs/filter"}}
		},
		"$defs": {
			"mode": {"default": "r"},
			"alias": {"$ref": "#/$defs/mode"},
			"filter": {"properties": {"ext": {"default": [".go"]}, "in": {"$ref": "#/$defs/filter"}}},
			"loop": {"$ref": "#/$defs/loop"}
		}
	}`)
	for path, want := range map[string]string{
		"limit": "10", "none": "null", "mode": `"r"`, "own": `"rw"`, "far": `"r"`,
		"filter": "", "filter.ext": `[".go"]`, "filter.in.in.ext": `[".go"]`, "filter.x": "", "filter.0": "",
		"loop": "", "loop.a": "", "odd": "", "odd.a": "", "unknown": "", "unknown.a": "", "filter.#": "", "**.ext": "",
		"list.#.n": "3", "list.7.n": "3", "list.#.x": "", "list.n": "", "list.*.n": "", "list.**.n": "", "refs.#.ext": `[".go"]`, "#.n": "",
	} {
		if got := d.Default(mustPath(t, path)).Text(); got != want {
			t.Errorf("default of %s: %q, want %q", path, got, want)
		}
	}
	on := mustPath(t, "filter.ext.0")
	for n, want := range map[int]string{-1: "", 0: "", 1: "", 2: `[".go"]`, 3: "", 4: ""} {
		if got := d.DefaultOn(on, n).Text(); got != want {
			t.Errorf("default on %d steps of %s: %q, want %q", n, on, got, want)
		}
	}
	if got := d.Default(toolcall.Path{}); !got.IsZero() {
		t.Errorf("default of the zero path: %s", got.Text())
	}
}

// A budget bounds what one hostile definition may cost.
func TestManySchemasEnd(t *testing.T) {
	var parts []string
	for i := range 5000 {
		parts = append(parts, fmt.Sprintf(`{"properties":{"p%d":{}},"allOf":[{"$ref":"#"},{"$ref":"#"}]}`, i))
	}
	d := tool(t, `{"properties":{"first":{}},"allOf":[`+strings.Join(parts, ",")+`]}`)
	if !d.Declares("first") || d.Declares("p4999") {
		t.Error("want what comes first declared, and what lies beyond the budget not")
	}
}

func TestToolDefRefuses(t *testing.T) {
	for _, text := range []string{`{}`, `{"name":""}`, `{"name":7}`, `{"Name":"x"}`, `[]`, `null`, `"name"`} {
		if d := toolcall.NewToolDef("crm", parse(t, text)); d != nil {
			t.Errorf("%s became the tool %q", text, d.Name)
		}
	}
	if d := toolcall.NewToolDef("crm", toolcall.JSON{}); d != nil {
		t.Error("the zero JSON became a tool")
	}
	var none *toolcall.ToolDef
	if none.Declares("a") || !none.Default(mustPath(t, "a")).IsZero() {
		t.Error("no definition declares something")
	}
}

// The digest is that of what the definition means: an upstream that only orders
// its members otherwise has not changed its tool.
func TestToolDefDigest(t *testing.T) {
	digest := func(text string) toolcall.Digest { return toolcall.NewToolDef("crm", parse(t, text)).Digest }
	first := digest(`{"name":"get","description":"é","inputSchema":{"type":"object"}}`)
	if again := digest(` {"inputSchema":{ "type":"object"},"description":"\u00e9","name":"get"}`); again != first {
		t.Error("another spelling has another digest")
	}
	for _, changed := range []string{
		`{"name":"get","description":"e","inputSchema":{"type":"object"}}`,
		`{"name":"get","description":"é","inputSchema":{"type":"object"},"_meta":{}}`,
		`{"name":"get","description":"é","inputSchema":{"type":"object","default":9007199254740993}}`,
	} {
		if digest(changed) == first {
			t.Errorf("%s has the digest of another definition", changed)
		}
	}
	if first.IsZero() || len(first.String()) != 64 || !(toolcall.Digest{}).IsZero() {
		t.Errorf("digest %s", first)
	}
}
