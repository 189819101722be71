package mcpproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"unsafe"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// httpLeg speaks Streamable HTTP to an upstream: for a legacy session with the
// upstream's session id, for a modern caller without.
type httpLeg struct {
	up      *upstream
	session string  // the upstream's, "" before initialize and where it has none
	version string  // negotiated, sent with every message after initialize
	old     *muxLeg // instead of all that, where the session is one over HTTP+SSE
}

func (l *httpLeg) send(ctx context.Context, m outbound) (*answer, error) {
	switch {
	case l.old != nil:
		return l.old.send(ctx, m)
	case m.era == modern && l.up.Transport == TransportSSE:
		return nil, &Refusal{Stage: "upstream", Code: codeMethodNotFound, Reason: "Method not found"}
	case m.era == legacy && m.frame.kind == request && m.frame.method == "initialize":
		return l.handshake(ctx, m)
	}
	a, _, err := l.post(ctx, m)
	return a, err
}

// post sends one message in an HTTP request of its own. status is that of the
// response to a request.
func (l *httpLeg) post(ctx context.Context, m outbound) (_ *answer, status int, _ error) {
	text := m.frame.raw.Text()
	req := l.request(ctx, http.MethodPost)
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	h := req.Header
	h["Content-Type"] = jsonType
	if m.era == modern {
		h[mcp.HeaderProtocolVersion] = []string{m.version}
		h[mcp.HeaderMethod] = []string{m.frame.method}
		if name, ok := headerName(&m.frame); ok {
			if value, ok := mcp.EncodeHeaderValue(name); ok {
				h[mcp.HeaderName] = []string{value}
			}
		}
		for name, value := range m.headers {
			h.Set(name, value)
		}
	}
	res, err := l.up.transport.RoundTrip(req)
	if err != nil {
		return nil, 0, l.unreachable(ctx, err)
	}
	if m.frame.kind != request {
		finish(res.Body)
		switch {
		case res.StatusCode == http.StatusNotFound && l.session != "":
			return nil, 0, errSessionOver
		case res.StatusCode >= 300:
			return nil, 0, l.fault(fmt.Sprintf("answered a notification with HTTP status %d", res.StatusCode), nil)
		}
		return nil, 0, nil
	}
	if m.frame.method == "initialize" {
		l.session = res.Header.Get(mcp.HeaderSessionID)
	}
	room := m.room
	if room == nil {
		room = l.up.lease()
		defer room.end() // a message of our own; a stream takes it over
	}
	a, err := l.answer(ctx, res, m.era, room)
	return a, res.StatusCode, err
}

var (
	jsonType   = []string{"application/json"}
	acceptBoth = []string{"application/json, text/event-stream"}
	acceptSSE  = []string{"text/event-stream"}
)

// request begins a request to the upstream with what each of them carries.
// Nothing of the agent's own headers is copied: its token and cookies stop here.
func (l *httpLeg) request(ctx context.Context, method string) *http.Request {
	h := make(http.Header, 8+len(l.up.Header))
	for name, values := range l.up.Header {
		h[name] = values
	}
	h["Accept"] = acceptBoth
	if l.session != "" {
		h[mcp.HeaderSessionID] = []string{l.session}
	}
	if l.version != "" {
		h[mcp.HeaderProtocolVersion] = []string{l.version}
	}
	req := &http.Request{Method: method, URL: l.up.at, Host: l.up.at.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	return req.WithContext(ctx)
}

func (l *httpLeg) answer(ctx context.Context, res *http.Response, e era, room *lease) (*answer, error) {
	if e == legacy && res.StatusCode == http.StatusNotFound && l.session != "" {
		res.Body.Close()
		return nil, errSessionOver
	}
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		media = ""
	}
	a := &answer{status: res.StatusCode}
	switch {
	case media == "text/event-stream" && res.StatusCode == http.StatusOK:
		l.streamed(ctx, a, res.Body, room)
		return a, nil
	case media == "application/json" || res.StatusCode >= 400:
		defer res.Body.Close()
		text, err := readAll(res.Body, res.ContentLength, l.up.limits.Bytes, func(n int) error { return room.grow(ctx, n) })
		if err != nil {
			return nil, l.unreadable(ctx, err)
		}
		if res.StatusCode < 400 && l.batched(text) {
			all, err := l.unbatch(text, event{})
			if err != nil {
				return nil, err
			}
			a.next, a.close = each(all), func() {}
			return a, nil
		}
		var f frame
		room.heavy(len(text), func() { f, err = parseInbound(l.up.Name, text, l.up.limits) })
		if res.StatusCode >= 400 && (err != nil || f.err.IsZero()) {
			return nil, l.refused(res.StatusCode, e)
		}
		if err != nil {
			return nil, err
		}
		a.next = once(inbound{frame: f})
		a.close = func() {}
		return a, nil
	}
	res.Body.Close()
	return nil, l.fault(fmt.Sprintf("answered with HTTP status %d and a content type that is neither JSON nor an event stream", res.StatusCode), nil)
}

