package mcpproxy

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// link is a two-way connection with one server, which carries whole messages and
// does not say what belongs to which request: the pipes of a process, or the
// stream and the endpoint of HTTP+SSE.
type link interface {
	// receive waits for the next message. After an error there is none. Only one
	// goroutine calls it.
	receive() (frame, error)
	// transmit sends one message, not later than the deadline of ctx.
	transmit(ctx context.Context, f frame) error
	// stop ends the connection and returns when all that it held is gone; receive
	// fails from then on. It may be called again.
	stop()
}

// mux tells apart, over one link, what belongs to which request of which session.
// It is the only one who writes ids there: requests of several callers may carry
// the same id, and their answers must not be mixed up. Progress tokens are renamed
// for the same reason.
//
// A shared mux has several sessions, maybe of several callers. What a server says
// there that names no request cannot be anybody's in particular; audience says who
// may hear it.
type mux struct {
	up     *upstream
	link   link
	shared bool
	done   chan struct{} // closed when the reader has left
	let    func()        // gives the server's room back
	once   sync.Once     // of stop
	asides chan struct{} // bounds what is answered in the clients' place
	work   sync.WaitGroup
	lastID atomic.Int64

	mu       sync.Mutex
	legs     []*muxLeg
	waiting  map[int64]*waiter
	greeting *greeting // of a legacy shared mux
	owner    string    // the first caller's key
	mixed    bool      // more than one caller has been here
	err      error     // why the server is of no use any more
}

// waiter is one request in flight.
type waiter struct {
	leg    *muxLeg
	id     int64
	client toolcall.JSON // the id that the client chose
	token  toolcall.JSON // the progress token that the client chose
	own    bool          // mcpguard's own request: nobody else's messages go there
	box    *mailbox
}

// maxAsides bounds the questions of a shared server that are being refused.
const maxAsides = 16

// newMux begins to read a link. let is called once, when the server is gone.
func newMux(up *upstream, l link, shared bool, let func()) *mux {
	m := &mux{up: up, link: l, shared: shared, let: let, done: make(chan struct{}),
		asides: make(chan struct{}, maxAsides), waiting: map[int64]*waiter{}}
	go m.read()
	return m
}

// read delivers what the server says until it says no more.
func (m *mux) read() {
	defer close(m.done)
	for {
		f, err := m.link.receive()
		if err != nil {
			m.fail(err)
			return
		}
		m.deliver(f)
	}
}

// fail ends every request in flight, and the server: after a message that nobody
// could read, nothing it says can be trusted to be whole.
func (m *mux) fail(err error) {
	var up *upstreamError
	if !errors.As(err, &up) {
		what := "ended while a call was running"
		if errors.Is(err, toolcall.ErrTooLarge) || errors.Is(err, errEventTooLarge) {
			what = "sent more than limits.result allows"
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		up = &upstreamError{upstream: m.up.Name, what: what, err: err}
	}
	m.mu.Lock()
	if m.err == nil {
		m.err = up
	}
	for _, w := range m.waiting {
		w.box.close(m.err)
	}
	for _, l := range m.legs {
		if l.listens != nil {
			l.listens.close(nil)
		}
	}
	m.mu.Unlock()
	go m.stop()
}

// stop ends the server and waits until it is gone.
func (m *mux) stop() {
	m.once.Do(func() {
		m.link.stop()
		<-m.done
		m.work.Wait()
		m.let()
	})
}

// attach adds a session. It is false when the server is of no use any more.
func (m *mux) attach(l *muxLeg) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return false
	}
	if m.owner == "" {
		m.owner = l.owner
	}
	m.mixed = m.mixed || m.owner != l.owner
	m.legs = append(m.legs, l)
	l.mux = m
	return true
}

