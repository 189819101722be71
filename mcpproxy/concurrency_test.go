package mcpproxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

// Many sessions call at once, all with the same ids: each gets its own answers,
// and the record holds each call and its outcome once.
func TestNoMixUp(t *testing.T) {
	for _, c := range []struct {
		name            string
		sessions, calls int
		upstream        func(*testing.T) mcpproxy.Upstream
	}{
		{"http", 50, 8, func(t *testing.T) mcpproxy.Upstream { return newPeer(t).upstream("crm") }},
		{"sse", 50, 8, func(t *testing.T) mcpproxy.Upstream {
			up := newPeer(t)
			up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
				sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":`+string(m.Params.Arguments)+`}}`, standard(m))
			}
			return up.upstream("crm")
		}},
		{"stdio", 8, 25, func(t *testing.T) mcpproxy.Upstream { return stdioUpstream(t, "crm", "standard") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{c.upstream(t)}})
			var work sync.WaitGroup
			for s := range c.sessions {
				who := []string{"sam", "fran"}[s%2]
				a := r.legacy(who, "/mcp")
				for id := range c.calls { // at once within the session too
					work.Go(func() {
						marker := fmt.Sprintf("session %d call %d", s, id)
						got := a.call(fmt.Sprint(id), "echo", say(marker))
						if got.get("result.structuredContent.text").Str != marker || int(got.get("id").Int()) != id {
							t.Errorf("%s got %s", marker, got)
						}
						for _, m := range got.messages() {
							if strings.Contains(m, "session ") && !strings.Contains(m, `"`+marker+`"`) {
								t.Errorf("%s heard %s", marker, m)
							}
						}
					})
				}
			}
			work.Wait()
			r.tally(c.sessions * c.calls)
		})
	}
}

// tally checks that n calls stand in the record, each with its outcome behind it
// and with the arguments and the result of the same call.
func (r *rig) tally(n int) {
	r.t.Helper()
	open, done := map[string]audit.Record{}, 0
	for _, rec := range r.records() {
		switch rec.Kind {
		case audit.Intent:
			open[rec.Call.String()] = rec
		case audit.Outcome:
			in, ok := open[rec.Call.String()]
			if !ok || in.Session != rec.Session || !strings.Contains(rec.Result.String(), in.Args.String()) {
				r.t.Errorf("the outcome %s does not belong to the intent %s", rec.Result, in.Args)
			}
			delete(open, rec.Call.String())
			done++
		}
	}
	if done != n || len(open) != 0 {
		r.t.Errorf("%d outcomes and %d calls without one, want %d and none", done, len(open), n)
	}
}

