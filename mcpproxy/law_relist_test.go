package mcpproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"mcpguard/mcpproxy"
	"mcpguard/toolcall"
)

// swap puts another policy in force, as a reload does.
func (r *rig) swap(text string) {
	r.t.Helper()
	before := r.engine.Current()
	after := compile(r.t, text)
	r.engine.Swap(after)
	r.proxy.PolicyChanged(snapshot{before}, snapshot{after})
}

// listening is an upstream with a stream of its own, which is open until it closes.
func listening(t *testing.T, capabilities string) *peer {
	up := newPeer(t)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	up.on["initialize"] = func(w http.ResponseWriter, m heard) {
		w.Header().Set("Mcp-Session-Id", "upstream-session")
		sayJSON(w, m.result(`{"protocolVersion":"`+legacyVersion+`","capabilities":`+capabilities+`,"serverInfo":{"name":"crm","version":"1"}}`))
	}
	up.on["GET"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"open"}}`)
		select {
		case <-over:
		case <-t.Context().Done():
		}
	}
	return up
}

const (
	toolsChanged   = `"method":"notifications/tools/list_changed"`
	promptsChanged = `"method":"notifications/prompts/list_changed"`
)

// Clients whose list another policy changes are told, and nobody else: each policy
// is followed by one that changes everybody's prompts, so that what comes first
// says whether the tools were told of.
func TestLawChangedListsAreTold(t *testing.T) {
	const all = `{"tools":{"listChanged":true},"prompts":{"listChanged":true}}`
	first := "version: 1\nroles: {support: {groups: [support], allow: [{tool: crm/refund, args: {amount: {max: 500}}}, crm/echo]}, everyone: {allow: [crm/get_customer]}}\n"
	for name, c := range map[string]struct {
		capabilities, caller, policy string
		want                         bool
		unlisted                     bool // the client has not asked for its tools
	}{
		"a tool more":            {all, "sam", strings.Replace(first, "crm/echo]", "crm/echo, crm/purge]", 1), true, false},
		"a tool less":            {all, "sam", strings.Replace(first, ", crm/echo]", "]", 1), true, false},
		"another limit":          {all, "sam", strings.Replace(first, "500", "50", 1), false, false},
		"a rule of another role": {all, "fran", strings.Replace(first, "crm/echo]", "crm/echo, crm/purge]", 1), false, false},
		"a tool that nobody has": {all, "sam", strings.Replace(first, "crm/echo]", "crm/echo, crm/unheard_of]", 1), false, false},
		"an observed denial":     {all, "sam", strings.Replace(first, "everyone: {", "everyone: {deny: [{tool: crm/echo, observe: true}], ", 1), false, false},
		"masked descriptions": {all, "sam", strings.Replace(first, "everyone: {", "everyone: {redact: [d], ", 1) +
			"redactions: {d: {paths: [tools.#.name]}}\n", false, false}, // roots of a list are its tools: this names nothing there
		"not announced":               {`{"tools":{},"prompts":{"listChanged":true}}`, "sam", strings.Replace(first, ", crm/echo]", "]", 1), false, false},
		"not listed yet, and changed": {all, "sam", strings.Replace(first, ", crm/echo]", "]", 1), true, true},
		"not listed yet, and not":     {all, "sam", strings.Replace(first, "500", "50", 1), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, setup{policy: first, upstreams: []mcpproxy.Upstream{listening(t, c.capabilities).upstream("crm")}})
			a := r.legacy(c.caller, "/mcp")
			if !c.unlisted {
				a.post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
			}
			s := a.open(a.request(t.Context(), http.MethodGet, ""))
			s.next() // it is open
			r.swap(c.policy)
			r.swap(strings.Replace(c.policy, "crm/get_customer", "crm/get_customer, {prompt: crm/*}", 1))
			got := s.next()
			if told := strings.Contains(got, toolsChanged); told != c.want {
				t.Errorf("told of the tools: %v, want %v: %s", told, c.want, got)
			}
			if c.want {
				got = s.next()
			}
			if !strings.Contains(got, promptsChanged) {
				t.Errorf("not told of the prompts: %s", got)
			}
		})
	}
}

// A subscription hears of what its upstream has agreed to, under its own id, and of
// nothing before it has heard that.
func TestLawSubscriptionsAreTold(t *testing.T) {
	up := newPeer(t)
	agree, over := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(over) })
	up.on["subscriptions/listen"] = func(w http.ResponseWriter, m heard) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-agree
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"promptsListChanged":true,"toolsListChanged":false},`+
			`"_meta":{"io.modelcontextprotocol/subscriptionId":`+string(m.ID)+`}}}`)
		<-over
	}
	r := newRig(t, setup{policy: "version: 1\nroles: {everyone: {allow: [crm/echo]}}\n", upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.agent("sam", "/mcp")
	opened := make(chan *stream, 1)
	go func() {
		opened <- a.open(a.modernRequest(t.Context(), `{"jsonrpc":"2.0","id":"mine","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"promptsListChanged":true}}}`))
	}()
	eventually(t, "the upstream is asked", func() bool { return len(up.all("subscriptions/listen")) == 1 })
	r.swap("version: 1\nroles: {everyone: {allow: [crm/purge, {prompt: crm/*}]}}\n")
	close(agree)
	s := <-opened
	if got := s.next(); !strings.Contains(got, "subscriptions/acknowledged") {
		t.Fatalf("first came %s", got)
	}
	got := s.next()
	if !strings.Contains(got, promptsChanged) || !strings.Contains(got, `"_meta":{"io.modelcontextprotocol/subscriptionId":"mine"}`) {
		t.Errorf("then came %s", got)
	}
}

// What an upstream announces outlives the mcpguard that heard it.
func TestChangedListsAreToldAfterARestart(t *testing.T) {
	up := listening(t, `{"tools":{"listChanged":true}}`)
	policy := "version: 1\nroles: {everyone: {allow: [crm/echo]}}\n"
	one := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := one.legacy("sam", "/mcp")
	one.close()
	two := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}, store: one.store, keys: one.keys})
	a.url, a.token = two.url+"/mcp", two.tokens["sam"].Reveal()
	s := a.open(a.request(t.Context(), http.MethodGet, ""))
	s.next()
	two.swap("version: 1\nroles: {everyone: {allow: [crm/purge]}}\n")
	if got := s.next(); !strings.Contains(got, toolsChanged) {
		t.Errorf("after a restart came %s", got)
	}
}

