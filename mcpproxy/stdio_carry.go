package mcpproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// carried is one message on its way to the endpoint.
type carried struct {
	frame   frame // zero where the message could not be read
	text    string
	era     era
	version string // of a modern message
	key     string // of a request, in the table of those that run
	own     bool   // a request of ours: its answer is not the client's

	ctx     context.Context
	stop    context.CancelCauseFunc
	settled atomic.Bool // it is answered, or nobody wants the answer
	retried bool        // it was sent again with headers that were not known before
	answer  frame       // of a request of our own
}

// carry sends a message and delivers what comes back. A request gets exactly one
// answer, whatever happens on the way.
func (c *stdioClient) carry(x *carried) {
	err := c.exchange(x)
	if err == nil && x.frame.kind == request && !x.settled.Load() {
		err = errors.New("sent no answer")
	}
	switch {
	case err != nil:
		c.failed(x, err)
	case x.frame.method == "notifications/initialized":
		c.listen()
	}
}

// failed answers a request that has no answer of the endpoint.
func (c *stdioClient) failed(x *carried, err error) {
	if x.settled.Swap(true) {
		return
	}
	if cause := context.Cause(x.ctx); cause != nil {
		err = cause
	}
	var r *Refusal
	if !errors.As(err, &r) {
		r = &Refusal{Stage: "stdio", Code: codeInternal, Reason: c.words(err), err: err}
	}
	level := slog.LevelWarn
	if x.frame.kind == notification && x.era == legacy && !c.inSession() {
		level = slog.LevelDebug // initialize failed, which was told: what follows it blindly is no fault of its own
	}
	c.log.Log(x.ctx, level, "a message of the client came to nothing", "method", cut(x.frame.method, maxEcho), "err", err)
	if x.frame.kind == request || x.frame.kind == noFrame {
		c.write(errorReply(x.frame.id, r.Code, r.Reason))
	}
}

// words are what the client is told of a fault between here and the endpoint.
func (c *stdioClient) words(err error) string {
	at := c.URL.Scheme + "://" + c.URL.Host
	switch {
	case errors.Is(err, errShutdown):
		return "mcpguard is shutting down; whether the request was executed is not known"
	case errors.Is(err, errEventTooLarge), errors.Is(err, toolcall.ErrTooLarge):
		return "the answer of " + at + " is too large"
	}
	return "mcpguard at " + at + ": " + err.Error()
}

// exchange sends a message and reads the whole of what comes back.
func (c *stdioClient) exchange(x *carried) error {
	res, err := c.post(x)
	if err != nil {
		return fmt.Errorf("cannot be reached: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		media = ""
	}
	switch {
	case x.frame.method == "initialize" && res.StatusCode == http.StatusOK:
		c.begun(res.Header.Get(mcp.HeaderSessionID))
	case res.StatusCode == http.StatusNotFound && x.era == legacy && x.frame.kind != noFrame && x.frame.method != "initialize" && c.inSession():
		defer c.ended.Do(func() { close(c.over) }) // behind the answer
	}
	switch {
	case media == "text/event-stream" && res.StatusCode == http.StatusOK:
		return c.streamed(x, res.Body)
	case media == "application/json":
		text, err := readAll(res.Body, res.ContentLength, c.Result, uncounted)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		return c.whole(x, text, res.StatusCode)
	case x.frame.kind != request && res.StatusCode < 300:
		return nil
	}
	return fmt.Errorf("answered with HTTP status %d", res.StatusCode)
}

// post sends the message to the endpoint.
func (c *stdioClient) post(x *carried) (*http.Response, error) {
	req, err := c.httpRequest(x.ctx, http.MethodPost, strings.NewReader(x.text))
	if err != nil {
		return nil, err
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json, text/event-stream")
	switch {
	case x.era == modern:
		c.mirror(h, x)
	case x.frame.method != "initialize":
		c.inSessionOf(h)
	}
	return c.Transport.RoundTrip(req)
}

// httpRequest begins a request with what each of them carries.
func (c *stdioClient) httpRequest(ctx context.Context, method string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL.String(), body)
	if err != nil {
		return nil, err
	}
	for name, values := range c.Header {
		req.Header[name] = values
	}
	return req, nil
}

// inSessionOf adds what names the legacy session.
func (c *stdioClient) inSessionOf(h http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != "" {
		h.Set(mcp.HeaderSessionID, c.session)
	}
	if c.version != "" {
		h.Set(mcp.HeaderProtocolVersion, c.version)
	}
}

func (c *stdioClient) inSession() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session != ""
}