// One stdio process serves many calls of one caller, which may have the same id
// and the same progress token, and answers them in another order.
func TestCollidingIDsOverStdio(t *testing.T) {
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{stdioUpstream(t, "crm", "standard")}})
	a := r.agent("sam", "/mcp")
	a.modern(toolCall("0", "echo", say("warm")))
	const calls = 20
	var work sync.WaitGroup
	for i := range calls {
		work.Go(func() {
			marker := fmt.Sprintf("hold %d", i)
			if got := a.modern(toolCall("7", "echo", say(marker))); got.get("result.structuredContent.text").Str != marker || got.get("id").Int() != 7 {
				t.Errorf("%s got %s", marker, got)
			}
		})
	}
	eventually(t, "all calls are under way", func() bool { return len(r.recorded(audit.Intent)) == calls+1 })
	// The last intent is kept before its call is written: the release may overtake
	// it, so it is said until nobody waits.
	finished := make(chan struct{})
	go func() { work.Wait(); close(finished) }()
	for waiting := true; waiting; {
		if got := a.modern(toolCall("7", "echo", say("release"))); got.reason() != "" {
			t.Fatal(got)
		}
		select {
		case <-finished:
			waiting = false
		default:
		}
	}
	progress := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"text":"progress"},"_meta":{"progressToken":"mine",` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	for range 2 {
		got := a.modern(progress)
		if all := got.messages(); len(all) != 2 || !strings.Contains(all[0], `"progressToken":"mine"`) {
			t.Errorf("progress came as %q", all)
		}
	}
}

// Within one legacy session an id can be in use once: two answers could not be
// told apart.
func TestOneIDAtATimeInASession(t *testing.T) {
	up, goOn := newPeer(t), make(chan struct{})
	started := make(chan struct{}, 1)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		started <- struct{}{}
		<-goOn
		sayJSON(w, standard(m))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	first := make(chan answered, 1)
	go func() { first <- a.call("1", "echo", say("first")) }()
	<-started
	if got := a.post(ping); !strings.Contains(got.reason(), "still running") {
		t.Errorf("the same id: %s", got)
	}
	if got := a.post(`{"jsonrpc":"2.0","id":"1","method":"ping"}`); got.reason() != "" {
		t.Errorf("a string is another id: %s", got)
	}
	close(goOn)
	if got := <-first; got.get("result.structuredContent.text").Str != "first" {
		t.Errorf("the first: %s", got)
	}
	if got := a.post(ping); got.reason() != "" {
		t.Errorf("the id, once it is free: %s", got)
	}
}

// Law 14: what one caller holds open is bounded, and others are not touched by
// it; what is ended, or idle for long enough, makes room.
func TestQuotas(t *testing.T) {
	begin := func(a *agent) answered {
		return a.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	}
	end := func(t *testing.T, a *agent, session string) {
		t.Helper()
		if got := a.do(a.request(t.Context(), http.MethodDelete, "", "Mcp-Session-Id: "+session)); got.status != http.StatusNoContent {
			t.Errorf("DELETE: %d", got.status)
		}
	}
	for _, c := range []struct {
		name     string
		limits   func(*mcpproxy.Limits)
		upstream func(*testing.T) mcpproxy.Upstream
	}{
		{"sessions", func(l *mcpproxy.Limits) { l.SessionsPerCaller, l.Sessions = 2, 3 },
			func(t *testing.T) mcpproxy.Upstream { return newPeer(t).upstream("crm") }},
		{"processes", func(l *mcpproxy.Limits) { l.ProcessesPerCaller, l.Processes = 2, 3 },
			func(t *testing.T) mcpproxy.Upstream { return stdioUpstream(t, "crm", "standard") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, setup{policy: losslessPolicy, limits: c.limits, upstreams: []mcpproxy.Upstream{c.upstream(t)}})
			sam, fran := r.agent("sam", "/mcp"), r.agent("fran", "/mcp")
			var sessions []string
			for range 2 {
				got := begin(sam)
				sessions = append(sessions, got.header.Get("Mcp-Session-Id"))
				if got.status != http.StatusOK {
					t.Fatalf("within the quota: %s", got)
				}
			}
			if got := begin(sam); got.status != http.StatusTooManyRequests {
				t.Errorf("beyond the caller's quota: %d %s", got.status, got)
			}
			if got := sam.modern(toolCall("1", "echo", `{}`)); got.status != http.StatusTooManyRequests {
				t.Errorf("a modern session beyond it: %d %s", got.status, got)
			}
			if got := begin(fran); got.status != http.StatusOK {
				t.Errorf("another caller: %s", got)
			}
			if got := begin(fran); got.status != http.StatusTooManyRequests {
				t.Errorf("beyond the quota of all: %d", got.status)
			}
			end(t, sam, sessions[0])
			if got := begin(sam); got.status != http.StatusOK {
				t.Errorf("after one ended: %s", got)
			}
		})
	}
}

// A handshake that fails holds nothing.
func TestFailedHandshakesHoldNoRoom(t *testing.T) {
	up := newPeer(t)
	up.on["initialize"] = func(w http.ResponseWriter, m heard) { sayJSON(w, failed(`{"code":-1,"message":"no"}`)(m)[0]) }
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.Sessions = 1 }})
	a := r.agent("sam", "/mcp")
	for range 3 {
		got := a.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		if got.get("error.message").Str != "no" || got.header.Get("Mcp-Session-Id") != "" {
			t.Fatalf("got %s", got)
		}
	}
}

// Who is refused all the time is counted rather than recorded, and slowed down,
// alone.
func TestFloodOfRefusals(t *testing.T) {
	up := newPeer(t)
	frozen := time.Now()
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		now: func() time.Time { return frozen }})
	sam := r.legacy("sam", "/mcp")
	slowed := 0
	for range 700 {
		if got := sam.call("1", "nothing", `{}`); got.status == http.StatusTooManyRequests {
			slowed++
		}
	}
	if n := len(r.recorded(audit.Refusal)); n+slowed != 700 || n > 600 || slowed == 0 {
		t.Errorf("%d refusals are recorded, and %d were slowed down", n, slowed)
	}
	fran := r.legacy("fran", "/mcp")
	if got := fran.call("1", "nothing", `{}`); got.reason() != "Unknown tool: nothing" {
		t.Errorf("another caller: %s", got)
	}
	if got := sam.call("1", "echo", say("x")); got.reason() != "" {
		t.Errorf("an allowed call of the same caller: %s", got)
	}
}
