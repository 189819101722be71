package toolpolicy_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// What is explained is what is decided: the decision is Evaluate's, the effect
// follows from the verdicts that are told, and a verdict from its conditions.
func TestExplainAgrees(t *testing.T) {
	told := map[toolcall.Verdict]int{}
	for seed := range uint64(300) {
		g := generator{rand.New(rand.NewPCG(seed, 11))}
		text := g.policy().yaml()
		p, err := toolpolicy.Compile("policy.yaml", []byte(text))
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		for range 20 {
			c := g.call().call(t)
			d, e := p.Evaluate(c), p.Explain(c)
			if !reflect.DeepEqual(d, withoutVerdicts(e.Decision)) {
				t.Fatalf("seed %d: Evaluate says %+v, Explain %+v\n%s", seed, d, e.Decision, text)
			}
			if got := effectOf(e.Considered); got != d.Effect {
				t.Fatalf("seed %d: the rules come to %s, the decision is %s\n%s", seed, got, d.Effect, text)
			}
			decides := false
			for _, r := range e.Considered {
				told[r.Verdict]++
				decides = decides || r.Decides
				if got := conjunctionOf(r.Conditions); got != r.Verdict {
					t.Fatalf("seed %d: %s is %v, its conditions %v", seed, r.Rule, r.Verdict, r.Conditions)
				}
			}
			if decides != (d.Rule != "") {
				t.Fatalf("seed %d: decided by %q, of the rules one decides: %v", seed, d.Rule, decides)
			}
			if len(e.Redactions) != len(d.Redact) {
				t.Fatalf("seed %d: %v of %v are explained", seed, e.Redactions, d.Redact)
			}
		}
	}
	for _, v := range []toolcall.Verdict{toolcall.VerdictTrue, toolcall.VerdictFalse, toolcall.VerdictUnknown} {
		if told[v] < 100 {
			t.Errorf("only %d rules came to %v: the generator tests too little", told[v], v)
		}
	}
}

func withoutVerdicts(d toolcall.Decision) toolcall.Decision {
	d.Verdicts = ""
	return d
}

// effectOf is the law of precedence, over verdicts alone.
func effectOf(rules []toolpolicy.Considered) toolcall.Effect {
	had := map[string]map[toolcall.Verdict]bool{"deny": {}, "approve": {}, "allow": {}}
	for _, r := range rules {
		if !r.Observed {
			had[r.Verb][r.Verdict] = true
		}
	}
	const yes, unknown = toolcall.VerdictTrue, toolcall.VerdictUnknown
	switch {
	case had["deny"][yes], had["deny"][unknown]:
		return toolcall.Deny
	case had["approve"][yes], had["approve"][unknown] && had["allow"][yes]:
		return toolcall.Approve
	case had["allow"][yes]:
		return toolcall.Allow
	}
	return toolcall.Deny
}

func conjunctionOf(conditions []toolpolicy.Condition) toolcall.Verdict {
	out := toolcall.VerdictTrue
	for _, c := range conditions {
		switch c.Verdict {
		case toolcall.VerdictFalse:
			return toolcall.VerdictFalse
		case toolcall.VerdictUnknown:
			out = toolcall.VerdictUnknown
		}
	}
	return out
}

