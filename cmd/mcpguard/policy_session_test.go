package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A recorded session is a fixture of a policy's tests: what policy said then it must
// say now, and what was refused for something else does not count.
func TestRecordedSessionsAreFixtures(t *testing.T) {
	p := newPinned(t, "")
	dir := filepath.Dir(p.config)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const policy = `version: 1
roles:
  everyone:
    allow:
      - {tool: crm/refund, id: small, args: {amount: {max: 500}}, limit: 2/hour per caller}
      - crm/missing
    approve:
      - {tool: crm/refund, id: large, args: {amount: {above: 500, max: 900}}, by: [leads]}
`
	write("policy.yaml", policy)
	tools := toolsBefore
	p.tools.Store(&tools)
	p.serving(func(post func(string) string) {
		for i, call := range []string{
			`"refund","arguments":{"amount":5}`, `"refund","arguments":{"amount":501}`, `"refund","arguments":{"amount":1000}`,
			`"refund","arguments":{"amount":6}`, `"refund","arguments":{"amount":7}`, // the limit's refusal
			`"missing","arguments":{}`, `"echo","arguments":{}`, // not there, and hidden
		} {
			post(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%s}}`, i+3, call))
		}
	})
	write("session.json", p.command(exitOK, "sessions", "show", "latest", "-o", "json"))
	tests := filepath.Join(dir, "policy_test.yaml")
	write("policy_test.yaml", "policy: policy.yaml\nsessions: [session.json]\n")
	if got := p.command(exitOK, "policy", "test", tests); got != "4 tests, 0 failed\n" {
		t.Errorf("by the policy of then:\n%s", got)
	}

	write("policy.yaml", strings.Replace(policy, "max: 900", "max: 2000", 1))
	got := p.command(exitProblems, "policy", "test", tests)
	wants(t, "a policy that asks for more", got, "session.json: call 3, crm/refund\n", "expected deny, got approve by everyone/large at ", "4 tests, 1 failed")
	if strings.Count(got, "FAIL") != 1 {
		t.Errorf("more fails than the one:\n%s", got)
	}

	for name, c := range map[string]struct{ text, want string }{
		"not a session": {`{"tests":[]}`, `it must hold {"session"`},
		"no JSON":       {`{`, "try: mcpguard sessions show SESSION -o json prints one"},
		"nobody":        {`{"session":{},"records":[{"record":"intent","decision":"allow","kind":"tool","upstream":"crm","target":"x","at":"2026-01-02T03:04:05Z"}]}`, "call 1: the session does not say who called"},
		"no arguments":  {`{"session":{"subject":"sam","issuer":"token"},"records":[{"record":"intent","decision":"allow","kind":"tool","upstream":"crm","target":"x","at":"2026-01-02T03:04:05Z","args_size":9}]}`, "does not keep its arguments"},
		"no time":       {`{"session":{"subject":"sam","issuer":"token"},"records":[{"record":"intent","decision":"allow","kind":"tool","upstream":"crm","target":"x"}]}`, "does not say when it was"},
		"nothing":       {`{"session":{"subject":"sam","issuer":"token"},"records":[]}`, "no call that policy decided about"},
	} {
		write("session.json", c.text)
		if got := p.command(exitUsage, "policy", "test", tests); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