// detach takes a session away, with all that it has in flight. The last one takes
// the server with it, and waits until that is gone.
func (m *mux) detach(l *muxLeg) {
	m.mu.Lock()
	if i := slices.Index(m.legs, l); i >= 0 {
		m.legs = slices.Delete(m.legs, i, i+1)
	}
	stopped := &upstreamError{upstream: m.up.Name, what: "was stopped"}
	last := len(m.legs) == 0
	if last && m.err == nil {
		m.err = stopped
	}
	var open []int64
	for _, w := range l.order {
		delete(m.waiting, w.id)
		w.box.close(stopped)
		open = append(open, w.id)
	}
	l.order = nil
	if l.listens != nil {
		l.listens.close(nil)
	}
	var unheard []string
	for uri := range l.uris {
		if !m.subscribed(uri) {
			unheard = append(unheard, uri)
		}
	}
	l.uris = nil
	useless := m.err != nil
	m.mu.Unlock()
	if last {
		m.stop()
		return
	}
	if useless {
		return
	}
	for _, id := range open {
		if !m.cancel(id) {
			return // it reads nothing: telling it more would take as long again
		}
	}
	for _, uri := range unheard {
		if !m.unsubscribe(uri) {
			return
		}
	}
}

// over reports whether the server is of no use any more.
func (m *mux) over() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err != nil
}

