package mcpproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// Stdio is the agents' door over stdin and stdout (MCP, Transports, "stdio"): it
// carries one client's messages to an endpoint of a [Proxy] that speaks
// Streamable HTTP, and what comes back to the client, a message a line. Whether
// the endpoint is in this process or on another machine is the transport's
// business; in either case ServeHTTP is the one way in, so that a message over
// stdio is judged, redacted and recorded exactly like one over HTTP.
//
// It decides nothing. What it adds are the parts of Streamable HTTP that stdio
// has no room for: the session's id, the headers that mirror a body, streams
// that are resumed.
type Stdio struct {
	URL       *url.URL          // of the endpoint
	Header    http.Header       // sent with every request: the client's credential
	Transport http.RoundTripper // follows no redirect
	In        io.Reader         // the client's messages
	Out       io.Writer         // for the client: whole lines, one Write each
	Request   int               // bytes of the client's longest line; 0: 64 MiB. The endpoint has its own limit
	Result    int               // bytes of the endpoint's longest message; 0: 64 MiB
	Drain     time.Duration     // how long requests may still take when In has ended
	DrainCut  time.Duration     // and how long when ctx is done
	Log       *slog.Logger      // nil discards
}

// maxLine bounds a message over stdio where nothing else does.
const maxLine = 64 << 20

// maxLevels is the deepest nesting that is ever read.
const maxLevels = 128

// inOrder is how long the next line waits for a message that has no answer, so
// that the endpoint gets both in the order of the client.
const inOrder = 10 * time.Second

// ErrSessionOver ends a Stdio whose legacy session the endpoint no longer knows:
// the server process is gone, or the endpoint was started anew. The client has to
// begin again, and finds out as it would from the server itself.
var ErrSessionOver = errors.New("the session is over: the server, or mcpguard in front of it, was started anew")

// Serve carries messages until In ends, Out is closed, the session at the endpoint
// is over (ErrSessionOver), or ctx is done: then it gives the requests under way until Drain or DrainCut, answers those that are
// left with an error, and ends the session at the endpoint. It closes neither In
// nor Out, and a Read of In that is under way then is not waited for.
func (s Stdio) Serve(ctx context.Context) error {
	if s.URL == nil || s.Transport == nil || s.In == nil || s.Out == nil {
		return errors.New("serve stdio: an endpoint, a transport or an end of the pipe is missing")
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	for _, limit := range []*int{&s.Request, &s.Result} {
		if *limit == 0 {
			*limit = maxLine
		}
	}
	c := &stdioClient{
		Stdio: s, log: s.Log, lines: make(chan stdioLine), eof: make(chan struct{}), left: make(chan struct{}), over: make(chan struct{}), closed: make(chan struct{}),
		running: map[string]*carried{}, mirrored: map[string]*mcp.Tool{},
	}
	c.ctx, c.cut = context.WithCancelCause(context.WithoutCancel(ctx))
	c.streams, c.hush = context.WithCancelCause(c.ctx)
	go c.read()
	c.loop(ctx)
	c.end(ctx)
	return c.cause()
}

// stdioLine is one line of the client, without its end.
type stdioLine struct {
	text string
	err  error // toolcall.ErrTooLarge: text is empty
}

// stdioClient is the one client of a Stdio.
type stdioClient struct {
	Stdio
	log *slog.Logger

	ctx     context.Context // of requests under way; ends with cut
	cut     context.CancelCauseFunc
	streams context.Context // of streams that answer no call; ends with hush
	hush    context.CancelCauseFunc
	work    sync.WaitGroup

	lines  chan stdioLine
	eof    chan struct{} // closed when In has ended; readErr is set before
	left   chan struct{} // closed when Out takes no more
	over   chan struct{} // closed when the endpoint knows the session no more
	ended  sync.Once     // closes over
	closed chan struct{} // closed when nobody takes lines any more

	readErr error

	writing sync.Mutex
	broken  bool // Out is closed at the other end

	ownID atomic.Int64 // numbers requests of our own

	mu        sync.Mutex
	session   string               // legacy: the endpoint's Mcp-Session-Id
	version   string               // legacy: negotiated
	listening context.CancelFunc   // ends the session's own stream; nil without one
	running   map[string]*carried  // requests under way, by id
	mirrored  map[string]*mcp.Tool // tools whose arguments headers repeat, by name
}

// read splits In into lines until it ends. A line over the limit is read to its
// end and reported without its text.
func (c *stdioClient) read() {
	defer close(c.eof)
	in := bufio.NewReaderSize(c.In, 64<<10)
	for {
		line, err := boundedLine(in, c.Request)
		text := string(bytes.TrimSpace(line))
		tooLarge := errors.Is(err, toolcall.ErrTooLarge)
		if text != "" || tooLarge {
			next := stdioLine{text: text}
			if tooLarge {
				next = stdioLine{err: err}
			}
			select {
			case c.lines <- next:
			case <-c.closed:
				return
			}
		}
		if err != nil && !tooLarge {
			if !errors.Is(err, io.EOF) {
				c.readErr = fmt.Errorf("read stdin: %w", err)
			}
			return
		}
	}
}

// boundedLine reads one line. Of one that is over the limit it keeps nothing and
// returns toolcall.ErrTooLarge; the next call begins behind it.
func boundedLine(r *bufio.Reader, limit int) ([]byte, error) {
	var long []byte
	tooLarge := false
	for {
		part, err := r.ReadSlice('\n')
		if len(long)+len(part) > limit+1 { // the line end is not counted
			long, tooLarge = nil, true
		}
		if !tooLarge {
			long = append(long, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case tooLarge && err == nil:
			return nil, toolcall.ErrTooLarge
		case tooLarge:
			return nil, err
		}
		return long, err
	}
}

// loop takes lines until the client is gone or ctx is done. A message without an
// answer, and initialize, must be through before the next line is taken: what
// follows builds on it.
func (c *stdioClient) loop(ctx context.Context) {
	defer close(c.closed)
	for {
		select {
		case line := <-c.lines:
			if !c.settle(ctx, c.take(line)) {
				return
			}
		case <-c.eof:
			return
		case <-c.left:
			return
		case <-c.over:
			return
		case <-ctx.Done():
			return
		}
	}
}

// settle waits until a message is through; nil is. It is false when there is
// nobody left to wait for.
func (c *stdioClient) settle(ctx context.Context, through <-chan struct{}) bool {
	if through == nil {
		return true
	}
	select {
	case <-through:
		return true
	case <-c.eof: // and no line before it: read hands on a line before it reads more
		return false
	case <-c.left:
		return false
	case <-c.over:
		return false
	case <-ctx.Done():
		return false
	}
}

// take sends one line on its way. What it returns is closed when the next line
// may be taken; nil means at once.
func (c *stdioClient) take(line stdioLine) <-chan struct{} {
	limits := toolcall.Limits{Bytes: c.Request, Depth: maxLevels}
	err := line.err
	var f frame
	if err == nil {
		f, err = readFrame(line.text, limits)
	}
	switch {
	case errors.Is(err, toolcall.ErrTooLarge):
		c.log.Warn("a line of the client is too large", "limit", c.Request)
		return c.reject(toolcall.JSON{}, "the message is too large: "+err.Error())
	case err != nil:
		// The endpoint refuses it, in its own words, and keeps evidence. An array
		// may be a batch of a revision that has them.
		c.spawn(&carried{text: line.text, era: legacy})
		return nil
	}
	e, version, _ := eraOf(http.Header{}, &f) // the endpoint says so where it knows no such version
	x := &carried{frame: f, text: line.text, era: e, version: version}
	switch {
	case f.kind == request:
		through := c.request(x)
		if f.method == "initialize" {
			return through
		}
		return nil
	case f.method == "notifications/cancelled" && c.cancel(f):
		return nil
	}
	return atMost(c.spawn(x), inOrder)
}

// atMost is closed when through is, and at the latest after d.
func atMost(through <-chan struct{}, d time.Duration) <-chan struct{} {
	late := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(late) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-through:
			timer.Stop()
		case <-late:
		}
	}()
	return done
}