// begun takes the handle of a new session, in the place of an older one.
func (c *stdioClient) begun(handle string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.version = handle, ""
	if c.listening != nil {
		c.listening()
		c.listening = nil
	}
}

// whole delivers an answer that is one JSON text.
func (c *stdioClient) whole(x *carried, text string, status int) error {
	if x.frame.kind == noFrame {
		return c.passOn(x, text)
	}
	f, err := readFrame(text, toolcall.Limits{Bytes: c.Result, Depth: maxLevels})
	switch {
	case err != nil:
		return fmt.Errorf("answered with HTTP status %d and no message that can be read", status)
	case x.frame.kind != request && !f.err.IsZero():
		reason, _ := f.err.Member("message").Str()
		return fmt.Errorf("did not accept the message (HTTP status %d): %s", status, reason)
	case x.frame.kind != request:
		return nil
	case f.kind == response && f.id.Type() == toolcall.Null:
		// Refused before the endpoint knew what it was: stdio has no status to tell
		// whose answer it is.
		if f, err = f.with(f.id, x.frame.id); err != nil {
			return err
		}
	}
	if err := c.deliver(x, f); !errors.Is(err, errAnswered) {
		return err
	}
	return nil
}

// passOn delivers an answer to something that could not be read here.
func (c *stdioClient) passOn(x *carried, text string) error {
	if _, err := toolcall.Parse(text, toolcall.Limits{Bytes: c.Result, Depth: maxLevels}); err != nil {
		return errors.New("sent a message that cannot be read")
	}
	x.settled.Store(true)
	c.write(text)
	return nil
}

// errAnswered ends the reading of a stream whose request has its answer.
var errAnswered = errors.New("answered")

// deliver gives the client one message of the endpoint. x is the exchange on
// whose stream it came, or nil. It returns errAnswered with the answer to x.
func (c *stdioClient) deliver(x *carried, f frame) error {
	if f.kind != response {
		c.write(f.raw.Text())
		return nil
	}
	of := x
	if of == nil || !f.id.Equal(of.frame.id) {
		c.mu.Lock()
		of = c.running[idKey(f.id)]
		c.mu.Unlock()
	}
	if of == nil {
		c.log.Warn("the endpoint answered a request that does not run")
		return nil
	}
	if c.again(of, f) {
		return errAnswered
	}
	c.learn(of, f)
	switch {
	case of.own:
		of.answer = f
		of.settled.Store(true)
	case of.settled.CompareAndSwap(false, true):
		c.write(f.raw.Text())
	}
	if of == x {
		return errAnswered
	}
	of.stop(errAnswered) // its own stream need not be waited for
	return nil
}

// learn keeps what later messages need of an answer.
func (c *stdioClient) learn(x *carried, f frame) {
	switch {
	case x.frame.method == "initialize" && !f.result.IsZero():
		version, _ := f.result.Member("protocolVersion").Str()
		c.mu.Lock()
		c.version = version
		c.mu.Unlock()
	case x.frame.method == "tools/list" && x.era == modern:
		c.remember(f.result.Member("tools"))
	}
}

// position is where a stream broke off.
type position struct {
	id    string        // of the last event that had one
	retry time.Duration // as the endpoint asked for it, within bounds
}

const (
	firstRetry = time.Second // how long a stream that broke off is left alone
	lastRetry  = 30 * time.Second
	maxResumes = 5 // attempts in a row that bring nothing
)

