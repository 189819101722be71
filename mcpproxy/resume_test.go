package mcpproxy_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpguard/mcpproxy"
)

const begun = `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"begun"}}`

// slowly is an upstream whose calls say that they began, and wait for a word.
func slowly(t *testing.T) (up *peer, release chan struct{}) {
	t.Helper()
	up, release = newPeer(t), make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, begun)
		<-release
		sayEvents(w, standard(m))
	}
	return up, release
}

func (a *agent) comeBack(id string) *stream {
	a.t.Helper()
	return a.open(a.request(a.t.Context(), http.MethodGet, "", "Last-Event-ID: "+id))
}

// A client that hung up comes back while its call runs, from one connection to the
// next, and gets the answer once.
func TestComeBackWhileTheCallRuns(t *testing.T) {
	up, release := slowly(t)
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	first := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", say("x"))))
	id := eventID(first.event()) // by which it can come back before anything is said
	first.hangUp()
	second := a.comeBack(id)
	if line := second.next(); !strings.Contains(line, "begun") {
		t.Errorf("what was missed: %s", line)
	}
	third := a.comeBack(eventID(second.text))
	if rest := second.rest(); rest != "" {
		t.Errorf("the connection that was taken over from got %q", rest)
	}
	close(release)
	if last := third.next(); !strings.Contains(last, `"structuredContent":{"text":"x"`) {
		t.Errorf("the answer: %s", last)
	}
	if rest := third.rest(); rest != "" {
		t.Errorf("behind the answer: %s", rest)
	}
	if n := len(up.all("tools/call")); n != 1 || len(up.all("GET")) != 0 || r.outcomes() != "ok" {
		t.Errorf("the upstream was called %d times, and heard %d GETs; outcomes: %s", n, len(up.all("GET")), r.outcomes())
	}
}

// A connection that is half dead, so that mcpguard still writes to it, loses the
// stream to the one that comes back.
func TestComeBackTakesOver(t *testing.T) {
	up, release := slowly(t)
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	first := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", say("x"))))
	id := eventID(first.next())
	second := a.comeBack(id)
	close(release)
	if got := second.next() + second.rest(); !strings.Contains(got, `"result"`) {
		t.Errorf("the one that came back: %s", got)
	}
	if rest := first.rest(); strings.Contains(rest, `"result"`) {
		t.Errorf("the answer went out twice: %s", rest)
	}
}

// Law 7: another caller, and another session of the same caller, do not get at a
// stream; a process that restarted does not take an old id for a new stream's.
func TestLawKeptEventsBelongToTheirSession(t *testing.T) {
	up := newPeer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) { sayEvents(w, begun, standard(m)) }
	up.on["GET"] = func(w http.ResponseWriter, m heard) { sayEvents(w) }
	s := setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}}
	r := newRig(t, s)
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	id := eventID(sam.call("1", "echo", say("mine")).body)
	if got := sam.comeBack(id).rest(); !strings.Contains(got, "mine") {
		t.Fatalf("sam comes back: %s", got)
	}
	if got := fran.do(fran.request(t.Context(), http.MethodGet, "", "Last-Event-ID: "+id, "Mcp-Session-Id: "+sam.session)); got.status != http.StatusNotFound {
		t.Errorf("fran with sam's session: %s", got)
	}
	for name, a := range map[string]*agent{"fran": fran, "sam in another session": r.legacy("sam", "/mcp")} {
		a.call("1", "echo", say("other"))
		if got := a.comeBack(id).rest(); strings.Contains(got, "mine") || strings.Contains(got, "other") {
			t.Errorf("%s: %s", name, got)
		}
	}
	s.store, s.keys = r.store, r.keys
	r.close()
	again := newRig(t, s)
	a := again.agent("sam", "/mcp")
	a.session = sam.session
	a.call("1", "echo", say("later"))
	if got := a.comeBack(id).rest(); strings.Contains(got, "mine") || strings.Contains(got, "later") {
		t.Errorf("after a restart: %s", got)
	}
	for _, m := range up.all("GET") {
		if m.header.Get("Last-Event-Id") != "" {
			t.Errorf("the upstream was asked for %q", m.header.Get("Last-Event-Id"))
		}
	}
}

