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
	text, out, err := x.release(ctx, f, &end)
	if err != nil {
		end.result, end.findings = redact.Clean{}, nil
		end.outcome, end.reason = toolcall.OutcomeWithheld, p.upstreamRefusal(err).Reason
	}
	x.took("redact", clock)
	if err == nil && x.last != nil {
		of := end
		of.outcome = x.last.outcome
		err = x.taskEnded(p.last, x.task, x.last, of)
	}
	if recorded := p.finish(x, end); recorded != nil {
		err = recorded
	}
	if err != nil {
		r := p.upstreamRefusal(err)
		p.logRefusal(r)
		r = x.refusedAsError(r)
		return p.refusalText(r, x.frame.id, x.ses.era, x.callID()), r.status(x.ses.era)
	}
	return text, x.statusOf(out, status)
}

func outcomeOf(f frame) toolcall.Outcome {
	switch {
	case !f.err.IsZero():
		return toolcall.OutcomeError
	case f.parts.isError.Type() == toolcall.True:
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
	for _, code := range [...]int{codeMethodNotFound, codeHeaderMismatch, codeUnsupportedVersion, codeMissingCapability, codeParse, codeInvalidRequest} {
		if isCode(f.err.Member("code"), int64(code)) {
			return modernStatus(code)
		}
	}
	return status
}

// release makes a response fit to leave, as the text of the client's message.
// Where nothing is changed it is the text that came.
func (x *exchange) release(ctx context.Context, f frame, end *ending) (text string, _ frame, err error) {
	if f, err = x.asAsked(f); err != nil {
		return "", f, err
	}
	if err := x.linksAsked(ctx, f.err); err != nil {
		return "", f, err
	}
	switch {
	case x.task != nil:
		f, err = x.taskAnswered(ctx, f)
	case x.starts(f.parts):
		end.outcome = toolcall.OutcomeTask
		f, err = x.taskStarted(ctx, f)
	case promisesMore(f.parts):
		err = x.afterwards("answer", "it is a task that was not asked for, or a kind of result that mcpguard does not know", nil)
	case asksInput(f.parts):
		f, err = x.inputAsked(ctx, f)
	}
	if err != nil {
		return "", f, err
	}
	if x.method.result != nil && !f.result.IsZero() {
		if f, err = x.method.result(ctx, x, f); err != nil {
			return "", f, err
		}
	}
	x.lease.heavy(f.raw.Len(), func() { text, f, err = x.clean(f, end) })
	return text, f, err
}

// clean is a response as the client gets it: redacted.
func (x *exchange) clean(f frame, end *ending) (text string, _ frame, err error) {
	name, body := "result", f.result
	if body.IsZero() {
		name, body = "error", f.err
	}
	where := f.where
	if !x.redact().Empty() {
		if !f.surveyed {
			where = surfaceOf(body)
		}
		if x.call != nil && x.call.Kind == toolcall.Method {
			where.Roots = append(where.Roots, body) // nobody knows what is in there
		}
	}
	// Envelope members that nobody knows do not come along: a redaction could be
	// evaded through them.
	before := `{"jsonrpc":"2.0","id":` + f.id.Text() + `,"` + name + `":`
	text, kept, findings, err := x.redact().Message(before, body, "}", where)
	if err != nil {
		return "", f, withheld(x, err)
	}
	end.result, end.findings = kept, findings
	switch {
	case text != "":
		return text, f, nil
	case !f.extra || x.redact().Empty():
		return f.raw.Text(), f, nil
	}
	return before + body.Text() + "}", f, nil
}

// promisesMore reports whether a result is not the last word: what is said later
// would come by a road that is not guarded.
func promisesMore(r resultParts) bool {
	kind, _ := r.resultType.Str()
	switch kind {
	case "", "complete", "input_required":
		return !r.task.IsZero() && r.content.IsZero()
	}
	return true
}

// asAsked gives a response the id of the request, where an upstream answered an
// unreadable request without one.
func (x *exchange) asAsked(f frame) (frame, error) {
	if f.id.Type() != toolcall.Null {
		return f, nil
	}
	return f.with(f.id, x.frame.id)
}

// withheld is the answer in the place of a result that could not be made safe.
func withheld(x *exchange, err error) error {
	var w *redact.Withheld
	if !errors.As(err, &w) {
		return err
	}
	return x.afterwards("redact", "it could not be redacted safely", w)
}

// afterwards refuses an answer after the call was executed.
func (x *exchange) afterwards(stage, reason string, err error) *Refusal {
	r := &Refusal{Stage: stage, Reason: reason, Ran: true, err: err}
	if x.call == nil || x.call.Kind != toolcall.Tool || x.frame.method != "tools/call" {
		r.Code = codeInternal
		r.Reason = r.text()
	}
	return r
}

func (x *exchange) callID() toolcall.ID {
	if x.call == nil {
		return toolcall.ID{}
	}
	return x.call.ID
}