// streamed delivers the messages of an event stream, to the answer of x. A
// stream that breaks off before is taken up where it was, if the endpoint gave
// an event id to come back with (MCP 2025-11-25, "Resumability and Redelivery").
func (c *stdioClient) streamed(x *carried, body io.Reader) error {
	at := position{retry: firstRetry}
	err := c.events(x, body, &at)
	for vain := 0; err != nil && !errors.Is(err, errAnswered) && x.era == legacy && at.id != "" && x.frame.kind == request; {
		if errors.Is(err, errEventTooLarge) || vain == maxResumes || !pause(x.ctx, at.retry) {
			return err
		}
		before := at.id
		err = c.resume(x, &at)
		if vain++; at.id != before {
			vain = 0
		}
	}
	switch {
	case errors.Is(err, errAnswered):
		return nil
	case errors.Is(err, io.EOF) && x.frame.kind != request:
		return nil
	case errors.Is(err, io.EOF):
		return errors.New("ended the stream before its answer")
	}
	return err
}

// resume takes up a stream behind the event at.
func (c *stdioClient) resume(x *carried, at *position) error {
	res, err := c.get(x.ctx, at.id)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("does not resume a stream (HTTP status %d)", res.StatusCode)
	}
	return c.events(x, res.Body, at)
}

// get asks for the legacy session's own stream, or for one that broke off.
func (c *stdioClient) get(ctx context.Context, lastID string) (*http.Response, error) {
	req, err := c.httpRequest(ctx, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	c.inSessionOf(req.Header)
	if lastID != "" {
		req.Header.Set(mcp.HeaderLastEventID, lastID)
	}
	return c.Transport.RoundTrip(req)
}

// events delivers what a stream says until it ends or x is answered. The error is
// never nil.
func (c *stdioClient) events(x *carried, body io.Reader, at *position) error {
	events := newEventReader(body, c.Result)
	limits := toolcall.Limits{Bytes: c.Result, Depth: maxLevels}
	for {
		ev, err := events.next()
		if err != nil {
			return err
		}
		if ev.hasID {
			at.id = ev.id
		}
		if ms, err := strconv.Atoi(ev.retry); err == nil {
			at.retry = min(max(time.Duration(ms)*time.Millisecond, 10*time.Millisecond), lastRetry)
		}
		if ev.data == "" {
			continue
		}
		if x != nil && x.frame.kind == noFrame {
			if err := c.passOn(x, ev.data); err != nil {
				return err
			}
			continue
		}
		f, err := readFrame(ev.data, limits)
		if err != nil {
			return errors.New("sent a message that cannot be read")
		}
		if err := c.deliver(x, f); err != nil {
			return err
		}
	}
}

// pause waits; it is false when ctx is done first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// listen opens the legacy session's own stream, on which the server speaks
// unasked, and opens it again when it breaks off.
func (c *stdioClient) listen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == "" || c.listening != nil {
		return
	}
	ctx, stop := context.WithCancel(c.streams)
	c.listening = stop
	c.work.Go(func() {
		defer stop()
		at := position{retry: firstRetry}
		for wait := firstRetry; ; {
			heard := at.id
			if !c.hear(ctx, &at) {
				return
			}
			if wait = min(2*wait, lastRetry); at.id != heard {
				wait = at.retry
			}
			if !pause(ctx, wait) {
				return
			}
		}
	})
}

// hear reads the session's own stream once. It is false where there is none.
func (c *stdioClient) hear(ctx context.Context, at *position) (again bool) {
	res, err := c.get(ctx, at.id)
	if err != nil {
		if ctx.Err() == nil { // else it is the end, and nobody's fault
			c.log.Info("the session's own stream cannot be opened", "err", err)
		}
		return ctx.Err() == nil
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	switch {
	case res.StatusCode >= 500:
		return true
	case res.StatusCode != http.StatusOK:
		return false // 405: the endpoint has none; 404: the session is over
	}
	err = c.events(nil, res.Body, at)
	if ctx.Err() == nil {
		c.log.Info("the session's own stream ended", "err", err)
	}
	return true
}

// goodbye ends the legacy session at the endpoint (MCP, "Session Management").
func (c *stdioClient) goodbye() {
	if !c.inSession() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), 2*grace)
	defer cancel()
	req, err := c.httpRequest(ctx, http.MethodDelete, nil)
	if err == nil {
		c.inSessionOf(req.Header)
		var res *http.Response
		if res, err = c.Transport.RoundTrip(req); err == nil {
			err = res.Body.Close()
		}
	}
	if err != nil {
		c.log.Info("end the session", "err", err)
	}
}
