package mcpproxy

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
)

// maxGets bounds the streams that the client of one session holds open with GET
// (law 14).
const maxGets = 8

var errTooManyStreams = &Refusal{Stage: "session", Code: codeInternal, Status: http.StatusTooManyRequests,
	Reason: "too many streams of this session are open"}

// get opens a legacy session's own stream, or one that is kept, behind its event
// Last-Event-ID. An id that the session does not have names no stream: a new one is
// opened.
func (rq *requestOf) get() {
	p := rq.p
	if mcp.IsModernProtocol(rq.r.Header.Get(mcp.HeaderProtocolVersion)) {
		rq.notAllowed("POST", "this protocol version has no stream to GET")
		return
	}
	handle := rq.r.Header.Get(mcp.HeaderSessionID)
	if handle == "" {
		rq.refuse(&frame{}, legacy, errNeedsSession)
		return
	}
	ses, err := p.sessions.find(rq.r.Context(), rq.up, rq.caller, handle)
	if err != nil {
		rq.refuse(&frame{}, legacy, err)
		return
	}
	if ses.gets.Add(1) > maxGets {
		ses.gets.Add(-1)
		rq.refuse(&frame{}, legacy, errTooManyStreams)
		return
	}
	defer ses.gets.Add(-1)
	ses.busy.Add(1)
	defer ses.busy.Add(-1)
	rq.noReadDeadline()
	ctx, cancel := context.WithCancelCause(rq.r.Context())
	defer cancel(nil)
	x := rq.exchange(ses, frame{}, ses.version)
	x.out.drop = func() { cancel(errTakenOver) }
	defer x.out.end()
	st, after, kept := ses.streams.find(rq.r.Header.Get(mcp.HeaderLastEventID))
	if kept && !st.own {
		x.out.goOn(st, after, x.snap.Digest())
		x.out.keepAlive(p.cfg.Limits.KeepAlive)
		select {
		case <-st.over:
		case <-ctx.Done():
		}
		return
	}
	defer context.AfterFunc(p.open, func() { cancel(errShutdown) })()
	rq.listen(ctx, x, st, after)
}

// errTakenOver ends a request whose stream goes on over another connection.
var errTakenOver = errors.New("the client opened the stream anew")

// listen serves a stream of the session's own: st behind an event, or a new one.
func (rq *requestOf) listen(ctx context.Context, x *exchange, st *stream, after int) {
	p, ses := rq.p, x.ses
	lastID := ""
	if st != nil {
		lastID = st.stands()
	}
	a, err := ses.leg.listen(ctx, lastID)
	switch {
	case errors.Is(err, errNoStream):
		rq.notAllowed("POST, DELETE", "this upstream has no stream to GET")
		return
	case errors.Is(err, errSessionOver):
		p.sessions.drop(ses, "ended by the upstream")
		rq.refuse(&frame{}, legacy, errNoSession)
		return
	case err != nil:
		rq.refuse(&frame{}, legacy, p.upstreamRefusal(err))
		return
	}
	defer a.close()
	if st != nil {
		x.out.goOn(st, after, x.snap.Digest())
	} else {
		x.out.begin()
	}
	x.out.keepAlive(p.cfg.Limits.KeepAlive)
	if err := p.pump(ctx, a, x, func() {}); err != nil && ctx.Err() == nil {
		p.log.Info("a session's stream ended", "session", ses.id, "err", err)
	}
}

const eventType = "text/event-stream"

// accepts reports whether a client says that it reads a media type.
func accepts(h http.Header, media string) bool {
	kind, _, _ := strings.Cut(media, "/")
	for _, value := range h["Accept"] {
		for part := range strings.SplitSeq(value, ",") {
			got, params, err := mime.ParseMediaType(part)
			if err == nil && (got == media || got == "*/*" || got == kind+"/*") && !zeroQuality(params["q"]) {
				return true
			}
		}
	}
	return false
}

// checkAccept holds a client to what it may be answered with (MCP, Streamable
// HTTP): JSON and event streams to POST, an event stream to GET. One that says
// nothing takes anything (RFC 9110, 12.5.1).
func checkAccept(r *http.Request) (status int, reason string) {
	if len(r.Header["Accept"]) == 0 {
		return 0, ""
	}
	switch {
	case r.Method == http.MethodPost && !(accepts(r.Header, "application/json") && accepts(r.Header, eventType)):
		return http.StatusNotAcceptable, "the header Accept must list application/json and text/event-stream"
	case r.Method == http.MethodGet && !accepts(r.Header, eventType):
		return http.StatusNotAcceptable, "the header Accept must list text/event-stream"
	}
	return 0, ""
}

// zeroQuality reports whether a weight says "not this" (RFC 9110, 12.4.2).
func zeroQuality(q string) bool {
	return q != "" && strings.Trim(q, "0.") == ""
}

// primes reports whether clients of a revision read events without data: those
// before 2025-11-25 take each for a message.
func primes(version string) bool { return version >= mcp.ProtocolVersion20251125 }
