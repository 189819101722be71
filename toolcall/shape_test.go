package toolcall_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mcpguard/toolcall"
)

// Which members an object below an argument may have where a path goes through.
func TestDeclaresOn(t *testing.T) {
	d := tool(t, `{
		"properties": {
			"to": {"properties": {"country": {}, "city": {"properties": {"zip": {}}}}},
			"free": {"type": "object"},
			"list": {"items": {"properties": {"n": {}, "m": {"items": {"$ref": "#/$defs/leaf"}}}}},
			"all": {"allOf": [{"properties": {"a": {}}}, {"$ref": "#/$defs/leaf"}]},
			"tree": {"$ref": "#/$defs/tree"},
			"loop": {"$ref": "#/$defs/loop"},
			"based": {"$id": "https://example.com/b", "properties": {"a": {}}},
			"lost": {"$ref": "#/$defs/none"},
			"far": {"$ref": "https://example.com/x", "properties": {"a": {}}},
			"odd": 7
		},
		"$defs": {
			"leaf": {"properties": {"x": {}}},
			"tree": {"properties": {"v": {}, "left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"}}},
			"loop": {"$ref": "#/$defs/loop"}
		}
	}`)
	for _, c := range []struct {
		path, args string
		want       bool
	}{
		{"to.country", `{"to":{"country":1,"city":{"any":1}}}`, true},
		{"to.country", `{"to":{"country":1,"via":1}}`, false},
		{"to.country", `{"to":{"via":1}}`, false},
		{"to.country", `{"to":{"Country":1}}`, false},
		{"to.country", `{"to":1}`, true},
		{"to.country", `{}`, true},
		{"to.city.zip", `{"to":{"city":{"zip":1}}}`, true},
		{"to.city.zip", `{"to":{"city":{"zip":1,"x":1}}}`, false},
		{"to", `{"to":{"via":1}}`, true},
		{"to.*", `{"to":{"via":1}}`, true},
		{"*.country", `{"to":{"country":1}}`, true},
		{"*.country", `{"to":{"country":1,"via":1}}`, false},
		{"to.*.zip", `{"to":{"via":{"x":1},"city":{"zip":1}}}`, true},
		{"to.*.zip", `{"to":{"city":{"zip":1,"x":1}}}`, false},
		{"list.*.n", `{"list":[{"n":1},{"k":2}]}`, false},
		{"**.country", `{"to":{"via":1}}`, true},
		{"free.a", `{"free":{"a":1,"b":2}}`, true},
		{"list.#.n", `{"list":[{"n":1},{"n":2,"m":[]}]}`, true},
		{"list.#.n", `{"list":[{"n":1},{"k":2}]}`, false},
		{"list.0.n", `{"list":[{"n":1},{"k":2}]}`, true},
		{"list.1.n", `{"list":[{"n":1},{"k":2}]}`, false},
		{"list.#.m.#.x", `{"list":[{"m":[{"x":1},{"y":1}]}]}`, false},
		{"all.a", `{"all":{"a":1,"x":1}}`, true},
		{"all.a", `{"all":{"a":1,"y":1}}`, false},
		{"tree.left.v", `{"tree":{"left":{"v":1}}}`, true},
		{"tree.left.v", `{"tree":{"left":{"w":1}}}`, false},
		{"loop.a", `{"loop":{"a":1}}`, false},
		{"based.a", `{"based":{"a":1}}`, false},
		{"lost.a", `{"lost":{"b":1}}`, false},
		{"lost.#.a", `{"lost":[{"b":1}]}`, false},
		{"lost.#.#.a", `{"lost":[[{"b":1}]]}`, false},
		{"far.a", `{"far":{"a":1}}`, true},
		{"far.a", `{"far":{"b":1}}`, false},
		{"odd.a", `{"odd":{"b":1}}`, true},
		{"none.a", `{"none":{"b":1}}`, true},
	} {
		if got := d.DeclaresOn(mustPath(t, c.path), parse(t, c.args)); got != c.want {
			t.Errorf("%s in %s: %v", c.path, c.args, got)
		}
	}
	// A schema that refers to itself is known at every depth.
	for leaf, want := range map[string]bool{`{"v":1}`: true, `{"w":1}`: false} {
		args := strings.Repeat(`{"left":`, 12) + leaf + strings.Repeat("}", 12)
		if got := d.DeclaresOn(mustPath(t, "tree"+strings.Repeat(".left", 12)+".v"), parse(t, `{"tree":`+args+`}`)); got != want {
			t.Errorf("deep down %s: %v", leaf, got)
		}
	}
	var none *toolcall.ToolDef
	if none.DeclaresOn(mustPath(t, "a.b"), parse(t, `{}`)) {
		t.Error("no definition declares something")
	}
}

// What an upstream writes is read some times, however its schemas refer to each
// other. What lies beyond is not declared, and one loop costs the others nothing.
func TestManyShapesEnd(t *testing.T) {
	const refs = `{"$ref":"#/$defs/t"}`
	long := `"enum":[` + strings.Repeat("1,", 200_000) + `1]`
	for name, schema := range map[string]string{
		"to the whole": `{"properties":{` + numbered(200, `"p%d":{"$ref":"#"}`) + `}}`,
		"properties":   `{"properties":{` + numbered(20, `"p%d":`+refs) + `},"$defs":{"t":{` + long + `,"properties":{"p0":` + refs + `,"b":` + refs + `}}}}`,
		"allOf":        `{"properties":{` + numbered(20, `"p%d":`+refs) + `},"$defs":{"t":{` + long + `,"properties":{"p0":` + refs + `},"allOf":[` + refs + `,` + refs + `]}}}`,
		"many allOf":   `{"properties":{` + numbered(2000, `"p%d":{"allOf":[`+refs+`,{}]}`) + `},"$defs":{"t":{` + long + `}}}`,
	} {
		start := time.Now()
		d := tool(t, schema)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: a schema of %d bytes took %v", name, len(schema), took)
		}
		if !d.Declares("p0") || d.DeclaresOn(mustPath(t, "p0.p0.x"), parse(t, `{"p0":{"p0":{"x":1}}}`)) && name != "many allOf" {
			t.Errorf("%s: declared is what is not", name)
		}
	}
	d := tool(t, `{"properties":{"a":{"$ref":"#/$defs/loop"},"b":{"allOf":[{"$ref":"#/$defs/c"},{"$ref":"#/$defs/c"}]}},
		"$defs":{"loop":{"allOf":[{"$ref":"#/$defs/loop"}]},"c":{"properties":{"n":{}}}}}`)
	for path, want := range map[string]bool{"a.n": false, "b.n": true} {
		if got := d.DeclaresOn(mustPath(t, path), parse(t, `{"a":{"n":1},"b":{"n":1}}`)); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func numbered(n int, format string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(parts, ",")
}
