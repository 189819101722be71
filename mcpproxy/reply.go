package mcpproxy

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// reply writes the answer to one HTTP request: a JSON message, or an event
// stream as soon as something is to be said before the final message. After the
// client is gone it swallows what it is given, so that a call still runs to its
// recorded end.
type reply struct {
	w       http.ResponseWriter
	ctx     context.Context // of the HTTP request: done when the client is gone
	session string          // handle to set with the first byte
	stream  bool            // the event stream has begun
	done    bool            // the final message is out
	lastID  bool            // an event id was sent: the client can come back with it
	holding bool            // nothing may leave before the final message: headers go with it
	held    []event         // what waits for that
	buf     []byte
}

// maxHeld bounds what waits for the final message; what a server says beyond it
// before its handshake is over is dropped.
const maxHeld = 64

func (r *reply) gone() bool { return r.ctx.Err() != nil }

// begin starts the event stream.
func (r *reply) begin() {
	if r.stream || r.done {
		return
	}
	r.stream = true
	h := r.w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"}
	r.setSession(h)
	r.w.WriteHeader(http.StatusOK)
	r.flush()
}

func (r *reply) setSession(h http.Header) {
	if r.session != "" {
		h[mcp.HeaderSessionID] = []string{r.session}
	}
}

// event sends one message, or only an id and a retry time, and begins the
// stream if need be.
func (r *reply) event(ev event) {
	if r.gone() || r.done {
		return
	}
	if r.holding {
		if ev.data != "" && len(r.held) < maxHeld {
			r.held = append(r.held, event{data: ev.data}) // nobody can come back to a session that is not there yet
		}
		return
	}
	r.begin()
	r.lastID = r.lastID || ev.hasID
	r.bound()
	r.buf = appendEvent(r.buf[:0], ev)
	if _, err := r.w.Write(r.buf); err != nil {
		return // the client is gone; its context says so to everybody else
	}
	r.flush()
	if cap(r.buf) > 64<<10 {
		r.buf = nil
	}
}

// writeTime is how long a client may take to receive one message.
const writeTime = 60 * time.Second

// bound keeps a client that does not read from holding a call for ever. An error
// means that the connection has no deadlines.
func (r *reply) bound() {
	_ = http.NewResponseController(r.w).SetWriteDeadline(time.Now().Add(writeTime))
}

func (r *reply) flush() {
	// An error means that the client is gone, or that the writer cannot flush:
	// then it sends when the handler returns.
	_ = http.NewResponseController(r.w).Flush()
}

// final sends the last message: as an event where the stream has begun, else as
// JSON with the given status.
func (r *reply) final(status int, ev event) {
	if r.done {
		return
	}
	r.holding = false
	for _, held := range r.held {
		r.event(held)
	}
	if r.stream {
		r.event(ev)
		r.done = true
		return
	}
	r.whole(status, ev.data)
}

// result answers with a result that many callers are given: it is not copied into
// a message of its own first. Nothing may have been said before.
func (r *reply) result(id, result toolcall.JSON) {
	r.whole(http.StatusOK, `{"jsonrpc":"2.0","id":`+id.Text()+`,"result":`, result.Text(), "}")
}

// whole sends one JSON message, in parts.
func (r *reply) whole(status int, parts ...string) {
	r.done = true
	if r.gone() {
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
	r.bound()
	r.w.WriteHeader(status)
	// As bytes: net/http would send a long string in small pieces. An error means
	// that the client is gone.
	for _, part := range parts {
		_, _ = r.w.Write(bytesOf(part))
	}
}

// empty answers without a body: 202 for notifications and responses.
func (r *reply) empty(status int) {
	if r.done || r.stream {
		return
	}
	r.done = true
	r.setSession(r.w.Header())
	r.w.WriteHeader(status)
}
