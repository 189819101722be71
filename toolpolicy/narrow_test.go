package toolpolicy_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// narrowed is a tool's definition as the caller in a group sees it.
func narrowed(t *testing.T, policy, group, def string) string {
	t.Helper()
	d := toolcall.NewToolDef("t", parse(t, def))
	return compile(t, policy).Narrow(callerIn(group), d).Text()
}

const limitsTold = "version: 1\nroles:\n  staff:\n    groups: [staff]\n    explain: limits\n"

// What a list shows is the upstream's own, byte for byte, unless a role says that
// its limits are told.
func TestNarrowLeavesAlone(t *testing.T) {
	def := `{"name":"x", "inputSchema":{ "type":"object","properties":{"n":{"type":"number"}}}}`
	for name, policy := range map[string]string{
		"the role does not say so": strings.Replace(limitsTold, "limits", "argument", 1) + "    allow: [{tool: t/x, args: {n: {max: 5}}}]",
		"the rule says less":       limitsTold + "    allow: [{tool: t/x, explain: rule, args: {n: {max: 5}}}]",
		"a rule without args":      limitsTold + "    allow: [{tool: t/x, args: {n: {max: 5}}}, t/x]",
		"an observed rule alone":   limitsTold + "    allow: [{tool: t/x, observe: true, args: {n: {max: 5}}}]",
		"another tool":             limitsTold + "    allow: [{tool: t/y, args: {n: {max: 5}}}]",
		"another role's rule": limitsTold + "    allow: [{tool: t/x, args: {n: {max: 5}}}]\n" +
			"  others:\n    groups: [staff]\n    allow: [{tool: t/x, args: {n: {min: 7}}}]",
	} {
		if got := narrowed(t, policy, "staff", def); got != def {
			t.Errorf("%s: %s", name, got)
		}
	}
	var none *toolpolicy.Policy
	if got := none.Narrow(callerIn("staff"), toolcall.NewToolDef("t", parse(t, def))); !got.IsZero() {
		t.Errorf("no policy shows %s", got.Text())
	}
}