// A session's own stream goes on where it was: what the client missed comes from
// mcpguard, what mcpguard missed from the upstream, by the upstream's own id.
func TestComeBackToOwnStream(t *testing.T) {
	up := newPeer(t)
	up.on["GET"] = func(w http.ResponseWriter, m heard) {
		w.Header().Set("Content-Type", "text/event-stream")
		from := m.header.Get("Last-Event-Id")
		if from == "" {
			fmt.Fprintf(w, "id: up-1\ndata: %s\n\nid: up-2\ndata: %s\n\n", begun, strings.Replace(begun, "begun", "missed", 1))
			return
		}
		fmt.Fprintf(w, "data: %s\n\n", strings.Replace(begun, "begun", "after "+from, 1))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	first := a.open(a.request(t.Context(), http.MethodGet, ""))
	first.rest()
	id := eventID(strings.SplitAfter(first.text, "\n\n")[1])
	got := a.comeBack(id).rest()
	if strings.Contains(got, "begun") || strings.Count(got, "missed") != 1 || !strings.Contains(got, "after up-2") {
		t.Errorf("after %s: %s", id, got)
	}
}

// When the upstream's connection breaks behind an event id, mcpguard goes back for
// the answer: after a while, again when the upstream is busy, and never twice for
// the call itself.
func TestGoBackForTheAnswer(t *testing.T) {
	const stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	for name, c := range map[string]struct {
		call func(http.ResponseWriter, heard)
		gets []int // status of each GET; 200 answers
		want string
		n    int // GETs
	}{
		"closed":        {body("text/event-stream", "id: a\nretry: 20\ndata:\n\n"), []int{200}, "", 1},
		"broken":        {hijacked(t, false, stream+"Transfer-Encoding: chunked\r\n\r\n1e\r\nid: a\nretry: 20\ndata: \n\n: more\r\n"), []int{200}, "", 1},
		"busy":          {body("text/event-stream", "id: a\nretry: 20\ndata:\n\n"), []int{503, 409, 200}, "", 3},
		"no id":         {body("text/event-stream", "retry: 20\ndata:\n\n"), []int{200}, "ended its answer without a result", 0},
		"no stream":     {body("text/event-stream", "id: a\nretry: 20\ndata:\n\n"), []int{405}, "ended its answer without a result", 1},
		"session over":  {body("text/event-stream", "id: a\nretry: 20\ndata:\n\n"), []int{404}, "no such session", 1},
		"an id as long": {body("text/event-stream", "id: "+strings.Repeat("a", 2000)+"\ndata:\n\n"), []int{200}, "ended its answer without a result", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := newPeer(t)
			up.on["tools/call"] = c.call
			gets := c.gets
			up.on["GET"] = func(w http.ResponseWriter, m heard) {
				status := gets[0]
				gets = gets[1:]
				if m.header.Get("Last-Event-Id") != "a" {
					t.Errorf("asked for %q", m.header.Get("Last-Event-Id"))
				}
				if status == http.StatusOK {
					sayEvents(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":{"from":"GET"}}}`)
					return
				}
				w.WriteHeader(status)
			}
			r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			got := r.legacy("sam", "/mcp").call("1", "echo", `{}`)
			if c.want == "" && got.get("result.structuredContent.from").Str != "GET" || !strings.Contains(got.reason(), c.want) {
				t.Errorf("got %s, want %q", got, c.want)
			}
			if n := len(up.all("GET")); n != c.n || len(up.all("tools/call")) != 1 {
				t.Errorf("%d GETs, want %d; %d calls", n, c.n, len(up.all("tools/call")))
			}
		})
	}
}

// An upstream that hangs up again and again without a word is one that is silent.
func TestGoBackEndsInTime(t *testing.T) {
	up := newPeer(t)
	up.on["tools/call"] = body("text/event-stream", "id: a\nretry: 10\ndata:\n\n")
	up.on["GET"] = body("text/event-stream", "")
	crm := up.upstream("crm")
	crm.Timeout = time.Second
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{crm}})
	if got := r.legacy("sam", "/mcp").call("1", "echo", `{}`); !strings.Contains(got.reason(), late) || r.outcomes() != "failed" {
		t.Errorf("got %s, outcomes %s", got, r.outcomes())
	}
	if n := len(up.all("GET")); n < 2 || n > 21 {
		t.Errorf("%d GETs in a second, with at least 50 ms between them", n)
	}
}

