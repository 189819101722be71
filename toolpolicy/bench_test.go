package toolpolicy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// twentyRules is a policy as one writes it for a handful of upstreams.
const twentyRules = `version: 1
roles:
  everyone:
    deny:
      - {tool: "*/delete_*", because: Deletions go through change management.}
      - {tool: git/push, id: no-force, args: {force: true}}
  support:
    groups: [support]
    redact: [pii]
    allow:
      - crm/get_customer
      - crm/search_*
      - {tool: payments/refund, id: small, args: {amount: {above: 0, max: 500}, currency: {in: [EUR, USD]}}}
      - {tool: tickets/comment, args: {id: {matches: "[A-Z]+-[0-9]+"}, text: {len: {max: 2000}}}}
      - {tool: mail/send, args: {to: {matches: "[a-z.]+@example\\.com"}}}
      - tickets/get
      - tickets/list
    approve:
      - {tool: payments/refund, id: large, args: {amount: {above: 500, max: 50000}}, by: [finance]}
      - {tool: mail/send, by: [leads]}
  engineers:
    groups: [eng]
    allow:
      - {tool: fs/read_*, args: {path: {under: /srv/projects, not_glob: ["**/.env*"]}}, reads: true}
      - {tool: fs/write_*, args: {path: {under: /srv/projects/scratch}}}
      - {tool: git/push, args: {branch: {glob: "topic/*"}}}
      - git/status
      - git/log
      - ci/*
      - {resource: "fs/file:///srv/projects/**"}
      - {prompt: fs/*}
    approve:
      - {tool: git/push, args: {branch: main}, by: [leads]}
redactions:
  pii:  {paths: ["**.ssn", "cards.#.number"]}
  keys: {tools: ["*/*"], paths: ["**.token"]}
`

// paths of a decision that calls take all day.
var everyday = []struct{ name, call, want string }{
	{"bare allow", `{"tool":"crm/get_customer","args":{"id":7}}`, "allow"},
	{"pattern allow", `{"tool":"payments/refund","args":{"amount":42,"currency":"EUR"}}`, "allow"},
	{"regexp allow", `{"tool":"tickets/comment","args":{"id":"ABC-12","text":"looks good"}}`, "allow"},
	{"path allow", `{"tool":"fs/read_file","args":{"path":"/srv/projects/mcpguard/README.md"}}`, "allow"},
	{"glob allow", `{"tool":"git/push","args":{"branch":"topic/x","force":false}}`, "allow"},
	{"approve", `{"tool":"payments/refund","args":{"amount":501,"currency":"EUR"}}`, "approve"},
	{"deny rule", `{"tool":"crm/delete_customer","args":{"id":7}}`, "deny"},
	{"deny by argument", `{"tool":"git/push","args":{"branch":"topic/x","force":true}}`, "deny"},
	{"resource", `{"resource":"fs/file:///srv/projects/a/b.txt"}`, "allow"},
}

// Law of speed: the common decisions allocate nothing.
func TestEvaluateDoesNotAllocate(t *testing.T) {
	p := compile(t, twentyRules)
	for _, e := range everyday {
		c := callIn(t, "support,eng,leads", e.call)
		if d := p.Evaluate(c); d.Effect.String() != e.want {
			t.Fatalf("%s: %s, %s", e.name, d.Effect, d.Reason)
		}
		if n := testing.AllocsPerRun(100, func() { p.Evaluate(c) }); n != 0 {
			t.Errorf("%s: Evaluate allocates %v times", e.name, n)
		}
		if n := testing.AllocsPerRun(100, func() { p.Judge(c) }); n > 1 {
			t.Errorf("%s: Judge allocates %v times, want the verdicts only", e.name, n)
		}
		redact := p.Evaluate(c).Redact
		if n := testing.AllocsPerRun(100, func() { p.Redactor(redact) }); n != 0 {
			t.Errorf("%s: Redactor allocates %v times", e.name, n)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	p := compile(b, twentyRules)
	calls := append(everyday[:len(everyday):len(everyday)], struct{ name, call, want string }{
		"deny by default", `{"tool":"payments/refund","args":{"amount":50001,"currency":"EUR"}}`, "deny"})
	for _, e := range calls {
		c := callIn(b, "support,eng,leads", e.call)
		b.Run(strings.ReplaceAll(e.name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Evaluate(c)
			}
		})
	}
}

// thousandRules are 1,000 rules over 200 tools of 10 upstreams.
func thousandRules() string {
	var b strings.Builder
	b.WriteString("version: 1\nroles:\n")
	for role := range 10 {
		fmt.Fprintf(&b, "  r%d:\n    groups: [g%d]\n    allow:\n", role, role)
		for i := range 90 {
			fmt.Fprintf(&b, "      - {tool: up%d/tool%d, args: {id: {min: %d, max: 100000}, name: {matches: '[a-z]+'}}}\n", i%10, (i*7+role)%20, i)
		}
		b.WriteString("    deny:\n")
		for i := range 10 {
			fmt.Fprintf(&b, "      - {tool: 'up%d/tool1*', args: {danger: {equals: %d}}}\n", i, role)
		}
	}
	return b.String()
}

func BenchmarkEvaluateThousandRules(b *testing.B) {
	p := compile(b, thousandRules())
	c := callIn(b, "g0,g1,g2,g3", `{"tool":"up3/tool1","args":{"id":5000,"name":"sam"}}`)
	if d := p.Evaluate(c); d.Effect != toolcall.Allow {
		b.Fatal(d.Reason)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Evaluate(c)
	}
}

func BenchmarkCompileThousandRules(b *testing.B) {
	text := []byte(thousandRules())
	for b.Loop() {
		if _, err := toolpolicy.Compile("policy.yaml", text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVisible(b *testing.B) {
	p := compile(b, twentyRules)
	c := member("support,eng")
	b.ReportAllocs()
	for b.Loop() {
		p.Visible(c, toolcall.Tool, "payments", "refund")
	}
}

// A value made to be slow to match costs no more than its length.
func TestHostileValuesAreJudgedInTime(t *testing.T) {
	p := compile(t, `version: 1
roles:
  r:
    groups: [r]
    allow:
      - {tool: t/glob, args: {s: {glob: "**/a/**/a*a*a*b/**/c"}}}
      - {tool: t/path, args: {s: {under: /, not_glob: ["**/a/**/a*a*a*b/**/c"]}}}
      - {tool: t/re, args: {s: {matches: "(a+)+b"}}}
      - {resource: "t/x:*a*a*a*b"}
`)
	long := strings.Repeat("a", 1000)
	deep := strings.TrimSuffix(strings.Repeat("/a", 20_000), "/")
	for _, call := range []string{
		`{"tool":"t/glob","args":{"s":"` + long + deep + `"}}`,
		`{"tool":"t/path","args":{"s":"` + deep + `/` + long + `"}}`,
		`{"tool":"t/re","args":{"s":"` + strings.Repeat("a", 40_000) + `"}}`,
		`{"resource":"t/x:` + strings.Repeat("a", 40_000) + `"}`,
	} {
		begin := time.Now()
		p.Evaluate(callIn(t, "r", call))
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%.30s...: %v", call, took)
		}
	}
}
