package mcpproxy_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

const streamPolicy = `version: 1
roles: {everyone: {allow: ["crm/*", {request: crm/elicitation}]}}
`

func stdioStreams(t *testing.T) *rig {
	t.Helper()
	return newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{stdioUpstream(t, "crm", "standard")}})
}

// Over stdio a server's question reaches the client on the stream of a call, and
// the client's answer reaches the server.
func TestQuestionOverStdio(t *testing.T) {
	r := stdioStreams(t)
	a := r.legacy("sam", "/mcp")
	s := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", say("ask"))))
	if q := s.next(); !strings.Contains(q, `"method":"elicitation/create"`) {
		t.Fatalf("the question: %s", q)
	}
	reply := `{"jsonrpc":"2.0","id":"q","result":{"action":"accept","content":{"exact":1.10}}}`
	if got := a.post(reply); got.status != http.StatusAccepted {
		t.Errorf("the reply: %s", got)
	}
	if last := s.next(); !strings.Contains(last, `"structuredContent":`+reply) {
		t.Errorf("the server heard %s", last)
	}
	if r.outcomes() != "ok ok" {
		t.Errorf("outcomes: %s", r.outcomes())
	}
}

// What names no call goes to the stream that the client opened, is kept for a
// while when there is none, and goes to the newer of two.
func TestStreamOverStdio(t *testing.T) {
	r := stdioStreams(t)
	a := r.legacy("sam", "/mcp")
	a.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	listen := func() *stream { return a.open(a.request(t.Context(), http.MethodGet, "")) }
	first := listen()
	if line := first.next(); !strings.Contains(line, "nobody listens yet") {
		t.Errorf("what was kept: %s", line)
	}
	second := listen()
	first.rest() // the newer stream takes over
	got := a.call("1", "echo", say("announce"))
	if line := second.next(); !strings.Contains(line, "tools/list_changed") {
		t.Errorf("about the server: %s", line)
	}
	if all := second.text + got.body; strings.Count(all, "about a call") != 1 {
		t.Errorf("a log line came %d times", strings.Count(all, "about a call"))
	}
	second.hangUp()
	if got := a.do(a.request(t.Context(), http.MethodDelete, "")); got.status != http.StatusNoContent {
		t.Errorf("DELETE: %s", got)
	}
	if got := a.do(a.request(t.Context(), http.MethodGet, "")); got.status != http.StatusNotFound {
		t.Errorf("GET after the end: %d", got.status)
	}
}

// A client's cancellation reaches a stdio server under the id that the server
// knows; one of something else does not reach it.
func TestLegacyCancelOverStdio(t *testing.T) {
	r := stdioStreams(t)
	a := r.legacy("sam", "/mcp")
	a.call("0", "echo", say("warm"))
	got := make(chan answered, 1)
	go func() { got <- a.call(`"mine"`, "echo", say("hold it")) }()
	eventually(t, "the call is under way", func() bool { return len(r.recorded(audit.Intent)) == 2 })
	cancel := func(id string) {
		t.Helper()
		note := a.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + id + `}}`)
		if note.status != http.StatusAccepted {
			t.Errorf("cancel %s: %s", id, note)
		}
	}
	cancel("2") // the server's own number for it
	eventually(t, "the server is told", func() bool {
		cancel(`"mine"`)
		return strings.Contains(a.call("1", "echo", say("cancelled")).body, "hold it")
	})
	if answer := <-got; !strings.Contains(answer.reason(), "cancelled") {
		t.Errorf("the call: %s", answer)
	}
}

// A modern subscription over stdio carries the id that the client chose.
func TestSubscriptionOverStdio(t *testing.T) {
	r := stdioStreams(t)
	got := r.agent("sam", "/mcp").modern(`{"jsonrpc":"2.0","id":"mine","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}`)
	all := got.messages()
	if len(all) != 3 || got.get("id").Str != "mine" {
		t.Fatalf("got %q", all)
	}
	for _, m := range all {
		if !strings.Contains(m, `"io.modelcontextprotocol/subscriptionId":"mine"`) {
			t.Errorf("the subscription is named otherwise in %s", m)
		}
	}
}

// When an upstream says that its tools changed, the list is fetched anew, and
// what is new can be called.
func TestListChanged(t *testing.T) {
	up := newPeer(t)
	list := tools
	up.on["tools/list"] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(list)) }
	up.on["ping"] = func(w http.ResponseWriter, m heard) {
		list = `{"tools":[{"name":"brand_new","inputSchema":{"type":"object"}}]}`
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`, m.result(`{}`))
	}
	frozen := time.Now() // a catalogue does not age
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}, now: func() time.Time { return frozen },
		pins: &mcpproxy.PinRules{First: mcpproxy.PinAccept, New: mcpproxy.PinAlert}})
	a, other := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	names := func(a *agent) string {
		return a.post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`).get("result.tools.#.name").Raw
	}
	if got := names(a); !strings.Contains(got, "echo") {
		t.Fatalf("before: %s", got)
	}
	a.post(ping)
	for _, session := range []*agent{a, other} {
		if got := names(session); got != `["brand_new"]` {
			t.Errorf("after: %s", got)
		}
		if got := session.call("2", "echo", `{}`); got.reason() != "Unknown tool: echo" {
			t.Errorf("a tool that is gone: %s", got)
		}
	}
	if n := len(r.recorded(audit.Catalogue)); n != 2 {
		t.Errorf("%d catalogues are recorded, want 2", n)
	}
}

