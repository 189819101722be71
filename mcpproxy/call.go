package mcpproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// HandleCall is the way of everything that policy judges: the stages, the
// intent, the upstream, the answer.
func (p *Proxy) HandleCall(ctx context.Context, x *exchange) {
	clock := x.started
	for _, s := range stages {
		if err := s.run(ctx, p, x); err != nil {
			p.refuse(ctx, x, err)
			return
		}
		clock = x.took(s.name, clock)
	}
	if err := p.begin(ctx, x); err != nil {
		p.fail(ctx, x, err)
		return
	}
	x.took("record", clock)
	p.forward(ctx, x)
}

// pass forwards a request that policy does not judge by its target: what its
// answer may say is judged on the way back. A caller's words that go upstream are
// recorded like a call.
func (p *Proxy) pass(ctx context.Context, x *exchange) {
	if x.method.record == asCall && !x.frame.bare() {
		if err := p.spare(x.caller.Key()); err != nil {
			p.fail(ctx, x, err)
			return
		}
		p.admitted(ctx, x, x.outside(toolcall.Method, x.frame.method, x.frame.params), x.unruled())
		return
	}
	p.forward(ctx, x)
}

// unruled is the decision about what no rule is asked about.
func (x *exchange) unruled() toolcall.Decision {
	return toolcall.Decision{Effect: toolcall.Allow, Redact: x.snap.Redactions(x.caller, x.ses.up.Name, "")}
}

// admitted forwards a request that was judged beside the stages. From here on it
// is a call: its intent is durable first.
func (p *Proxy) admitted(ctx context.Context, x *exchange, call *toolcall.Call, d toolcall.Decision) {
	if call.ID.IsZero() {
		id, err := toolcall.NewID()
		if err != nil {
			p.fail(ctx, x, fmt.Errorf("make a call id: %w", err))
			return
		}
		call.ID = id
	}
	x.call, x.decision = call, d
	if err := p.begin(ctx, x); err != nil {
		p.fail(ctx, x, err)
		return
	}
	p.forward(ctx, x)
}

// complete judges completion/complete by what is to be completed: a prompt or a
// resource that the caller may not see has no completions.
func (p *Proxy) complete(ctx context.Context, x *exchange) {
	ref := x.frame.params.Member("ref")
	if err := noFoldedNames(ref, refNames); err != nil {
		p.refuse(ctx, x, err)
		return
	}
	call, d := x.completed(ref)
	if call == nil {
		p.refuse(ctx, x, &Refusal{Stage: "find", Code: codeInvalidParams, Hidden: true, Reason: "nothing to complete has that name"})
		return
	}
	p.admitted(ctx, x, call, d)
}

// completed is the call that a ref makes, if the caller may see what it names: a
// prompt that could be had, or a resource template of which some URI could. A
// ref of another type names nothing.
func (x *exchange) completed(ref toolcall.JSON) (*toolcall.Call, toolcall.Decision) {
	kind, member := toolcall.NoKind, ""
	switch t, _ := ref.Member("type").Str(); t {
	case "ref/prompt":
		kind, member = toolcall.Prompt, "name"
	case "ref/resource":
		kind, member = toolcall.Resource, "uri"
	}
	name, _ := ref.Member(member).Str()
	if name == "" || !x.snap.Visible(x.caller, kind, x.ses.up.Name, name) {
		return nil, toolcall.Decision{}
	}
	call := x.outside(kind, name, x.frame.params.Member("argument"))
	if kind == toolcall.Prompt {
		if d := x.snap.Evaluate(x.outside(kind, name, toolcall.JSON{})); d.Effect == toolcall.Deny {
			return nil, toolcall.Decision{}
		}
	}
	return call, x.unruled()
}

// maxSubscribed bounds the resources of one subscription: each is a record.
const maxSubscribed = 256

// subscribe judges each resource of subscriptions/listen. Each verdict is an
// event of the call that the subscription is.
func (p *Proxy) subscribe(ctx context.Context, x *exchange) {
	filter := x.frame.params.Member("notifications")
	uris, err := subscribed(filter)
	if err != nil {
		p.refuse(ctx, x, err)
		return
	}
	if err := x.subscribedTasks(ctx, filter); err != nil {
		p.refuse(ctx, x, err)
		return
	}
	filter = x.frame.params.Member("notifications") // as the upstream will read it
	id, err := toolcall.NewID()
	if err != nil {
		p.fail(ctx, x, fmt.Errorf("make a call id: %w", err))
		return
	}
	verdicts := make([]audit.Record, 0, len(uris))
	for _, uri := range uris {
		call := x.outside(toolcall.Resource, uri, toolcall.JSON{})
		call.ID = id
		d := x.snap.Evaluate(call)
		if d.Effect != toolcall.Allow {
			x.call, x.decision = call, d
			p.refuse(ctx, x, x.unknown())
			return
		}
		rec := x.record(audit.Event)
		x.describe(&rec, call, d, x.frame.params)
		verdicts = append(verdicts, rec)
	}
	commits := make([]*audit.Commit, 0, len(verdicts))
	for _, rec := range verdicts {
		commits = append(commits, p.cfg.Record.Put(rec))
	}
	for _, c := range commits {
		if err := c.Wait(ctx); err != nil {
			p.fail(ctx, x, unrecorded(err))
			return
		}
	}
	call := x.outside(toolcall.Method, x.frame.method, filter)
	call.ID = id
	p.admitted(ctx, x, call, x.unruled())
}

