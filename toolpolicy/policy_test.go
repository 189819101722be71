package toolpolicy_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcpguard/redact"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

func TestRolesAndVisibilityKey(t *testing.T) {
	p := compile(t, `version: 1
roles:
  zebra: {groups: [ops, sre]}
  agents: {clients: [nightly], groups: [ops]}
  sam: {subjects: [sam]}
`)
	ops := toolcall.Caller{Subject: "fran", Issuer: "test", Groups: []string{"ops"}}
	nightly := ops
	nightly.Client = "nightly"
	for _, c := range []struct {
		caller toolcall.Caller
		want   []string
	}{
		{toolcall.Caller{}, nil},
		{toolcall.Caller{Subject: "fran", Issuer: "test"}, []string{"everyone"}},
		{toolcall.Caller{Subject: "sam", Issuer: "test"}, []string{"everyone", "sam"}},
		{ops, []string{"everyone", "zebra"}},
		{nightly, []string{"agents", "everyone", "zebra"}},
		{toolcall.Caller{Subject: "fran", Issuer: "test", Client: "nightly"}, []string{"everyone"}},
		{toolcall.Caller{Subject: "fran", Issuer: "test", Groups: []string{"sre", "ops"}}, []string{"everyone", "zebra"}},
	} {
		if got := p.Roles(c.caller); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v", c.caller, got, c.want)
		}
		if got := p.VisibilityKey(c.caller); got != strings.Join(c.want, " ") {
			t.Errorf("%+v: key %q", c.caller, got)
		}
	}
}

func TestDigestIsOfNamesAndTexts(t *testing.T) {
	a := toolpolicy.File{Name: "a.yaml", Text: []byte("version: 1\n")}
	b := toolpolicy.File{Name: "b.yaml", Text: []byte("version: 1\n# b\n")}
	digests := map[string]string{}
	for name, files := range map[string][]toolpolicy.File{
		"a": {a}, "b": {b}, "both": {a, b},
		"renamed": {{Name: "c.yaml", Text: a.Text}},
		"changed": {{Name: "a.yaml", Text: []byte("version: 1 \n")}},
	} {
		p, err := toolpolicy.CompileFiles(files)
		if err != nil {
			t.Fatal(err)
		}
		if other, dup := digests[p.Digest()]; dup || !strings.HasPrefix(p.Digest(), "sha256:") || len(p.Digest()) != 71 {
			t.Errorf("%s has the digest %s, as %q", name, p.Digest(), other)
		}
		digests[p.Digest()] = name
	}
	reversed, err := toolpolicy.CompileFiles([]toolpolicy.File{b, a})
	if err != nil {
		t.Fatal(err)
	}
	if digests[reversed.Digest()] != "both" {
		t.Error("the order of the files changed the digest")
	}
}

