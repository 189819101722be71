package mcpproxy

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"time"

	"mcpguard/toolcall"
)

// streams are the event streams of one legacy session to which its client can
// come back with Last-Event-ID (MCP 2025-11-25, Streamable HTTP, "Resumability and
// Redelivery"). What is kept is what was said: redacted, and in memory only. An id
// is looked up in the session's own streams and nowhere else, so that one of
// another session, or of a process that is gone, does not exist.
type streams struct {
	room   *keptBytes
	caller string // whose share of the room it takes

	mu     sync.Mutex
	epoch  string // begins every id; drawn with the first stream
	last   int    // number of the last stream
	all    []*stream
	bytes  int
	closed bool
}

// stream is one of them: the answer to a request, or a stream of the session's
// own, which answers none.
type stream struct {
	of     *streams
	number int
	own    bool
	id     toolcall.JSON // of the request that it answers
	primes bool          // the client reads events without data
	first  *reply        // of the request's own handler

	saying sync.Mutex // held while a message goes out, so that ids are in order
	conn   *reply     // where it goes; nil: the client is away

	// Guarded by of.mu.
	said   int         // number of the last event
	events []keptEvent // oldest first
	lost   bool        // the last message could not be kept
	isOver bool
	over   chan struct{} // closed when nothing more will be said
	source string        // own: event id at which the upstream's stream stands
	expiry *time.Timer
	gone   bool // taken off of.all
}

type keptEvent struct {
	number int
	policy string // digest of the policy that let it pass
	data   string
}

const (
	// keepFor is how long the events of a stream are kept when its answer is out, or
	// its client is away.
	keepFor = 5 * time.Minute
	// maxStreams bounds the streams of a session that are kept, beside those that
	// answer a request in flight.
	maxStreams = 64
	// maxKept bounds the events that are kept of one stream.
	maxKept = 512
	// streamCost and eventCost are what keeping takes beside the text.
	streamCost, eventCost = 1024, 64
	// maxSourceID bounds the event id of an upstream that is kept.
	maxSourceID = 512
	// comeBackAfter is the retry time that clients are told, in milliseconds.
	comeBackAfter = "2000"
)

// begin makes a stream whose connection is out; nil when there is no room for one.
func (s *streams) begin(out *reply) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.take(streamCost, nil) {
		return nil
	}
	if s.epoch == "" {
		s.epoch = rand.Text()[:13] // 65 bits: two processes that serve one session draw different ones
	}
	for over := len(s.all) - maxStreams; over >= 0 && s.shed(nil); over-- {
	}
	s.last++
	st := &stream{of: s, number: s.last, own: out.own, id: out.id, primes: out.primes, first: out, conn: out, over: make(chan struct{})}
	s.all = append(s.all, st)
	return st
}

// find is the stream that an event id of this session names, and the event's
// number. ok is false for every other id.
func (s *streams) find(id string) (st *stream, after int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	epoch, rest, _ := strings.Cut(id, ".")
	number, event, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(number)
	if err != nil || s.epoch == "" || epoch != s.epoch {
		return nil, 0, false
	}
	after, err = strconv.Atoi(event)
	for _, st := range s.all {
		if st.number == n && err == nil && after >= 0 && after <= st.said {
			return st, after, st.idOf(after) == id
		}
	}
	return nil, 0, false
}

// close forgets everything: the session is over.
func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for len(s.all) > 0 {
		s.remove(s.all[0])
	}
}

// take makes room for n bytes, and lets go of what is least missed for it: first
// streams that are over or left, then the oldest events of st.
func (s *streams) take(n int, st *stream) bool {
	if n > s.room.perSession {
		return false
	}
	for s.bytes+n > s.room.perSession || !s.room.take(s.caller, n) {
		if !s.shed(st) {
			return false
		}
	}
	s.bytes += n
	return true
}

func (s *streams) give(n int) {
	s.bytes -= n
	s.room.give(s.caller, n)
}

func (s *streams) shed(st *stream) bool {
	for _, old := range s.all {
		if old != st && old.expiry != nil {
			s.remove(old)
			return true
		}
	}
	if st != nil && len(st.events) > 0 {
		st.dropFirst()
		return true
	}
	return false
}

func (s *streams) remove(st *stream) {
	for len(st.events) > 0 {
		st.dropFirst()
	}
	st.gone = true
	st.events = nil
	st.expire(false)
	s.give(streamCost)
	for i, other := range s.all {
		if other == st {
			s.all = append(s.all[:i], s.all[i+1:]...)
			return
		}
	}
}

func (st *stream) dropFirst() {
	st.of.give(len(st.events[0].data) + eventCost)
	st.events[0] = keptEvent{}
	st.events = st.events[1:]
}

// expire starts or stops the clock of a stream that nobody needs any more.
func (st *stream) expire(on bool) {
	if st.expiry != nil {
		st.expiry.Stop()
		st.expiry = nil
	}
	if on && !st.gone {
		st.expiry = time.AfterFunc(keepFor, st.forget)
	}
}

