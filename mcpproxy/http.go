package mcpproxy

import (
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// ServeHTTP is the agents' door. /mcp/NAME is the upstream NAME; /mcp is the only
// upstream, where there is one. /t/mcp... is the same.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		refuseHTTP(w, http.StatusServiceUnavailable, "mcpguard is shutting down")
		return
	}
	defer p.work.Done()
	if len(r.TransferEncoding) > 0 {
		// Something on the way may have counted the body by a Content-Length that
		// net/http took out: what it takes for the rest must not become a request.
		w.Header().Set("Connection", "close")
	}
	if status, reason := p.checkHost(r); status != 0 {
		refuseHTTP(w, status, reason)
		return
	}
	up, status, reason := p.route(r)
	if up == nil {
		refuseHTTP(w, status, reason)
		return
	}
	if status, reason := checkHeaders(r); status != 0 {
		refuseHTTP(w, status, reason)
		return
	}
	caller, err := p.cfg.Auth.Authenticate(r)
	if err == nil && caller.IsZero() {
		err = errors.New("nobody")
	}
	if err != nil {
		p.challenge(w, r, err)
		return
	}
	rq := &requestOf{p: p, w: w, r: r, up: up, caller: caller}
	switch r.Method {
	case http.MethodPost:
		rq.post()
	case http.MethodGet:
		rq.get()
	case http.MethodDelete:
		rq.delete()
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		refuseHTTP(w, http.StatusMethodNotAllowed, "use POST, GET or DELETE")
	}
}

// refuseHTTP answers what is not yet a message: a JSON-RPC error without an id
// (MCP, Streamable HTTP, "Sending Messages to the Server").
func refuseHTTP(w http.ResponseWriter, status int, reason string) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = []string{"no-store"}
	retryLater(h, status)
	bound(w)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, errorReply(toolcall.JSON{}, codeInvalidRequest, reason)) // fails when the client is gone
}

// challenge answers a request whose sender is not known. Why is for the log:
// which part of a credential was wrong is nobody's business.
func (p *Proxy) challenge(w http.ResponseWriter, r *http.Request, err error) {
	status, header := http.StatusUnauthorized, `Bearer error="invalid_token"`
	var c interface{ Challenge() (int, string) }
	if errors.As(err, &c) {
		status, header = c.Challenge()
	}
	p.log.Info("authentication refused", "remote", r.RemoteAddr, "err", err)
	if header != "" {
		w.Header().Set("WWW-Authenticate", header)
	}
	var later interface{ RetryAfter() string }
	if errors.As(err, &later) && later.RetryAfter() != "" {
		w.Header().Set("Retry-After", later.RetryAfter())
	}
	reason := "authentication is required: send the header Authorization: Bearer TOKEN"
	switch {
	case status == http.StatusTooManyRequests:
		reason = "too many failed attempts from this address: wait, and then send a token that is good"
	case r.Header.Get("Authorization") != "":
		reason = "the token is not one that is good here"
	}
	refuseHTTP(w, status, reason)
}

// checkHost refuses requests that a page in somebody's browser made, and names
// that were rebound to this host.
func (p *Proxy) checkHost(r *http.Request) (status int, reason string) {
	return CheckHost(r, p.cfg.Loopback, p.cfg.Hosts, p.cfg.Origins)
}

