package mcpproxy_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

// Law 14: refusals are bounded on every road, so that nobody drives out of the
// record what matters. The one that is kept next tells how many were not.
func TestLawFloodsOfRefusalsAreCountedNotKept(t *testing.T) {
	roads := map[string]string{
		"an unknown request":      `{"jsonrpc":"2.0","id":1,"method":"made/up"}`,
		"an unknown notification": `{"jsonrpc":"2.0","method":"notifications/made-up"}`,
		"a hidden tool":           toolCall("1", "no_such_tool", `{}`),
		"no JSON":                 `{"jsonrpc":`,
		"an answer to nobody":     `{"jsonrpc":"2.0","id":"made up","result":{}}`,
	}
	for name, message := range roads {
		t.Run(name, func(t *testing.T) {
			began, late := time.Now(), atomic.Int64{}
			now := func() time.Time { return began.Add(time.Duration(late.Load())) } // it stands, however slow the machine is
			r := newRig(t, setup{policy: streamPolicy, now: now, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
			a := r.legacy("sam", "/mcp")
			limited := 0
			const sent = 600
			for range sent {
				if a.post(message).status == http.StatusTooManyRequests {
					limited++
				}
			}
			if limited == 0 || limited == sent {
				t.Errorf("%d of %d were told to slow down", limited, sent)
			}
			kept := 0
			for _, rec := range r.records() {
				if rec.Kind == audit.Refusal {
					kept++
				}
			}
			if kept+limited != sent {
				t.Errorf("%d refusals in the record and %d counted, of %d", kept, limited, sent)
			}
			late.Store(int64(time.Second))
			a.post(message)
			all := r.records()
			if reason := all[len(all)-1].Reason.String(); !strings.Contains(reason, "refusals before this one were counted, not kept") {
				t.Errorf("the next one kept says %q", reason)
			}
		})
	}
}

// A fetch of the catalogue is mcpguard's own request: what a server says beside
// its answer is meant for the client, and waits for it.
func TestCatalogueFetchLeavesMessagesToTheClient(t *testing.T) {
	r := stdioStreams(t)
	a := r.legacy("sam", "/mcp")
	a.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if got := a.post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); !strings.Contains(got.body, `"echo"`) {
		t.Fatalf("the list: %s", got)
	}
	s := a.open(a.request(t.Context(), http.MethodGet, ""))
	if line := s.next(); !strings.Contains(line, "nobody listens yet") {
		t.Errorf("the client got %s", line)
	}
}

// Law 14: who is refused very often is answered late, and told when to come back:
// so many refusals take their time, over however many connections. Nobody else
// waits for it.
func TestLawFloodsOfRefusalsAreAnsweredLate(t *testing.T) {
	stands := time.Now()
	now := func() time.Time { return stands } // for what is recorded it stands, however slow the machine is
	r := newRig(t, setup{policy: streamPolicy, now: now, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	began := time.Now()
	const sent, least = 620, 500 * time.Millisecond // 500 at once, 200 a second
	var late atomic.Int64
	var all sync.WaitGroup
	for range 31 {
		all.Go(func() {
			for range sent / 31 {
				got := sam.post(`{"jsonrpc":`)
				if got.status == http.StatusTooManyRequests && got.header.Get("Retry-After") != "" {
					late.Add(1)
				}
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took < least {
		t.Errorf("%d refusals were answered within %s", sent, took)
	}
	if late.Load() == 0 {
		t.Error("nobody was told when to come back")
	}
	if got := fran.call("1", "echo", say("hello")); got.reason() != "" {
		t.Errorf("another caller: %s", got)
	}
}

// Law 14: the streams that one caller's clients open are counted over all of its
// sessions, and those that end make room.
func TestLawStreamsAreCounted(t *testing.T) {
	up := newPeer(t)
	over := make(chan struct{})
	up.on[http.MethodGet] = func(w http.ResponseWriter, _ heard) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-over
	}
	t.Cleanup(func() { close(over) })
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.StreamsPerCaller = 2 }})
	one, two := r.legacy("sam", "/mcp"), r.legacy("sam", "/mcp")
	open := func(a *agent) *stream { return a.open(a.request(t.Context(), http.MethodGet, "")) }
	first := open(one)
	open(two)
	if got := open(two).res.StatusCode; got != http.StatusTooManyRequests {
		t.Errorf("a third stream: HTTP %d", got)
	}
	if got := open(r.legacy("fran", "/mcp")).res.StatusCode; got != http.StatusOK {
		t.Errorf("another caller's: HTTP %d", got)
	}
	first.hangUp()
	for deadline := time.Now().Add(10 * time.Second); open(two).res.StatusCode != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("a stream that ended makes no room")
		}
	}
}