func (st *stream) forget() {
	st.of.mu.Lock()
	defer st.of.mu.Unlock()
	if st.expiry != nil && !st.gone { // nobody came back meanwhile
		st.of.remove(st)
	}
}

func (st *stream) idOf(n int) string {
	return st.of.epoch + "." + strconv.Itoa(st.number) + "." + strconv.Itoa(n)
}

// prime is the event by which a client can come back before anything was said
// (MCP 2025-11-25, SEP-1699). Clients of older revisions would read its empty data
// as a message; for them ok is false.
func (st *stream) prime() (_ event, ok bool) {
	return event{id: st.idOf(0), hasID: true, retry: comeBackAfter}, st.primes
}

// say keeps a message and sends it to whoever listens. The last one of a stream
// that answers a request ends it.
func (st *stream) say(data, policy string, last bool) {
	st.saying.Lock()
	defer st.saying.Unlock()
	id := st.keep(data, policy, last)
	if st.conn != nil {
		st.conn.send(event{id: id, hasID: true, data: data})
	}
}

func (st *stream) keep(data, policy string, last bool) (id string) {
	s := st.of
	s.mu.Lock()
	defer s.mu.Unlock()
	st.said++
	switch cost := len(data) + eventCost; {
	case !st.gone && s.take(cost, st):
		st.events = append(st.events, keptEvent{st.said, policy, data})
		if len(st.events) > maxKept {
			st.dropFirst()
		}
	case last:
		st.lost = true
	}
	if last {
		st.end()
	}
	return st.idOf(st.said)
}

func (st *stream) end() {
	if !st.isOver {
		st.isOver = true
		close(st.over)
		st.expire(true)
	}
}

// attach sends out what was said after an event, and from then on what is said.
// A connection that is still there is let go of: a message goes to one only. On a
// stream of the session's own, what another policy let pass is left out: it may be
// what the one in force would not.
func (st *stream) attach(out *reply, after int, policy string) {
	st.saying.Lock()
	defer st.saying.Unlock()
	if st.conn != nil && st.conn.drop != nil {
		st.conn.drop()
	}
	st.conn = out
	out.head() // who sees the answer begin has the stream
	if missed := st.missed(after, policy); len(missed) > 0 {
		out.raw(missed)
	}
}

// missed is what was said after an event, as the text of a stream: one write, for
// which a client that does not read has the time of one message.
func (st *stream) missed(after int, policy string) (text []byte) {
	st.of.mu.Lock()
	defer st.of.mu.Unlock()
	st.expire(st.isOver)
	for _, ev := range st.events {
		if ev.number > after && (!st.own || ev.policy == policy) {
			text = appendEvent(text, event{id: st.idOf(ev.number), hasID: true, data: ev.data})
		}
	}
	if st.lost {
		text = appendEvent(text, event{id: st.idOf(st.said), hasID: true, data: errorReply(st.id, codeInternal, lostAnswer)})
	}
	return text
}

const lostAnswer = "mcpguard: there is an answer, and it was too large to be kept until its client came back; the record has it"

// leave ends a connection's part. A request whose own handler leaves is over.
func (st *stream) leave(out *reply) {
	st.saying.Lock()
	defer st.saying.Unlock()
	if st.conn == out {
		st.conn = nil
	}
	st.of.mu.Lock()
	defer st.of.mu.Unlock()
	switch {
	case st.own && st.conn == nil:
		st.expire(true)
	case out == st.first:
		st.end()
	}
}

// heard reports whether a client listens.
func (st *stream) heard() bool {
	st.saying.Lock()
	defer st.saying.Unlock()
	return st.conn != nil && st.conn.ctx.Err() == nil
}

// came notes where the upstream's stream behind one of the session's own stands.
func (st *stream) came(id string) {
	st.of.mu.Lock()
	defer st.of.mu.Unlock()
	st.source = id
}

func (st *stream) stands() string {
	st.of.mu.Lock()
	defer st.of.mu.Unlock()
	return st.source
}

// keptBytes bounds what is kept of all sessions, so that one caller's cannot take
// all the room there is (law 14).
type keptBytes struct {
	perSession, each, all int // limits

	mu      sync.Mutex
	callers map[string]int
	total   int
}

func newKeptBytes(l Limits) *keptBytes {
	return &keptBytes{perSession: l.KeptPerSession, each: l.KeptPerCaller, all: l.Kept, callers: map[string]int{}}
}

// take is false when there is no room for n more.
func (k *keptBytes) take(caller string, n int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.callers[caller]+n > k.each || k.total+n > k.all {
		return false
	}
	k.callers[caller] += n
	k.total += n
	return true
}

func (k *keptBytes) give(caller string, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.total -= n
	if k.callers[caller] -= n; k.callers[caller] <= 0 {
		delete(k.callers, caller)
	}
}