// A wait that the upstream asked for is no silence, and a cancellation ends it.
func TestGoBackWaitsAsAsked(t *testing.T) {
	up := newPeer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		body("text/event-stream", "id: a\nretry: "+map[string]string{"refund": "60000", "echo": "1500"}[m.Params.Name]+"\ndata:\n\n")(w, m)
	}
	up.on["GET"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`)
	}
	crm := up.upstream("crm")
	crm.Timeout = time.Second
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{crm}})
	a := r.legacy("sam", "/mcp")
	if got := a.call("1", "echo", `{}`); got.reason() != "" {
		t.Errorf("a wait of more than the timeout: %s", got)
	}
	s := a.open(a.request(t.Context(), http.MethodPost, toolCall("2", "refund", `{}`)))
	s.event()
	a.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
	if last := s.next(); !strings.Contains(last, "cancelled") || r.outcomes() != "ok cancelled" {
		t.Errorf("the cancelled one: %s, outcomes %s", last, r.outcomes())
	}
}

// A call that takes long becomes an event stream that says so now and then, in
// both eras: with an id to come back by where the protocol has those.
func TestSlowCallIsKeptAlive(t *testing.T) {
	up := newPeer(t)
	release := make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		<-release
		sayJSON(w, standard(m))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.KeepAlive = 10 * time.Millisecond }})
	a := r.legacy("sam", "/mcp")
	old := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", say("x"))))
	fran := r.agent("fran", "/mcp")
	now := fran.open(fran.modernRequest(t.Context(), toolCall("1", "echo", say("x"))))
	if first := old.event(); eventID(first) == "" || !strings.Contains(first, "\nretry: ") {
		t.Errorf("legacy: %q", first)
	}
	for name, s := range map[string]*stream{"legacy": old, "modern": now} {
		if got := s.event(); got != ": keep-alive\n\n" {
			t.Errorf("%s: %q", name, got)
		}
		if h := s.res.Header; h.Get("X-Accel-Buffering") != "no" || h.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s: %v", name, h)
		}
	}
	close(release)
	for name, s := range map[string]*stream{"legacy": old, "modern": now} {
		if got := s.next(); !strings.Contains(got, `"text":"x"`) || strings.Contains(got, "id: ") != (name == "legacy") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Clients of older revisions would read an event without data as a message.
func TestOlderClientsAreNotPrimed(t *testing.T) {
	up := newPeer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) { sayEvents(w, begun, standard(m)) }
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.agent("sam", "/mcp")
	got := a.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"old","version":"1"}}}`)
	a.session = got.header.Get("Mcp-Session-Id")
	got = a.call("1", "echo", say("x"))
	if !strings.HasPrefix(got.body, "id: ") || strings.Contains(got.body, "data: \n") || strings.Count(got.body, "\n\n") != 2 {
		t.Errorf("got %s", got)
	}
	if back := a.comeBack(eventID(got.body)).rest(); strings.Count(back, "\n\n") != 1 || !strings.Contains(back, `"text":"x"`) {
		t.Errorf("behind the first event: %s", back)
	}
}

