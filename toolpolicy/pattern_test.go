package toolpolicy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mcpguard/toolcall"
)

// A pattern with many repetitions takes its size for every byte of a text. What
// would take long is unknown, so it denies and does not allow.
func TestLongTextsForLargePatternsAreUnknown(t *testing.T) {
	p := compile(t, `version: 1
roles:
  everyone:
    allow:
      - t/deny
      - {tool: t/allow, args: {s: {search: "[A-Z]{2}[0-9A-Z]{20,200}x|A"}}}
      - {tool: t/small, args: {s: {matches: "[A-Z]+"}}}
    deny: [{tool: t/deny, id: found, args: {s: {search: "[A-Z]{2}[0-9A-Z]{20,200}x"}}}]
`)
	for _, c := range []struct {
		tool   string
		size   int
		effect toolcall.Effect
		reason string
	}{
		{"deny", 1 << 12, toolcall.Allow, ""},
		{"deny", 1 << 20, toolcall.Deny, "forbidden by everyone/found"},
		{"allow", 1 << 12, toolcall.Allow, ""},
		{"allow", 1 << 20, toolcall.Deny, "everyone/allow/2: s is too long a text for the pattern, wanted: search [A-Z]{2}[0-9A-Z]{20,200}x|A"},
		{"small", 1 << 20, toolcall.Allow, ""},
	} {
		call := callIn(t, "", fmt.Sprintf(`{"tool":"t/%s","args":{"s":"%s"}}`, c.tool, strings.Repeat("A", 1<<10)))
		call.Args = toolcall.JSON{}.With("s", toolcall.Quote(strings.Repeat("A", c.size)))
		start := time.Now()
		d := p.Evaluate(call)
		if d.Effect != c.effect || d.Reason != c.reason {
			t.Errorf("%s with %d bytes: %s, %q", c.tool, c.size, d.Effect, d.Reason)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s with %d bytes took %v", c.tool, c.size, took)
		}
	}
}
