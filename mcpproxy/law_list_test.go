package mcpproxy_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
	"mcpguard/toolcall"
)

// Law 9: the list tells the truth.

// randomPolicy is a policy of some rules over the tools of the standard upstream.
func randomPolicy(r *rand.Rand) string {
	selectors := []string{"crm/get_customer", "crm/refund", "crm/echo", "crm/purge", "crm/*", "*/*", "crm/r*", "erp/echo", "crm/*e*"}
	conditions := []string{"", "", ", args: {amount: {max: 500}}", ", args: {text: {in: [a, b]}}", ", args: {id: {present: true}}"}
	rule := func(more string) string {
		return fmt.Sprintf("      - {tool: %q%s%s}\n", selectors[r.IntN(len(selectors))], conditions[r.IntN(len(conditions))], more)
	}
	var b strings.Builder
	b.WriteString("version: 1\nroles:\n")
	for _, role := range []string{"everyone", "support", "finance"} {
		fmt.Fprintf(&b, "  %s:\n", role)
		if role != "everyone" {
			fmt.Fprintf(&b, "    groups: [%s]\n", role)
		}
		b.WriteString("    allow:\n      - {tool: none/none}\n" + rule(""))
		if r.IntN(2) == 0 {
			b.WriteString(rule(""))
		}
		if r.IntN(2) == 0 {
			b.WriteString("    approve:\n" + rule(", by: [leads]"))
		}
		switch r.IntN(4) {
		case 0:
			b.WriteString("    deny:\n" + rule(""))
		case 1:
			fmt.Fprintf(&b, "    deny:\n      - {tool: %q, hide: false}\n", selectors[r.IntN(len(selectors))])
		}
	}
	return b.String()
}

// Under any policy and for any caller, a tool is listed if and only if a call of
// it is answered otherwise than one of a tool that does not exist; and nothing
// that ever runs was hidden.
func TestListTellsTheTruth(t *testing.T) {
	names := []string{"get_customer", "refund", "echo", "purge"}
	arguments := []string{`{}`, `{"amount":1}`, `{"amount":501}`, `{"text":"a"}`, `{"text":"z"}`, `{"id":1}`}
	r := newRig(t, setup{policy: "version: 1\nroles: {everyone: {allow: [none/none]}}\n", upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	agents := map[string]*agent{"sam": r.legacy("sam", "/mcp"), "fran": r.legacy("fran", "/mcp")}
	random := rand.New(rand.NewPCG(9, 9))
	listedAny, hiddenAny, ran := 0, 0, 0
	for round := range 60 {
		policy := randomPolicy(random)
		r.engine.Swap(compile(t, policy))
		r.clock.forward(time.Minute) // who is refused this often is slowed down
		for who, a := range agents {
			list := a.post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`).get("result.tools.#.name").Raw
			for _, name := range names {
				listed := strings.Contains(list, `"`+name+`"`)
				for _, args := range arguments {
					got := a.call("2", name, args)
					unknown := got.get("error.message").Str == "Unknown tool: "+name
					if listed == unknown {
						t.Fatalf("round %d: for %s the list is %s, and %s with %s answers %s\n%s", round, who, list, name, args, got, policy)
					}
					if got.get("result.structuredContent").Exists() {
						ran++
					}
				}
				if listed {
					listedAny++
				} else {
					hiddenAny++
				}
			}
		}
	}
	if listedAny < 50 || hiddenAny < 50 || ran < 50 {
		t.Errorf("the policies hardly differ: %d listed, %d hidden, %d calls ran", listedAny, hiddenAny, ran)
	}
}

// Hidden and unknown answer the same, but for the name that was asked for, and
// leave the same kind of record, in both eras and for every kind of target.
func TestHiddenIsUnknown(t *testing.T) {
	policy := `version: 1
roles:
  support:
    groups: [support]
    allow: [crm/echo, {resource: "crm/file:///srv/**"}, {prompt: crm/reply}]
  finance: {groups: [finance], allow: ["crm/*", {resource: "crm/**"}, {prompt: "crm/*"}]}
`
	up := newPeer(t)
	r := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	for _, era := range []string{"legacy", "modern"} {
		a := r.legacy("sam", "/mcp")
		ask := a.post
		if era == "modern" {
			a.session, ask = "", a.modern
		}
		for _, pair := range [][2]string{
			{toolCall("1", "purge", `{"id":7}`), toolCall("1", "xurge", `{"id":7}`)},
			{`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///etc/a"}}`,
				`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"nope:///etc/a"}}`},
			{`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"fire"}}`,
				`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"xire"}}`},
		} {
			hidden, unknown := ask(pair[0]), ask(pair[1])
			same := strings.NewReplacer("xurge", "purge", "xire", "fire").Replace(unknown.body)
			if hidden.status != unknown.status || hidden.body != same {
				t.Errorf("%s: %s\nhidden:  %d %s\nunknown: %d %s", era, pair[0], hidden.status, hidden.body, unknown.status, unknown.body)
			}
			for _, name := range []string{"Content-Type", "Cache-Control", "Mcp-Session-Id"} {
				if hidden.header.Get(name) != unknown.header.Get(name) {
					t.Errorf("%s: the header %s tells them apart", era, name)
				}
			}
			all := r.recorded(audit.Refusal)
			x, y := all[len(all)-2], all[len(all)-1]
			if x.Kind != y.Kind || x.Effect != y.Effect || x.Rule != y.Rule || x.Outcome != y.Outcome || len(x.Stages) != len(y.Stages) {
				t.Errorf("%s: recorded as %+v and %+v", era, x, y)
			}
		}
	}
	if n := len(up.all("tools/call")); n != 0 {
		t.Errorf("the upstream heard %d calls", n)
	}
}

// A call that is denied for its arguments tells which argument, never what its
// value was.
func TestDenialsDoNotQuoteArguments(t *testing.T) {
	policy := "version: 1\nroles: {support: {groups: [support], allow: [{tool: crm/echo, args: {text: {matches: \"[a-z]+\"}}}]}}\n"
	r := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	got := r.legacy("sam", "/mcp").call("1", "echo", `{"text":"SECRET-VALUE-42"}`)
	if strings.Contains(got.body, "SECRET-VALUE-42") || got.get(`result._meta.mcpguard/denial.argument`).Str != "text" {
		t.Errorf("got %s", got)
	}
	if e := r.recorded(audit.Refusal)[0]; e.Effect != toolcall.Deny || strings.Contains(e.Reason.String(), "SECRET-VALUE-42") {
		t.Errorf("recorded as %+v", e)
	}
}
