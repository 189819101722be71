package toolpolicy_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

var cases = flag.Int("cases", 60_000, "how many random calls TestEvaluateAgrees judges")

// Evaluate and the oracle say the same about random calls under random
// policies: the effect, the rule, the questions, the redactions, the shadow.
func TestEvaluateAgrees(t *testing.T) {
	const perPolicy = 40
	cases := *cases
	if testing.Short() {
		cases = min(cases, 6_000)
	}
	effects := map[toolcall.Effect]int{}
	for seed := range uint64(cases / perPolicy) {
		g := generator{rand.New(rand.NewPCG(seed, 7))}
		model := g.policy()
		text := model.yaml()
		p, err := toolpolicy.Compile("policy.yaml", []byte(text))
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		for range perPolicy {
			call := g.call()
			c := call.call(t)
			d := p.Evaluate(c)
			want := model.decide(call)
			effects[d.Effect]++
			var asks []string
			for _, a := range d.Asks {
				asks = append(asks, a.Rule)
			}
			got := oracleAnswer{d.Effect, d.Rule, asks, d.Redact, d.Shadow}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("seed %d: %s %s as %v, schema known: %v, declared: %v\n got %v (%s)\nwant %v\n%s", seed,
					call.target, c.Args.Text(), call.groups, call.known, call.declared, got, d.Reason, want, text)
			}
			checkDecision(t, p, c, d)
			if why := model.readsBack(call, p.Judge(c).Verdicts); why != "" {
				t.Fatalf("seed %d: %s %s: %s\n%s", seed, call.target, c.Args.Text(), why, text)
			}
		}
	}
	for _, e := range []toolcall.Effect{toolcall.Deny, toolcall.Approve, toolcall.Allow} {
		if effects[e] < cases/50 {
			t.Errorf("only %d of %d calls came to %s: the generator tests too little", effects[e], cases, e)
		}
	}
	t.Logf("%d calls agreed: %v", cases, effects)
}

// checkDecision holds for every decision.
func checkDecision(t *testing.T, p *toolpolicy.Policy, c *toolcall.Call, d toolcall.Decision) {
	t.Helper()
	if d.Effect != toolcall.Deny && p.Visible(c.Caller, c.Kind, c.Upstream, c.Name) != toolpolicy.Listed {
		t.Fatalf("%s is %s and not listed", c.Target(), d.Effect)
	}
	if d.Policy != p.Digest() || (d.Rule == "") != (d.Line == 0) || d.Reason == "" && d.Effect == toolcall.Deny {
		t.Fatalf("an incomplete decision: %+v", d)
	}
	judged := p.Judge(c)
	if d.Rule != "" && judged.Verdicts == "" {
		t.Fatalf("decided by %s with no verdict", d.Rule)
	}
	if judged.Verdicts = ""; !reflect.DeepEqual(d, judged) {
		t.Fatalf("Evaluate says %+v, Judge %+v", d, judged)
	}
}

type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g generator) policy() *oraclePolicy {
	p := &oraclePolicy{
		roleRedact:  map[string][]string{},
		roleGroups:  map[string][]string{"r0": {"g0"}, "r1": {"g0", "g1"}},
		alwaysTools: map[string]string{},
		profiles:    []string{"p0", "p1", "p2"},
	}
	if g.chance(50) {
		p.alwaysTools["p2"] = pick(g, "a/*", "*/x", "b/y")
	}
	for _, role := range []string{"r0", "r1", "everyone"} {
		if g.chance(20) {
			p.roleRedact[role] = []string{pick(g, "p0", "p1")}
		}
		before := len(p.rules)
		for _, verb := range []string{"allow", "approve", "deny"} {
			limit := map[string]int{"allow": 4, "approve": 3, "deny": 2}[verb]
			for i := range g.IntN(limit) {
				r := oracleRule{id: fmt.Sprintf("%s/%s/%d", role, verb, i+1), role: role, verb: verb,
					target: pick(g, "a/x", "a/x", "a/*", "*/x", "*/*", "b/y", "b/x*", "a/x"), observe: g.chance(12)}
				for range g.IntN(3) {
					g.addCondition(&r)
				}
				r.extra = len(r.conditions) > 0 && verb != "deny" && g.chance(20)
				if verb != "deny" && g.chance(25) {
					r.redact = []string{pick(g, "p0", "p1", "p2")}
				}
				p.rules = append(p.rules, r)
			}
		}
		if len(p.rules) == before { // a role is not empty
			p.rules = append(p.rules, oracleRule{id: role + "/allow/1", role: role, verb: "allow", target: "never/called"})
		}
	}
	return p
}

