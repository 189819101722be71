package mcpproxy

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
)

// maxGets bounds the streams that the client of one session holds open with GET
// (law 14).
const maxGets = 8

var errTooManyStreams = &Refusal{Stage: "session", Code: codeInternal, Status: http.StatusTooManyRequests,
	Reason: "too many streams of this session are open"}

// errTooManyOfCaller says that a caller, or all of them, have as many streams open
// as they may.
var errTooManyOfCaller = &Refusal{Stage: "session", Code: codeInternal, Status: http.StatusTooManyRequests,
	Reason: "too many streams of this caller are open"}

// get opens a legacy session's own stream, or one that is kept, behind its event
// Last-Event-ID. An id that the session does not have names no stream: a new one is
// opened. The goroutine stays here for as long as the stream is open, so what it
// needs only before is in functions of its own.
func (rq *requestOf) get() {
	p := rq.p
	ses := rq.streaming()
	if ses == nil {
		return
	}
	defer ses.gets.Add(-1)
	defer p.gets.leave(rq.caller.Key())
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
	a := rq.listen(ctx, x, st, after)
	if a == nil {
		return
	}
	defer a.close()
	_, leave := p.join(x, ses.announced)
	defer leave()
	x.out.keepAlive(p.cfg.Limits.KeepAlive)
	if err := p.pump(ctx, a, x, func() {}); err != nil && ctx.Err() == nil {
		p.log.Info("a session's stream ended", "session", ses.id, "err", err)
	}
}

// errTakenOver ends a request whose stream goes on over another connection.
var errTakenOver = errors.New("the client opened the stream anew")

// streaming is the session of a GET, which is counted among those that are open;
// nil when it is refused.
func (rq *requestOf) streaming() *session {
	if mcp.IsModernProtocol(rq.r.Header.Get(mcp.HeaderProtocolVersion)) {
		rq.notAllowed("POST", "this protocol version has no stream to GET")
		return nil
	}
	err := error(errNeedsSession)
	var ses *session
	if handle := rq.r.Header.Get(mcp.HeaderSessionID); handle != "" {
		ses, err = rq.p.sessions.find(rq.r.Context(), rq.up, rq.caller, handle)
	}
	if err == nil {
		err = rq.countStream(ses)
	}
	if err != nil {
		rq.refuse(&frame{}, legacy, err)
		return nil
	}
	return ses
}

// countStream counts one more stream of a session, and of its caller over all of
// them.
func (rq *requestOf) countStream(ses *session) error {
	switch {
	case ses.gets.Add(1) > maxGets:
		ses.gets.Add(-1)
		return errTooManyStreams
	case !rq.p.gets.enter(rq.caller.Key()):
		ses.gets.Add(-1)
		return errTooManyOfCaller
	}
	return nil
}

// listen opens the upstream's side of a session's own stream, and then the
// client's: st behind an event, or a new one. nil: it is refused.
func (rq *requestOf) listen(ctx context.Context, x *exchange, st *stream, after int) *answer {
	lastID := ""
	if st != nil {
		lastID = st.stands()
	}
	a, err := x.ses.leg.listen(ctx, lastID)
	switch {
	case errors.Is(err, errNoStream):
		rq.notAllowed("POST, DELETE", "this upstream has no stream to GET")
		return nil
	case errors.Is(err, errSessionOver):
		rq.p.sessions.drop(x.ses, "ended by the upstream")
		rq.refuse(&frame{}, legacy, errNoSession)
		return nil
	case err != nil:
		rq.refuse(&frame{}, legacy, rq.p.upstreamRefusal(err))
		return nil
	}
	if st != nil {
		x.out.goOn(st, after, x.snap.Digest())
	} else {
		x.out.begin()
	}
	return a
}

const eventType = "text/event-stream"

// accepts reports whether a client says that it reads a media type (RFC 9110,
// 12.5.1). A weight of zero says that it does not.
func accepts(h http.Header, media string) bool {
	kind, _, _ := strings.Cut(media, "/")
	for _, value := range h["Accept"] {
		for part := range strings.SplitSeq(value, ",") {
			name, params, _ := strings.Cut(part, ";")
			name = strings.TrimSpace(name)
			wild, any := strings.CutSuffix(name, "/*")
			if (strings.EqualFold(name, media) || any && (wild == "*" || strings.EqualFold(wild, kind))) && !zeroWeight(params) {
				return true
			}
		}
	}
	return false
}

func zeroWeight(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, q, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "q") {
			return strings.Trim(q, "0.") == ""
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

// primes reports whether clients of a revision read events without data: those
// before 2025-11-25 take each for a message.
func primes(version string) bool { return version >= mcp.ProtocolVersion20251125 }
