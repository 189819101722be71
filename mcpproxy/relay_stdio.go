package mcpproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// stdioLeg speaks to one server process over its stdin and stdout, a message a
// line. It is the only one who writes ids there: several of a caller's requests
// may carry the same id, and the answers must not be mixed up. Progress tokens
// are renamed for the same reason.
type stdioLeg struct {
	up   *upstream
	proc *process
	done chan struct{} // closed when the reader has left

	writing sync.Mutex // one line at a time

	mu      sync.Mutex
	lastID  int64
	waiting map[int64]*waiter
	order   []*waiter // oldest first: where to send what names no request
	listens *mailbox  // of the client's own stream, nil while it has none
	backlog []inbound // messages of no request, until somebody listens
	err     error     // why the process is of no use any more
}

// waiter is one request in flight.
type waiter struct {
	id     int64
	client toolcall.JSON // the id that the client chose
	token  toolcall.JSON // the progress token that the client chose
	own    bool          // mcpguard's own request: nobody else's messages go there
	box    *mailbox
}

// maxBacklog bounds the messages kept for a client that does not listen yet.
const maxBacklog = 64

func newStdioLeg(up *upstream) (*stdioLeg, error) {
	proc, err := startProcess(up)
	if err != nil {
		return nil, &upstreamError{upstream: up.Name, what: "cannot be started", err: err}
	}
	l := &stdioLeg{up: up, proc: proc, done: make(chan struct{}), waiting: map[int64]*waiter{}}
	go l.read()
	return l, nil
}

// read delivers what the process says until it says no more.
func (l *stdioLeg) read() {
	defer close(l.done)
	defer func() { _ = l.proc.stdout.Close() }() // it was only read
	lines := bufio.NewReaderSize(l.proc.stdout, 64<<10)
	for {
		line, err := readLine(lines, l.up.limits.Bytes)
		if err != nil {
			l.fail(err)
			return
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if line[0] != '{' && line[0] != '[' {
			l.up.log.Warn("an upstream wrote a line to stdout that is no message", "upstream", l.up.Name)
			continue
		}
		f, err := readFrame(string(line), l.up.limits)
		if err != nil {
			// Whose answer it was cannot be known: nobody may wait for it in vain.
			l.fail(unreadable(l.up.Name, err))
			return
		}
		l.deliver(f)
	}
}

// readLine reads up to a line end; the returned bytes are valid until the next
// call only when they fit the reader's buffer, and never kept by the caller.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil {
		return line, nil
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(long) > limit {
			return nil, toolcall.ErrTooLarge
		}
		line, err = r.ReadSlice('\n')
		long = append(long, line...)
	}
	return long, err
}

