package mcpproxy

import (
	"context"
	"time"

	"mcpguard/toolcall"
)

// limit takes what the call needs of the limits of its decision, before anything
// is forwarded. A limit that is used up denies; no other rule is asked.
func limit(_ context.Context, p *Proxy, x *exchange) error {
	if len(x.decision.Limits) == 0 {
		return nil
	}
	d := p.cfg.Limiter.Reserve(x.call, x.decision, x.resumes, p.now())
	x.decision = d
	if d.Effect != toolcall.Deny {
		x.reserved = true
		return nil
	}
	r := &Refusal{Stage: "limit", File: d.File, Line: d.Line, recorded: d.Reason}
	r.Rule, r.Reason, _ = d.Told()
	if d.Explain != toolcall.ExplainNothing {
		r.RetryAfter = d.RetryAfter
	}
	if x.call.Kind != toolcall.Tool {
		r.Code = codeInvalidParams // only tools/call has results that are errors
		r.Reason = r.text()
	}
	return r
}

// settleLimits tells how a call ended that has taken of limits. Of one that was
// refused behind the limits, or never forwarded, everything is given back. It may
// be told twice: the first counts.
func (x *exchange) settleLimits(how toolcall.Settlement) {
	if !x.reserved {
		return
	}
	how.At = x.p.now()
	how.Until = x.taskUntil
	how.More = x.asksMore && how.Outcome == toolcall.OutcomeOK
	x.p.cfg.Limiter.Settle(x.call.ID, how)
}

// charge counts a message that is judged beside the stages, and ends with its
// verdict.
func (x *exchange) charge(call *toolcall.Call, d toolcall.Decision) toolcall.Decision {
	if d.Effect != toolcall.Allow || len(d.Limits) == 0 {
		return d
	}
	at := x.p.now()
	charged := x.p.cfg.Limiter.Reserve(call, d, toolcall.ID{}, at)
	x.p.cfg.Limiter.Settle(call.ID, toolcall.Settlement{Outcome: toolcall.OutcomeOK, At: at})
	return charged
}

// seconds is a wait in whole seconds, rounded up (RFC 9110, section 10.2.3).
func seconds(wait time.Duration) int64 { return int64((wait + time.Second - 1) / time.Second) }
