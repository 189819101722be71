package toolpolicy_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// What a caller could send to mislead an expression.
func TestExpressionsCannotBeMisled(t *testing.T) {
	const path = "../testdata/match/cel.txtar"
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	runArchive(t, path, a)
}

// onlyIf is a policy of one rule, an allow of t/x if, without quotes of YAML in it.
func onlyIf(expression string) string {
	return "version: 1\nroles:\n  r:\n    groups: [r]\n    allow:\n      - tool: t/*\n        if: |-\n          " + expression + "\n"
}

// Law 3: what is not known of a caller, a session or a time is unknown, and every
// field of them can be read.
func TestExpressionsReadTheCall(t *testing.T) {
	session := toolcall.ID{0x01, 0x97, 0xf4, 0xa2, 0x5c, 0x1e, 0x70}
	full := toolcall.Call{
		Caller: toolcall.Caller{Person: "Sam", Subject: "sam", Issuer: "https://idp", Client: "agent", Act: []string{"proxy"}, Groups: []string{"r", "x"}},
		Kind:   toolcall.Tool, Upstream: "t", Name: "x", Session: session, At: time.UnixMilli(0x0197f4a25c1e).Add(time.Hour),
	}
	bare := toolcall.Call{Caller: toolcall.Caller{Subject: "sam", Issuer: "i", Groups: []string{"r"}}, Kind: toolcall.Tool, Upstream: "t", Name: "x"}
	for expression, onBare := range map[string]bool{
		`caller.person == "Sam"`:  false,
		`caller.person != "Fran"`: false, // nobody knows
		`caller.subject == "sam"`: true,
		`caller.issuer.startsWith("i") || caller.issuer == "https://idp"`: true,
		`caller.client == "agent"`:                                        false,
		`!(caller.client in ["other"])`:                                   false,
		`has(caller.client)`:                                              false,
		`has(caller.subject)`:                                             true,
		`"r" in caller.groups`:                                            true,
		`caller.groups.exists(g, g == "x")`:                               false,
		`caller.act == ["proxy"]`:                                         false,
		`caller.roles == ["everyone", "r"]`:                               true,
		`tool.upstream == "t" && tool.name == "x"`:                        true,
		`session.id == "` + session.String() + `"`:                        false,
		`session.id != "x"`:                                               false,
		`now - session.started == duration("1h")`:                         false,
		`now > timestamp("2020-01-01T00:00:00Z")`:                         false,
		`now.getFullYear("Europe/Berlin") >= 2025`:                        false,
		`now.getHours("+02:00") == (now + duration("2h")).getHours()`:     false,
	} {
		p := compile(t, onlyIf(expression))
		if d := p.Evaluate(&full); d.Effect != toolcall.Allow {
			t.Errorf("%s: %s, %s", expression, d.Effect, d.Reason)
		}
		if d := p.Evaluate(&bare); (d.Effect == toolcall.Allow) != onBare {
			t.Errorf("%s of a caller of whom little is known: %s, %s", expression, d.Effect, d.Reason)
		}
	}
}

// A session whose id is no UUIDv7 began at no known time.
func TestSessionsWithoutATime(t *testing.T) {
	p := compile(t, onlyIf(`session.started < now`))
	c := callIn(t, "r", `{"tool":"t/x","at":"2027-01-31T00:00:00Z","args":{}}`)
	c.Session = toolcall.ID{1, 2, 3, 4, 5, 6, 0x40}
	if d := p.Evaluate(c); d.Effect != toolcall.Deny {
		t.Errorf("%s", d.Effect)
	}
}

// The record says what an expression came to, behind the letters of args.
func TestExpressionsAreRecorded(t *testing.T) {
	p := compile(t, `version: 1
roles:
  r:
    groups: [r]
    allow:
      - {tool: t/x, if: args.a < 5, args: {b: {max: 5}}}
      - {tool: t/x, if: caller.client == "x"}
    deny:
      - {tool: t/x, if: args.a > 8}
`)
	for args, want := range map[string]string{
		`{"a":1,"b":1}`:   "1:TT 2:U 3:F",
		`{"a":6,"b":6}`:   "1:FF 2:U 3:F",
		`{"a":"9","b":1}`: "1:TU 2:U 3:U",
		`{"a":9,"b":1}`:   "1:TF 2:U 3:T",
		`{"b":1}`:         "1:TU 2:U 3:U",
	} {
		if d := p.Judge(callIn(t, "r", `{"tool":"t/x","args":`+args+`}`)); d.Verdicts != want {
			t.Errorf("%s: %q, want %q", args, d.Verdicts, want)
		}
	}
}

