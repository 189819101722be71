package mcpproxy

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpguard/toolcall"
)

// keptRoom is a limit of what may be kept.
func keptRoom(perSession, each, all int) *keptBytes {
	return newKeptBytes(Limits{KeptPerSession: perSession, KeptPerCaller: each, Kept: all})
}

func sessionStreams(k *keptBytes, caller string) *streams { return &streams{room: k, caller: caller} }

// answering is a reply to a request of a client that can come back.
func answering(t testing.TB, s *streams) (*reply, *httptest.ResponseRecorder) {
	t.Helper()
	w := httptest.NewRecorder()
	return &reply{w: w, ctx: t.Context(), resume: s, id: toolcall.Integer(7), primes: true, takes: true}, w
}

// comeBack is what a client gets that comes back with an event id; ok is false
// when the id names nothing.
func comeBack(t testing.TB, s *streams, id, policy string) (text string, ok bool) {
	t.Helper()
	st, after, ok := s.find(id)
	if !ok {
		return "", false
	}
	w := httptest.NewRecorder()
	r := &reply{w: w, ctx: t.Context(), own: st.own}
	r.goOn(st, after, policy)
	r.end()
	return w.Body.String(), true
}

// tellIDs puts a word in the place of the part of ids that is drawn.
func tellIDs(s *streams, text string) string {
	return strings.ReplaceAll(text, "id: "+s.epoch+".", "id: E.")
}

func TestStreamIsToldAgainFromAnyEvent(t *testing.T) {
	s := sessionStreams(keptRoom(1<<20, 1<<20, 1<<20), "sam")
	r, w := answering(t, s)
	r.say("one", "p")
	r.say("two", "p")
	r.final(200, "answer", "p")
	r.end()
	const whole = "id: E.1.1\ndata: one\n\nid: E.1.2\ndata: two\n\nid: E.1.3\ndata: answer\n\n"
	if got, want := tellIDs(s, w.Body.String()), "id: E.1.0\nretry: 2000\ndata: \n\n"+whole; got != want {
		t.Errorf("said (-want +got):\n%s", cmp.Diff(want, got))
	}
	for event, want := range map[string]string{".1.0": whole, ".1.2": "id: E.1.3\ndata: answer\n\n", ".1.3": ""} {
		got, ok := comeBack(t, s, s.epoch+event, "another policy")
		if got = tellIDs(s, got); !ok || got != want {
			t.Errorf("after %s (-want +got):\n%s", event, cmp.Diff(want, got))
		}
	}
}

// Law 7: an event id is one that this session gave away, letter by letter.
func TestLawEventIDsOfOthersDoNotExist(t *testing.T) {
	k := keptRoom(1<<20, 1<<20, 1<<20)
	s, other := sessionStreams(k, "sam"), sessionStreams(k, "sam")
	for _, s := range []*streams{s, other} {
		r, _ := answering(t, s)
		r.say("one", "p")
		r.end()
	}
	e := s.epoch
	if _, ok := comeBack(t, s, e+".1.1", "p"); !ok {
		t.Error("its own id is unknown")
	}
	for _, id := range []string{
		"", ".", "..", e, e + ".", e + ".1", e + ".1.", e + "..1", e + ".1.2", e + ".1.-1", e + ".1.+1", e + ".1.01", e + ".01.1", e + ".1.1 ",
		e + ".2.0", e + ".0.0", ".1.1", e + ".1.1.1", e + ".1.18446744073709551617", strings.ToLower(e) + ".1.1", other.epoch + ".1.1",
	} {
		if _, ok := comeBack(t, s, id, "p"); ok {
			t.Errorf("%q names a stream", id)
		}
	}
	if _, ok := comeBack(t, sessionStreams(k, "sam"), ".1.1", "p"); ok {
		t.Error("a session without streams has one")
	}
}

// Law 14: what is kept is bounded for a session, a caller and in all, the rest is
// given back, and a call goes on without being kept.
func TestLawKeptEventsAreBounded(t *testing.T) {
	text := strings.Repeat("x", 1000)
	for name, k := range map[string]*keptBytes{
		"a session": keptRoom(10_000, 1<<20, 1<<20), "a caller": keptRoom(1<<20, 10_000, 1<<20), "all": keptRoom(1<<20, 1<<20, 10_000),
	} {
		s := sessionStreams(k, "sam")
		r, w := answering(t, s)
		for range 100 {
			r.say(text, "p")
		}
		if k.total > 10_000 || k.total < 5_000 || k.total != s.bytes || k.callers["sam"] != k.total {
			t.Errorf("%s: %d bytes are kept, %d of the session, %d of the caller", name, k.total, s.bytes, k.callers["sam"])
		}
		if n := strings.Count(w.Body.String(), text); n != 100 {
			t.Errorf("%s: the client heard %d of 100 messages", name, n)
		}
		got, ok := comeBack(t, s, s.epoch+".1.0", "p")
		if n := strings.Count(got, text); !ok || n < 5 || !strings.Contains(got, ".1.100\n") {
			t.Errorf("%s: of 100, %d are told again, the last one among them: %v", name, n, strings.Contains(got, ".1.100\n"))
		}
		s.close()
		if k.total != 0 || len(k.callers) != 0 {
			t.Errorf("%s: after the session, %d bytes of %v", name, k.total, k.callers)
		}
		r.say(text, "p")
		r.final(200, text, "p")
		r.end()
		if k.total != 0 {
			t.Errorf("%s: a call that outlives its session keeps %d bytes", name, k.total)
		}
	}
}

