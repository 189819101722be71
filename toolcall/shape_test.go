package toolcall_test

import (
	"fmt"
	"strings"
	"testing"

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
		{"far.a", `{"far":{"a":1}}`, true},
		{"far.a", `{"far":{"b":1}}`, false},
		{"odd.a", `{"odd":{"b":1}}`, true},
		{"none.a", `{"none":{"b":1}}`, true},
	} {
		if got := d.DeclaresOn(mustPath(t, c.path), parse(t, c.args)); got != c.want {
			t.Errorf("%s in %s: %v", c.path, c.args, got)
		}
	}
	// Beyond what is known by its shape, nothing is declared.
	deep := "tree" + strings.Repeat(".left", 12) + ".v"
	args := strings.Repeat(`{"left":`, 12) + `{"v":1}` + strings.Repeat("}", 12)
	if d.DeclaresOn(mustPath(t, deep), parse(t, `{"tree":`+args+`}`)) {
		t.Error("a member too deep to be known is declared")
	}
	var none *toolcall.ToolDef
	if none.DeclaresOn(mustPath(t, "a.b"), parse(t, `{}`)) {
		t.Error("no definition declares something")
	}
}

// A budget bounds what a schema that refers to itself many times may cost.
func TestManyShapesEnd(t *testing.T) {
	var parts []string
	for i := range 200 {
		parts = append(parts, fmt.Sprintf(`"p%d":{"$ref":"#"}`, i))
	}
	d := tool(t, `{"properties":{`+strings.Join(parts, ",")+`}}`)
	if !d.Declares("p199") {
		t.Error("an argument is not declared")
	}
	if d.DeclaresOn(mustPath(t, "p0.p0.p0.p0.p0.p0.p0.p0.p0.p0.p0"), parse(t, strings.Repeat(`{"p0":`, 11)+`1`+strings.Repeat("}", 11))) {
		t.Error("beyond the budget something is declared")
	}
}
