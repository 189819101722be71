package mcpproxy

import (
	"context"
	"errors"
	"net/http"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// ending is how a call ended, for the record.
type ending struct {
	outcome  toolcall.Outcome
	reason   string        // our words, where there is no result
	result   redact.Clean  // what the client is given, redacted
	raw      toolcall.JSON // what the upstream said; only its size and keyed digest are kept
	findings []redact.Finding
}

// settle turns the upstream's response to x into the client's: changed where the
// method demands it, redacted, and its outcome durable before it leaves (law 2).
// It returns the message and its HTTP status; a second response to one request
// is nothing.
func (p *Proxy) settle(ctx context.Context, x *exchange, f frame, status int) (text string, _ int) {
	if !x.settled.CompareAndSwap(false, true) {
		p.log.Warn("an upstream answered a request twice", "upstream", x.ses.up.Name)
		return "", 0
	}
	clock := x.took("upstream", x.sent)
	end := ending{outcome: outcomeOf(f), raw: f.result}
	if f.result.IsZero() {
		end.raw = f.err
	}
	out, err := x.release(ctx, f, &end)
	if err != nil {
		end.result, end.findings = redact.Clean{}, nil
		end.outcome, end.reason = toolcall.OutcomeWithheld, p.upstreamRefusal(err).Reason
	}
	x.took("redact", clock)
	if recorded := p.finish(ctx, x, end); recorded != nil {
		err = recorded
	}
	if err != nil {
		r := p.upstreamRefusal(err)
		p.logRefusal(r)
		text, err := r.reply(x.frame.id, x.ses.era, x.callID())
		if err != nil {
			text = errorReply(x.frame.id, codeInternal, "internal error of mcpguard")
		}
		return text, r.status(x.ses.era)
	}
	return out.raw.Text(), x.statusOf(out, status)
}

func outcomeOf(f frame) toolcall.Outcome {
	switch {
	case !f.err.IsZero():
		return toolcall.OutcomeError
	case f.result.Member("isError").Type() == toolcall.True:
		return toolcall.OutcomeToolError
	}
	return toolcall.OutcomeOK
}

// statusOf is the HTTP status of an answer. What came over stdio has none: modern
// HTTP ties some codes to one.
func (x *exchange) statusOf(f frame, status int) int {
	if x.ses.era != modern || status != http.StatusOK || f.err.IsZero() {
		return status
	}
	if n, ok := f.err.Member("code").Number(); ok {
		for _, code := range [...]int{codeMethodNotFound, codeHeaderMismatch, codeUnsupportedVersion, codeMissingCapability, codeParse, codeInvalidRequest} {
			if c, _ := toolcall.Integer(int64(code)).Number(); n.Comparable() && n.Compare(c) == 0 {
				return modernStatus(code)
			}
		}
	}
	return status
}

// release makes a response fit to leave.
func (x *exchange) release(ctx context.Context, f frame, end *ending) (frame, error) {
	f, err := x.asAsked(f)
	if err != nil {
		return frame{}, err
	}
	if err := noTask(f.result); err != nil {
		return frame{}, err
	}
	if x.method.result != nil && !f.result.IsZero() {
		if f, err = x.method.result(ctx, x, f); err != nil {
			return frame{}, err
		}
	}
	body := f.result
	if body.IsZero() {
		body = f.err
	}
	var where redact.Surface
	if !x.redact().Empty() {
		where = surfaceOf(body)
	}
	clean, text, findings, err := x.redact().Both(body, where)
	if err != nil {
		return frame{}, withheld(x, err)
	}
	end.result, end.findings = text, findings
	if x.redact().Empty() {
		return f, nil
	}
	return f.rebuilt(body, clean)
}

// noTask refuses a result that only promises one: what the task will say later
// comes by a road that is not guarded.
func noTask(result toolcall.JSON) error {
	kind, _ := result.Member("resultType").Str()
	switch kind {
	case "", "complete", "input_required":
		if result.Member("task").IsZero() || !result.Member("content").IsZero() {
			return nil
		}
	}
	return &Refusal{Stage: "answer", Reason: "the upstream answered with a task, or with a kind of result that mcpguard does not know"}
}

// asAsked gives a response the id of the request, where an upstream answered an
// unreadable request without one.
func (x *exchange) asAsked(f frame) (frame, error) {
	if f.id.Type() != toolcall.Null {
		return f, nil
	}
	return f.with(f.id, x.frame.id)
}

// rebuilt is the message with one part replaced, and without envelope members
// that nobody knows: a redaction could be evaded through them.
func (f frame) rebuilt(part, with toolcall.JSON) (frame, error) {
	edits := []toolcall.Edit{{At: part, With: with}}
	for m := f.raw.Members(); m.Next(); {
		switch m.Name() {
		case "jsonrpc", "id", "method", "params", "result", "error":
		default:
			edits = append(edits, toolcall.Edit{At: m.Value()})
		}
	}
	return f.edited(edits)
}

// withheld is the answer in the place of a result that could not be made safe.
func withheld(x *exchange, err error) error {
	var w *redact.Withheld
	if !errors.As(err, &w) {
		return err
	}
	r := &Refusal{Stage: "redact", Reason: "the result is withheld: it could not be redacted safely", err: w}
	if x.call == nil || x.call.Kind != toolcall.Tool {
		r.Code = codeInternal
	}
	return r
}

func (x *exchange) callID() toolcall.ID {
	if x.call == nil {
		return toolcall.ID{}
	}
	return x.call.ID
}