// streamed reads the messages of an event stream. A stream that is silent for
// longer than the timeout counts as hung.
func (l *httpLeg) streamed(ctx context.Context, a *answer, body io.ReadCloser, room *lease) {
	counted := &countedReader{src: body, ctx: ctx, room: room}
	events := newEventReader(counted, l.up.limits.Bytes)
	a.close = func() {
		body.Close()
		counted.done()
	}
	var rest []inbound // of a batch
	a.next = func() (inbound, error) {
		if len(rest) > 0 {
			in := rest[0]
			rest = rest[1:]
			return in, nil
		}
		counted.done() // the message before was sent on
		ev, err := events.next()
		if err != nil {
			return inbound{}, l.unreadable(ctx, err)
		}
		in := inbound{event: event{id: ev.id, hasID: ev.hasID, retry: ev.retry}}
		if strings.TrimSpace(ev.data) == "" {
			return in, nil
		}
		if l.batched(ev.data) {
			all, err := l.unbatch(ev.data, in.event)
			if err != nil {
				return inbound{}, err
			}
			rest = all[1:]
			return all[0], nil
		}
		room.heavy(len(ev.data), func() { in.frame, err = parseInbound(l.up.Name, ev.data, l.up.limits) })
		return in, err
	}
}

func (l *httpLeg) listen(ctx context.Context, lastEventID string) (*answer, error) {
	if l.old != nil {
		return l.old.listen(ctx, lastEventID)
	}
	req := l.request(ctx, http.MethodGet)
	req.Header["Accept"] = acceptSSE
	if lastEventID != "" {
		req.Header.Set(mcp.HeaderLastEventID, lastEventID)
	}
	res, err := l.up.transport.RoundTrip(req)
	if err != nil {
		return nil, l.unreachable(ctx, err)
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case res.StatusCode == http.StatusOK && media == "text/event-stream":
		a := &answer{status: res.StatusCode}
		l.streamed(ctx, a, res.Body, l.up.lease())
		return a, nil
	case res.StatusCode == http.StatusNotFound && l.session != "":
		err = errSessionOver
	case res.StatusCode == http.StatusMethodNotAllowed || res.StatusCode == http.StatusNotFound:
		err = errNoStream
	default: // it may be another the next time: busy, restarting, the stream before not yet closed
		err = l.cut(fmt.Sprintf("answered GET with HTTP status %d", res.StatusCode), nil)
	}
	res.Body.Close()
	return nil, err
}

// end deletes the upstream's session. Upstreams may refuse that (405); the
// session is over on this side either way.
func (l *httpLeg) end(ctx context.Context) {
	if l.old != nil {
		l.old.end(ctx)
		return
	}
	if l.session == "" {
		return
	}
	res, err := l.up.transport.RoundTrip(l.request(ctx, http.MethodDelete)) //nolint:bodyclose // finish closes it
	if err != nil {
		l.up.log.Info("end the upstream's session", "upstream", l.up.Name, "err", err)
		return
	}
	finish(res.Body)
}