func TestNarrow(t *testing.T) {
	const open = `{"name":"x","inputSchema":{"type":"object","properties":{"n":{"type":"number","title":"N"},"s":{"type":"string"},"o":{"type":"object","properties":{"k":{}}},"any":true}}}`
	for _, e := range []struct{ name, rules, def, want string }{
		{"bounds, a list, and nothing undeclared", `allow: [{tool: t/x, args: {n: {above: 0, max: 500}, s: {in: [EUR, USD]}}}]`, open,
			`{"name":"x","inputSchema":{"type":"object","properties":{"n":{"type":"number","title":"N","exclusiveMinimum":0,"maximum":500},"s":{"type":"string","enum":["EUR","USD"]},"o":{"type":"object","properties":{"k":{}}},"any":true},"required":["n","s"],"additionalProperties":false}}`},
		{"extra arguments stay", `allow: [{tool: t/x, extra: allow, args: {any: 5}}]`, open,
			strings.Replace(strings.TrimSuffix(open, "}}"), `"any":true}`, `"any":{"const":5}}`, 1) + `,"required":["any"]}}`},
		{"below an object", `allow: [{tool: t/x, extra: allow, args: {o.k: {len: 3}, s: {len: {min: 1}}}}]`, open,
			`{"name":"x","inputSchema":{"type":"object","properties":{"n":{"type":"number","title":"N"},"s":{"type":"string","minLength":1},"o":{"type":"object","properties":{"k":{}},"required":["k"]},"any":true},"required":["o","s"]},"description":"Policy allows this call only with: o.k len 3."}`},
		{"what a schema cannot say", `allow: [{tool: t/x, extra: allow, args: {s: {under: /srv}}}]`, `{"name":"x","description":"Reads.","inputSchema":{"properties":{"s":{}}}}`,
			`{"name":"x","description":"Reads.\n\nPolicy allows this call only with: s under /srv.","inputSchema":{"properties":{"s":{}},"required":["s"]}}`},
		{"what a tree says", `allow: [{tool: t/x, extra: allow, args: {n: {any_of: [{max: 5}, {equals: auto}]}, s: {len: 3, optional: true}, "o.#.k": 1, "**": {not: {detect: [jwt]}}}}]`, open,
			`{"name":"x","inputSchema":{"type":"object","properties":{"n":{"type":"number","title":"N"},"s":{"type":"string","minLength":3,"maxLength":3},"o":{"type":"object","properties":{"k":{}}},"any":true},"required":["n"]},"description":"Policy allows this call only with: n any_of (max 5; equals \"auto\"), o.#.k equals 1, ** not (detect [jwt])."}`},
		{"two rules", "allow: [{tool: t/x, extra: allow, args: {n: {max: 500}}}]\n    approve: [{tool: t/x, extra: allow, by: [leads], args: {n: {above: 500}}}]", `{"name":"x","inputSchema":{"properties":{"n":{}}}}`,
			`{"name":"x","inputSchema":{"properties":{"n":{"type":"number","anyOf":[{"maximum":500},{"exclusiveMinimum":500}]}},"required":["n"]},"description":"Policy allows this call only with: n max 500; or: n above 500 (a person is asked first)."}`},
		{"two lists", `allow: [{tool: t/x, extra: allow, args: {s: EUR}}, {tool: t/x, extra: allow, args: {s: {in: [USD, EUR]}}}]`, `{"name":"x","inputSchema":{"properties":{"s":{}}}}`,
			`{"name":"x","inputSchema":{"properties":{"s":{"enum":["EUR","USD"]}},"required":["s"]},"description":"Policy allows this call only with: s equals \"EUR\"; or: s in [\"USD\", \"EUR\"]."}`},
		{"rules about different arguments", `allow: [{tool: t/x, args: {s: EUR}}, {tool: t/x, args: {n: 1}}]`, `{"name":"x","inputSchema":{"properties":{"s":{},"n":{}}}}`,
			`{"name":"x","inputSchema":{"properties":{"s":{},"n":{}},"additionalProperties":false},"description":"Policy allows this call only with: s equals \"EUR\"; or: n equals 1."}`},
		{"what the schema says stays", `allow: [{tool: t/x, extra: allow, args: {n: {max: 5, integer: true}}}]`, `{"name":"x","inputSchema":{"properties":{"n":{"maximum":3,"type":["number","null"]}}}}`,
			`{"name":"x","inputSchema":{"properties":{"n":{"maximum":3,"type":["number","null"],"allOf":[{"type":"number"},{"maximum":5},{"type":"integer"}]}},"required":["n"]}}`},
		{"beside a reference", `allow: [{tool: t/x, args: {n: {max: 5}}}]`, `{"name":"x","inputSchema":{"$defs":{"n":{"default":1}},"properties":{"n":{"$ref":"#/$defs/n"}}}}`,
			`{"name":"x","inputSchema":{"$defs":{"n":{"default":1}},"properties":{"n":{"allOf":[{"$ref":"#/$defs/n"},{"type":"number"}],"maximum":5}},"additionalProperties":false}}`},
		{"a pattern", `allow: [{tool: t/x, extra: allow, args: {s: {matches: '(a|b)+\d{2,}[^x]*', prefix: "a."}}}]`, `{"name":"x","inputSchema":{"properties":{"s":{"type":"string"}}}}`,
			`{"name":"x","inputSchema":{"properties":{"s":{"type":"string","pattern":"^(?:[a-b]+[0-9]{2,}[^x]*)$","allOf":[{"pattern":"^a\\."}]}},"required":["s"]}}`},
		{"an old dialect", `allow: [{tool: t/x, extra: allow, args: {n: {above: 5}}}]`, `{"name":"x","inputSchema":{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"n":{}}}}`,
			`{"name":"x","inputSchema":{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"n":{}}},"description":"Policy allows this call only with: n above 5."}`},
	} {
		if diff := cmp.Diff(e.want, narrowed(t, limitsTold+"    "+e.rules, "staff", e.def)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", e.name, diff)
		}
	}
}

func callerIn(group string) toolcall.Caller {
	return toolcall.Caller{Subject: "sam", Issuer: "test", Groups: []string{group}}
}

// schemaOf compiles the inputSchema of a definition.
func schemaOf(t *testing.T, def string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(parse(t, def).Member("inputSchema").Text()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatalf("%v: %s", err, def)
	}
	return s
}

func accepts(t *testing.T, s *jsonschema.Schema, args string) bool {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(args))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc) == nil
}

