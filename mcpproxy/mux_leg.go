package mcpproxy

import (
	"context"
	"net/http"

	"mcpguard/toolcall"
)

// muxLeg is one session's part of a mux. All its fields but the first three are
// guarded by the lock of its mux.
type muxLeg struct {
	up    *upstream
	owner string                           // the caller's key
	join  func(hello string) (*mux, error) // of a session that shares a server, which its handshake chooses; else nil
	mux   *mux                             // nil before the handshake of such a session

	order   []*waiter       // requests in flight, oldest first: where to send what names no request
	listens *mailbox        // of the client's own stream, nil while it has none
	backlog []inbound       // messages of no request, until somebody listens
	uris    map[string]bool // of a shared server: resources that the session subscribed to
}

// What is kept for a client that does not listen yet.
const (
	maxBacklog      = 64        // messages
	maxBacklogBytes = 256 << 10 // of all of them
)

func (l *muxLeg) roomFor(f frame) bool {
	size := f.raw.Len()
	for _, in := range l.backlog {
		size += in.frame.raw.Len()
	}
	return len(l.backlog) < maxBacklog && size <= maxBacklogBytes
}

// hear takes a message that names no request. The caller holds the lock.
func (l *muxLeg) hear(f frame) {
	switch box := l.route(f); {
	case box != nil:
		box.put(inbound{frame: f})
	case l.roomFor(f):
		l.backlog = append(l.backlog, inbound{frame: f})
	default:
		l.up.log.Warn("a message of an upstream was dropped: nobody listens", "upstream", l.up.Name)
	}
}

// route finds the stream for what names no request. The server does not say which
// call its question or its log line is about: the newest call in flight is the
// likeliest; what is about the server as a whole prefers the client's own stream.
func (l *muxLeg) route(f frame) *mailbox {
	var newest *mailbox
	for _, w := range l.order {
		if !w.own {
			newest = w.box
		}
	}
	if l.listens != nil && (newest == nil || aboutServer(f)) {
		return l.listens
	}
	return newest
}

func aboutServer(f frame) bool {
	switch f.method {
	case "notifications/tools/list_changed", "notifications/prompts/list_changed",
		"notifications/resources/list_changed", "notifications/resources/updated":
		return true
	}
	return false
}

func (l *muxLeg) send(ctx context.Context, m outbound) (*answer, error) {
	if l.mux == nil {
		if m.frame.kind != request || m.frame.method != "initialize" {
			return nil, errSessionOver
		}
		return l.greet(ctx, m.frame, m.room)
	}
	if l.mux.shared {
		if a, done, err := l.sharing(m.frame); done {
			return a, err
		}
	}
	if m.frame.kind != request {
		f, ok := l.renameCancelled(m.frame)
		if !ok {
			return nil, nil
		}
		return nil, l.mux.write(ctx, f)
	}
	return l.ask(ctx, m.frame, m.own, m.room)
}

// ask sends a request. What its answer holds is given back with room, which is the
// request's, or when the answer is closed.
func (l *muxLeg) ask(ctx context.Context, f frame, own bool, room *lease) (*answer, error) {
	w, f, err := l.mux.enter(l, f, own, room)
	if err != nil {
		return nil, err
	}
	if err := l.mux.write(ctx, f); err != nil {
		l.mux.mu.Lock()
		l.mux.forget(w)
		l.mux.mu.Unlock()
		return nil, err
	}
	return &answer{
		status: http.StatusOK,
		next:   func() (inbound, error) { return w.box.next(ctx) },
		close:  func() { l.mux.abandon(w) },
	}, nil
}

// renameCancelled puts our id in the place of the client's. A request that is
// not in flight in this session needs no cancelling.
func (l *muxLeg) renameCancelled(f frame) (frame, bool) {
	if f.method != "notifications/cancelled" {
		return f, true
	}
	id := f.params.Member("requestId")
	l.mux.mu.Lock()
	defer l.mux.mu.Unlock()
	for _, w := range l.order {
		if w.client.Equal(id) {
			renamed, err := f.with(id, toolcall.Integer(w.id))
			return renamed, err == nil
		}
	}
	return frame{}, false
}

// listen gives the client's own stream what names no request.
func (l *muxLeg) listen(ctx context.Context, _ string) (*answer, error) {
	if l.mux == nil {
		return nil, errSessionOver
	}
	m := l.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, errSessionOver
	}
	if l.listens != nil {
		l.listens.close(nil) // the newer stream takes over
	}
	room := l.up.lease()
	box := newMailbox(l.up.limits.Bytes, room)
	for _, in := range l.backlog {
		box.put(in)
	}
	l.backlog = nil
	l.listens = box
	return &answer{
		status: http.StatusOK,
		next:   func() (inbound, error) { return box.next(ctx) },
		close: func() {
			box.close(nil)
			room.end()
			m.mu.Lock()
			defer m.mu.Unlock()
			if l.listens == box {
				l.listens = nil
			}
		},
	}, nil
}

// end leaves the server; the last session ends it and waits.
func (l *muxLeg) end(context.Context) {
	if l.mux != nil {
		l.mux.detach(l)
	}
}

// over reports whether the server is of no use any more.
func (l *muxLeg) over() bool { return l.mux != nil && l.mux.over() }

func (l *muxLeg) tied() bool { return true }
