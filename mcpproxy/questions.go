package mcpproxy

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// question is what an upstream asked the client, and the client was shown.
type question struct {
	call  *toolcall.Call // nil for ping, of which there is no intent
	shown time.Time
}

// maxAsked bounds the open questions of one session (law 14).
const maxAsked = 64

// question judges a server's request to the client, as a call of its own: denied
// unless a rule allows it, and recorded before the client sees it. ok is false
// when the upstream has its answer already.
func (p *Proxy) question(ctx context.Context, x *exchange, f frame) (_ frame, ok bool) {
	if x.out.gone() {
		p.reject(x, f, "the client is not listening any more")
		return frame{}, false
	}
	q := &question{shown: p.now()}
	if !x.ses.ask(f.id, q) {
		p.reject(x, f, "too many questions are open in this session")
		return frame{}, false
	}
	m := p.methods.find(fromServer, request, f.method, x.revision())
	if !f.params.Member("task").IsZero() {
		m = method{name: f.method} // as a task of the client, which mcpguard does not follow
	}
	own, names, err := x.related(ctx, f)
	var clean frame
	if err == nil {
		clean, err = x.cleaned(own, m.sees == byName || m.sees == free, names)
	}
	if err == nil && m.sees != free {
		q.call, err = x.asked(ctx, m, own.params, audit.Intent)
	}
	if err != nil {
		x.ses.answer(f.id)
		p.logRefusal(refusalOf(err))
		p.reject(x, f, "refused by mcpguard: "+p.upstreamRefusal(err).Reason)
		return frame{}, false
	}
	return clean, true
}

// ask books an open question; it is false when there are too many, or one of the
// same id.
func (ses *session) ask(id toolcall.JSON, q *question) bool {
	key := idKey(id)
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if len(ses.questions) >= maxAsked || ses.questions[key] != nil {
		return false
	}
	ses.questions[key] = q
	return true
}

// answer takes the open question with that id out of the book; nil: there is none.
func (ses *session) answer(id toolcall.JSON) *question {
	key := idKey(id)
	ses.mu.Lock()
	defer ses.mu.Unlock()
	q := ses.questions[key]
	delete(ses.questions, key)
	return q
}

// rule asks policy about what does not go through the stages: a question of a
// server, a resource that is subscribed to, a message that the protocol does not
// have. The verdict is durable when it returns: as a record of the given kind
// where it is allowed, else as a refusal, of which by may cause so many (law 14).
func (x *exchange) rule(ctx context.Context, call *toolcall.Call, params toolcall.JSON, kind audit.Kind, by string) (*toolcall.Call, error) {
	id, err := toolcall.NewID()
	if err != nil {
		return nil, fmt.Errorf("make a call id: %w", err)
	}
	call.ID = id
	d := x.charge(call, x.snap.Judge(call))
	rec := x.record(kind)
	x.describe(&rec, call, d, params)
	if d.Effect == toolcall.Allow {
		if err := x.p.cfg.Record.Put(rec).Wait(ctx); err != nil {
			return nil, unrecorded(err)
		}
		return call, nil
	}
	rec.Kind, rec.Outcome = audit.Refusal, toolcall.OutcomeRefused
	if err := x.p.putRefusal(ctx, rec, by); err != nil {
		return nil, err
	}
	reason := "no rule allows "
	if d.RetryAfter > 0 {
		reason = "a limit is used up of "
	}
	return nil, &Refusal{Stage: "decide", Code: codeRefused, Rule: d.Rule, Reason: reason + call.Kind.String() + " " + cut(call.Name, maxEcho)}
}

// misasked refuses, durably, what no rule is asked about: none could allow it.
func (x *exchange) misasked(ctx context.Context, m method, params toolcall.JSON, reason string) error {
	kind, name := toolcall.Method, m.name
	if m.ask != "" {
		kind, name = toolcall.Request, m.ask
	}
	rec := x.record(audit.Refusal)
	x.describe(&rec, x.outside(kind, name, params), toolcall.Decision{Reason: reason}, params)
	rec.Outcome = toolcall.OutcomeRefused
	if err := x.p.putRefusal(ctx, rec, x.ses.up.Name); err != nil {
		return err
	}
	words := cut(m.name, maxEcho) + ": " + reason
	if m.sees == noPlace {
		words = cut(m.name, maxEcho) + " has no place here"
	}
	return &Refusal{Stage: "find", Code: codeMethodNotFound, Reason: words}
}