// fail ends every request in flight. The process is stopped: after a line that
// nobody could read, nothing it says can be trusted to be whole.
func (l *stdioLeg) fail(err error) {
	var up *upstreamError
	if !errors.As(err, &up) {
		what := "ended while a call was running"
		if errors.Is(err, toolcall.ErrTooLarge) {
			what = "sent more than limits.result allows"
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		up = &upstreamError{upstream: l.up.Name, what: what, err: err}
	}
	l.mu.Lock()
	if l.err == nil {
		l.err = up
	}
	for _, w := range l.order {
		w.box.close(l.err)
	}
	if l.listens != nil {
		l.listens.close(nil)
	}
	l.mu.Unlock()
	go l.proc.stop()
}

// deliver sends a message to whoever it belongs to.
func (l *stdioLeg) deliver(f frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.kind == response {
		id, err := strconv.ParseInt(f.id.Text(), 10, 64)
		w := l.waiting[id]
		if err != nil || w == nil {
			l.up.log.Warn("an upstream answered a request that nobody made", "upstream", l.up.Name)
			return
		}
		l.forget(w)
		edits := []toolcall.Edit{{At: f.id, With: w.client}}
		if id := subscription(f.result); !id.IsZero() {
			edits = append(edits, toolcall.Edit{At: id, With: w.client})
		}
		if f, err = f.edited(edits); err == nil && !f.result.IsZero() {
			err = f.readResult()
		}
		if err != nil {
			w.box.close(unreadable(l.up.Name, err))
			return
		}
		w.box.put(inbound{frame: f})
		w.box.close(nil)
		return
	}
	if id := subscription(f.params); !id.IsZero() {
		l.deliverSubscribed(f, id)
		return
	}
	if f.method == "notifications/progress" {
		token := f.params.Member("progressToken")
		id, err := strconv.ParseInt(token.Text(), 10, 64)
		w := l.waiting[id]
		if err != nil || w == nil || w.token.IsZero() {
			return // progress of a call that is over
		}
		if f, err = f.with(token, w.token); err == nil {
			w.box.put(inbound{frame: f})
		}
		return
	}
	switch box := l.route(f); {
	case box != nil:
		box.put(inbound{frame: f})
	case len(l.backlog) < maxBacklog:
		l.backlog = append(l.backlog, inbound{frame: f})
	default:
		l.up.log.Warn("a message of an upstream was dropped: nobody listens", "upstream", l.up.Name)
	}
}

// subscription is the id of the subscriptions/listen request that a message
// belongs to (MCP 2026-07-28, Subscriptions); zero for other messages.
func subscription(params toolcall.JSON) toolcall.JSON {
	return params.Member("_meta").Member(mcp.MetaKeySubscriptionID)
}

// deliverSubscribed sends a message to the subscription that it names, under the
// id that the client chose for it.
func (l *stdioLeg) deliverSubscribed(f frame, id toolcall.JSON) {
	n, err := strconv.ParseInt(id.Text(), 10, 64)
	w := l.waiting[n]
	if err != nil || w == nil {
		return // a subscription that is over
	}
	if f, err = f.with(id, w.client); err == nil {
		w.box.put(inbound{frame: f})
	}
}

// route finds the stream for what names no request. stdio does not say which
// call a server's question or log line is about: the newest call in flight is
// the likeliest; what is about the server as a whole prefers the client's own
// stream.
func (l *stdioLeg) route(f frame) *mailbox {
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

// forget takes a request out of the books.
func (l *stdioLeg) forget(w *waiter) {
	delete(l.waiting, w.id)
	for i, o := range l.order {
		if o == w {
			l.order = append(l.order[:i], l.order[i+1:]...)
			return
		}
	}
}

func (l *stdioLeg) send(ctx context.Context, m outbound) (*answer, error) {
	if m.frame.kind != request {
		f, ok := l.renameCancelled(m.frame)
		if !ok {
			return nil, nil
		}
		return nil, l.write(ctx, f)
	}
	w, f, err := l.enter(m.frame, m.own)
	if err != nil {
		return nil, err
	}
	if err := l.write(ctx, f); err != nil {
		l.leave(w)
		return nil, err
	}
	return &answer{
		status: http.StatusOK,
		next:   func() (inbound, error) { return w.box.next(ctx) },
		close:  func() { l.abandon(w) },
	}, nil
}

// enter books a request under an id of our own.
func (l *stdioLeg) enter(f frame, own bool) (*waiter, frame, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, frame{}, l.err
	}
	l.lastID++
	id := toolcall.Integer(l.lastID)
	w := &waiter{id: l.lastID, client: f.id, own: own, box: newMailbox(l.up.limits.Bytes)}
	edits := []toolcall.Edit{{At: f.id, With: id}}
	if token := f.meta().Member("progressToken"); !token.IsZero() {
		w.token = token
		edits = append(edits, toolcall.Edit{At: token, With: id})
	}
	renamed, err := f.edited(edits)
	if err != nil {
		return nil, frame{}, err
	}
	l.waiting[w.id] = w
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

func (l *stdioLeg) leave(w *waiter) {
	l.mu.Lock()
	l.forget(w)
	l.mu.Unlock()
}

// abandon is the end of an answer. A request that was not answered yet is
// cancelled upstream: nobody waits for it any more.
func (l *stdioLeg) abandon(w *waiter) {
	l.mu.Lock()
	_, open := l.waiting[w.id]
	l.forget(w)
	open = open && l.err == nil
	l.mu.Unlock()
	if !open {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	text := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + strconv.FormatInt(w.id, 10) + `}}`
	f, err := readFrame(text, l.up.limits)
	if err == nil {
		err = l.write(ctx, f)
	}
	if err != nil {
		l.up.log.Info("cancel a call of an upstream", "upstream", l.up.Name, "err", err)
	}
}

// renameCancelled puts our id in the place of the client's. A request that is
// not in flight needs no cancelling.
func (l *stdioLeg) renameCancelled(f frame) (frame, bool) {
	if f.method != "notifications/cancelled" {
		return f, true
	}
	id := f.params.Member("requestId")
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.order {
		if w.client.Equal(id) {
			renamed, err := f.with(id, toolcall.Integer(w.id))
			return renamed, err == nil
		}
	}
	return frame{}, false
}

// write sends one message as one line. Line ends in a JSON text stand between
// tokens only, so a space means the same.
func (l *stdioLeg) write(ctx context.Context, f frame) error {
	line := append([]byte(f.raw.Text()), '\n')
	for i, c := range line[:len(line)-1] {
		if c == '\n' || c == '\r' {
			line[i] = ' '
		}
	}
	ctx, cancel := context.WithTimeout(ctx, l.up.Timeout)
	defer cancel()
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.proc.write(ctx, line); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil {
			return l.err
		}
		return &upstreamError{upstream: l.up.Name, what: "does not read what it is sent", err: err}
	}
	return nil
}

// listen gives the client's own stream what names no request.
func (l *stdioLeg) listen(ctx context.Context, _ string) (*answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, errSessionOver
	}
	if l.listens != nil {
		l.listens.close(nil) // the newer stream takes over
	}
	box := newMailbox(l.up.limits.Bytes)
	for _, in := range l.backlog {
		box.put(in)
	}
	l.backlog = nil
	l.listens = box
	return &answer{
		status: http.StatusOK,
		next:   func() (inbound, error) { return box.next(ctx) },
		close: func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.listens == box {
				l.listens = nil
			}
		},
	}, nil
}

// end stops the process and waits for it.
func (l *stdioLeg) end(context.Context) {
	l.mu.Lock()
	if l.err == nil {
		l.err = &upstreamError{upstream: l.up.Name, what: "was stopped"}
	}
	l.mu.Unlock()
	l.proc.stop()
	<-l.done
}

// over reports whether the process is of no use any more.
func (l *stdioLeg) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}