// What is kept under a digest is what was compiled, whatever a caller does to
// its own copies.
func TestFilesAreCopies(t *testing.T) {
	text := []byte("version: 1\n")
	p, err := toolpolicy.Compile("policy.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	text[0] = 'X'
	p.Files()[0].Text[0] = 'Y'
	if got := p.Files(); len(got) != 1 || got[0].Name != "policy.yaml" || string(got[0].Text) != "version: 1\n" {
		t.Errorf("the policy's text became %q", got[0].Text)
	}
}

func TestJudgeTellsWhatEveryMatcherCameTo(t *testing.T) {
	p := compile(t, `version: 1
roles:
  other: {groups: [other], allow: [t/x]}
  r:
    groups: [r]
    allow:
      - {tool: t/x, args: {n: {min: 1, max: 5}, s: EUR}}
      - t/*
      - t/y
      - {resource: "t/file:///*"}
    deny:
      - {tool: "*/x", args: {s: {in: [USD]}}}
`)
	for call, want := range map[string]string{
		`{"tool":"t/x","args":{"n":3,"s":"EUR"}}`:                "2:TTT 3: 6:F",
		`{"tool":"t/x","args":{"n":7,"s":"USD"}}`:                "2:TFF 3: 6:T",
		`{"tool":"t/x","args":{"n":"3"}}`:                        "2:UUA 3: 6:A",
		`{"tool":"t/x","args":{"n":3,"S":"EUR"}}`:                "2:TTU 3: 6:U",
		`{"tool":"t/y","args":{}}`:                               "3: 4:",
		`{"resource":"t/file:///a"}`:                             "5:",
		`{"resource":"t/file:///a/../b"}`:                        "5:?",
		`{"resource":"u/file:///a"}`:                             "",
		`{"prompt":"t/x"}`:                                       "",
		`{"tool":"t/x","args":{"n":3,"s":"EUR","n\u0000":true}}`: "2:UUT 3: 6:F",
	} {
		c := callIn(t, "r", call)
		if got := p.Judge(c).Verdicts; got != want {
			t.Errorf("%s: got %q, want %q", call, got, want)
		}
	}
	c := callIn(t, "r", `{"tool":"t/x","args":{"n":3,"s":"EUR"}}`)
	c.Def = declaring(t, "x", parse(t, `{"n":1}`))
	if got := p.Judge(c).Verdicts; got != "2:TTT+ 3: 6:F" {
		t.Errorf("an undeclared argument: %q", got)
	}
}

func TestRedactionsFor(t *testing.T) {
	p := compile(t, `version: 1
roles:
  r: {groups: [r], redact: [pii]}
redactions:
  keys: {tools: ["vault/*"], paths: [key]}
  one:  {tools: ["crm/get"], paths: [x]}
  pii:  {paths: [ssn]}
`)
	for _, c := range []struct{ groups, upstream, tool, want string }{
		{"r", "crm", "get", "[one pii]"},
		{"r", "crm", "put", "[pii]"},
		{"-", "crm", "get", "[one]"},
		{"nobody", "vault", "read", "[keys]"},
		{"-", "crm", "", "[one]"},
		{"-", "db", "", "[]"},
	} {
		if got := fmt.Sprint(p.RedactionsFor(member(c.groups), c.upstream, c.tool)); got != c.want {
			t.Errorf("%s %s/%s: got %s, want %s", c.groups, c.upstream, c.tool, got, c.want)
		}
	}
	d := p.Evaluate(callIn(t, "-", `{"resource":"vault/x:y"}`))
	if fmt.Sprint(d.Redact) != "[keys]" {
		t.Errorf("a resource of an upstream whose tools are all selected: %v", d.Redact)
	}
}

// What a rule masks in answers cannot be had unmasked from a stream that belongs
// to no call.
func TestRulesRedactBesideCalls(t *testing.T) {
	p := compile(t, `version: 1
roles:
  everyone: {allow: [{prompt: "*/*", redact: [all]}]}
  r:
    groups: [r]
    redact: [role]
    allow:
      - {tool: crm/get, args: {n: {max: 3}}, redact: [rule]}
      - {tool: crm/get, observe: true, redact: [watched]}
      - {resource: "crm/file:///a", redact: [strict]}
      - {tool: db/get, redact: [rule, strict, role]}
    approve: [{tool: "c*/put", by: [x], redact: [asked]}]
  other: {groups: [other], allow: [{tool: crm/get, redact: [other]}]}
redactions:
  strict:  {require: [id], paths: [key]}
  rule:    {paths: [a]}
  asked:   {paths: [b]}
  watched: {paths: [c]}
  other:   {paths: [d]}
  all:     {paths: [e]}
  role:    {paths: [f]}
`)
	for _, c := range []struct{ groups, upstream, want string }{
		{"r", "crm", "[strict? rule asked all role]"},
		{"r", "cd", "[asked all role]"},
		{"r", "db", "[strict? rule all role]"},
		{"r", "x", "[all role]"},
		{"other", "crm", "[other all]"},
		{"-", "crm", "[all]"},
	} {
		who := member(c.groups)
		names := p.RedactionsFor(who, c.upstream, "")
		if got := fmt.Sprint(names); got != c.want {
			t.Errorf("%s at %s: got %s, want %s", c.groups, c.upstream, got, c.want)
		}
		if n := testing.AllocsPerRun(100, func() { p.Redactor(p.RedactionsFor(who, c.upstream, "")) }); n != 0 {
			t.Errorf("%s at %s: %v allocations", c.groups, c.upstream, n)
		}
	}
	if got := p.RedactionsFor(toolcall.Caller{}, "crm", ""); got != nil {
		t.Errorf("nobody: %v", got)
	}
}

// A rule's "require" is about the result of a call. A list or a log line without
// the value passes, and what the profile names is masked there all the same.
func TestMasksOnly(t *testing.T) {
	p := compile(t, `version: 1
roles: {r: {groups: [r], allow: [{tool: t/x, redact: [strict]}]}}
redactions: {strict: {require: [id], paths: [key]}}
`)
	names := p.RedactionsFor(member("r"), "t", "")
	for doc, want := range map[string]string{
		`{"key":"abcdefgh"}`:             `{"key":"[redacted]"}`,
		`{"key":"abcdefgh","id":"1234"}`: `{"key":"[redacted]","id":"[redacted]"}`,
		`{"tools":[]}`:                   `{"tools":[]}`,
	} {
		j := parse(t, doc)
		out, _, err := p.Redactor(names).Redact(j, redact.Surface{Roots: []toolcall.JSON{j}})
		if err != nil || out.Text() != want {
			t.Errorf("%s: got %s, %v; want %s", doc, out.Text(), err, want)
		}
	}
	j := parse(t, `{"tools":[]}`)
	for _, strict := range [][]string{{"strict"}, append(names, "strict"), append([]string{"strict"}, names...)} {
		if _, _, err := p.Redactor(strict).Redact(j, redact.Surface{Roots: []toolcall.JSON{j}}); err == nil {
			t.Errorf("%v does not require anything", strict)
		}
	}
	withholds(t, p.Redactor([]string{"keys?"}))
}

// The memory of redactors is shared by all calls.
func TestPolicyIsSafeForConcurrentUse(t *testing.T) {
	var text strings.Builder
	text.WriteString("version: 1\nroles:\n")
	for i := range 8 {
		fmt.Fprintf(&text, "  r%d: {groups: [g%d], redact: [p%d], allow: [t/x]}\n", i, i, i)
	}
	text.WriteString("redactions:\n")
	for i := range 8 {
		fmt.Fprintf(&text, "  p%d: {paths: [x%d]}\n", i, i)
	}
	engine := toolpolicy.NewEngine(compile(t, text.String()))
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 500 {
				var groups []string
				for bit := range 8 {
					if (i+worker)>>bit&1 == 1 {
						groups = append(groups, fmt.Sprint("g", bit))
					}
				}
				c := &toolcall.Call{Caller: toolcall.Caller{Subject: "sam", Issuer: "test", Groups: groups},
					Kind: toolcall.Tool, Upstream: "t", Name: "x"}
				p := engine.Current()
				if d := p.Evaluate(c); len(d.Redact) != len(groups) || p.Redactor(d.Redact).Empty() != (len(groups) == 0) {
					t.Errorf("groups %v: redactions %v", groups, d.Redact)
				}
			}
		})
	}
	engine.Swap(compile(t, text.String()))
	wg.Wait()
}

func TestEngineSwaps(t *testing.T) {
	first, second := compile(t, "version: 1\n"), compile(t, "version: 1\n# 2\n")
	e := toolpolicy.NewEngine(first)
	if e.Current() != first {
		t.Error("the first policy is not in force")
	}
	e.Swap(second)
	if e.Current() != second {
		t.Error("the second policy is not in force")
	}
	e.Swap(nil)
	if d := e.Current().Evaluate(&toolcall.Call{}); d.Effect != toolcall.Deny {
		t.Errorf("without a policy: %s", d.Effect)
	}
}