// CheckHost is the check of Host and Origin that every listener of mcpguard makes.
// Loopback, hosts and origins are those of Config; a status of 0 lets the request
// pass.
func CheckHost(r *http.Request, loopback bool, hosts, allowed []string) (status int, reason string) {
	host := hostname(r.Host)
	switch {
	case slices.Contains(hosts, host):
	case loopback && !loopbackName(host):
		return http.StatusForbidden, "the header Host does not name this server: add it to allowed_hosts"
	case !loopback && len(hosts) > 0:
		return http.StatusForbidden, "the header Host does not name this server: add it to allowed_hosts"
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return 0, ""
	}
	if len(origins) == 1 && slices.Contains(allowed, origins[0]) {
		return 0, ""
	}
	u, err := url.Parse(origins[0])
	if len(origins) == 1 && err == nil && loopback && loopbackName(u.Hostname()) {
		return 0, ""
	}
	return http.StatusForbidden, "the header Origin names a page that may not call: add it to allowed_origins"
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

func loopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// route finds the upstream that a path names. A path that needs cleaning or
// decoding names nothing: another hop could read it differently.
func (p *Proxy) route(r *http.Request) (up *upstream, status int, reason string) {
	path := r.URL.Path
	if r.URL.RawPath != "" || r.URL.RawQuery != "" {
		return nil, http.StatusNotFound, "no such endpoint: it has no encoded characters and no query"
	}
	if rest, ok := strings.CutPrefix(path, "/t/mcp"); ok {
		path = "/mcp" + rest
	}
	if path == "/mcp" {
		if p.only == nil {
			return nil, http.StatusNotFound, "there is more than one upstream: use /mcp/NAME"
		}
		return p.only, 0, ""
	}
	name, ok := strings.CutPrefix(path, "/mcp/")
	if !ok || p.upstreams[name] == nil {
		return nil, http.StatusNotFound, "no such endpoint: use /mcp/NAME with the name of an upstream"
	}
	return p.upstreams[name], 0, ""
}

// singleHeaders are headers of which two would let two readers choose
// differently.
var singleHeaders = []string{"Authorization", mcp.HeaderSessionID, mcp.HeaderProtocolVersion, mcp.HeaderMethod,
	mcp.HeaderName, mcp.HeaderLastEventID, "Content-Type"}

func checkHeaders(r *http.Request) (status int, reason string) {
	for _, name := range singleHeaders {
		if len(r.Header[http.CanonicalHeaderKey(name)]) > 1 {
			return http.StatusBadRequest, "the header " + name + " is there twice"
		}
	}
	if paramTwice(r.Header) {
		return http.StatusBadRequest, "a header " + mcp.HeaderParamPrefix + "* is there twice"
	}
	if status, reason := checkAccept(r); status != 0 {
		return status, reason
	}
	if r.Method != http.MethodPost {
		if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			// It would be read when the answer is out, for as long as its sender likes.
			return http.StatusBadRequest, "only POST has a body"
		}
		return 0, ""
	}
	if len(r.Header["Content-Encoding"]) > 0 {
		return http.StatusUnsupportedMediaType, "a body with Content-Encoding is not accepted"
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || media != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return http.StatusUnsupportedMediaType, "the Content-Type must be application/json"
	}
	return 0, ""
}

// requestOf is one HTTP request of a known caller.
type requestOf struct {
	p      *Proxy
	w      http.ResponseWriter
	r      *http.Request
	up     *upstream
	caller toolcall.Caller
	lease  *lease // of what is said in the answer
}

const drainingReason = "mcpguard is shutting down: the request was not executed"

// post takes one message.
func (rq *requestOf) post() {
	p := rq.p
	if !p.calls.enter(rq.caller.Key()) {
		p.await(rq.r.Context(), rq.caller)
		refuseHTTP(rq.w, http.StatusTooManyRequests, "too many messages of this caller are under way")
		return
	}
	defer p.calls.leave(rq.caller.Key())
	held, answer := p.memory.lease(rq.caller.Key()), p.memory.lease(rq.caller.Key())
	defer held.end()
	defer answer.end()
	rq.lease = answer
	within, cancel := context.WithTimeout(rq.r.Context(), p.cfg.Limits.Timeout)
	body, err := readAll(rq.r.Body, rq.r.ContentLength, p.cfg.Limits.Request, func(n int) error { return held.grow(within, n) })
	cancel()
	if errors.Is(err, errNoMemory) {
		p.await(rq.r.Context(), rq.caller)
		refuseHTTP(rq.w, errNoMemory.Status, errNoMemory.Reason)
		return
	}
	if err != nil && !errors.Is(err, toolcall.ErrTooLarge) {
		refuseHTTP(rq.w, http.StatusBadRequest, "the body ended early, or could not be read")
		return
	}
	rq.noReadDeadline()
	var f frame
	var raw toolcall.JSON
	if err == nil {
		held.heavy(len(body), func() { raw, err = readMessage(body, p.cfg.Limits.message()) })
	}
	if raw.Type() == toolcall.ArrayType {
		rq.batch(raw)
		return
	}
	if err == nil {
		f, err = frameOf(raw)
	}
	if err != nil {
		rq.refuse(&f, legacy, err)
		return
	}
	e, version, err := eraOf(rq.r.Header, &f)
	if err == nil && e == modern {
		err = checkModern(rq.r.Header, &f)
	}
	if err != nil {
		rq.refuse(&f, e, err)
		return
	}
	if f.kind == request && p.open.Err() != nil {
		refuseHTTP(rq.w, http.StatusServiceUnavailable, drainingReason)
		return
	}
	if e == legacy && f.kind == request && f.method == "initialize" {
		rq.initialize(f)
		return
	}
	ses, err := rq.session(e, &f)
	if err != nil {
		rq.refuse(&f, e, err)
		return
	}
	ses.busy.Add(1)
	defer ses.busy.Add(-1)
	if e == legacy {
		version = ses.version
	}
	x := rq.exchange(ses, f, version)
	p.serve(rq.r.Context(), x)
}

