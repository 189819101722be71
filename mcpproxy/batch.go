package mcpproxy

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// batchVersion is the only revision that has batches (MCP 2025-03-26, Base
// Protocol, "Batching").
const batchVersion = "2025-03-26"

// maxBatch bounds the messages of one batch (law 14).
const maxBatch = 64

var errNoBatch = badFrame("batches are not accepted: send one message at a time")

// batch takes an array of messages. Each is served as if it had come alone, one
// after the other, so that a batch weighs no more than its messages; upstream
// goes one message at a time. A batch with a message that cannot be read goes
// nowhere as a whole.
func (rq *requestOf) batch(raw toolcall.JSON) {
	if rq.p.open.Err() != nil {
		refuseHTTP(rq.w, http.StatusServiceUnavailable, drainingReason)
		return
	}
	ses, err := rq.batchSession()
	var frames []frame
	if err == nil {
		frames, err = readBatch(raw)
	}
	if err != nil {
		rq.refuse(&frame{}, legacy, err)
		return
	}
	ses.busy.Add(1)
	defer ses.busy.Add(-1)
	room := rq.p.memory.lease(rq.caller.Key())
	defer room.end()
	out := &batchReply{w: rq.w, limit: rq.p.cfg.Limits.Request, room: room}
	for _, f := range frames {
		w := &elementWriter{batch: out, header: http.Header{}}
		one := *rq
		one.w = w
		x := one.exchange(ses, f, ses.version)
		x.out.resume = nil // one connection for several answers: there is no id for all of them
		rq.p.serve(rq.r.Context(), x)
		out.take(w, f.kind == request)
	}
	out.finish()
}

// batchSession is the session of a batch, if its revision has batches.
func (rq *requestOf) batchSession() (*session, error) {
	handle := rq.r.Header.Get(mcp.HeaderSessionID)
	if v := rq.r.Header.Get(mcp.HeaderProtocolVersion); handle == "" || v != "" && v != batchVersion {
		return nil, errNoBatch
	}
	ses, err := rq.p.sessions.find(rq.r.Context(), rq.up, rq.caller, handle)
	switch {
	case err != nil:
		return nil, err
	case ses.version != batchVersion:
		return nil, errNoBatch
	}
	return ses, nil
}

// readBatch reads the messages of a batch: none of them a batch or a handshake,
// no two requests with one id.
func readBatch(raw toolcall.JSON) ([]frame, error) {
	var frames []frame
	ids := map[string]bool{}
	for e := raw.Elements(); e.Next(); {
		if len(frames) == maxBatch {
			return nil, badFrame("a batch of more than " + strconv.Itoa(maxBatch) + " messages")
		}
		f, err := frameOf(e.Value())
		switch {
		case err != nil:
			return nil, err
		case f.method == "initialize":
			return nil, badFrame("initialize is no part of a batch")
		case f.kind == request && ids[idKey(f.id)]:
			return nil, badFrame("two requests of a batch have the same id")
		case f.kind == request:
			ids[idKey(f.id)] = true
		}
		frames = append(frames, f)
	}
	if len(frames) == 0 {
		return nil, badFrame("an empty batch")
	}
	return frames, nil
}

// batchReply is the answer to a batch: an array of the answers to its requests; or
// an event stream, as soon as something is to be said before, or the answers
// become too long to be held: longer than a request, or than there is memory for.
type batchReply struct {
	w     http.ResponseWriter
	limit int    // bytes of answers that are held
	room  *lease // of those

	mu     sync.Mutex
	held   []string
	size   int
	asked  bool // the batch has a request
	failed *elementWriter
	stream bool
}

// take ends one message of the batch. What is no request has no answer of its own;
// where the batch has no request at all, its first failure is the answer.
func (b *batchReply) take(w *elementWriter, isRequest bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = b.asked || isRequest
	if !isRequest {
		if w.status >= http.StatusBadRequest && b.failed == nil {
			b.failed = w
		}
		return
	}
	text := w.body.String()
	if text == "" { // it was said on the stream
		return
	}
	if b.stream {
		b.write(appendEvent(nil, event{data: text}))
		return
	}
	b.held = append(b.held, text)
	if b.size += len(text); b.size > b.limit || !b.room.spare(len(text)) {
		b.begin()
	}
}

// begin turns the answer into an event stream. b.mu is held.
func (b *batchReply) begin() {
	if b.stream {
		return
	}
	b.stream = true
	h := b.w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"}
	b.w.WriteHeader(http.StatusOK)
	for _, text := range b.held {
		b.write(appendEvent(nil, event{data: text}))
	}
	b.held = nil
	b.room.end()
	b.flush()
}

// write sends a part of the stream. An error means that the client is gone: the
// context of each message says so.
func (b *batchReply) write(p []byte) {
	bound(b.w)
	_, _ = b.w.Write(p)
	b.flush()
}

func (b *batchReply) flush() {
	_ = http.NewResponseController(b.w).Flush() // fails when the client is gone
}

// finish sends what was held.
func (b *batchReply) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stream:
	case b.asked:
		b.whole(http.StatusOK, "["+strings.Join(b.held, ",")+"]")
	case b.failed != nil:
		b.whole(b.failed.status, b.failed.body.String())
	default:
		b.w.WriteHeader(http.StatusAccepted)
	}
}

func (b *batchReply) whole(status int, text string) {
	h := b.w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	h["Cache-Control"] = []string{"no-store"}
	bound(b.w)
	b.w.WriteHeader(status)
	_, _ = b.w.Write(bytesOf(text)) // fails when the client is gone
}

// elementWriter is where the answer to one message of a batch is written.
type elementWriter struct {
	batch  *batchReply
	header http.Header
	status int
	events bool
	body   strings.Builder
}

func (w *elementWriter) Header() http.Header { return w.header }

func (w *elementWriter) WriteHeader(status int) {
	w.batch.mu.Lock()
	defer w.batch.mu.Unlock()
	if w.status != 0 {
		return
	}
	w.status = status
	if w.events = strings.HasPrefix(w.header.Get("Content-Type"), "text/event-stream"); w.events {
		w.batch.begin()
	}
}

// Write takes whole events, or parts of one JSON message.
func (w *elementWriter) Write(p []byte) (int, error) {
	if w.events {
		w.batch.mu.Lock()
		defer w.batch.mu.Unlock()
		w.batch.write(p)
		return len(p), nil
	}
	return w.body.Write(p)
}

// Flush is for events only, which Write has flushed.
func (w *elementWriter) Flush() {}

// Unwrap leads to the connection, for its deadlines.
func (w *elementWriter) Unwrap() http.ResponseWriter { return w.batch.w }
