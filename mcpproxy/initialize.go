package mcpproxy

import (
	"context"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// initialize is the legacy handshake. The session is recorded before its handle
// is given away; a handshake that the upstream refuses leaves none.
func (rq *requestOf) initialize(f frame) {
	p := rq.p
	if rq.r.Header.Get(mcp.HeaderSessionID) != "" {
		rq.refuse(&f, legacy, badFrame("initialize begins a session: it carries no Mcp-Session-Id"))
		return
	}
	if !f.meta().Member(relatedTask).IsZero() {
		rq.refuse(&f, legacy, badFrame("initialize belongs to no task"))
		return
	}
	f, err := clampVersion(f)
	if err == nil {
		f, err = p.narrowed(f, f.params.Member("capabilities"), p.cfg.Judge.Current(), rq.caller, rq.up)
	}
	if err != nil {
		rq.refuse(&f, legacy, err)
		return
	}
	info := clientInfoOf(f.params.Member("clientInfo"), f.params.Member("capabilities"))
	ses, err := p.sessions.open(rq.up, legacy, rq.caller, info)
	if err != nil {
		rq.refuse(&f, legacy, p.upstreamRefusal(err))
		return
	}
	x := rq.exchange(ses, f, "")
	x.method = p.methods.find(fromClient, request, f.method, inLegacy)
	defer x.out.end()
	x.out.holding = true // the handle goes out with the first byte, and there is none yet
	ctx, release := x.lifetime(rq.r.Context())
	defer release()
	ses.busy.Add(1)
	defer ses.busy.Add(-1)
	p.forward(ctx, x)
	if ses.handle == "" {
		p.sessions.forget(ses)
		ses.letGo()
	}
}

// clampVersion asks for the newest legacy revision where the client asks for one
// that mcpguard does not know: it could not say what such messages mean.
func clampVersion(f frame) (frame, error) {
	asked := f.params.Member("protocolVersion")
	version, ok := asked.Str()
	if !ok {
		return f, &Refusal{Stage: "frame", Code: codeInvalidParams, Status: http.StatusBadRequest, Reason: "params.protocolVersion must be a string"}
	}
	if clamped := mcp.NegotiateLegacyVersion(version); clamped != version {
		return f.with(asked, toolcall.Quote(clamped))
	}
	return f, nil
}

// established takes the upstream's answer to initialize: the session has a
// version, a record, and, last of all, a handle.
func established(ctx context.Context, x *exchange, f frame) (frame, error) {
	ses := x.ses
	version, _ := f.result.Member("protocolVersion").Str()
	if !known(version) || mcp.IsModernProtocol(version) {
		return frame{}, &upstreamError{upstream: ses.up.Name, what: "answered initialize with a protocol version that mcpguard does not know"}
	}
	ses.version, x.version = version, version
	ses.announced = announcedBy(f.result.Member("capabilities"))
	hidden, err := x.pinnedHandshake(ctx, f.result)
	if err != nil {
		return frame{}, err
	}
	upstreamID := ""
	if h, ok := ses.leg.(*httpLeg); ok {
		h.version, upstreamID = version, h.session
	}
	if err := x.p.recordSession(ses, audit.SessionStart, ""); err != nil {
		return frame{}, err
	}
	if err := x.p.sessions.mint(ses, upstreamID); err != nil {
		return frame{}, err
	}
	x.out.session = ses.handle
	if len(hidden) == 0 {
		return f, nil
	}
	return f.edited(hidden)
}

// discovered narrows server/discover to the revisions that mcpguard knows, and
// keeps the answer out of shared caches. An answer without a modern revision is
// never passed on as a result: clients take it for a modern server.
func discovered(ctx context.Context, x *exchange, f frame) (frame, error) {
	versions := f.result.Member("supportedVersions")
	var unknown []toolcall.Edit
	isModern := false
	for e := versions.Elements(); e.Next(); {
		v, _ := e.Value().Str()
		if !known(v) {
			unknown = append(unknown, toolcall.Edit{At: e.Value()})
			continue
		}
		isModern = isModern || mcp.IsModernProtocol(v)
	}
	if !isModern {
		return frame{}, &Refusal{Stage: "upstream", Code: codeMethodNotFound, Reason: "Method not found"}
	}
	hidden, err := x.pinnedHandshake(ctx, f.result)
	if err != nil {
		return frame{}, err
	}
	result, err := toolcall.Splice(f.result, append(unknown, hidden...))
	if err == nil {
		result, err = private(result)
	}
	if err != nil {
		return frame{}, err
	}
	return f.with(f.result, result)
}
