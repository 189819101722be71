package mcpproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"mcpguard/toolcall"
)

// HandleCall is the way of everything that policy judges: the stages, the
// intent, the upstream, the answer.
func (p *Proxy) HandleCall(ctx context.Context, x *exchange) {
	x.out.keepAlive(p.cfg.Limits.KeepAlive) // it may be held
	clock := x.started
	for _, s := range stages {
		if err := s.run(ctx, p, x); err != nil {
			p.refuse(ctx, x, err)
			return
		}
		clock = x.took(s.name, clock)
	}
	if err := p.recordInputs(ctx, x); err != nil {
		p.fail(x, err)
		return
	}
	if err := p.begin(ctx, x); err != nil {
		p.fail(x, err)
		return
	}
	x.took("record", clock)
	p.forward(ctx, x)
}

// pass forwards a request that policy does not judge by its target: what its
// answer may say is judged on the way back. A caller's words that go upstream are
// recorded first: as a call, or, where they only say who asks, as an event.
func (p *Proxy) pass(ctx context.Context, x *exchange) {
	words := x.method.record == asCall && !x.frame.bare() || x.method.record == asList && !x.frame.terse()
	if words {
		if err := p.spare(x.caller.Key()); err != nil {
			p.fail(x, err)
			return
		}
		p.admitted(ctx, x, x.outside(toolcall.Method, x.frame.method, x.frame.params), x.unruled())
		return
	}
	if err := p.recordRemark(ctx, x); err != nil {
		p.fail(x, err)
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
			p.fail(x, fmt.Errorf("make a call id: %w", err))
			return
		}
		call.ID = id
	}
	x.call, x.decision = call, d
	if err := p.begin(ctx, x); err != nil {
		p.fail(x, err)
		return
	}
	p.forward(ctx, x)
}

// forward sends a request upstream and passes on what comes back, to its answer.
func (p *Proxy) forward(ctx context.Context, x *exchange) {
	x.redact() // made here: the answer may come on another goroutine
	x.sent = p.now()
	x.out.keepAlive(p.cfg.Limits.KeepAlive)
	a, err := x.ses.leg.send(ctx, outbound{frame: x.frame, version: x.version, era: x.ses.era, headers: x.params, room: x.lease})
	if err != nil {
		p.fail(x, err)
		return
	}
	err = p.pump(ctx, a, x, x.alive)
	a.close()
	for x.canGoBack(ctx, err) {
		err = p.goBack(ctx, x)
	}
	if err != nil {
		p.fail(x, x.ses.up.broken(err))
	}
}

// fail answers a request with an error that is not policy's. A call whose intent
// is in the record gets its outcome there first, whoever has given up waiting.
func (p *Proxy) fail(x *exchange, err error) {
	if errors.Is(err, errSessionOver) {
		p.sessions.drop(x.ses, "ended by the upstream")
		err = &Refusal{Stage: "session", Code: codeInvalidRequest, Status: http.StatusNotFound, Failed: true, err: err, Reason: errNoSession.Reason}
	}
	r := p.upstreamRefusal(err)
	if !x.settled.CompareAndSwap(false, true) {
		return
	}
	if x.intent == nil {
		x.settleLimits(toolcall.Settlement{Outcome: toolcall.OutcomeRefused})
	} else {
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
		p.fail(x, err)
		return
	}
	if !x.settled.CompareAndSwap(false, true) {
		return
	}
	x.settleLimits(toolcall.Settlement{Outcome: toolcall.OutcomeRefused})
	if err := p.recordRefusal(ctx, x, r); err != nil {
		r = refusalOf(err)
		p.logRefusal(r)
	}
	p.answer(x, r)
}

// answer sends a refusal.
func (p *Proxy) answer(x *exchange, r *Refusal) {
	r = x.refusedAsError(r)
	if r.Stage != "upstream" { // its fault is not the caller's
		p.await(x.out.ctx, x.caller)
	}
	x.out.final(r.status(x.ses.era), p.refusalText(r, x.frame.id, x.ses.era, x.callID()), x.snap.Digest())
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