// subscribed are the resources of a filter of subscriptions/listen, which is held
// to what is judged of it.
func subscribed(filter toolcall.JSON) ([]string, error) {
	if t := filter.Type(); t != toolcall.NoType && t != toolcall.ObjectType {
		return nil, badFrame("params.notifications must be an object")
	}
	if err := noFoldedNames(filter, filterNames); err != nil {
		return nil, err
	}
	list := filter.Member("resourceSubscriptions")
	if t := list.Type(); t != toolcall.NoType && t != toolcall.ArrayType {
		return nil, badFrame("resourceSubscriptions must be an array of strings")
	}
	var uris []string
	for e := list.Elements(); e.Next(); {
		uri, ok := e.Value().Str()
		switch {
		case !ok:
			return nil, badFrame("resourceSubscriptions must be an array of strings")
		case len(uris) == maxSubscribed:
			return nil, badFrame("a subscription to more than " + strconv.Itoa(maxSubscribed) + " resources")
		}
		uris = append(uris, uri)
	}
	return uris, nil
}

// forward sends a request upstream and passes on what comes back, to its answer.
func (p *Proxy) forward(ctx context.Context, x *exchange) {
	x.redact() // made here: the answer may come on another goroutine
	x.sent = p.now()
	a, err := x.ses.leg.send(ctx, outbound{frame: x.frame, version: x.version, era: x.ses.era, headers: x.params, room: x.lease})
	if err != nil {
		p.fail(ctx, x, err)
		return
	}
	defer a.close()
	err = p.pump(ctx, a, x, x.alive)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && x.resumable():
		// The upstream closed the connection and keeps the answer: the client
		// comes back for it with Last-Event-ID (MCP 2025-11-25, SEP-1699).
		x.replayed = true
	default:
		p.fail(ctx, x, x.ses.up.broken(err))
	}
}

// resumable reports whether the client can come back for an answer: it was given
// an event id, in a legacy session of a server that keeps events.
func (x *exchange) resumable() bool {
	return x.ses.era == legacy && x.out.stream && x.out.lastID
}

// fail answers a request with an error that is not policy's. A call whose intent
// is in the record gets its outcome there first.
func (p *Proxy) fail(ctx context.Context, x *exchange, err error) {
	if errors.Is(err, errSessionOver) {
		p.sessions.drop(x.ses, "ended by the upstream")
		err = &Refusal{Stage: "session", Code: codeInvalidRequest, Status: http.StatusNotFound, Failed: true, err: err, Reason: errNoSession.Reason}
	}
	r := p.upstreamRefusal(err)
	if !x.settled.CompareAndSwap(false, true) {
		return
	}
	if x.intent != nil {
		outcome := toolcall.OutcomeFailed
		if errors.Is(err, errCancelled) || errors.Is(err, context.Canceled) {
			outcome = toolcall.OutcomeCancelled
		}
		if err := p.finish(x, ending{outcome: outcome, reason: r.Reason}); err != nil {
			r = refusalOf(err)
		}
	}
	p.logRefusal(r)
	p.answer(x, r)
}

// refuse answers a call that the stages refused. The refusal is durable before
// the answer leaves (law 2).
func (p *Proxy) refuse(ctx context.Context, x *exchange, err error) {
	r := p.upstreamRefusal(err)
	if r.Failed || r.Stage == "internal" {
		p.fail(ctx, x, err)
		return
	}
	if !x.settled.CompareAndSwap(false, true) {
		return
	}
	if err := p.recordRefusal(ctx, x, r); err != nil {
		r = refusalOf(err)
		p.logRefusal(r)
	}
	p.answer(x, r)
}

// answer sends a refusal.
func (p *Proxy) answer(x *exchange, r *Refusal) {
	var id toolcall.ID
	if x.call != nil {
		id = x.call.ID
	}
	r = x.refusedAsError(r)
	text, err := r.reply(x.frame.id, x.ses.era, id)
	if err != nil {
		p.log.Error("build a refusal", "err", err)
		text = errorReply(x.frame.id, codeInternal, "internal error of mcpguard")
	}
	x.out.final(r.status(x.ses.era), event{data: text})
}

// upstreamRefusal puts a fault of an upstream into words for the caller.
func (p *Proxy) upstreamRefusal(err error) *Refusal {
	var fault *upstreamError
	switch {
	case errors.As(err, &fault):
		return &Refusal{Stage: "upstream", Code: codeInternal, Status: fault.status, Failed: true, err: err,
			Reason: "upstream " + fault.upstream + " " + fault.what}
	case errors.Is(err, errCancelled), errors.Is(err, context.Canceled):
		return &Refusal{Stage: "upstream", Code: codeInternal, Failed: true, err: err, Reason: "the request was cancelled"}
	case errors.Is(err, errShutdown):
		return &Refusal{Stage: "upstream", Code: codeInternal, Status: http.StatusServiceUnavailable, Failed: true, err: err,
			Reason: "mcpguard is shutting down; whether the call was executed is not known"}
	}
	return refusalOf(err)
}

// errCancelled says that the client cancelled its request.
var errCancelled = errors.New("cancelled by the client")

func (p *Proxy) logRefusal(r *Refusal) {
	if r.Stage == "internal" {
		p.log.Error("internal error", "err", r.err)
		return
	}
	if r.Failed {
		p.log.Warn("call failed", "stage", r.Stage, "err", r)
	}
}