// Lists that depend on the caller are not shared between callers.
func TestVisibilityKeyTellsCallersApart(t *testing.T) {
	sam := toolcall.Caller{Subject: "sam", Issuer: "i", Groups: []string{"r"}}
	fran := sam
	fran.Subject = "fran"
	for expression, apart := range map[string]bool{
		`caller.subject == "sam"`:                 true,
		`tool.name == "x"`:                        true, // nothing of the caller, and harmless
		`caller.subject == "sam" && args.a == 1`:  false,
		`now > timestamp("2020-01-01T00:00:00Z")`: false,
	} {
		p := compile(t, onlyIf(expression))
		if got := p.VisibilityKey(sam) != p.VisibilityKey(fran); got != apart {
			t.Errorf("%s: keys differ: %v", expression, got)
		}
		see := func(c toolcall.Caller) toolpolicy.Visibility { return p.Visible(c, toolcall.Tool, "t", "x") }
		if see(sam) != see(fran) && p.VisibilityKey(sam) == p.VisibilityKey(fran) {
			t.Errorf("%s: two see other lists under one key", expression)
		}
	}
	p := compile(t, onlyIf(`caller.subject == "sam"`))
	if p.VisibilityKey(toolcall.Caller{}) != "" {
		t.Error("nobody has a key")
	}
	for _, c := range []toolcall.Caller{
		{Subject: "sam", Issuer: "j"}, {Subject: "sam", Issuer: "i", Person: "x"}, {Subject: "sam", Issuer: "i", Client: "x"},
		{Subject: "sam", Issuer: "i", Act: []string{"x"}}, {Subject: "sam", Issuer: "i", Groups: []string{"x"}},
		{Subject: "sam", Issuer: "i", Groups: []string{`x" "y`}}, {Subject: "sam", Issuer: "i", Groups: []string{"x", "y"}},
	} {
		if p.VisibilityKey(c) == p.VisibilityKey(toolcall.Caller{Subject: "sam", Issuer: "i"}) {
			t.Errorf("%+v has the key of another", c)
		}
	}
}

// repeated is a JSON list of n equal elements.
func repeated(n int, one string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]"
}