// finish reads what little an answer says that nobody needs, so that its
// connection can be used again.
func finish(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 64<<10)) // fails where the connection is of no use any more
	_ = body.Close()
}

// over reports whether the session's connection is gone, where it hangs on one.
func (l *httpLeg) over() bool { return l.old != nil && l.old.over() }

func (l *httpLeg) tied() bool { return l.old != nil }

func (l *httpLeg) fault(what string, err error) error {
	return &upstreamError{upstream: l.up.Name, what: what, err: err}
}

// cut is the fault of a connection that was lost, or not there.
func (l *httpLeg) cut(what string, err error) error {
	return &upstreamError{upstream: l.up.Name, what: what, cut: true, err: err}
}

// refused is an HTTP status without a message. A modern client learns by the
// status that a server is legacy (MCP 2026-07-28, Versioning), so it is passed on.
func (l *httpLeg) refused(status int, e era) error {
	fault := &upstreamError{upstream: l.up.Name, what: fmt.Sprintf("answered with HTTP status %d", status)}
	if e == modern && status < 500 && status != http.StatusUnauthorized {
		fault.status = status
	}
	return fault
}

func (l *httpLeg) unreachable(ctx context.Context, err error) error {
	var ne net.Error
	switch {
	case errors.Is(context.Cause(ctx), errIdle) || errors.As(err, &ne) && ne.Timeout():
		return l.fault("did not answer in time", err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return l.cut("cannot be reached", unquoted(err))
}

func (l *httpLeg) unreadable(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errNoMemory):
		return err
	case errors.Is(err, errUnframed):
		return l.fault("sent JSON that is not framed as events under the content type of an event stream", err)
	case errors.Is(err, toolcall.ErrTooLarge) || errors.Is(err, errEventTooLarge):
		return l.fault("sent more than limits.result allows", err)
	case errors.Is(context.Cause(ctx), errIdle):
		return l.fault("did not answer in time", err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return l.cut("broke off its answer", unquoted(err))
}

// unquoted is an error without an upstream's words: net/http quotes what it could
// not read, and this goes to the log.
func unquoted(err error) error {
	var ne net.Error
	if errors.As(err, &ne) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return err
	}
	return errors.New("not an answer in HTTP/1.1")
}

// What readAll holds of a body whose length is announced: at first no more than
// firstRoom, and then at most aheadRoom times what has come. Who announces much and
// sends nothing holds next to nothing, and of an honest body no more than one byte
// in seven is copied again.
const (
	firstRoom = 16 << 10
	aheadRoom = 8
)

// readAll reads a body whole, within limit bytes. It asks take before it allocates.
func readAll(body io.Reader, length int64, limit int, take func(n int) error) (string, error) {
	if length > int64(limit) {
		return "", fmt.Errorf("%d bytes, at most %d: %w", length, limit, toolcall.ErrTooLarge)
	}
	whole := int(length) + 1 // one more, to see the end without growing
	room := whole
	for room > firstRoom {
		room = (room + aheadRoom - 1) / aheadRoom // so that the last step ends at whole
	}
	if length < 0 {
		room = 4096
	}
	if err := take(room); err != nil {
		return "", err
	}
	buf := make([]byte, 0, room)
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return "", fmt.Errorf("more than %d bytes: %w", limit, toolcall.ErrTooLarge)
		}
		if errors.Is(err, io.EOF) {
			return unsafe.String(unsafe.SliceData(buf), len(buf)), nil // buf is not touched again
		}
		if err != nil {
			return "", err
		}
		if len(buf) < cap(buf) {
			continue
		}
		room = 2 * len(buf)
		if len(buf) < whole {
			room = min(whole, aheadRoom*len(buf))
		}
		if err := take(room - len(buf)); err != nil {
			return "", err
		}
		buf = append(make([]byte, 0, room), buf...)
	}
}

// once is the stream of a single message.
func once(in inbound) func() (inbound, error) {
	done := false
	return func() (inbound, error) {
		if done {
			return inbound{}, io.EOF
		}
		done = true
		return in, nil
	}
}
