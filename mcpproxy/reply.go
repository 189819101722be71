package mcpproxy

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// reply writes the answer to one HTTP request: a JSON message, or an event
// stream as soon as something is to be said before the final message. After the
// client is gone it swallows what it is given, so that a call still runs to its
// recorded end; where the client can come back, its stream keeps it.
type reply struct {
	w       http.ResponseWriter
	ctx     context.Context // of the HTTP request: done when the client is gone
	session string          // handle to set with the first byte
	resume  *streams        // where the stream is kept; nil: the client cannot come back
	own     bool            // it answers no request
	id      toolcall.JSON   // of the request that it answers
	primes  bool            // the client reads events without data
	takes   bool            // the client said that it reads event streams
	drop    func()          // ends the request, when another connection takes the stream over; may be nil

	mu      sync.Mutex // of what follows: keep-alives come from a timer
	holding bool       // nothing may leave before the final message: headers go with it
	held    []string   // what waits for that
	stream  *stream    // that resume keeps
	begun   bool       // the event stream has begun
	done    bool       // the final message is out
	left    bool       // the request's handler is about to return
	silent  bool       // nothing was written since the last keep-alive was due
	timer   *time.Timer
	every   time.Duration
	buf     []byte
}

// maxHeld bounds what waits for the final message; what a server says beyond it
// before its handshake is over is dropped.
const maxHeld = 64

// gone reports whether nobody listens, here or on a stream that took over.
func (r *reply) gone() bool {
	r.mu.Lock()
	st := r.stream
	r.mu.Unlock()
	if st != nil {
		return !st.heard()
	}
	return r.ctx.Err() != nil
}

// begin starts the event stream.
func (r *reply) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beginLocked()
}

func (r *reply) beginLocked() {
	if r.begun || r.done || r.left || r.holding || r.ctx.Err() != nil {
		return
	}
	r.headersLocked()
	if r.resume == nil {
		return
	}
	if r.stream = r.resume.begin(r); r.stream != nil {
		if ev, ok := r.stream.prime(); ok {
			r.writeLocked(ev)
		}
	}
}

func (r *reply) headersLocked() {
	r.begun = true
	h := r.w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"}
	r.setSession(h)
	bound(r.w)
	r.w.WriteHeader(http.StatusOK)
	r.flush()
}

// goOn begins the event stream as the continuation of one that is kept, behind its
// event of that number.
func (r *reply) goOn(st *stream, after int, policy string) {
	r.mu.Lock()
	r.stream = st
	r.mu.Unlock()
	st.attach(r, after, policy)
}

// head begins the answer, with nothing said yet.
func (r *reply) head() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headersLocked()
}

func (r *reply) setSession(h http.Header) {
	if r.session != "" {
		h[mcp.HeaderSessionID] = []string{r.session}
	}
}

// say sends one message that a policy let pass, and begins the stream if need be.
func (r *reply) say(data, policy string) {
	r.mu.Lock()
	if r.holding {
		if len(r.held) < maxHeld {
			r.held = append(r.held, data) // nobody can come back to a session that is not there yet
		}
		r.mu.Unlock()
		return
	}
	if r.done || !r.begun && r.ctx.Err() != nil {
		r.mu.Unlock()
		return
	}
	r.beginLocked()
	st := r.stream
	if st == nil {
		r.writeLocked(event{data: data})
	}
	r.mu.Unlock()
	if st != nil {
		st.say(data, policy, false)
	}
}

// send writes an event of a stream that is kept.
func (r *reply) send(ev event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writeLocked(ev)
}

// raw writes a text of events.
func (r *reply) raw(text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rawLocked(text)
}

func (r *reply) writeLocked(ev event) {
	r.buf = appendEvent(r.buf[:0], ev)
	r.rawLocked(r.buf)
	if cap(r.buf) > 64<<10 {
		r.buf = nil
	}
}