// deliver sends a message to whoever it belongs to.
func (m *mux) deliver(f frame) {
	if f.kind == response {
		m.deliverResponse(f)
		return
	}
	if m.shared && f.kind == request { // whatever it says that it belongs to
		m.aside(f)
		return
	}
	if id := subscription(f.params); !id.IsZero() {
		if w := m.waiter(id); w != nil { // else a subscription that is over
			w.give(f, id, w.client)
		}
		return
	}
	if f.method == "notifications/progress" {
		token := f.params.Member("progressToken")
		if w := m.waiter(token); w != nil && !w.token.IsZero() { // else of a call that is over
			w.give(f, token, w.token)
		}
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	audience, f := m.audience(f)
	if len(audience) == 0 {
		m.up.log.Info("a message of a shared server that names no request is dropped: it could be another session's", "upstream", m.up.Name)
	}
	for _, l := range audience {
		l.hear(f)
	}
}

// audience is who may hear what names no request. Of a server that several share:
// that a list changed, everybody, and no word more of it; that a resource was
// updated, who subscribed to it; all else, a log line for one, could hold what
// another session asked for, so only a session hears it that has the server to
// itself, and had it from the start as far as callers go.
func (m *mux) audience(f frame) ([]*muxLeg, frame) {
	if !m.shared {
		return m.legs, f
	}
	switch f.method {
	case "notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed":
		bare, err := readFrame(`{"jsonrpc":"2.0","method":"`+f.method+`"}`, m.up.limits)
		if err != nil {
			return nil, f
		}
		return m.legs, bare
	case "notifications/resources/updated":
		uri, _ := f.params.Member("uri").Str()
		var some []*muxLeg
		for _, l := range m.legs {
			if l.subscribes(uri) {
				some = append(some, l)
			}
		}
		return some, f
	}
	if m.alone() {
		return m.legs, f
	}
	return nil, f
}

// alone reports whether one session has a shared server to itself, and nobody
// else's calls are in what it says.
func (m *mux) alone() bool { return len(m.legs) == 1 && !m.mixed }

// deliverResponse gives an answer to whoever asked, under the id that was asked
// with.
func (m *mux) deliverResponse(f frame) {
	m.mu.Lock()
	id, err := strconv.ParseInt(f.id.Text(), 10, 64)
	w := m.waiting[id]
	if err != nil || w == nil {
		m.mu.Unlock()
		m.up.log.Warn("an upstream answered a request that nobody made", "upstream", m.up.Name)
		return
	}
	m.forget(w)
	m.mu.Unlock()
	edits := []toolcall.Edit{{At: f.id, With: w.client}}
	if id := subscription(f.result); !id.IsZero() {
		edits = append(edits, toolcall.Edit{At: id, With: w.client})
	}
	if f, err = f.edited(edits); err == nil && !f.result.IsZero() {
		err = f.readResult()
	}
	if err != nil {
		w.box.close(unreadable(m.up.Name, err))
		return
	}
	w.box.put(inbound{frame: f})
	w.box.close(nil)
}

// waiter is the request in flight with that id of ours; nil: there is none.
func (m *mux) waiter(id toolcall.JSON) *waiter {
	n, err := strconv.ParseInt(id.Text(), 10, 64)
	if err != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waiting[n]
}

// give puts a message into the box, with what the client chose in the place of
// ours.
func (w *waiter) give(f frame, ours, clients toolcall.JSON) {
	f, err := f.with(ours, clients)
	if err == nil {
		w.box.put(inbound{frame: f})
	}
}

// subscription is the id of the subscriptions/listen request that a message
// belongs to (MCP 2026-07-28, Subscriptions); zero for other messages.
func subscription(params toolcall.JSON) toolcall.JSON {
	return params.Member("_meta").Member(mcp.MetaKeySubscriptionID)
}

// enter books a request of a session under an id of our own.
func (m *mux) enter(l *muxLeg, f frame, own bool, room *lease) (*waiter, frame, error) {
	if room == nil {
		room = m.up.lease()
	}
	w := &waiter{leg: l, id: m.lastID.Add(1), client: f.id, own: own, box: newMailbox(m.up.limits.Bytes, room)}
	id := toolcall.Integer(w.id)
	edits := []toolcall.Edit{{At: f.id, With: id}}
	if token := f.meta().Member("progressToken"); !token.IsZero() {
		w.token = token
		edits = append(edits, toolcall.Edit{At: token, With: id})
	}
	renamed, err := f.edited(edits)
	if err != nil {
		return nil, frame{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, frame{}, m.err
	}
	m.waiting[w.id] = w
	l.order = append(l.order, w)
	if own {
		return w, renamed, nil
	}
	for _, in := range l.backlog {
		w.box.put(in)
	}
	l.backlog = nil
	return w, renamed, nil
}

// forget takes a request out of the books.
func (m *mux) forget(w *waiter) {
	delete(m.waiting, w.id)
	if i := slices.Index(w.leg.order, w); i >= 0 {
		w.leg.order = slices.Delete(w.leg.order, i, i+1)
	}
}

// abandon is the end of an answer. A request that was not answered yet is
// cancelled upstream: nobody waits for it any more.
func (m *mux) abandon(w *waiter) {
	w.box.close(nil)
	w.box.room.end()
	m.mu.Lock()
	_, open := m.waiting[w.id]
	m.forget(w)
	open = open && m.err == nil
	m.mu.Unlock()
	if open {
		m.cancel(w.id)
	}
}

func (m *mux) cancel(id int64) bool {
	return m.tell(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+strconv.FormatInt(id, 10)+`}}`, "cancel a call of an upstream")
}

// tell sends a message of our own that has no answer, within a moment. It is false
// when the server did not take it.
func (m *mux) tell(text, what string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	f, err := readFrame(text, m.up.limits)
	if err == nil {
		err = m.write(ctx, f)
	}
	if err != nil {
		m.up.log.Info(what, "upstream", m.up.Name, "err", err)
	}
	return err == nil
}

// write sends one message, within the timeout.
func (m *mux) write(ctx context.Context, f frame) error {
	latest := time.Now().Add(m.up.Timeout)
	if by, ok := ctx.Deadline(); !ok || latest.Before(by) {
		bounded, cancel := context.WithDeadline(ctx, latest)
		defer cancel()
		ctx = bounded
	}
	err := m.link.transmit(ctx, f)
	if err == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var fault *upstreamError
	switch {
	case m.err != nil:
		return m.err
	case errors.As(err, &fault):
		return err
	}
	return &upstreamError{upstream: m.up.Name, what: "does not read what it is sent", err: err}
}
