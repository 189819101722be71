package mcpproxy

import (
	"context"
	"net/http"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// question is what an upstream asked the client, and the client was shown.
type question struct {
	call  *toolcall.Call // nil for ping
	shown time.Time
}

// asking names what a server may ask of the client, as policy's request
// selectors do.
var asking = map[string]string{
	"sampling/createMessage": "sampling",
	"elicitation/create":     "elicitation",
	"roots/list":             "roots",
}

// maxAsked bounds the open questions of one session (law 14).
const maxAsked = 64

// question judges a server's request to the client, as a call of its own: denied
// unless a rule allows it, and recorded before the client sees it. ok is false
// when the upstream has its answer already.
func (p *Proxy) question(ctx context.Context, x *exchange, f frame) (_ frame, ok bool) {
	q := &question{shown: p.now()}
	if f.method != "ping" {
		var r *Refusal
		if f, r = p.judgeQuestion(ctx, x, q, f); r != nil {
			p.reject(ctx, x, f, r.Code, r.Reason)
			return frame{}, false
		}
	}
	if x.out.gone() {
		p.reject(ctx, x, f, codeRefused, "the client is not listening any more")
		return frame{}, false
	}
	key := idKey(f.id)
	x.ses.mu.Lock()
	full := len(x.ses.asked) >= maxAsked || x.ses.asked[key] != nil
	if !full {
		x.ses.asked[key] = q
	}
	x.ses.mu.Unlock()
	if full {
		p.reject(ctx, x, f, codeRefused, "too many questions are open in this session")
		return frame{}, false
	}
	return f, true
}

// judgeQuestion decides about a question, records it, and makes it fit to be
// shown.
func (p *Proxy) judgeQuestion(ctx context.Context, x *exchange, q *question, f frame) (frame, *Refusal) {
	call, d, err := x.judge(f.method, f.params)
	if err != nil {
		return f, &Refusal{Stage: "decide", Code: codeInternal, Reason: "internal error of mcpguard", err: err}
	}
	rec := x.record(audit.Intent)
	x.describe(&rec, call, d, f.params)
	if d.Effect != toolcall.Allow {
		rec.Kind, rec.Outcome = audit.Refusal, toolcall.OutcomeRefused
		if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
			return f, unrecorded(err)
		}
		return f, &Refusal{Stage: "decide", Code: codeRefused, Reason: "denied by mcpguard: no rule allows this server to ask for " + call.Name}
	}
	if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
		return f, unrecorded(err)
	}
	q.call = call
	clean, err := x.cleaned(f, asking[f.method] == "")
	if err != nil {
		return f, &Refusal{Stage: "redact", Code: codeRefused, Reason: "the request could not be redacted safely", err: err}
	}
	return clean, nil
}

// cleaned is a server's message with its params redacted. Of a message that the
// protocol does not have, the params are data as a whole.
func (x *exchange) cleaned(f frame, unknown bool) (frame, error) {
	r := x.redact()
	if r.Empty() || f.params.IsZero() {
		return f, nil
	}
	where := surfaceOf(f.params)
	if unknown {
		where.Roots = append(where.Roots, f.params)
	}
	clean, _, err := r.Redact(f.params, where)
	if err != nil {
		return frame{}, err
	}
	return f.rebuilt(f.params, clean)
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

// judge asks policy about something that a server wants of the client.
func (x *exchange) judge(method string, params toolcall.JSON) (*toolcall.Call, toolcall.Decision, error) {
	id, err := toolcall.NewID()
	if err != nil {
		return nil, toolcall.Decision{}, err
	}
	call := &toolcall.Call{ID: id, Caller: x.ses.caller, Session: x.ses.id, Upstream: x.ses.up.Name,
		Kind: toolcall.Request, Name: asking[method], Args: params, Meta: params.Member("_meta"), At: x.p.now()}
	if call.Name == "" {
		call.Kind, call.Name = toolcall.Method, method
	}
	return call, x.snap.Evaluate(call), nil
}

// reject answers a server's request in the client's place.
func (p *Proxy) reject(ctx context.Context, x *exchange, f frame, code int, reason string) {
	answer, err := readFrame(errorReply(f.id, code, reason), x.ses.up.limits)
	if err == nil {
		_, err = x.ses.leg.send(context.WithoutCancel(ctx), outbound{frame: answer, version: x.version, era: x.ses.era})
	}
	if err != nil {
		p.log.Info("reject a request of an upstream", "upstream", x.ses.up.Name, "err", err)
	}
}

// answered takes a client's answer to a question. Only a question that this
// session was asked, and that is still open, has one; its outcome is durable
// before the upstream hears of it.
func (p *Proxy) answered(ctx context.Context, x *exchange) {
	ctx, release := x.lifetime(ctx)
	defer release()
	key := idKey(x.frame.id)
	x.ses.mu.Lock()
	q := x.ses.asked[key]
	delete(x.ses.asked, key)
	x.ses.mu.Unlock()
	if q == nil {
		p.refuse(ctx, x, &Refusal{Stage: "frame", Code: codeInvalidRequest, Status: http.StatusBadRequest,
			Reason: "nothing with this id was asked in this session"})
		return
	}
	if q.call != nil {
		if err := p.finishQuestion(ctx, x, q); err != nil {
			p.fail(ctx, x, err)
			return
		}
	}
	if _, err := x.ses.leg.send(ctx, outbound{frame: x.frame, version: x.version, era: x.ses.era}); err != nil {
		p.fail(ctx, x, err)
		return
	}
	x.out.empty(http.StatusAccepted)
}

func (p *Proxy) finishQuestion(ctx context.Context, x *exchange, q *question) error {
	body, outcome := x.frame.result, toolcall.OutcomeOK
	if body.IsZero() {
		body, outcome = x.frame.err, toolcall.OutcomeError
	}
	rec := x.record(audit.Outcome)
	rec.Call, rec.Target, rec.TargetKind, rec.Outcome = q.call.ID, q.call.Name, q.call.Kind, outcome
	names := x.snap.Redactions(x.ses.caller, x.ses.up.Name, "")
	p.keepResult(&rec, x.snap.Redactor(names), body)
	rec.Stages = []audit.Stage{{Name: "client", Took: p.now().Sub(q.shown)}}
	if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
		return unrecorded(err)
	}
	return nil
}

// asksInput looks at a modern result that asks the client for something first
// (MCP 2026-07-28, multi round-trip requests): each entry is judged like a
// server's request, and the state that the client carries is sealed.
func asksInput(ctx context.Context, x *exchange, f frame) (frame, error) {
	if t, _ := f.parts.resultType.Str(); x.ses.era != modern || t != "input_required" {
		return f, nil
	}
	for m := f.parts.inputRequests.Members(); m.Next(); {
		method, _ := m.Value().Member("method").Str()
		params := m.Value().Member("params")
		call, d, err := x.judge(method, params)
		if err != nil {
			return frame{}, err
		}
		rec := x.record(audit.Event)
		x.describe(&rec, call, d, params)
		if err := x.p.cfg.Record.Put(rec).Wait(ctx); err != nil {
			return frame{}, unrecorded(err)
		}
		if d.Effect != toolcall.Allow {
			return frame{}, &Refusal{Stage: "decide", Reason: "the upstream asked the client for " + cut(call.Name, maxEcho) + ", which no rule allows"}
		}
	}
	state := f.parts.requestState
	plain, ok := state.Str()
	if !ok {
		return f, nil
	}
	return f.with(state, x.seal(purposeState, x.frame.method+" "+x.target(), plain))
}
