package toolpolicy_test

import (
	"strings"
	"testing"
	"time"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// treeRules use every kind of node of the tree of conditions.
const treeRules = `version: 1
roles:
  everyone:
    allow:
      - {tool: t/not, args: {user: {not: {in: [root, admin]}, len: {max: 20}}}}
      - {tool: t/any_of, args: {size: {any_of: [{max: 10}, {not: {below: 1000}}, {equals: auto}]}}}
      - {tool: t/optional, args: {amount: {max: 500}, note: {len: {max: 5}, optional: true}}}
      - {tool: t/each, args: {to: {each: {prefix: "in:"}, any: {equals: "in:sam"}}}}
      - {tool: t/many, args: {"items.#.price": {max: 500}, "**.host": {in: [a, b]}, "limits.*": {max: 5}}}
      - {tool: t/clean, args: {"**": {not: {detect: [secrets, email, credit_card, iban, us_ssn]}}}}
      - {tool: t/json, args: {body: {json: {amount: {max: 500}, "tags.#": {prefix: a}}}}}
      - u/*
    deny:
      - {tool: u/many, args: {"items.#.price": {above: 500}}}
      - {tool: u/deep, args: {"**.force": true}}
      - {tool: u/leak, args: {"**": {detect: [secrets]}}}
      - {tool: u/not, args: {branch: {not: {prefix: topic/}}}}
`

// Law of speed: trees allocate nothing for calls that are allowed or that a rule
// denies, but for json, which decodes a text.
func TestTreeDoesNotAllocate(t *testing.T) {
	p := compile(t, treeRules)
	for call, want := range map[string]toolcall.Effect{
		`{"tool":"t/not","args":{"user":"sam"}}`:                                                                 toolcall.Allow,
		`{"tool":"t/any_of","args":{"size":5000}}`:                                                               toolcall.Allow,
		`{"tool":"t/optional","args":{"amount":5}}`:                                                              toolcall.Allow,
		`{"tool":"t/each","args":{"to":["in:a","in:sam"]}}`:                                                      toolcall.Allow,
		`{"tool":"t/many","args":{"items":[{"price":1},{"price":500}],"via":[{"host":"b"}],"limits":{"cpu":1}}}`: toolcall.Allow,
		`{"tool":"t/clean","args":{"a":"hello, this is a text","b":[1,2,{"c":"DE 1"}]}}`:                         toolcall.Allow,
		`{"tool":"u/many","args":{"items":[{"price":1},{"price":501}]}}`:                                         toolcall.Deny,
		`{"tool":"u/deep","args":{"a":[{"force":true}]}}`:                                                        toolcall.Deny,
		`{"tool":"u/leak","args":{"a":"glpat-` + `abcdefghij0123456789"}}`:                                       toolcall.Deny,
		`{"tool":"u/not","args":{"branch":"main"}}`:                                                              toolcall.Deny,
	} {
		c := callIn(t, "-", call)
		d := p.Evaluate(c)
		if d.Effect != want || d.Rule == "" {
			t.Fatalf("%s: %s, %s", call, d.Effect, d.Reason)
		}
		if n := testing.AllocsPerRun(100, func() { p.Evaluate(c) }); n != 0 {
			t.Errorf("%s: Evaluate allocates %v times", call, n)
		}
		if n := testing.AllocsPerRun(100, func() { p.Judge(c) }); n > 1 {
			t.Errorf("%s: Judge allocates %v times, want the verdicts only", call, n)
		}
	}
}

func BenchmarkTree(b *testing.B) {
	p := compile(b, treeRules)
	for name, call := range map[string]string{
		"any_of": `{"tool":"t/any_of","args":{"size":5000}}`,
		"each":   `{"tool":"t/each","args":{"to":["in:a","in:sam"]}}`,
		"many":   `{"tool":"t/many","args":{"items":[{"price":1},{"price":500}],"via":[{"host":"b"}],"limits":{"cpu":1}}}`,
		"detect": `{"tool":"t/clean","args":{"a":"hello, this is a text","b":[1,2,{"c":"DE 1"}]}}`,
		"json":   `{"tool":"t/json","args":{"body":"{\"amount\":5,\"tags\":[\"a\"]}"}}`,
	} {
		c := callIn(b, "-", call)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Evaluate(c)
			}
		})
	}
}