func TestKeptEventsOfAStreamAreCounted(t *testing.T) {
	s := sessionStreams(keptRoom(1<<30, 1<<30, 1<<30), "sam")
	r, _ := answering(t, s)
	for range maxKept + 10 {
		r.say("x", "p")
	}
	if n := len(s.all[0].events); n != maxKept {
		t.Errorf("%d events are kept, want %d", n, maxKept)
	}
	r.end()
	for range 3 * maxStreams {
		r, _ := answering(t, s)
		r.say("x", "p")
		r.end()
	}
	if n := len(s.all); n != maxStreams {
		t.Errorf("%d streams are kept, want %d", n, maxStreams)
	}
}

// One caller's room is no other's.
func TestLawKeptEventsOfOneCallerLeaveRoom(t *testing.T) {
	k := keptRoom(4_000, 8_000, 1<<20)
	for range 20 {
		r, _ := answering(t, sessionStreams(k, "greedy"))
		r.say(strings.Repeat("x", 2_000), "p")
	}
	s := sessionStreams(k, "sam")
	r, _ := answering(t, s)
	r.say("mine", "p")
	r.end()
	if got, ok := comeBack(t, s, s.epoch+".1.0", "p"); !ok || !strings.Contains(got, "mine") {
		t.Errorf("sam's stream: %q, %v", got, ok)
	}
}

// An answer that is too large to be kept reaches a client that is there, and one
// that comes back is told.
func TestAnswerTooLargeToBeKept(t *testing.T) {
	s := sessionStreams(keptRoom(4_000, 8_000, 8_000), "sam")
	r, w := answering(t, s)
	r.begin()
	large := strings.Repeat("x", 5_000)
	r.final(200, large, "p")
	r.end()
	if !strings.Contains(w.Body.String(), large) {
		t.Error("the client that is there did not get it")
	}
	got, ok := comeBack(t, s, s.epoch+".1.0", "p")
	if want := `data: {"jsonrpc":"2.0","id":7,"error":`; !ok || !strings.Contains(got, want) {
		t.Errorf("the client that came back got %q", got)
	}
}

// What one policy let pass on a session's own stream is not told again under
// another; the answer to a call is under the policy that the call began with.
func TestLawStreamIsToldAgainUnderThePolicyInForce(t *testing.T) {
	s := sessionStreams(keptRoom(1<<20, 1<<20, 1<<20), "sam")
	r, _ := answering(t, s)
	r.own = true
	r.say("before", "old")
	r.say("after", "new")
	r.end()
	got, ok := comeBack(t, s, s.epoch+".1.0", "new")
	if !ok || strings.Contains(got, "before") || !strings.Contains(got, "after") {
		t.Errorf("told again: %q", got)
	}
}

// Kept events go after a while: a stream's after its answer, a session's own after
// its client left. One that is in use stays.
func TestKeptEventsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keptRoom(1<<20, 1<<20, 1<<20)
		s := sessionStreams(k, "sam")
		over, _ := answering(t, s)
		over.final(200, "x", "p") // JSON: nothing to come back for
		over.end()
		if len(s.all) != 0 {
			t.Fatal("an answer without a stream is kept")
		}
		for range 2 {
			r, _ := answering(t, s)
			r.say("x", "p")
			if len(s.all) == 1 {
				r.end()
			}
		}
		own, _ := answering(t, s)
		own.own = true
		own.begin()
		own.end()
		time.Sleep(keepFor - time.Second)
		synctest.Wait()
		comeBack(t, s, s.epoch+".3.0", "p") // its client was here once more
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.mu.Lock()
		if len(s.all) != 2 || s.all[0].number != 2 || s.all[1].number != 3 {
			t.Errorf("%d streams are left, want the call under way and the session's own", len(s.all))
		}
		s.mu.Unlock()
		time.Sleep(keepFor)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.all) != 1 || k.total != streamCost+1+eventCost {
			t.Errorf("%d streams are left, and %d bytes", len(s.all), k.total)
		}
	})
}

// A call that is silent becomes an event stream, and comments go out while it
// stays silent: not to a client that reads none, not once it is answered.
func TestKeepAlive(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes bool
		play  func(r *reply)
		want  string
	}{
		{"a slow answer", true, func(r *reply) { time.Sleep(35 * time.Second); r.final(200, "answer", "p") },
			"id: E.1.0\nretry: 2000\ndata: \n\n: keep-alive\n\n: keep-alive\n\nid: E.1.1\ndata: answer\n\n"},
		{"a fast answer", true, func(r *reply) { time.Sleep(9 * time.Second); r.final(200, "answer", "p"); time.Sleep(time.Minute) }, "answer"},
		{"a busy stream", true, func(r *reply) {
			for range 8 {
				r.say("x", "p")
				time.Sleep(6 * time.Second)
			}
			r.final(200, "answer", "p")
		}, ""},
		{"a client that reads no events", false, func(r *reply) { time.Sleep(35 * time.Second); r.final(200, "answer", "p") }, "answer"},
		{"a handler that has returned", true, func(r *reply) { time.Sleep(15 * time.Second); r.end(); time.Sleep(time.Minute) },
			"id: E.1.0\nretry: 2000\ndata: \n\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := sessionStreams(keptRoom(1<<20, 1<<20, 1<<20), "sam")
			defer s.close()
			r, w := answering(t, s)
			r.takes = c.takes
			r.keepAlive(10 * time.Second)
			c.play(r)
			r.end()
			got := tellIDs(s, w.Body.String())
			if c.want == "" {
				if strings.Contains(got, "keep-alive") {
					t.Errorf("%s: %q", c.name, got)
				}
				return
			}
			if got != c.want {
				t.Errorf("%s (-want +got):\n%s", c.name, cmp.Diff(c.want, got))
			}
		})
	}
}
