package toolpolicy_test

import (
	"fmt"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// A path to many places reads a value again for every level above it: a call that
// is as deep as it is long must not keep a rule busy. What is not looked through is
// unknown, so it allows nothing and escapes no deny.
func TestDeepValuesAreNotLookedThroughWithoutEnd(t *testing.T) {
	p := compile(t, `version: 1
roles:
  everyone:
    allow:
      - {tool: t/deny, id: free}
      - {tool: t/json, id: free2}
      - {tool: t/allow, id: clean, args: {"**.a": {max: 5}}}
    deny:
      - {tool: t/deny, id: host, args: {"**.host": {equals: inside}}}
      - {tool: t/json, id: text, args: {v: {json: {"**.host": {equals: inside}}}}}
`)
	unit := strings.Repeat("[", 100) + strings.Repeat(`{"a":1},`, 480) + "0" + strings.Repeat("]", 100)
	for _, c := range []struct {
		tool, small, large string
	}{
		{"deny", "everyone/free", "everyone/host"},
		{"json", "everyone/free2", "everyone/text"},
		{"allow", "everyone/clean", ""},
	} {
		for units, want := range map[int]string{1: c.small, 250: c.large} {
			value := toolcall.Array(parse(t, "["+strings.Repeat(unit+",", units)+"0]"))
			if c.tool == "json" {
				value = toolcall.Quote(value.Text())
			}
			call := callIn(t, "", fmt.Sprintf(`{"tool":"t/%s","args":{"v":0}}`, c.tool))
			call.Args = toolcall.JSON{}.With("v", value)
			d := p.Evaluate(call)
			if d.Rule != want {
				t.Errorf("%s with %d bytes: %s by %q, %s", c.tool, value.Len(), d.Effect, d.Rule, d.Reason)
			}
			if c.tool == "allow" && units > 1 &&
				d.Reason != "everyone/clean: **.a is in a value too large and too deep to look through, wanted: max 5" {
				t.Errorf("the reason is %q", d.Reason)
			}
		}
	}
}
