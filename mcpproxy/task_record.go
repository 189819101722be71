package mcpproxy

import (
	"context"
	"strings"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// taskEnded makes durable how a task ended, as an outcome of the call that made
// it, the first time that an upstream says so. Whoever was told twice at once, or
// before a crash in between, is in the record twice.
func (x *exchange) taskEnded(ctx context.Context, t *task, what *said, end ending) error {
	if what != nil && what.outcome != toolcall.OutcomeUnknown { // over, though its result may not be told yet
		x.p.cfg.Limiter.Settle(t.Call, toolcall.Settlement{Outcome: what.outcome, At: x.p.now()})
	}
	if what == nil || !what.ended || t.Ended {
		return nil
	}
	who := x.caller
	who.Groups = nil
	rec := audit.Record{
		Kind: audit.Outcome, Session: t.Session, Call: t.Call, At: x.p.now(), Caller: who, Upstream: t.Upstream, Target: t.Tool,
		TargetKind: toolcall.Tool, Method: cut(x.frame.method, maxName), Outcome: what.outcome, Findings: end.findings,
		ResultSize: end.raw.Len(),
	}
	x.p.keep(&rec, end.result, end.raw)
	if err := x.p.cfg.Record.Put(rec).Wait(ctx); err != nil {
		return unrecorded(err)
	}
	if err := x.p.cfg.Archive.EndTask(ctx, t.Call); err != nil {
		return unkept(err)
	}
	return nil
}

// describeTask makes a record tell of a request about a task: the call that made
// the task, and how policy judged that call.
func (x *exchange) describeTask(rec *audit.Record) {
	rec.Task = x.task.Call
	if x.call.Args.IsZero() || x.p.cfg.Keep.Args != KeepRedacted || x.call.Args.Len() > maxKeptArgs {
		return
	}
	// What a person filled in for an upstream stands under names of their own.
	var where redact.Surface
	for m := x.call.Args.Members(); m.Next(); {
		answer := surfaceOfAnswer(m.Value())
		where.Roots = append(where.Roots, answer.Roots...)
		where.Texts = append(where.Texts, answer.Texts...)
		where.Blobs = append(where.Blobs, answer.Blobs...)
	}
	clean, _, err := x.snap.Redactor(x.snap.WithoutDemands(x.decision.Redact)).Clean(x.call.Args, where)
	if err != nil {
		clean = redact.Public(`"[withheld: the answers could not be redacted safely]"`)
	}
	rec.Args = clean
}

// refusedAsError is a refusal of a call that was asked for as a task: a result of
// the tool is no answer to that (MCP 2025-11-25, Tasks, "Protocol Errors").
func (x *exchange) refusedAsError(r *Refusal) *Refusal {
	if r.Code != 0 || x.ses.era != legacy || x.frame.params.Member("task").IsZero() {
		return r
	}
	plain := *r
	plain.Code, plain.Reason = codeInvalidParams, strings.TrimSpace(r.text())
	return &plain
}
