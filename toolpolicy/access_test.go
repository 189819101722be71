package toolpolicy_test

import (
	"math/rand/v2"
	"testing"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// What Access, CompareAccess and Lint say of all calls holds for random ones, under
// random policies.
func TestAccessAgrees(t *testing.T) {
	const perPolicy, policies = 40, 400
	var never, always, drifted, shadowed int
	for seed := range uint64(policies) {
		g := generator{rand.New(rand.NewPCG(seed, 11))}
		text, otherText := g.policy().yaml(), g.policy().yaml()
		p, other := compile(t, text), compile(t, otherText)
		silent := map[string]string{}
		for _, w := range p.Lint(toolpolicy.Known{}) {
			silent[w.Rule] = w.Name
		}
		for range perPolicy {
			c := g.call().call(t)
			a, d := p.Access(c.Caller, c.Kind, c.Upstream, c.Name), p.Evaluate(c)
			fail := func(what string) {
				t.Helper()
				t.Fatalf("seed %d: %s: %s %s is %s by %q, access %q\n%s", seed, what, c.Target(), c.Args.Text(), d.Effect, d.Rule, a, text)
			}
			switch {
			case a.Allow == toolpolicy.Never && d.Effect == toolcall.Allow, a.Approve == toolpolicy.Never && d.Effect == toolcall.Approve:
				fail("what is never so")
			case a.Allow == toolpolicy.Always && d.Effect != toolcall.Allow, a.Approve == toolpolicy.Always && d.Effect != toolcall.Approve,
				a.Denied && d.Effect != toolcall.Deny:
				fail("what is always so")
			case silent[d.Rule] == "shadowed-rule", silent[d.Rule] == "asked-anyway" && d.Effect == toolcall.Allow:
				fail("the rule never decides, says Lint")
			}
			change, _ := toolpolicy.CompareAccess(p, other, c.Caller, toolpolicy.Target{Kind: c.Kind, Upstream: c.Upstream, Name: c.Name})
			e := other.Evaluate(c)
			if change.Drift == toolpolicy.Loosened && e.Effect < d.Effect || change.Drift == toolpolicy.Tightened && e.Effect > d.Effect {
				t.Errorf("seed %d: %s is %s, and was %s before, now %s\n%s\n%s", seed, c.Target(), change.Drift, d.Effect, e.Effect, text, otherText)
			}
			if a.Allow == toolpolicy.Never && a.Approve == toolpolicy.Never {
				never++
			}
			if a.Allow == toolpolicy.Always || a.Approve == toolpolicy.Always {
				always++
			}
			if change.Drift == toolpolicy.Loosened || change.Drift == toolpolicy.Tightened {
				drifted++
			}
		}
		for _, name := range silent {
			if name == "shadowed-rule" {
				shadowed++
			}
		}
	}
	if least := min(never, always, drifted); least < 300 || shadowed < 20 {
		t.Errorf("too little was tested: %d never, %d always, %d drifted, %d rules shadowed", never, always, drifted, shadowed)
	}
}

// What two policies say otherwise about a call, each way.
func TestCompare(t *testing.T) {
	sam := toolcall.Caller{Subject: "sam", Issuer: "test"}
	const redactions = "redactions: {pii: {paths: [a]}, keys: {paths: [b]}}\n"
	rules := func(text string) *toolpolicy.Policy {
		return compile(t, "version: 1\nroles: {everyone: {"+text+"}}\n"+redactions)
	}
	call := &toolcall.Call{Caller: sam, Kind: toolcall.Tool, Upstream: "crm", Name: "x"}
	for _, c := range []struct{ old, other, drift, what, built string }{
		{"allow: [crm/x]", "allow: [crm/x]", "unclear", "", ""},
		{"allow: [crm/x]", "deny: [crm/x]", "tightened", "allow -> deny", "tightened"},
		{"allow: [crm/x]", "approve: [{tool: crm/x, by: [a]}]", "tightened", "allow -> approve", "tightened"},
		{"deny: [crm/x]", "approve: [{tool: crm/x, by: [a]}]", "loosened", "deny -> approve", "loosened"},
		{"approve: [{tool: crm/x, by: [a]}]", "approve: [{tool: crm/x, by: [b]}]", "unclear", "other questions", "unclear"},
		{"approve: [{tool: crm/x, by: [a]}]", "approve: [{tool: crm/x, by: [a], within: 1h}]", "unclear", "other questions", "unclear"},
		{"allow: [crm/x]", "allow: [{tool: crm/x, id: it}]", "same", "other rule", ""},
		{"redact: [pii], allow: [crm/x]", "allow: [crm/x]", "loosened", "other redactions", "loosened"},
		{"allow: [crm/x]", "redact: [pii, keys], allow: [crm/x]", "tightened", "other redactions", "tightened"},
		{"redact: [pii], allow: [crm/x]", "redact: [keys], allow: [crm/x]", "unclear", "other redactions", "unclear"},
		{"allow: [{tool: crm/x, redact: [pii]}]", "allow: [crm/x]", "loosened", "other redactions", "unclear"},
		{"approve: [{tool: crm/x, by: [a]}]", "allow: [crm/x]", "loosened", "approve -> allow", "loosened"},
		{"deny: [crm/x]", "deny: [crm/*]", "unclear", "", ""},
	} {
		old, other := rules(c.old), rules(c.other)
		change, ok := toolpolicy.Compare(old, other, call)
		if change.Drift.String() != c.drift || change.What != c.what || ok != (c.what != "") {
			t.Errorf("%s, then %s: %+v, %v", c.old, c.other, change, ok)
		}
		built, ok := toolpolicy.CompareAccess(old, other, sam, toolpolicy.Target{Kind: toolcall.Tool, Upstream: "crm", Name: "x"})
		if ok != (c.built != "") || ok && built.Drift.String() != c.built {
			t.Errorf("without a call, %s, then %s: %+v, %v", c.old, c.other, built, ok)
		}
	}
	// No policy denies everything; conditions and extra arguments are terms.
	if change, ok := toolpolicy.Compare(nil, rules("allow: [crm/x]"), call); !ok || change.Drift != toolpolicy.Loosened {
		t.Errorf("from no policy: %+v", change)
	}
	target := toolpolicy.Target{Kind: toolcall.Tool, Upstream: "crm", Name: "x"}
	change, ok := toolpolicy.CompareAccess(rules("allow: [{tool: crm/x, args: {a: 1}}]"), rules("allow: [{tool: crm/x, extra: allow, args: {a: 1}}]"), sam, target)
	if !ok || change.Drift != toolpolicy.Unclear || change.New != "allow a equals 1, any other arguments" {
		t.Errorf("extra arguments: %+v, %v", change, ok)
	}
	if a := (*toolpolicy.Policy)(nil).Access(sam, toolcall.Tool, "crm", "x"); a.String() != "-" {
		t.Errorf("no policy gives %s", a)
	}
}