// Arguments made to be slow to walk cost no more than their length.
func TestHostileTreesAreJudgedInTime(t *testing.T) {
	p := compile(t, `version: 1
roles:
  everyone:
    allow:
      - {tool: t/x, args: {"**.a.#.b": {max: 5}, "**": {not: {detect: [secrets, email, iban]}}, s: {json: {"**.x": 1}, optional: true}}}
`)
	for name, args := range map[string]string{
		"deep":   `{"a":` + strings.Repeat(`{"a":`, 120) + `1` + strings.Repeat("}", 120) + "}",
		"wide":   `{"a":[` + strings.Repeat(`{"b":1},`, 50_000) + `{"b":1}]}`,
		"nested": `{"a":` + strings.Repeat(`[`, 120) + strings.Repeat(`1,`, 200_000) + `1` + strings.Repeat("]", 120) + "}",
		"text":   `{"s":"` + strings.Repeat(`[`, 200_000) + `"}`,
		"inside": `{"s":"[` + strings.Repeat(`{\"x\":1},`, 20_000) + `1]"}`,
	} {
		call, err := toolcall.ParseLong(`{"tool":"t/x","args":`+args+`}`, toolcall.Limits{Bytes: 4 << 20, Depth: 128})
		if err != nil {
			t.Fatal(err)
		}
		c := callOf(t, call, toolcall.JSON{})
		c.Caller = member("-")
		begin := time.Now()
		p.Judge(c)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

// Law 3, for the tree: whatever the condition, a call without arguments, one in
// another case, one of another type, and one of a tool that nobody knows are
// allowed by nothing but optional and a condition that asks for absence.
func TestAbsenceIsNoPermission(t *testing.T) {
	for _, conditions := range []string{
		`{not: {equals: 1}}`, `{not: {not: {equals: 1}}}`, `{any_of: [{equals: 1}, {not: {equals: 1}}]}`, `{each: {max: 1}}`,
		`{not: {any: {max: 1}}}`, `{not: {json: {a: 1}}}`, `{json: {a: {not: {equals: 1}}}}`, `{detect: [secrets]}`, `{not: {detect: [secrets]}}`,
		`{not: {any_of: [{equals: 1}, {present: false}]}}`, `{not: {not: {any_of: [{max: 1}, {above: 1}]}}}`, `{not: {len: 3}}`,
	} {
		for path, odd := range map[string][]string{
			"x":     {`{}`, `{"X":0}`, `{"x":"0","X":0}`},
			"x.y":   {`{}`, `{"x":{}}`, `{"x":{"Y":0}}`, `{"x":0}`, `{"x":[]}`},
			"x.#.y": {`{}`, `{"x":[]}`, `{"x":[{}]}`, `{"x":[{"Y":0}]}`, `{"x":{}}`, `{"x":[0]}`},
			"x.*":   {`{}`, `{"x":[]}`, `{"x":{}}`, `{"x":0}`},
			"**.x":  {`{}`, `{"z":[]}`, `{"z":{"X":0}}`},
		} {
			if path == "**.x" && strings.Contains(conditions, "present") {
				continue // refused when it is loaded
			}
			p := compile(t, `version: 1
roles: {everyone: {allow: [{tool: t/x, args: {"`+path+`": `+conditions+`}}]}}
`)
			for _, args := range odd {
				if d := p.Evaluate(callIn(t, "-", `{"tool":"t/x","args":`+args+`}`)); d.Effect != toolcall.Deny {
					t.Errorf("%s: %s of %s: %s", path, conditions, args, d.Effect)
				}
			}
		}
	}
}

// No arguments make a tree of conditions panic, whatever they are, and judging
// them with notes comes to the same.
func FuzzTree(f *testing.F) {
	for _, args := range []string{`{}`, `{"user":[{"a":"{\"b\":1}"}]}`, `{"to":["in:a"],"items":[{"price":1e400}]}`, `{"body":"{\"amount\":-0,\"tags\":[\"a\"]}"}`, `[]`, `7`} {
		f.Add(args)
	}
	p, err := toolpolicy.Compile("policy.yaml", []byte(treeRules))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args, err := toolcall.ParseLong(text, toolcall.Limits{Bytes: 1 << 16, Depth: 64})
		if err != nil {
			return
		}
		for _, name := range []string{"not", "any_of", "optional", "each", "many", "clean", "json"} {
			c := &toolcall.Call{Caller: member("-"), Kind: toolcall.Tool, Upstream: "t", Name: name, Args: args}
			c.Def = toolcall.NewToolDef("t", parse(t, `{"name":"`+name+`","inputSchema":{"properties":{"user":{},"size":{},"amount":{},"note":{},"to":{},"items":{},"limits":{},"body":{},"via":{}}}}`))
			for _, upstream := range []string{"t", "u"} {
				c.Upstream = upstream
				checkDecision(t, p, c, p.Evaluate(c))
			}
		}
	})
}