// Whoever may see what was accepted is told, and nobody else: each acceptance is
// followed by one of a prompt that everybody sees, so that what comes first says
// whether the tools were told of.
func TestAcceptedDefinitionsAreTold(t *testing.T) {
	const all = `{"tools":{"listChanged":true},"prompts":{"listChanged":true}}`
	policy := "version: 1\nroles: {support: {groups: [support], allow: [crm/refund]}, everyone: {allow: [crm/echo, {prompt: crm/*}]}}\n"
	for name, c := range map[string]struct {
		caller   string
		accepted toolcall.Pin
		want     bool
	}{
		"a tool of hers":           {"sam", toolcall.Pin{Upstream: "crm", Kind: toolcall.PinTool, Name: "refund"}, true},
		"a tool that is hidden":    {"fran", toolcall.Pin{Upstream: "crm", Kind: toolcall.PinTool, Name: "refund"}, false},
		"a tool of another server": {"sam", toolcall.Pin{Upstream: "erp", Kind: toolcall.PinTool, Name: "refund"}, false},
		"instructions":             {"sam", toolcall.Pin{Upstream: "crm", Kind: toolcall.PinInstructions, Name: "instructions"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{listening(t, all).upstream("crm")}})
			a := r.legacy(c.caller, "/mcp")
			s := a.open(a.request(t.Context(), http.MethodGet, ""))
			s.next() // it is open
			r.proxy.DefinitionsAccepted([]toolcall.Pin{c.accepted})
			r.proxy.DefinitionsAccepted([]toolcall.Pin{{Upstream: "crm", Kind: toolcall.PinPrompt, Name: "greet"}})
			got := s.next()
			if told := strings.Contains(got, toolsChanged); told != c.want {
				t.Errorf("told of the tools: %v, want %v: %s", told, c.want, got)
			}
			if c.want {
				got = s.next()
			}
			if !strings.Contains(got, promptsChanged) {
				t.Errorf("not told of the prompts: %s", got)
			}
		})
	}
}