// What a caller sends bounds neither the time nor the memory of an expression: the
// work has limits of its own, at which it is unknown.
func TestHostileArgumentsOfExpressions(t *testing.T) {
	ones, long := repeated(10_000, "1"), `"`+strings.Repeat("a", 65_000)+`"`
	var names strings.Builder
	for i := range 9_000 {
		fmt.Fprintf(&names, `"name%d":1,`, i)
	}
	deep := repeated(50, repeated(100, repeated(9, `{"a":"bbbb"}`)))
	for expression, args := range map[string]string{
		`args.l.all(i, i.n < 5)`:                             `{"l":` + repeated(10_000, `{"n":1}`) + `}`,
		`args.l.all(i, i < 5)`:                               `{"l":` + repeated(10_000, `0.5`) + `}`,
		`args.l.all(i, i < 6)`:                               `{"l":` + repeated(10_000, `1.`+strings.Repeat("0", 1000)) + `}`,
		`args.l.all(i, args.a == args.b)`:                    `{"l":` + ones + `,"a":` + deep + `,"b":` + deep + `}`,
		`args.l.all(i, args.s.size() > 5)`:                   `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s.split("").size() > 5)`:         `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s.lowerAscii() != "b")`:          `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s.indexOf("aab") < 0)`:           `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s.lastIndexOf("baa") < 0)`:       `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s.trim() != "b")`:                `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s.substring(1) != "b")`:          `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s + args.s != "b")`:              `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s.contains("ab") == false)`:      `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s.charAt(64000) == "a")`:         `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.all(i, args.s.matches("(a|aa)+b") == false)`: `{"l":` + ones + `,"s":` + long + `}`,
		`args.l.exists(i, i in args.x)`:                      `{"l":` + ones + `,"x":` + repeated(10_000, "2") + `}`,
		`args.l.exists(i, args.s in args.x)`:                 `{"l":` + ones + `,"s":"a","x":` + repeated(10_000, `"b"`) + `}`,
		`args.l.map(i, i + 1).size() > 2`:                    `{"l":` + ones + `}`,
		`args.l.all(i, args.l[9999] == 1)`:                   `{"l":` + ones + `}`,
		`args.l.all(i, args.n == 5)`:                         `{"l":` + ones + `,"n":` + strings.Repeat("5", 100_000) + `}`,
		`args.all(k, args[k] == 1 && !has(args.absent))`:     `{` + names.String() + `"z":1}`,
	} {
		p := compile(t, onlyIf(expression))
		c := &toolcall.Call{Caller: member("r"), Kind: toolcall.Tool, Upstream: "t", Name: "x", At: time.Unix(1e9, 0)}
		var err error
		if c.Args, err = toolcall.Parse(args, toolcall.Limits{Bytes: 64 << 20, Depth: 20}); err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		want := "more work than an expression may cost"
		switch expression {
		case `args.l.all(i, i.n < 5)`, `args.l.all(i, args.l[9999] == 1)`, `args.all(k, args[k] == 1 && !has(args.absent))`:
			want = "an argument is given that the tool does not declare" // it is judged to its end, and true
		case `args.l.all(i, args.n == 5)`:
			want = "too large for an expression"
		}
		if d := p.Evaluate(c); !strings.Contains(d.Reason, want) {
			t.Fatalf("%s of %d bytes: %s, want %q", expression, len(args), d.Reason, want)
		}
	}
}

// What a step of these costs is bounded by the work that is counted: a unit takes
// some 100 ns at most.
func BenchmarkHostileArgumentsOfExpressions(b *testing.B) {
	long := `{"l":` + repeated(10_000, "1") + `,"s":"` + strings.Repeat("a", 65_000) + `"}`
	for _, expression := range []string{`args.l.all(i, args.s.matches("(a|aa)+b") == false)`, `args.l.all(i, args.s.lowerAscii() != "b")`} {
		b.Run(strings.ReplaceAll(expression, " ", ""), func(b *testing.B) {
			p := compile(b, onlyIf(expression))
			c := &toolcall.Call{Caller: member("r"), Kind: toolcall.Tool, Upstream: "t", Name: "x", At: time.Unix(1e9, 0), Args: parse(b, long)}
			for b.Loop() {
				p.Evaluate(c)
			}
		})
	}
}

// Beyond its bounds a value is unknown, and only where it is looked at.
func TestBoundsOfExpressions(t *testing.T) {
	long := strings.Repeat("a", 64<<10)
	for _, c := range []struct{ expression, args, want string }{
		{`args.s != "b"`, `{"s":"` + long + `"}`, "too large for an expression"},
		{`args.p != "b"`, `{"s":"` + long + `","p":"a"}`, ""},
		{`args.l.size() > 1`, `{"l":` + repeated(10_001, "1") + `}`, "too large for an expression"},
		{`args.l.size() == 10000`, `{"l":` + repeated(10_000, "1") + `}`, ""},
		{`args.n == 1`, `{"n":1.` + strings.Repeat("0", 1200) + `}`, "too large for an expression"},
		{`args.n == 1`, `{"n":1.` + strings.Repeat("0", 1000) + `}`, ""},
		{`args.l.all(i, i == 0.5)`, `{"l":` + repeated(10_000, "0.5") + `}`, "more work than an expression may cost"},
		{`args.l.all(i, args.l.size() == 2)`, `{"l":` + repeated(2, `"x"`) + `}`, ""},
	} {
		d := compile(t, onlyIf(c.expression)).Evaluate(callIn(t, "r", `{"tool":"t/x","args":`+c.args+`}`))
		if c.want == "" && d.Effect != toolcall.Allow || c.want != "" && !strings.Contains(d.Reason, c.want) {
			t.Errorf("%s: %s, %s", c.expression, d.Effect, d.Reason)
		}
	}
}