// Law 14: a session has so many streams, and no more.
func TestLawStreamsOfASessionAreBounded(t *testing.T) {
	up := newPeer(t)
	release := make(chan struct{})
	up.on["GET"] = func(w http.ResponseWriter, m heard) { sayEvents(w, begun); <-release }
	t.Cleanup(func() { close(release) })
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	var open []*stream
	for range 8 {
		s := a.open(a.request(ctx, http.MethodGet, ""))
		s.next()
		open = append(open, s)
	}
	if got := a.do(a.request(t.Context(), http.MethodGet, "")); got.status != http.StatusTooManyRequests {
		t.Errorf("one more: %s", got)
	}
	if got := a.post(ping); got.status != http.StatusOK {
		t.Errorf("a message: %s", got)
	}
	open[0].hangUp()
	eventually(t, "there is room again", func() bool {
		res, err := a.client.Do(a.request(ctx, http.MethodGet, ""))
		if err != nil {
			return false
		}
		defer closing(t, res.Body)
		return res.StatusCode == http.StatusOK
	})
}

// What a client may be answered with, it says.
func TestAccept(t *testing.T) {
	up := newPeer(t)
	up.on["GET"] = func(w http.ResponseWriter, m heard) { sayEvents(w) }
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	for accept, want := range map[string]struct{ post, get int }{
		"application/json, text/event-stream":             {200, 200},
		"text/event-stream;q=0.5,application/json; q=0.1": {200, 200},
		"*/*":                   {200, 200},
		"Application/*, Text/*": {200, 200},
		"":                      {200, 200},
		"application/json":      {406, 406},
		"text/event-stream":     {406, 200},
		"text/html":             {406, 406},
		"application/json, text/event-stream;q=0":     {406, 406},
		"application/json, text/event-stream;q=0.000": {406, 406},
		"garbage": {406, 406},
	} {
		if got := a.post(ping, "Accept: "+accept); got.status != want.post {
			t.Errorf("POST with Accept %q: %d, want %d", accept, got.status, want.post)
		}
		if got := a.do(a.request(t.Context(), http.MethodGet, "", "Accept: "+accept)); got.status != want.get {
			t.Errorf("GET with Accept %q: %d, want %d", accept, got.status, want.get)
		}
	}
}

// A client that comes back when its call has ended finds the answer.
func TestComeBackLate(t *testing.T) {
	up, release := slowly(t)
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	s := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", say("x"))))
	id := eventID(s.next())
	s.hangUp()
	close(release)
	eventually(t, "the call ends", func() bool { return r.outcomes() == "ok" })
	if got := a.comeBack(id).rest(); strings.Count(got, `"result"`) != 1 {
		t.Errorf("the client that came late: %s", got)
	}
	if got := a.post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`); got.status != http.StatusOK {
		t.Errorf("the id is in use for ever: %s", got)
	}
	if got := a.do(a.request(t.Context(), http.MethodDelete, "")); got.status != http.StatusNoContent {
		t.Errorf("DELETE: %s", got)
	}
	if got := a.do(a.request(t.Context(), http.MethodGet, "", "Last-Event-ID: "+id)); got.status != http.StatusNotFound {
		t.Errorf("after the session: %s", got)
	}
}

// A batch that takes long is kept alive, and has no event ids: its answers share
// one connection, and no id stands for all of them.
func TestSlowBatchIsKeptAlive(t *testing.T) {
	up := newPeer(t)
	release := make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		<-release
		sayJSON(w, standard(m))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.KeepAlive = 10 * time.Millisecond }})
	a := batching(r)
	s := a.open(a.request(t.Context(), http.MethodPost, "["+toolCall("1", "echo", say("one"))+","+toolCall("2", "echo", say("two"))+"]"))
	if got := s.event(); got != ": keep-alive\n\n" {
		t.Errorf("while it waits: %q", got)
	}
	close(release)
	s.rest()
	if strings.Contains(s.text, "id: ") || !strings.Contains(s.text, `"text":"one"`) || !strings.Contains(s.text, `"text":"two"`) {
		t.Errorf("the batch: %s", s.text)
	}
}