func (g generator) call() *oracleCall {
	c := &oracleCall{args: map[string]any{}, declared: map[string]any{}, known: g.chance(93)}
	c.target = pick(g, "a/x", "a/x", "a/y", "b/x", "b/y", "b/xy", "c/x")
	for _, group := range []string{"g0", "g1", "g2"} {
		if g.chance(60) {
			c.groups = append(c.groups, group)
		}
	}
	for _, name := range []string{"p", "q", "o", "P", "z"} {
		percent := map[string]int{"p": 85, "q": 70, "o": 60, "P": 4, "z": 8}[name]
		if g.chance(percent) {
			c.args[name] = decodeJSON(pick(g, values...))
		}
		if g.chance(95) && name != "z" {
			c.declared[name] = nil
			if g.chance(25) {
				c.declared[name] = decodeJSON(pick(g, `1`, `"EUR"`, `"/srv/a"`))
			}
		}
	}
	if !c.known {
		clear(c.declared)
	}
	c.closed = g.chance(30)
	return c
}

func (c *oracleCall) call(t *testing.T) *toolcall.Call {
	upstream, name, _ := strings.Cut(c.target, "/")
	out := &toolcall.Call{
		Caller:   toolcall.Caller{Subject: "sam", Issuer: "test", Groups: c.groups},
		Upstream: upstream, Kind: toolcall.Tool, Name: name, Args: parse(t, encodeJSON(c.args)),
	}
	if c.known {
		properties := map[string]any{}
		for arg, fallback := range c.declared {
			schema := map[string]any{}
			if fallback != nil {
				schema["default"] = fallback
			}
			if arg == "o" && c.closed {
				schema["properties"] = map[string]any{"s": map[string]any{}}
				schema["items"] = map[string]any{"properties": map[string]any{"s": map[string]any{}}}
			}
			properties[arg] = schema
		}
		out.Def = toolcall.NewToolDef(upstream, parse(t, encodeJSON(map[string]any{
			"name": name, "inputSchema": map[string]any{"properties": properties}})))
	}
	return out
}

// yaml writes the policy, its roles and rules in their order, as JSON where it
// can: JSON is YAML.
func (p *oraclePolicy) yaml() string {
	var b strings.Builder
	b.WriteString("version: 1\nroles:\n")
	for _, role := range []string{"r0", "r1", "everyone"} {
		fmt.Fprintf(&b, "  %s:\n", role)
		if groups := p.roleGroups[role]; groups != nil {
			fmt.Fprintf(&b, "    groups: %s\n", encodeJSON(groups))
		}
		if names := p.roleRedact[role]; names != nil {
			fmt.Fprintf(&b, "    redact: %s\n", encodeJSON(names))
		}
		verb := ""
		for _, r := range p.rules {
			if r.role != role {
				continue
			}
			if r.verb != verb {
				verb = r.verb
				fmt.Fprintf(&b, "    %s:\n", verb)
			}
			fmt.Fprintf(&b, "      - %s\n", encodeJSON(r.fields()))
		}
	}
	b.WriteString("redactions:\n")
	for _, name := range p.profiles {
		fields := map[string]any{"paths": []string{"secret"}}
		if tools, ok := p.alwaysTools[name]; ok {
			fields["tools"] = []string{tools}
		}
		fmt.Fprintf(&b, "  %s: %s\n", name, encodeJSON(fields))
	}
	return b.String()
}

func (r *oracleRule) fields() map[string]any {
	fields := map[string]any{"tool": r.target}
	args := argsOf(r.conditions)
	if len(args) > 0 {
		fields["args"] = args
	}
	if r.extra {
		fields["extra"] = "allow"
	}
	if r.observe {
		fields["observe"] = true
	}
	if r.redact != nil {
		fields["redact"] = r.redact
	}
	if r.verb == "approve" {
		fields["by"] = []string{"leads"}
	}
	return fields
}

func decodeJSON(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

func encodeJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}