// No word of a decision holds what the caller sent.
func TestExpressionsNeverQuoteTheCaller(t *testing.T) {
	const secret = "hunter2secret"
	for _, expression := range []string{
		`args.a == "x"`, `args.b == 1`, `args.a + 1 == 2`, `timestamp(args.a) < now`, `int(args.a) == 1`, `args.c[args.a] == 1`, `args.d.x == 1`,
		`duration(args.a) > duration("1s")`, `double(args.a) > 1.0`, `[1][args.e] == 1`, `args.a.charAt(99) == "x"`, `{"x": 1}[args.a] == 1`,
	} {
		d := compile(t, onlyIf(expression)).Judge(callIn(t, "r", `{"tool":"t/x","args":{"a":"`+secret+`","c":{"`+secret+`":"`+secret+`"},"d":"`+secret+`","e":7}}`))
		if text := fmt.Sprintf("%+v", d); d.Effect != toolcall.Deny || strings.Contains(text, secret) {
			t.Errorf("%s: %s", expression, text)
		}
	}
}

// One compiled policy answers many callers at once, each by their own call.
func TestExpressionsAreSafeForConcurrentUse(t *testing.T) {
	p := compile(t, onlyIf(`args.l.all(i, i.n == args.n) && args.s.matches("^[a-z]+$") && caller.subject == args.who`))
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				n := worker*1000 + i
				c := callIn(t, "r", fmt.Sprintf(`{"tool":"t/x","args":{"n":%d,"s":"abc","who":"sam","l":[{"n":%d},{"n":%d}]}}`, n, n, n+i%2))
				if d := p.Evaluate(c); (d.Effect == toolcall.Allow) != (i%2 == 0) {
					t.Errorf("%d: %s, %s", n, d.Effect, d.Reason)
					return
				}
			}
		})
	}
	wg.Wait()
}

// An "if" is held to the tools that there are.
func TestLintHoldsExpressionsToTools(t *testing.T) {
	p := compile(t, `version: 1
roles:
  r:
    groups: [r]
    allow:
      - {tool: t/x, if: args.amont > 5}
      - {tool: t/x, if: args.amount > "5"}
      - {tool: t/*, if: 'args.name == 5 && has(args.to)'}
      - {tool: t/x, if: args.other == 5, extra: allow}
      - {tool: t/x, if: args.to.contry == "DE"}
      - {tool: t/x, if: args.open.anything == "DE"}
      - {tool: t/x, if: 'args.list.all(args, args.foo == 1)'}
      - {tool: t/x, if: 'args.all(k, k == "amount") && args.nme == 1'}
      - {tool: t/x, if: 'args["whatever"] == 1'}
      - {tool: t/x, if: args.amount > 5.5 && args.flag && args.name.startsWith("a") && args.free == 1}
      - {tool: t/x, if: args.flag > 5}
      - {tool: u/*, if: args.nothing == 1}
`)
	tools := readCatalogue(t, `{"t":{"tools":[
		{"name":"x","inputSchema":{"properties":{"amount":{"type":"integer"},"name":{"type":"string"},"flag":{"type":"boolean"},"free":{},
			"list":{"type":"array"},"open":{"type":"object","properties":{"a":{}}},
			"to":{"type":"object","additionalProperties":false,"properties":{"country":{"type":"string"}}}}}},
		{"name":"y","inputSchema":{"properties":{"name":{"type":"string"}}}}]}}`)
	check := func(p *toolpolicy.Policy, k toolpolicy.Known) (found toolpolicy.Mistakes) {
		for _, w := range p.Lint(k) {
			if w.Name == "wrong-expression" {
				found = append(found, w.Mistake)
			}
		}
		return found
	}
	const want = `policy.yaml:6:29: if: the tool t/x declares no argument "amont"
policy.yaml:7:37: if: found no matching overload for '_>_' applied to '(int, string)'
policy.yaml:8:36: if: found no matching overload for '_==_' applied to '(string, int)'
policy.yaml:8:47: if: the tool t/y declares no argument "to"
policy.yaml:10:32: if: of the tool t/x, to has no "contry"
policy.yaml:13:60: if: the tool t/x declares no argument "nme"
policy.yaml:16:35: if: found no matching overload for '_>_' applied to '(bool, int)'`
	found := check(p, toolpolicy.Known{Catalogue: tools})
	if got := found.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if i := slices.IndexFunc(found, func(m toolpolicy.Mistake) bool { return m.Line == 6 }); i < 0 || found[i].Hint != "amount" {
		t.Errorf("no hint: %+v", found)
	}
	if ms := check(p, toolpolicy.Known{}); ms != nil {
		t.Errorf("no tools, and %v", ms)
	}
	var none *toolpolicy.Policy
	if ms := check(none, toolpolicy.Known{Catalogue: tools}); ms != nil {
		t.Errorf("no policy, and %v", ms)
	}
}