// asked judges what a server asks of the client: by its kind, and what the
// protocol does not have by its method. The verdict is durable.
func (x *exchange) asked(ctx context.Context, m method, params toolcall.JSON, kind audit.Kind) (*toolcall.Call, error) {
	if err := noFoldedNames(params, askNames); err != nil {
		return nil, x.misasked(ctx, m, params, refusalOf(err).Reason)
	}
	if m.ask == "elicitation" {
		if reason := badElicitation(params); reason != "" {
			return nil, x.misasked(ctx, m, params, reason)
		}
	}
	switch m.sees {
	case byAsk:
		return x.rule(ctx, x.outside(toolcall.Request, m.ask, params), params, kind, x.ses.up.Name)
	case byName:
		return x.rule(ctx, x.outside(toolcall.Method, m.name, params), params, kind, x.ses.up.Name)
	}
	return nil, x.misasked(ctx, m, params, "this message has no place here")
}

// outside is a call that does not go through the stages.
func (x *exchange) outside(kind toolcall.Kind, name string, args toolcall.JSON) *toolcall.Call {
	return &toolcall.Call{Caller: x.caller, Session: x.ses.id, Upstream: x.ses.up.Name,
		Kind: kind, Name: name, Args: args, Meta: args.Member("_meta"), At: x.p.now()}
}

// cleaned is a server's message with its params redacted. Of a message that the
// protocol does not have, the params are data as a whole.
//
// It may be about another call than the one on whose stream it comes: whatever
// applies to this caller at this upstream applies to it, and the profiles named.
func (x *exchange) cleaned(f frame, unknown bool, names []string) (frame, error) {
	r := x.redactorWith(names)
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

// reject answers a server's request in the client's place. A modern server has no
// requests, and nobody may answer it one (MCP 2026-07-28, Streamable HTTP).
func (p *Proxy) reject(x *exchange, f frame, reason string) {
	if x.ses.era == modern {
		return
	}
	ctx, cancel := context.WithTimeoutCause(p.ctx, 2*grace, errIdle) // the client may be gone
	defer cancel()
	answer, err := readFrame(errorReply(f.id, codeRefused, reason), x.ses.up.limits)
	if err == nil {
		_, err = x.ses.leg.send(ctx, outbound{frame: answer, version: x.version, era: x.ses.era})
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
	restored, err := x.restored(ctx)
	if err != nil {
		p.refuse(ctx, x, err)
		return
	}
	q := x.ses.answer(x.frame.id)
	if q == nil {
		p.refuse(ctx, x, &Refusal{Stage: "frame", Code: codeInvalidRequest, Status: http.StatusBadRequest,
			Reason: "nothing with this id was asked in this session"})
		return
	}
	if err := p.finishQuestion(ctx, x, q); err != nil {
		p.fail(x, err)
		return
	}
	if _, err := x.ses.leg.send(ctx, outbound{frame: restored, version: x.version, era: x.ses.era}); err != nil {
		p.fail(x, err)
		return
	}
	x.out.empty(http.StatusAccepted)
}

// finishQuestion makes a client's answer durable. Of a ping's, which nobody judged,
// only what says more than that the client is there.
func (p *Proxy) finishQuestion(ctx context.Context, x *exchange, q *question) error {
	body, outcome := x.frame.result, toolcall.OutcomeOK
	if body.IsZero() {
		body, outcome = x.frame.err, toolcall.OutcomeError
	}
	rec := x.record(audit.Outcome)
	rec.Outcome = outcome
	if q.call != nil {
		rec.Call, rec.Target, rec.TargetKind = q.call.ID, q.call.Name, q.call.Kind
	} else {
		if m := body.Members(); !m.Next() && !x.frame.extra {
			return nil
		}
		if err := p.spare(x.caller.Key()); err != nil {
			return err
		}
		rec.Kind, rec.Method, rec.Effect = audit.Event, "ping", toolcall.Allow
	}
	names := x.snap.Redactions(x.caller, x.ses.up.Name, "")
	p.keepResult(&rec, x.snap.Redactor(names), body)
	rec.Stages = []audit.Stage{{Name: "client", Took: p.now().Sub(q.shown)}}
	if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
		return unrecorded(err)
	}
	return nil
}
