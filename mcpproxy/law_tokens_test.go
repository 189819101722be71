package mcpproxy_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpguard/mcpproxy"
)

// Law 11: tokens stop here.

// agentHeaders are what an agent might send along, and what must not go on.
var agentHeaders = []string{
	"Cookie: session=agent-secret", "Proxy-Authorization: Basic agent-secret", "X-Api-Key: agent-secret",
	"X-Forwarded-For: agent-secret", "X-Forwarded-User: agent-secret", "Forwarded: for=agent-secret", "Via: agent-secret",
	"Traceparent: agent-secret", "User-Agent: agent-secret", "Referer: http://agent-secret/", "Origin: http://localhost",
	"Accept-Language: agent-secret", "Mcp-Vendor: agent-secret", "X-Mcpguard: agent-secret",
}

// upstreamMayHear are the headers that a request upstream may have.
var upstreamMayHear = []string{"Accept", "Authorization", "Content-Length", "Content-Type", "Last-Event-Id", "Mcp-Method",
	"Mcp-Name", "Mcp-Protocol-Version", "Mcp-Session-Id", "User-Agent", "X-Own"}

// Of the agent's own headers, its token first of all, none reaches the upstream:
// it hears mcpguard's credential, on every road.
func TestTokensStopHere(t *testing.T) {
	up := newPeer(t)
	up.on["GET"] = func(w http.ResponseWriter, _ heard) { sayEvents(w) }
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}`, m.result(`{"content":[]}`))
	}
	crm := up.upstream("crm")
	crm.Header = http.Header{"Authorization": {"Bearer upstream-credential"}, "X-Own": {"configured"}}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{crm}})

	a := r.agent("sam", "/mcp")
	begin := a.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`, agentHeaders...)
	a.session = begin.header.Get("Mcp-Session-Id")
	answers := []answered{
		begin,
		a.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, agentHeaders...),
		a.post(toolCall("1", "echo", `{}`), agentHeaders...),
		a.modern(toolCall("1", "echo", `{}`), agentHeaders...),
		a.do(a.request(t.Context(), http.MethodGet, "", append(agentHeaders, "Last-Event-ID: e")...)),
		a.do(a.request(t.Context(), http.MethodDelete, "", agentHeaders...)),
	}
	for i, got := range answers {
		if got.status >= 300 {
			t.Errorf("answer %d: %d %s", i, got.status, got)
		}
	}
	for _, key := range []string{"initialize", "notifications/initialized", "tools/list", "tools/call", "response", "GET", "DELETE"} {
		if len(up.all(key)) == 0 {
			t.Errorf("the upstream heard no %s", key)
		}
	}
	token := r.tokens["sam"].Reveal()
	if heard := up.everything(); strings.Contains(heard, "agent-secret") || strings.Contains(heard, token) {
		t.Errorf("the upstream heard what was the agent's:\n%s", heard)
	}
	for _, m := range up.heard {
		if m.header.Get("Authorization") != "Bearer upstream-credential" || m.header.Get("X-Own") != "configured" {
			t.Errorf("%s came without mcpguard's credential: %v", m.key(), m.header)
		}
		for name := range m.header {
			if !slices.Contains(upstreamMayHear, name) {
				t.Errorf("%s came with the header %s", m.key(), name)
			}
		}
	}
	if log := r.logs.String(); strings.Contains(log, token) || strings.Contains(log, "upstream-credential") {
		t.Errorf("a credential is in the log:\n%s", log)
	}
}

// Nor do the upstream's own headers reach the agent: no cookie, no challenge, no
// session id, no permission to cache.
func TestUpstreamHeadersStopHere(t *testing.T) {
	up := newPeer(t)
	leak := func(w http.ResponseWriter) {
		for _, name := range []string{"Set-Cookie", "WWW-Authenticate", "X-Upstream", "Location", "Access-Control-Allow-Origin", "Mcp-Session-Id"} {
			w.Header().Set(name, "upstream-secret")
		}
		w.Header().Set("Cache-Control", "public, max-age=3600")
	}
	up.on["ping"] = func(w http.ResponseWriter, m heard) { leak(w); sayJSON(w, m.result(`{}`)) }
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		leak(w)
		w.WriteHeader(http.StatusUnauthorized)
	}
	up.on["resources/list"] = func(w http.ResponseWriter, m heard) {
		leak(w)
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`, m.result(`{"resources":[]}`))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	for _, got := range []answered{
		a.post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`),
		a.post(`{"jsonrpc":"2.0","id":1,"method":"resources/list"}`),
		a.call("1", "echo", `{}`),
	} {
		if got.status != http.StatusOK {
			t.Errorf("status %d", got.status)
		}
		for name, values := range got.header {
			if strings.Contains(strings.Join(values, " "), "upstream-secret") {
				t.Errorf("the agent got the header %s", name)
			}
		}
		if cache := got.header.Get("Cache-Control"); !strings.Contains(cache, "no-store") {
			t.Errorf("Cache-Control: %q", cache)
		}
	}
}

// A stdio server's environment is what its configuration lists, beside PATH,
// HOME and LANG.
func TestEnvironmentStopsHere(t *testing.T) {
	t.Setenv("MCPGUARD_OWN_SECRET", "guard-secret")
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{stdioUpstream(t, "crm", "standard")}})
	got := r.legacy("sam", "/mcp").call("1", "echo", `{"text":"environment"}`)
	for _, e := range got.get("result.structuredContent").Array() {
		name, _, _ := strings.Cut(e.Str, "=")
		if !slices.Contains([]string{"PATH", "HOME", "LANG", childEnv, "CHILD_SECRET"}, name) {
			t.Errorf("the server was given %s", e.Str)
		}
	}
	if !strings.Contains(got.body, "CHILD_SECRET="+childSecret) {
		t.Errorf("the server was not given its own: %s", got)
	}
}