func (r *reply) rawLocked(b []byte) {
	if r.left || r.ctx.Err() != nil {
		return
	}
	bound(r.w)
	r.silent = false
	if _, err := r.w.Write(b); err != nil {
		return // the client is gone; its context says so to everybody else
	}
	r.flush()
}

// writeTime is how long a client may take to receive one message.
const writeTime = 60 * time.Second

// bound keeps a client that does not read from holding a call for ever. It comes
// before every answer: a connection keeps the deadline of the one before. An error
// means that the connection has no deadlines.
func bound(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
}

func (r *reply) flush() {
	// An error means that the client is gone, or that the writer cannot flush:
	// then it sends when the handler returns.
	_ = http.NewResponseController(r.w).Flush()
}

// keepAlive sends a comment whenever nothing was written for a while, so that
// nobody on the way takes the connection for dead. An answer that is not there
// after the first while becomes an event stream, if its client reads those: from
// then on the client can come back for it. Only the first call counts.
func (r *reply) keepAlive(every time.Duration) {
	if every <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		return
	}
	r.every = every
	r.timer = time.AfterFunc(every, r.tick)
}

var keepAliveComment = []byte(": keep-alive\n\n")

func (r *reply) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left || r.done || r.ctx.Err() != nil || r.holding {
		return
	}
	switch {
	case !r.begun && r.takes:
		r.beginLocked()
	case r.begun && r.silent:
		r.rawLocked(keepAliveComment)
	}
	r.silent = true
	r.timer.Reset(r.every)
}

// end is the last thing that a request's handler does with its reply: nothing may
// be written afterwards.
func (r *reply) end() {
	r.mu.Lock()
	r.left = true
	if r.timer != nil {
		r.timer.Stop()
	}
	st := r.stream
	r.mu.Unlock()
	if st != nil {
		st.leave(r)
	}
}

// final sends the last message: as an event where the stream has begun, else as
// JSON with the given status.
func (r *reply) final(status int, data, policy string) {
	r.mu.Lock()
	held := r.held
	r.holding, r.held = false, nil
	r.mu.Unlock()
	for _, data := range held {
		r.say(data, policy)
	}
	r.mu.Lock()
	if r.done {
		r.mu.Unlock()
		return
	}
	st := r.stream
	switch {
	case !r.begun:
		r.wholeLocked(status, data)
	case st == nil:
		r.writeLocked(event{data: data})
	}
	r.done = true
	r.mu.Unlock()
	if st != nil {
		st.say(data, policy, true)
	}
}

// result answers with a result that many callers are given: it is not copied into
// a message of its own first. Nothing may have been said before.
func (r *reply) result(id, result toolcall.JSON) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wholeLocked(http.StatusOK, `{"jsonrpc":"2.0","id":`+id.Text()+`,"result":`, result.Text(), "}")
}

// wholeLocked sends one JSON message, in parts.
func (r *reply) wholeLocked(status int, parts ...string) {
	r.done = true
	if r.left || r.ctx.Err() != nil {
		return
	}
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	h := r.w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(size)}
	h["Cache-Control"] = []string{"no-store"}
	r.setSession(h)
	retryLater(h, status)
	bound(r.w)
	r.w.WriteHeader(status)
	// As bytes: net/http would send a long string in small pieces. An error means
	// that the client is gone.
	for _, part := range parts {
		_, _ = r.w.Write(bytesOf(part))
	}
}

// empty answers without a body: 202 for notifications and responses.
func (r *reply) empty(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done || r.begun {
		return
	}
	r.done = true
	r.setSession(r.w.Header())
	bound(r.w)
	r.w.WriteHeader(status)
}

// hint tells the client when to come back, in milliseconds.
func (r *reply) hint(retry string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rawLocked([]byte("retry: " + retry + "\n\n"))
}

// came notes where the upstream's stream stands behind the one that is kept here.
func (r *reply) came(id string) {
	r.mu.Lock()
	st := r.stream
	r.mu.Unlock()
	if st != nil {
		st.came(id)
	}
}
