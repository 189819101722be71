package toolcall_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mcpguard/toolcall"
)

// References lead on to references, in few steps; a loop and a long chain lead
// nowhere.
func TestReferencesLeadOn(t *testing.T) {
	var chain []string
	for i := range 40 {
		chain = append(chain, fmt.Sprintf(`"c%d":{"$ref":"#/$defs/c%d"}`, i, i+1))
	}
	chain = append(chain, `"c40":{"default":7}`)
	d := tool(t, `{"properties":{"near":{"$ref":"#/$defs/c35"},"far":{"$ref":"#/$defs/c1"},
		"spaced":{"$ref" : "#/$defs/c40"},"name":{"enum":["$ref","#/$defs/c40"]},"quoted":{"title":"\"$ref\":\"#/$defs/c40\""},
		"element":{"$ref":"#/allOf/0/oneOf/1"},"beyond":{"$ref":"#/allOf/00/oneOf/1"}},
		"allOf":[{"oneOf":[{},{"default":8}]}],"$defs":{`+strings.Join(chain, ",")+`}}`)
	for path, want := range map[string]string{
		"near": "7", "far": "", "spaced": "7", "name": "", "quoted": "", "element": "8", "beyond": "",
	} {
		if got := d.Default(mustPath(t, path)).Text(); got != want {
			t.Errorf("default of %s: %q, want %q", path, got, want)
		}
	}
}

// What an upstream writes into a schema is read about as often as it is long,
// however its references lead: when the tool is read, and with every call.
func TestHostileReferencesEnd(t *testing.T) {
	const size = 8000
	var loops, deep strings.Builder
	for i := range size {
		fmt.Fprintf(&loops, `,"a%d":{"$ref":"#/properties/a%d"}`, i, i)
		fmt.Fprintf(&deep, `,"a%d":{"$ref":"#%s"}`, i, strings.Repeat("/x", 100)+fmt.Sprint(i))
	}
	for name, schema := range map[string]string{
		"loops": `{"properties":{"z":{"default":1}` + loops.String() + `}}`,
		"deep":  `{"properties":{"z":{"default":1}` + deep.String() + `}}`,
	} {
		start := time.Now()
		d := tool(t, schema)
		for _, arg := range d.Arguments() {
			if d.DefaultOf(d.Argument(arg)).IsZero() != (arg != "z") {
				t.Errorf("%s: default of %s", name, arg)
			}
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: a schema of %d bytes took %v", name, len(schema), took)
		}
	}
}

func TestVastSchemaDeclaresNothing(t *testing.T) {
	vast := `{"properties":{"id":{"default":1}},"description":"` + strings.Repeat("x", 1<<20) + `"}`
	d := tool(t, vast)
	if d.Declares("id") || !d.Default(mustPath(t, "id")).IsZero() || len(d.Arguments()) > 0 {
		t.Error("a schema of more than 1 MiB declares something")
	}
	if d.DeclaresOn(mustPath(t, "id"), toolcall.JSON{}) != true || d.Schema.Len() != len(vast) {
		t.Error("the schema is kept as it is")
	}
}