// spawn carries a message on a goroutine of its own.
func (c *stdioClient) spawn(x *carried) <-chan struct{} {
	done := make(chan struct{})
	if x.ctx == nil {
		x.ctx = c.ctx
	}
	c.work.Go(func() {
		defer close(done)
		c.carry(x)
	})
	return done
}

// request books a request and carries it.
func (c *stdioClient) request(x *carried) <-chan struct{} {
	x.key = idKey(x.frame.id)
	parent := c.ctx
	if x.frame.method == listenMethod {
		parent = c.streams
	}
	x.ctx, x.stop = context.WithCancelCause(parent)
	c.mu.Lock()
	reason := ""
	switch {
	case c.running[x.key] != nil:
		reason = "a request with this id is still running"
	case len(c.running) >= maxInFlight:
		reason = "too many requests are running"
	default:
		c.running[x.key] = x
	}
	c.mu.Unlock()
	if reason != "" {
		x.stop(nil)
		return c.reject(x.frame.id, reason)
	}
	done := make(chan struct{})
	c.work.Go(func() {
		defer close(done)
		defer x.stop(nil)
		c.carry(x)
		c.mu.Lock()
		delete(c.running, x.key)
		c.mu.Unlock()
	})
	return done
}

// reject answers what is not sent on. It does not wait for a client that does not
// read: then nobody would hear a signal.
func (c *stdioClient) reject(id toolcall.JSON, reason string) <-chan struct{} {
	c.work.Go(func() { c.write(errorReply(id, codeInvalidRequest, reason)) })
	return nil
}

// cancel ends what a client no longer wants. In the modern era, closing the
// answer is how HTTP says so, and there is nothing to forward; a legacy request
// is cancelled by the notification itself. The client gets no answer any more
// (MCP, Cancellation). It is false where the notification has to be forwarded.
func (c *stdioClient) cancel(f frame) (done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.running[idKey(f.params.Member("requestId"))]
	if x == nil {
		return c.session == "" // nothing runs that a session could know of
	}
	if x.frame.method == "initialize" {
		return true // it must not be cancelled
	}
	x.settled.Store(true)
	if x.era == legacy {
		return false
	}
	x.stop(errCancelled)
	return true
}

// write sends the client one message.
func (c *stdioClient) write(text string) {
	line := oneLine(text)
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.broken {
		return
	}
	if _, err := c.Out.Write(line); err != nil {
		c.broken = true
		close(c.left)
		c.log.Info("the client is gone", "err", err)
	}
}

// end lets requests under way come to their end, within bounds, and then the
// session.
func (c *stdioClient) end(ctx context.Context) {
	c.hush(errShutdown)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.work.Wait()
	}()
	patience := time.NewTimer(c.Drain)
	defer patience.Stop()
	defer context.AfterFunc(ctx, func() { patience.Reset(c.DrainCut) })()
	select {
	case <-done:
	case <-patience.C:
	}
	c.cut(errShutdown)
	select {
	case <-done:
	case <-time.After(c.DrainCut):
		c.log.Warn("the client does not read: what was left to say is lost")
	}
	c.goodbye()
}

// cause is what ended it beside the client and ctx.
func (c *stdioClient) cause() error {
	select {
	case <-c.eof:
		return c.readErr
	case <-c.over:
		return ErrSessionOver
	default:
		return nil
	}
}
