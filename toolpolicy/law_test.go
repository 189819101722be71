package toolpolicy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mcpguard/redact"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

func compile(t testing.TB, text string) *toolpolicy.Policy {
	t.Helper()
	p, err := toolpolicy.Compile("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Law 3: zero values refuse.
func TestNothingIsAllowedByAbsence(t *testing.T) {
	allowAll := compile(t, "version: 1\nroles: {everyone: {allow: ['*/*', {resource: '*/*'}, {prompt: '*/*'}, {request: '*/*'}, {method: '*/*'}]}}\n")
	someone := toolcall.Caller{Subject: "sam", Issuer: "test", Groups: []string{"support"}}
	var engine toolpolicy.Engine
	for name, c := range map[string]struct {
		policy *toolpolicy.Policy
		call   toolcall.Call
	}{
		"no policy":              {nil, toolcall.Call{Caller: someone, Kind: toolcall.Tool, Upstream: "a", Name: "b"}},
		"an engine without one":  {engine.Current(), toolcall.Call{Caller: someone, Kind: toolcall.Tool, Upstream: "a", Name: "b"}},
		"a policy of no Compile": {new(toolpolicy.Policy), toolcall.Call{Caller: someone, Kind: toolcall.Tool, Upstream: "a", Name: "b"}},
		"nobody":                 {allowAll, toolcall.Call{Kind: toolcall.Tool, Upstream: "a", Name: "b"}},
		"a caller of no issuer":  {allowAll, toolcall.Call{Caller: toolcall.Caller{Subject: "sam"}, Kind: toolcall.Tool, Upstream: "a", Name: "b"}},
		"no kind":                {allowAll, toolcall.Call{Caller: someone, Upstream: "a", Name: "b"}},
		"an unknown kind":        {allowAll, toolcall.Call{Caller: someone, Kind: toolcall.Method + 1, Upstream: "a", Name: "b"}},
		"an empty call":          {allowAll, toolcall.Call{}},
		"no rules":               {compile(t, "version: 1\nroles: {}\n"), toolcall.Call{Caller: someone, Kind: toolcall.Tool, Upstream: "a", Name: "b"}},
		"no roles":               {compile(t, "version: 1\n"), toolcall.Call{Caller: someone, Kind: toolcall.Tool, Upstream: "a", Name: "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.policy.Evaluate(&c.call)
			if d.Effect != toolcall.Deny || d.Reason == "" {
				t.Errorf("decided %s, %q", d.Effect, d.Reason)
			}
			if v := c.policy.Visible(c.call.Caller, c.call.Kind, c.call.Upstream, c.call.Name); v != toolpolicy.Hidden {
				t.Errorf("it is %s", v)
			}
		})
	}
	call := &toolcall.Call{Caller: someone, Kind: toolcall.Tool, Upstream: "a", Name: "b"}
	if d := allowAll.Evaluate(call); d.Effect != toolcall.Allow {
		t.Errorf("the policy of this test should allow what is complete, and said %s", d.Effect)
	}
}

func TestNilPolicyHasNothing(t *testing.T) {
	var p *toolpolicy.Policy
	someone := toolcall.Caller{Subject: "sam", Issuer: "test"}
	if p.Digest() != "" || p.Files() != nil || p.VisibilityKey(someone) != "" ||
		p.RedactionsFor(someone, "a", "b") != nil || p.Judge(&toolcall.Call{}).Verdicts != "" {
		t.Error("a nil policy claims to have something")
	}
	withholds(t, p.Redactor(nil))
}

// An unknown profile must not mean "nothing to redact".
func TestUnknownProfileWithholds(t *testing.T) {
	p := compile(t, "version: 1\nredactions: {pii: {paths: [ssn]}, two: {paths: [x]}}\n")
	withholds(t, p.Redactor([]string{"pii", "keys"}))
	for _, names := range [][]string{{"pii"}, {"two"}, {"pii", "two"}} {
		if first, second := p.Redactor(names), p.Redactor(names); first.Empty() || first != second {
			t.Errorf("%v has no redactor, or a new one each time", names)
		}
	}
	if p.Redactor([]string{"pii", "two"}) != p.Redactor([]string{"two", "pii", "two"}) {
		t.Error("the order of names makes another redactor")
	}
	if !p.Redactor(nil).Empty() {
		t.Error("no profile, and yet there is something to redact")
	}
}

func withholds(t *testing.T, r *redact.Redactor) {
	t.Helper()
	doc := parse(t, `{"ssn":"123-45-6789","\ufffd":1,"":2}`)
	out, _, err := r.Redact(doc, redact.Surface{Roots: []toolcall.JSON{doc}})
	var withheld *redact.Withheld
	if !errors.As(err, &withheld) || !out.IsZero() {
		t.Errorf("not withheld: %v", err)
	}
}

// Law 4: the order of roles, verbs and rules does not matter to the effect.
func TestOrderDoesNotMatter(t *testing.T) {
	for seed := range uint64(300) {
		g := generator{rand.New(rand.NewPCG(seed, 11))}
		model := g.policy()
		shuffled := *model
		shuffled.rules = slices.Clone(model.rules)
		g.Shuffle(len(shuffled.rules), func(i, j int) {
			shuffled.rules[i], shuffled.rules[j] = shuffled.rules[j], shuffled.rules[i]
		})
		// yaml groups rules by verb where they stand together: put them so.
		slices.SortStableFunc(shuffled.rules, func(a, b oracleRule) int { return strings.Compare(b.verb, a.verb) })
		p, q := compile(t, model.yaml()), compile(t, shuffled.yaml())
		for range 30 {
			c := g.call().call(t)
			d, e := p.Evaluate(c), q.Evaluate(c)
			if d.Effect != e.Effect || len(d.Asks) != len(e.Asks) || !slices.Equal(d.Redact, e.Redact) || d.Reads != e.Reads {
				t.Fatalf("seed %d: %v became %v by reordering\n%s\n%s", seed, d, e, model.yaml(), shuffled.yaml())
			}
		}
	}
}

// What a deny rule denies, no further group allows: rights add up, and so do
// prohibitions.
func TestJoiningGroupsNeverLiftsADeny(t *testing.T) {
	lifted, denied := 0, 0
	for seed := range uint64(500) {
		g := generator{rand.New(rand.NewPCG(seed, 13))}
		p := compile(t, g.policy().yaml())
		for range 30 {
			c := g.call().call(t)
			before := p.Evaluate(c)
			if before.Effect != toolcall.Deny || before.Rule == "" {
				continue
			}
			denied++
			joined := *c
			joined.Caller.Groups = append(slices.Clone(c.Caller.Groups), "g0", "g1", "g2")
			if after := p.Evaluate(&joined); after.Effect != toolcall.Deny {
				lifted++
				t.Errorf("seed %d: denied by %s, and %s after joining groups", seed, before.Rule, after.Effect)
			}
		}
	}
	if denied < 500 {
		t.Fatalf("only %d denials by a rule: the test tests too little", denied)
	}
}

// Observing a rule changes what is reported, and nothing else.
func TestObservedRulesChangeNothing(t *testing.T) {
	const text = `version: 1
roles:
  r:
    groups: [r]
    allow: [t/x, {tool: t/new, observe: true, id: new}]
    approve: [{tool: t/x, by: [leads], observe: true, id: ask}]
    deny: [{tool: t/x, args: {n: {max: 5}}, observe: true, id: small}]
`
	p := compile(t, text)
	for args, want := range map[string]string{
		`{"n":6}`: "allow [r/ask]", `{"n":5}`: "allow [r/ask r/small]", `{"n":"5"}`: "allow [r/ask r/small]",
	} {
		d := p.Evaluate(callIn(t, "r", `{"tool":"t/x","args":`+args+`}`))
		if got := fmt.Sprint(d.Effect, " ", d.Shadow); got != want {
			t.Errorf("%s: got %s, want %s", args, got, want)
		}
	}
	d := p.Evaluate(callIn(t, "r", `{"tool":"t/new","args":{}}`))
	if d.Effect != toolcall.Deny || !slices.Equal(d.Shadow, []string{"r/new"}) {
		t.Errorf("an observed allow: %s, shadow %v", d.Effect, d.Shadow)
	}
}

func callIn(t testing.TB, groups, text string) *toolcall.Call {
	t.Helper()
	c := callOf(t, parse(t, text), toolcall.JSON{})
	c.Caller = member(groups)
	return c
}

// The parts of a decision that the corpus does not show.
func TestDecisionSaysAllOfIt(t *testing.T) {
	p := compile(t, `version: 1
roles:
  staff:
    groups: [staff]
    redact: [pii]
    allow:
      - {tool: crm/get, reads: true, redact: [notes], because: Reading is fine.}
      - {tool: crm/*, reads: true}
      - {tool: crm/put}
      - {tool: crm/p*, reads: true}
    approve:
      - {tool: crm/pay, id: lead, by: [leads], within: 15m, show: [amount, to.name]}
      - {tool: crm/pay, id: finance, by: [finance, cfo], args: {amount: {above: 10}}}
redactions:
  pii:   {paths: ["**.ssn"]}
  notes: {paths: [notes]}
  keys:  {tools: ["crm/g*"], paths: [key], require: [id]}
  other: {paths: [x]}
`)
	d := p.Evaluate(callIn(t, "staff", `{"tool":"crm/get","args":{}}`))
	want := toolcall.Decision{Effect: toolcall.Allow, Rule: "staff/allow/1", File: "policy.yaml", Line: 7,
		Reason: "Reading is fine.", Redact: []string{"pii", "notes", "keys"}, Reads: true, Policy: p.Digest(), Explain: toolcall.ExplainArgument}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("get:\n got %+v\nwant %+v", d, want)
	}
	d = p.Evaluate(callIn(t, "staff", `{"tool":"crm/put","args":{}}`))
	if d.Effect != toolcall.Allow || d.Reads {
		t.Errorf("put is allowed by a rule that does not only read: %+v", d)
	}
	if d = p.Evaluate(callIn(t, "staff", `{"tool":"crm/peek","args":{}}`)); !d.Reads {
		t.Errorf("peek is allowed by rules that only read: %+v", d)
	}
	d = p.Evaluate(callIn(t, "staff", `{"tool":"crm/pay","args":{"amount":11}}`))
	if len(d.Asks) != 2 || d.Reads || d.Rule != "staff/lead" {
		t.Fatalf("pay: %+v", d)
	}
	lead, finance := d.Asks[0], d.Asks[1]
	if lead.Rule != "staff/lead" || lead.Within != 900 || !slices.Equal(lead.By, []string{"leads"}) ||
		len(lead.Show) != 2 || lead.Show[1].String() != "to.name" {
		t.Errorf("the first question: %+v", lead)
	}
	if finance.Rule != "staff/finance" || finance.Within != 600 || !slices.Equal(finance.By, []string{"finance", "cfo"}) || finance.Show != nil {
		t.Errorf("the second question: %+v", finance)
	}
	d = p.Evaluate(callIn(t, "-", `{"tool":"crm/get","args":{}}`))
	if d.Effect != toolcall.Deny || !slices.Equal(d.Redact, []string{"keys"}) || !d.Miss.IsZero() {
		t.Errorf("a stranger: %+v", d)
	}
}

// A denial tells what would have passed, and never the value that did not.
func TestMissNeverQuotesTheCaller(t *testing.T) {
	const secret = "hunter2secret"
	p := compile(t, `version: 1
roles:
  r:
    groups: [r]
    allow:
      - {tool: t/x, id: one, args: {a: {matches: "[0-9]+"}, b: {under: /srv}, c: {max: 5}}}
      - {tool: t/x, id: two, args: {a: {in: [x]}, b: {not_in: [y]}, c: {len: 5}, d: {present: true}}}
`)
	for _, args := range []string{
		`{"a":"` + secret + `","b":"` + secret + `","c":"` + secret + `"}`,
		`{"a":["` + secret + `"],"b":{"` + secret + `":1},"c":null,"` + secret + `":1}`,
		`{"a":"7","b":"/srv/x","c":7}`,
	} {
		d := p.Evaluate(callIn(t, "r", `{"tool":"t/x","args":`+args+`}`))
		if d.Effect != toolcall.Deny || d.Miss.Rule != "r/one" || d.Miss.Want == "" || d.Miss.Got == "" {
			t.Errorf("%s: %+v", args, d)
		}
		if strings.Contains(fmt.Sprintf("%+v", d), secret) {
			t.Errorf("%s: the decision holds the value: %+v", args, d)
		}
	}
	d := p.Evaluate(callIn(t, "r", `{"tool":"t/x","args":{"a":"7","b":"/srv/x","c":7}}`))
	want := toolcall.Miss{Rule: "r/one", Path: "c", Want: "max 5", Got: "over"}
	if d.Miss != want || d.Reason != "r/one: c is over max 5" {
		t.Errorf("got %+v, %q", d.Miss, d.Reason)
	}
}