// Conditions that are asked of each position together are told together: one
// after the other they would come to something else.
func TestExplainPositions(t *testing.T) {
	p, err := toolpolicy.Compile("policy.yaml", []byte(`version: 1
roles:
  everyone:
    allow: [{tool: "t/*", args: {"list.#.n": {min: 1, max: 9}}}]
    approve: [{tool: t/b, args: {"list.#.n": {min: 5, max: 6}}, by: [leads]}]
    deny: [{tool: t/a, args: {"list.#.n": {min: 5, max: 6}}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{
		`[{"n":1},{"n":9}]`, `[{"n":4},{"n":7}]`, `[{"n":1},{"n":5}]`, `[{"n":5}]`, `[]`, `[{"n":"x"},{"n":1}]`, `[{"n":20}]`, `[{}]`, `7`,
	} {
		for _, tool := range []string{"a", "b", "c"} {
			args := parse(t, `{"list":`+list+`}`)
			c := &toolcall.Call{Caller: member("-"), Kind: toolcall.Tool, Upstream: "t", Name: tool, Args: args, Def: toolpolicy.Declaring("t", tool, args)}
			e := p.Explain(c)
			if got := effectOf(e.Considered); got != p.Evaluate(c).Effect {
				t.Errorf("%s %s: the rules come to %s", tool, list, got)
			}
			for _, r := range e.Considered {
				if got := conjunctionOf(r.Conditions); got != r.Verdict {
					t.Errorf("%s %s: %s is %v, its conditions %v", tool, list, r.Rule, r.Verdict, r.Conditions)
				}
			}
		}
	}
}

const explained = `version: 1
roles:
  everyone:
    deny: [{tool: "*/delete_*"}]
  support:
    groups: [support]
    redact: [pii]
    allow:
      - crm/get
      - {tool: payments/refund, id: small, args: {amount: {max: 500}, "to.iban": {prefix: DE}}, redact: [notes]}
      - {tool: payments/refund, id: trial, args: {amount: {max: 900}}, observe: true}
  finance:
    groups: [finance]
    allow: [payments/*, {tool: payments/refund, args: {amount: {min: 1}}}]
redactions:
  pii:   {paths: ["**.ssn"]}
  notes: {paths: [notes]}
  keys:  {paths: ["**.key"], tools: ["payments/*"]}
`

// An explanation tells every rule about the call, what the caller lacks, and
// nothing that the call holds but names that nobody declared.
func TestExplainTellsAll(t *testing.T) {
	p, err := toolpolicy.Compile("policy.yaml", []byte(explained))
	if err != nil {
		t.Fatal(err)
	}
	args := parse(t, `{"amount":777.25,"to":{"iban":"FR7612"},"memo":"sesame"}`)
	c := &toolcall.Call{Caller: member("support"), Kind: toolcall.Tool, Upstream: "payments", Name: "refund", Args: args,
		Def: toolcall.NewToolDef("payments", parse(t, `{"name":"refund","inputSchema":{"properties":{"amount":{},"to":{}}}}`))}
	e := p.Explain(c)
	if e.Decision.Effect != toolcall.Deny || len(e.Considered) != 2 {
		t.Fatalf("%+v", e)
	}
	small := e.Considered[0]
	want := []toolpolicy.Condition{
		{Path: "amount", Want: "max 500", Verdict: toolcall.VerdictFalse, Got: "over"},
		{Path: "to.iban", Want: "prefix DE", Verdict: toolcall.VerdictFalse, Got: "another prefix"},
		{Want: "arguments that the tool declares", Verdict: toolcall.VerdictUnknown, Got: "not declared"},
	}
	if small.Rule != "support/small" || small.File != "policy.yaml" || small.Line != 10 || small.About != "payments/refund" || len(small.Conditions) != len(want) {
		t.Fatalf("%+v", small)
	}
	for i, c := range small.Conditions {
		if c.Path != want[i].Path || c.Verdict != want[i].Verdict || c.Got == "" {
			t.Errorf("got %+v, want %+v", c, want[i])
		}
		for _, held := range []string{"777", "FR76", "sesame"} {
			if strings.Contains(c.Want+c.Got, held) {
				t.Errorf("%+v quotes the call", c)
			}
		}
	}
	if !reflect.DeepEqual(e.Roles, []string{"everyone", "support"}) ||
		!reflect.DeepEqual(e.Lacking, []toolpolicy.LackedRole{{Role: "finance", Rules: 2}}) ||
		!reflect.DeepEqual(e.Undeclared, []string{"memo"}) || e.Elsewhere != 2 {
		t.Errorf("%+v", e)
	}
	redactions := []toolpolicy.AppliedProfile{
		{Profile: "pii", From: []string{"role support"}},
		{Profile: "notes", From: []string{"rule support/small"}},
		{Profile: "keys", From: []string{"its own tools"}},
	}
	if !reflect.DeepEqual(e.Redactions, redactions) {
		t.Errorf("got %+v", e.Redactions)
	}
	if c.Args = parse(t, `{"amount":777}`); !p.Explain(c).Considered[1].WouldAlter {
		t.Error("what an observed rule would have changed is not told")
	}
	var none *toolpolicy.Policy
	if e := none.Explain(c); e.Decision.Effect != toolcall.Deny || len(e.Considered) != 0 {
		t.Errorf("no policy: %+v", e)
	}
}

// A profile comes from the rules that put it on the decision: of an allowed call those
// that match, of a denied one, whose arguments are kept, all that are about it.
func TestExplainNamesRulesThatRedact(t *testing.T) {
	p := compile(t, `version: 1
roles:
  everyone:
    allow:
      - {tool: t/x, id: small, args: {n: {max: 5}}, redact: [notes]}
      - {tool: t/x, id: large, args: {n: {min: 5}}, redact: [notes]}
      - {tool: t/x, id: texts, args: {n: {prefix: a}}, redact: [notes]}
    approve:
      - {tool: t/x, id: asked, args: {m: {max: 5}}, by: [leads], redact: [notes]}
redactions:
  notes: {paths: [note]}
`)
	for args, want := range map[string]string{
		`{"n":1}`:         "allow [rule everyone/small]",
		`{"n":9}`:         "allow [rule everyone/large]",
		`{"n":5}`:         "allow [rule everyone/small rule everyone/large]",
		`{"n":5,"m":"x"}`: "approve [rule everyone/small rule everyone/large rule everyone/asked]",
		`{"n":true}`:      "deny [rule everyone/small rule everyone/large rule everyone/texts rule everyone/asked]",
	} {
		call := &toolcall.Call{Caller: member("-"), Kind: toolcall.Tool, Upstream: "t", Name: "x", Args: parse(t, args)}
		call.Def = toolpolicy.Declaring("t", "x", parse(t, `{"n":1,"m":1}`))
		e := p.Explain(call)
		if len(e.Redactions) != 1 {
			t.Fatalf("%s: %+v", args, e.Redactions)
		}
		if got := fmt.Sprint(e.Decision.Effect, " ", e.Redactions[0].From); got != want {
			t.Errorf("%s\n got %s\nwant %s", args, got, want)
		}
	}
}