// Where a role shows its limits, an expression is one that only the description can
// tell; the schema of a rule that reads arguments is closed all the same.
func TestNarrowTellsExpressions(t *testing.T) {
	p := compile(t, `version: 1
roles:
  r:
    groups: [r]
    explain: limits
    allow:
      - {tool: t/x, if: args.a < args.b, args: {a: {max: 5}}}
      - {tool: t/y, if: args.a == caller.subject}
      - {tool: t/z, if: '"r" in caller.groups'}
`)
	for name, want := range map[string]string{
		"x": `{"name":"x","inputSchema":{"type":"object","properties":{"a":{"type":"number","maximum":5},"b":{}},"required":["a"],"additionalProperties":false},"description":"Policy allows this call only with: if args.a < args.b."}`,
		"y": `{"name":"y","inputSchema":{"type":"object","properties":{"a":{},"b":{}},"additionalProperties":false},"description":"Policy allows this call only with: if args.a == caller.subject."}`,
		"z": `{"name":"z","inputSchema":{"type":"object","properties":{"a":{},"b":{}}}}`,
	} {
		def := toolcall.NewToolDef("t", parse(t, `{"name":"`+name+`","inputSchema":{"type":"object","properties":{"a":{},"b":{}}}}`))
		if got := p.Narrow(member("r"), def).Text(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func BenchmarkEvaluateIf(b *testing.B) {
	for _, expression := range []string{
		`args.amount <= 500`, `args.owner == caller.subject`, `args.to.all(t, t.endsWith("@example.com"))`, `now.getHours("Europe/Berlin") < 18`,
	} {
		p := compile(b, onlyIf(expression))
		c := callIn(b, "r", `{"tool":"t/x","at":"2027-01-31T12:00:00Z","args":{"amount":42,"owner":"sam","to":["a@example.com","b@example.com"]}}`)
		if d := p.Evaluate(c); d.Effect != toolcall.Allow {
			b.Fatal(expression, d.Reason)
		}
		b.Run(expression, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Evaluate(c)
			}
		})
	}
}

func BenchmarkCompileIf(b *testing.B) {
	for _, n := range []int{1, 1000} {
		var text strings.Builder
		text.WriteString("version: 1\nroles:\n  r:\n    groups: [r]\n    allow:\n")
		for i := range n {
			fmt.Fprintf(&text, "      - {tool: t/x%d, if: 'args.amount <= %d && caller.subject == args.owner'}\n", i, i)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := toolpolicy.Compile("p.yaml", []byte(text.String())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An upstream writes the schema whose defaults an expression reads: one made of
// references that lead round must not cost anything with every call.
func TestExpressionWithHostileSchemaEnds(t *testing.T) {
	var schema strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&schema, `,"a%d":{"$ref":"#/properties/a%d"}`, i, i)
	}
	def := toolcall.NewToolDef("t", parse(t, `{"name":"x","inputSchema":{"properties":{"q":{}`+schema.String()+`}}}`))
	p := compile(t, "version: 1\nroles: {everyone: {allow: [{tool: t/x, if: '!has(args.q)'}]}}\n")
	c := callIn(t, "r", `{"tool":"t/x","args":{}}`)
	c.Def = def
	start := time.Now()
	if d := p.Evaluate(c); d.Effect != toolcall.Allow {
		t.Errorf("%s: %s", d.Effect, d.Reason)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("one call took %v", took)
	}
}