// A stream that outlives a policy is under the one in force; a call keeps the one
// that it began with, to its answer.
func TestPolicyChangesUnderway(t *testing.T) {
	up := newPeer(t)
	goOn, came := make(chan string), make(chan struct{})
	up.on["GET"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}`)
		for text := range goOn {
			sayEvents(w, text)
		}
	}
	release := make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		close(came)
		<-release
		sayJSON(w, m.result(`{"content":[],"structuredContent":{"ssn":"1"}}`))
	}
	plain := "version: 1\nroles: {everyone: {allow: [\"crm/*\"]}}\n"
	masked := "version: 1\nroles: {everyone: {redact: [pii], allow: [none/none]}}\nredactions: {pii: {paths: [\"**.ssn\"]}}\n"
	r := newRig(t, setup{policy: plain, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	s := a.open(a.request(t.Context(), http.MethodGet, ""))
	line := `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"ssn":"123-45-6789"}}}`
	s.next() // it is open
	goOn <- line
	if got := s.next(); !strings.Contains(got, ssn) {
		t.Errorf("under the first policy: %s", got)
	}
	got := make(chan answered, 1)
	go func() { got <- a.call("1", "echo", `{}`) }()
	<-came
	r.engine.Swap(compile(t, masked))
	goOn <- line
	hides(t, "a stream under the second policy", s.next())
	close(release)
	if answer := <-got; answer.get("result.structuredContent.ssn").Str != "1" {
		t.Errorf("the call that began before: %s", answer)
	}
	if answer := a.call("2", "echo", `{}`); answer.reason() != "Unknown tool: echo" {
		t.Errorf("a call that began after: %s", answer)
	}
	close(goOn)
	s.rest()
}

// A session that nobody uses ends, is recorded as idle, and frees its process; one
// with a stream open is in use.
func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{stdioUpstream(t, "crm", "standard")},
		limits: func(l *mcpproxy.Limits) { l.Idle = 10 * time.Second }})
	idle, used := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	used.open(used.request(ctx, http.MethodGet, ""))
	r.clock.forward(time.Minute)
	eventually(t, "the idle session ends", func() bool { return len(r.recorded(audit.SessionEnd)) > 0 })
	ends := r.recorded(audit.SessionEnd)
	if len(ends) != 1 || ends[0].Reason.String() != "idle" || ends[0].Caller.Client != "sam" {
		t.Errorf("ends: %+v", ends)
	}
	if got := idle.post(ping); got.status != http.StatusNotFound {
		t.Errorf("the idle one: %d", got.status)
	}
	if got := used.post(ping); got.status != http.StatusOK {
		t.Errorf("the one in use: %d", got.status)
	}
}

// Idle sessions end together: one whose server does not answer its DELETE keeps
// no other waiting.
func TestIdleSessionsEndTogether(t *testing.T) {
	t.Parallel()
	up := newPeer(t)
	hang := make(chan struct{})
	up.on["DELETE"] = func(http.ResponseWriter, heard) { <-hang }
	defer close(hang)
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.Idle = 10 * time.Second }})
	const sessions = 16
	for range sessions {
		r.legacy("sam", "/mcp")
	}
	r.clock.forward(time.Minute)
	eventually(t, "all idle sessions end", func() bool { return len(r.recorded(audit.SessionEnd)) == sessions })
}

// An https upstream must prove who it is.
func TestUnprovedCertificate(t *testing.T) {
	reached := false
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the failed handshake
	server.StartTLS()
	t.Cleanup(server.Close)
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{{Name: "crm", URL: server.URL}}})
	got := r.agent("sam", "/mcp").modern(toolCall("1", "echo", `{}`))
	if got.reason() != "upstream crm cannot be reached" || reached {
		t.Errorf("got %s, reached: %v", got, reached)
	}
}

// An answer that comes on the client's own stream while the call waits is the
// answer; the one that comes where it was due is a second, and counts for nothing.
func TestAnswerOnAnotherStream(t *testing.T) {
	up := newPeer(t)
	goOn, second := make(chan string), make(chan struct{})
	up.on["GET"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}`)
		sayEvents(w, <-goOn)
	}
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"begun"}}`)
		<-second
		sayEvents(w, m.result(`{"of":"second"}`))
	}
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	own := a.open(a.request(t.Context(), http.MethodGet, ""))
	own.next()
	call := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", `{}`)))
	call.next()
	goOn <- `{"jsonrpc":"2.0","id":1,"result":{"of":"first"}}`
	if got := own.next(); !strings.Contains(got, "first") {
		t.Errorf("the client's own stream: %s", got)
	}
	close(second)
	if rest := call.rest(); strings.Contains(rest, "second") {
		t.Errorf("a second answer: %s", rest)
	}
	if outs := r.recorded(audit.Outcome); len(outs) != 1 || !strings.Contains(outs[0].Result.String(), "first") {
		t.Errorf("outcomes: %+v", outs)
	}
}
