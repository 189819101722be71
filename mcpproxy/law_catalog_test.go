package mcpproxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

// Law 14: an upstream that lists other tools each time fills the store up to a
// bound. What is beyond is not kept, and what is not kept is neither shown nor
// callable; what was kept is shown as before.
func TestLawCataloguesAreBounded(t *testing.T) {
	tool := func(name, description string) string {
		return `{"name":"` + name + `","description":"` + description + `","inputSchema":{"type":"object"}}`
	}
	var six []string
	for i := range 6 {
		six = append(six, tool(fmt.Sprintf("tool_%d", i), ""))
	}
	for what, c := range map[string]struct {
		pins mcpproxy.PinRules
		list func(i int) string
		most int // catalogues kept before one was refused
	}{
		"another tool each time, not pinned": {mcpproxy.PinRules{Off: true},
			func(i int) string { return tool(fmt.Sprintf("tool_%d", i), "") }, 64},
		"accepted tools in another order each time": {mcpproxy.PinRules{First: mcpproxy.PinAccept}, func(i int) string {
			var order []string
			for left := append([]string(nil), six...); len(left) > 0; i /= max(len(left), 1) {
				at := i % len(left)
				order = append(order, left[at])
				left = append(left[:at:at], left[at+1:]...)
			}
			return strings.Join(order, ",")
		}, 64},
		"many bytes": {mcpproxy.PinRules{Off: true},
			func(i int) string { return tool(fmt.Sprintf("tool_%d", i), strings.Repeat("x", 4<<20)) }, 7},
	} {
		t.Run(what, func(t *testing.T) {
			up := newShifty(t)
			list := func(i int) { up.say("tools/list", `{"tools":[`+c.list(i)+`]}`) }
			r := newRig(t, setup{policy: pinPolicy, pins: &c.pins, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			a := r.agent("sam", "/mcp")
			look := func(i int) answered {
				list(i)
				r.clock.forward(3 * time.Second)
				return a.modern(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
			}
			shown := 0
			for look(shown).get("result.tools").Exists() {
				if shown++; shown > c.most+3 { // some time goes by
					t.Fatalf("%d catalogues were shown", shown)
				}
			}
			if shown < c.most {
				t.Errorf("%d catalogues were shown, want %d at least", shown, c.most)
			}
			if n := len(r.recorded(audit.Catalogue)); n != shown {
				t.Errorf("%d catalogues are recorded, and %d were shown", n, shown)
			}
			refused := look(shown)
			if got := refused.get("error.message").String(); !strings.Contains(got, "more of them, than is kept") {
				t.Errorf("beyond, a list answers %s", refused)
			}
			if what == "another tool each time, not pinned" {
				if got := a.modern(toolCall("2", fmt.Sprintf("tool_%d", shown), `{}`)); got.get("result.structuredContent").Exists() {
					t.Errorf("a tool that was not kept ran: %s", got)
				}
			}
			if got := look(0); !got.get("result.tools").Exists() {
				t.Errorf("what was kept before answers %s", got)
			}
			r.clock.forward(time.Hour)
			if got := look(shown); !got.get("result.tools").Exists() {
				t.Errorf("an hour later: %s", got)
			}
		})
	}
}

// The same definitions are recorded once, whatever else stands beside them.
func TestCataloguesWithTheSameDefinitionsAreOne(t *testing.T) {
	up := newShifty(t)
	r := newRig(t, setup{policy: pinPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.agent("sam", "/mcp")
	for i := range 100 {
		up.say("tools/list", strings.TrimSuffix(tools, "}")+fmt.Sprintf(`,"ttlMs":%d}`, i))
		r.clock.forward(3 * time.Second)
		if got := a.modern(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); !got.get("result.tools").Exists() {
			t.Fatalf("list %d: %s", i, got)
		}
	}
	if n := len(r.recorded(audit.Catalogue)); n != 1 {
		t.Errorf("%d catalogues are recorded, want 1", n)
	}
}