// serve takes a message of a session, whichever way it came.
func (p *Proxy) serve(ctx context.Context, x *exchange) {
	defer x.out.end()
	if x.frame.kind == response { // its words are recorded before its task is restored
		p.answered(ctx, x)
		return
	}
	f, err := x.restored(ctx)
	if err != nil {
		p.refuse(ctx, x, err)
		return
	}
	x.frame = f
	if f.kind == request {
		p.dispatch(ctx, x)
		return
	}
	p.notify(ctx, x)
}

// noReadDeadline lifts the listener's bound on reading a request: it would end
// the context of a request whose answer takes longer than its body did. An error
// means that the connection has no deadlines.
func (rq *requestOf) noReadDeadline() {
	_ = http.NewResponseController(rq.w).SetReadDeadline(time.Time{})
}

// session is the session of a message.
func (rq *requestOf) session(e era, f *frame) (*session, error) {
	if e == modern {
		return rq.p.sessions.modernFor(rq.up, rq.caller, modernClient(f))
	}
	handle := rq.r.Header.Get(mcp.HeaderSessionID)
	if handle == "" {
		return nil, errNeedsSession
	}
	return rq.p.sessions.find(rq.r.Context(), rq.up, rq.caller, handle)
}

func (rq *requestOf) exchange(ses *session, f frame, version string) *exchange {
	x := &exchange{
		p: rq.p, ses: ses, lease: rq.lease, caller: rq.caller, frame: f, version: version, started: rq.p.now(),
		client: ses.client, addr: hostname(rq.r.RemoteAddr),
		out:  &reply{w: rq.w, ctx: rq.r.Context(), id: f.id, own: f.kind == noFrame, takes: accepts(rq.r.Header, eventType)},
		snap: rq.p.cfg.Judge.Current(),
	}
	if ses.era == legacy && ses.handle != "" {
		x.out.resume, x.out.primes = &ses.streams, primes(version)
	}
	if ses.era == modern {
		x.headers = rq.r.Header
		x.client = modernClient(&f)
	}
	return x
}

// refuse answers a message that belongs to no session, and keeps evidence: a
// message that two readers could read differently is rarely an accident.
func (rq *requestOf) refuse(f *frame, e era, err error) {
	r := refusalOf(err)
	if err := rq.p.recordStray(rq, f, r); err != nil {
		r = refusalOf(err)
	}
	rq.p.logRefusal(r)
	rq.p.await(rq.r.Context(), rq.caller)
	out := &reply{w: rq.w, ctx: rq.r.Context()}
	out.final(r.status(e), rq.p.refusalText(r, f.id, e, toolcall.ID{}), "")
}

func (rq *requestOf) notAllowed(allow, reason string) {
	rq.w.Header().Set("Allow", allow)
	refuseHTTP(rq.w, http.StatusMethodNotAllowed, reason)
}

// delete ends a legacy session.
func (rq *requestOf) delete() {
	if mcp.IsModernProtocol(rq.r.Header.Get(mcp.HeaderProtocolVersion)) {
		rq.notAllowed("POST", "this protocol version has no sessions to DELETE")
		return
	}
	handle := rq.r.Header.Get(mcp.HeaderSessionID)
	if handle == "" {
		rq.refuse(&frame{}, legacy, errNeedsSession)
		return
	}
	ses, err := rq.p.sessions.find(rq.r.Context(), rq.up, rq.caller, handle)
	if err == nil {
		err = rq.p.sessions.finish(ses)
	}
	if err != nil {
		rq.refuse(&frame{}, legacy, err)
		return
	}
	bound(rq.w)
	rq.w.WriteHeader(http.StatusNoContent)
}
