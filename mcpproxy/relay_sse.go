package mcpproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Transport says how an HTTP upstream is spoken to. The zero Transport finds out.
type Transport uint8

// The transports.
const (
	// TransportAuto is Streamable HTTP, and HTTP+SSE where the upstream does not
	// know a POSTed initialize (MCP 2025-11-25, Transports, "Backwards
	// Compatibility").
	TransportAuto Transport = iota
	TransportStreamable
	TransportSSE // HTTP+SSE of 2024-11-05
)

// sseLink is HTTP+SSE (MCP 2024-11-05, Transports): one event stream carries all
// that the server says, and names the endpoint where messages are POSTed.
type sseLink struct {
	leg      httpLeg // makes requests; it has no session and no version
	endpoint *url.URL
	events   *eventReader
	batches  unbatch
	body     io.ReadCloser
	ctx      context.Context // of the stream
	cancel   context.CancelFunc
}

// maxEndpoint bounds the address of an endpoint.
const maxEndpoint = 8 << 10

// dialSSE opens the stream, and returns when its endpoint is known.
func (u *upstream) dialSSE(ctx context.Context) (_ *sseLink, err error) {
	l := &sseLink{leg: httpLeg{up: u}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	unhook := context.AfterFunc(ctx, l.cancel)
	defer func() {
		if !unhook() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			l.close()
		}
	}()
	req := l.leg.request(l.ctx, http.MethodGet)
	req.Header["Accept"] = acceptSSE
	res, err := u.transport.RoundTrip(req) //nolint:bodyclose // the link closes it
	if err != nil {
		return nil, l.leg.unreachable(ctx, err)
	}
	l.body = res.Body
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.StatusCode != http.StatusOK || media != "text/event-stream" {
		return nil, l.leg.fault(fmt.Sprintf("answered GET with HTTP status %d and no event stream", res.StatusCode), nil)
	}
	l.events = newEventReader(res.Body, u.limits.Bytes)
	l.events.also = "endpoint"
	for {
		ev, err := l.events.next()
		switch {
		case err != nil:
			return nil, u.broken(l.leg.unreadable(ctx, err))
		case ev.name == "endpoint":
			l.endpoint, err = sameOrigin(u.at, ev.data)
			if err != nil {
				return nil, l.leg.fault("named an endpoint that is not used: it must be of the same origin", err)
			}
			return l, nil
		case ev.data != "":
			return nil, l.leg.fault("spoke before it named an endpoint", nil)
		}
	}
}

// sameOrigin resolves a reference, and refuses one that leads to another origin
// (RFC 6454): an upstream must not choose where calls and credentials go.
func sameOrigin(base *url.URL, reference string) (*url.URL, error) {
	if len(reference) > maxEndpoint {
		return nil, errors.New("the address is too long")
	}
	ref, err := url.Parse(strings.TrimSpace(reference))
	if err != nil {
		return nil, errors.New("the address cannot be read") // url.Error quotes it
	}
	at := base.ResolveReference(ref)
	if at.Scheme != base.Scheme || !strings.EqualFold(at.Hostname(), base.Hostname()) || portOf(at) != portOf(base) || at.User != nil || at.Opaque != "" {
		return nil, errors.New("the address is of another origin")
	}
	at.Host, at.Fragment, at.RawFragment = base.Host, "", ""
	return at, nil
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

func (l *sseLink) receive() (frame, error) {
	if f, ok := l.batches.next(); ok {
		return f, nil
	}
	for {
		ev, err := l.events.next()
		if err != nil {
			return frame{}, l.leg.unreadable(l.ctx, err)
		}
		if ev.name != "" || strings.TrimSpace(ev.data) == "" {
			continue // an endpoint is named once
		}
		f, err := l.batches.read(ev.data, l.leg.up.limits)
		return f, unreadable(l.leg.up.Name, err)
	}
}

func (l *sseLink) transmit(ctx context.Context, f frame) error {
	text := f.raw.Text()
	req := l.leg.request(ctx, http.MethodPost)
	req.URL = l.endpoint
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	req.Header["Content-Type"] = jsonType
	res, err := l.leg.up.transport.RoundTrip(req) //nolint:bodyclose // finish closes it
	if err != nil {
		return l.leg.unreachable(ctx, err)
	}
	finish(res.Body)
	if res.StatusCode >= 300 {
		return l.leg.fault(fmt.Sprintf("answered a message with HTTP status %d", res.StatusCode), nil)
	}
	return nil
}

func (l *sseLink) stop() { l.close() }

func (l *sseLink) close() {
	l.cancel()
	if l.body != nil {
		_ = l.body.Close() // it was only read
	}
}

// probeTime is how long an upstream that did not know initialize has to show that
// it speaks HTTP+SSE.
const probeTime = 5 * time.Second

// greetSSE begins a session over HTTP+SSE.
func (l *httpLeg) greetSSE(ctx context.Context, m outbound, within time.Duration) (*answer, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, within, errIdle)
	link, err := l.up.dialSSE(bounded)
	cancel()
	if err != nil {
		return nil, err
	}
	old := &muxLeg{up: l.up}
	mux := newMux(l.up, link, false, func() {})
	if !mux.attach(old) { // it is gone already; what is sent says so
		old.mux = mux
	}
	l.old = old
	return old.send(ctx, m)
}

// handshake sends initialize over the transport that the upstream speaks.
func (l *httpLeg) handshake(ctx context.Context, m outbound) (*answer, error) {
	switch l.up.Transport {
	case TransportSSE:
		return l.greetSSE(ctx, m, l.up.Timeout)
	case TransportStreamable:
		a, _, err := l.post(ctx, m)
		return a, err
	}
	if l.up.old.Load() {
		if a, err := l.greetSSE(ctx, m, probeTime); err == nil || l.old != nil {
			return a, err
		}
		l.up.old.Store(false) // it speaks something else by now
	}
	a, status, err := l.post(ctx, m)
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
	default:
		return a, err
	}
	old, why := l.greetSSE(ctx, m, probeTime)
	if l.old == nil {
		l.up.log.Info("an upstream that did not take initialize does not speak HTTP+SSE either", "upstream", l.up.Name, "err", why)
		return a, err
	}
	if a != nil {
		a.close()
	}
	l.up.old.Store(true)
	return old, why
}
