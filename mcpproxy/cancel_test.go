package mcpproxy_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

// In the legacy era a client cancels with a notification: its call ends, and the
// upstream is told.
func TestLegacyCancel(t *testing.T) {
	up := newPeer(t)
	came := make(chan struct{})
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		close(came)
		<-release
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	got := make(chan answered, 1)
	go func() { got <- a.call("1", "echo", say("x")) }()
	<-came
	if note := a.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`); note.status != http.StatusAccepted {
		t.Errorf("a cancellation of nothing: %s", note)
	}
	if n := len(r.recorded(audit.Outcome)); n != 0 {
		t.Error("another id cancelled the call")
	}
	if note := a.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"enough"}}`); note.status != http.StatusAccepted {
		t.Errorf("the cancellation: %s", note)
	}
	if answer := <-got; !strings.Contains(answer.reason(), "cancelled") {
		t.Errorf("the call: %s", answer)
	}
	if r.outcomes() != "cancelled" {
		t.Errorf("outcomes: %s", r.outcomes())
	}
	notes := up.all("notifications/cancelled")
	if len(notes) != 2 || gjson.Get(notes[1].text, "params.requestId").Int() != 1 {
		t.Errorf("the upstream heard %+v", notes)
	}
}

// Another caller's notification cancels nothing: the session is not theirs.
func TestCancelIsBoundToTheSession(t *testing.T) {
	up := newPeer(t)
	came, release := make(chan struct{}), make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		close(came)
		<-release
		sayJSON(w, standard(m))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	got := make(chan answered, 1)
	go func() { got <- sam.call("1", "echo", say("x")) }()
	<-came
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`
	fran.post(cancel)
	if note := fran.post(cancel, "Mcp-Session-Id: "+sam.session); note.status != http.StatusNotFound {
		t.Errorf("with another's session: %s", note)
	}
	close(release)
	if answer := <-got; answer.get("result.structuredContent.text").Str != "x" {
		t.Errorf("the call: %s", answer)
	}
}

// In the legacy era a client that is gone has not cancelled: its call runs to
// its recorded end (MCP 2025-11-25, Streamable HTTP).
func TestLegacyDisconnectIsNoCancel(t *testing.T) {
	up := newPeer(t)
	came, release := make(chan struct{}), make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"begun"}}`)
		close(came)
		<-release
		sayEvents(w, standard(m))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	s := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", say("x"))))
	<-came
	s.hangUp()
	if n := len(r.recorded(audit.Outcome)); n != 0 {
		t.Errorf("%d outcomes before the call has ended", n)
	}
	close(release)
	eventually(t, "the call ends", func() bool { return r.outcomes() == "ok" })
	if n := len(up.all("notifications/cancelled")); n != 0 {
		t.Error("the upstream was told to cancel")
	}
}

// In the modern era closing the response is the cancellation, of the call and of
// the way upstream, over HTTP and over stdio.
func TestModernCloseIsCancel(t *testing.T) {
	t.Run("http", func(t *testing.T) {
		up := newPeer(t)
		gone := make(chan struct{})
		up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
			sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"begun"}}`)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer closing(t, conn)
			_, _ = conn.Read(make([]byte, 1)) // ends when the proxy closes
			close(gone)
		}
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
		a := r.agent("sam", "/mcp")
		s := a.open(a.modernRequest(t.Context(), toolCall("1", "echo", say("x"))))
		s.next()
		s.hangUp()
		<-gone
		eventually(t, "the outcome is recorded", func() bool { return r.outcomes() == "cancelled" })
	})
	t.Run("stdio", func(t *testing.T) {
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{stdioUpstream(t, "crm", "standard")}})
		a := r.agent("sam", "/mcp")
		a.modern(toolCall("0", "echo", say("warm")))
		ctx, hangUp := context.WithCancel(t.Context())
		req := a.modernRequest(ctx, toolCall("1", "echo", say("hold on")))
		done := make(chan struct{})
		go func() { defer close(done); a.do(req) }()
		eventually(t, "the call is under way", func() bool { return len(r.recorded(audit.Intent)) == 2 })
		hangUp()
		<-done
		eventually(t, "the outcome is recorded", func() bool { return r.outcomes() == "ok cancelled" })
		eventually(t, "the server is told", func() bool {
			return strings.Contains(a.modern(toolCall("2", "echo", say("cancelled"))).body, "hold on")
		})
	})
}

// Closing ends every call, with an outcome each, and every stream.
func TestCloseRecordsWhatItEnds(t *testing.T) {
	up := newPeer(t)
	came, release := make(chan struct{}, 1), make(chan struct{})
	t.Cleanup(func() { close(release) })
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) { came <- struct{}{}; <-release }
	up.on["GET"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}`)
		<-release
	}
	up.on["subscriptions/listen"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged"}`)
		<-release
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm"), stdioUpstream(t, "erp", "standard")}})
	a := r.legacy("sam", "/mcp/crm")
	stream := a.open(a.request(t.Context(), http.MethodGet, ""))
	stream.next()
	modern := r.agent("sam", "/mcp/crm")
	listen := modern.open(modern.modernRequest(t.Context(), `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{}}}`))
	listen.next()
	r.legacy("fran", "/mcp/erp")

	// Draining ends the streams that answer no call, and lets calls go on.
	got := make(chan answered, 1)
	go func() { got <- a.call("1", "echo", say("x")) }()
	<-came
	r.proxy.Drain()
	stream.rest()
	listen.rest()
	eventually(t, "the subscription has its outcome", func() bool { return r.outcomes() == "failed" })
	if got := a.post(ping); got.status != http.StatusServiceUnavailable || !strings.Contains(got.reason(), "not executed") {
		t.Errorf("a new request: %d %s", got.status, got)
	}
	if got := a.post("[" + ping + "]"); got.status != http.StatusServiceUnavailable {
		t.Errorf("a new batch: %d %s", got.status, got)
	}
	if got := a.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`); got.status != http.StatusAccepted {
		t.Errorf("a notification: %d %s", got.status, got)
	}
	r.stop()
	if answer := <-got; answer.status != http.StatusServiceUnavailable || !strings.Contains(answer.reason(), "shutting down") {
		t.Errorf("the call: %d %s", answer.status, answer)
	}
	if got := a.post(ping); got.status != http.StatusServiceUnavailable {
		t.Errorf("after closing: %d", got.status)
	}
	if r.outcomes() != "failed failed" {
		t.Errorf("outcomes: %s; want that of the subscription and that of the call", r.outcomes())
	}
	ends := r.recorded(audit.SessionEnd)
	if len(ends) != 1 || ends[0].Upstream != "erp" {
		t.Errorf("sessions that ended: %+v; want the one whose process is gone", ends)
	}
}