// Nothing that policy could allow is refused by what a list shows; and where one
// rule is about the tool and all of it can be said, nothing else is accepted.
func TestNarrowAgreesWithPolicy(t *testing.T) {
	const def = `{"name":"x","inputSchema":{"type":"object","properties":{"n":{},"s":{"type":"string"},"o":{"properties":{"k":{}}},"d":{"default":3},"p":{"default":{"k":2},"properties":{"k":{"default":1}}}}}}`
	conditions := []string{
		"n: 5", "n: {in: [1, 2.5, x]}", "n: {not_in: [3, 4]}", "n: {min: 0, below: 10}", "n: {above: 2, integer: true}",
		"s: {matches: '[a-c]+'}", `s: {matches: '(?:x|yz)*[^q]+'}`, `s: {search: '\d$'}`, "s: {prefix: 'a.'}", "s: {len: {min: 2, max: 3}}",
		"s: {not_in: [root]}", "o.k: {min: 2}", "o.k: {present: true}", "d: {max: 3}", "d: {in: [4, 5]}", "s: {present: true}",
		"s: {len: 3, optional: true}", "n: {not: {max: 5}}", "n: {any_of: [{max: 2}, {equals: x}, {present: false}]}", "o.k: {min: 2, optional: true}",
		"p.k: {max: 2}", "p.k: {min: 2}",
	}
	values := map[string][]string{
		"n": {"5", "5.0", "1", "2.5", `"x"`, `"5"`, "3", "-1", "10", "9.99", "true", "null"},
		"s": {`"a"`, `"abc"`, `"a.b"`, `"xyzq"`, `"xyz"`, `"\ud83d\ude00"`, `"z9"`, `"9\n"`, `"root"`, `""`, "7"},
		"o": {`{"k":1}`, `{"k":2}`, `{}`, `{"k":"2"}`, "1"}, "d": {"3", "4", `"4"`}, "z": {"1"}, "p": {"{}", `{"k":2}`, `{"k":3}`},
	}
	names := []string{"n", "s", "o", "d", "z", "p"}
	random := rand.New(rand.NewPCG(1, 2))
	allowed, refused, exactly := 0, 0, 0
	for range 400 {
		rules := 1 + random.IntN(3)
		var text strings.Builder
		text.WriteString(limitsTold + "    allow:\n")
		for range rules {
			picked := map[string]string{}
			for range 1 + random.IntN(3) {
				c := conditions[random.IntN(len(conditions))]
				name, _, _ := strings.Cut(c, ":")
				picked[name] = c
			}
			extra := ""
			if random.IntN(3) == 0 {
				extra = "extra: allow, "
			}
			text.WriteString("      - {tool: t/x, " + extra + "args: {" + strings.Join(slices.Sorted(maps.Values(picked)), ", ") + "}}\n")
		}
		p := compile(t, text.String())
		tool := toolcall.NewToolDef("t", parse(t, def))
		shown := p.Narrow(callerIn("staff"), tool).Text()
		plain, narrow := schemaOf(t, def), schemaOf(t, shown)
		exact := rules == 1 && !strings.Contains(shown, "description")
		for range 60 {
			args := ""
			for _, name := range names {
				if random.IntN(3) > 0 {
					args += `,"` + name + `":` + values[name][random.IntN(len(values[name]))]
				}
			}
			args = "{" + strings.TrimPrefix(args, ",") + "}"
			d := p.Evaluate(&toolcall.Call{Caller: callerIn("staff"), Upstream: "t", Kind: toolcall.Tool, Name: "x", Def: tool, Args: parse(t, args)})
			switch permitted, shownOK := d.Effect == toolcall.Allow, accepts(t, narrow, args); {
			case permitted && accepts(t, plain, args) && !shownOK:
				t.Fatalf("allowed, and the list refuses it: %s\n%s\n%s", args, text.String(), shown)
			case exact && shownOK && !permitted:
				t.Fatalf("the list accepts it, and policy does not: %s: %s\n%s\n%s", args, d.Reason, text.String(), shown)
			case shownOK:
				allowed++
				if exact {
					exactly++
				}
			default:
				refused++
			}
		}
	}
	if allowed < 500 || refused < 5000 || exactly < 50 {
		t.Errorf("%d accepted, %d of them exactly, %d refused: the calls say too little", allowed, exactly, refused)
	}
}
