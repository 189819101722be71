package mcpproxy

import (
	"context"
	"fmt"
	"strings"

	"mcpguard/toolcall"
)

// followTask serves the requests about one task: tasks/get, tasks/result,
// tasks/cancel and tasks/update. Each is a call of its own in the record, tied to
// the one that made the task.
func (p *Proxy) followTask(ctx context.Context, x *exchange) {
	if err := x.findTask(ctx); err != nil {
		p.refuse(ctx, x, err)
		return
	}
	if err := p.begin(ctx, x); err != nil {
		p.fail(x, err)
		return
	}
	p.forward(ctx, x)
}

// findTask puts the upstream's own id in the place of the client's.
func (x *exchange) findTask(ctx context.Context) error {
	if err := x.needsTasks(); err != nil {
		return err
	}
	at := x.frame.params.Member("taskId")
	handle, ok := at.Str()
	if !ok {
		return badFrame("params.taskId must be a string")
	}
	t, err := x.taskOf(ctx, handle)
	switch {
	case err != nil:
		return err
	case t == nil:
		return noTask()
	}
	id, err := toolcall.NewID()
	if err != nil {
		return fmt.Errorf("make a call id: %w", err)
	}
	input := x.frame.params.Member("inputResponses")
	if !input.IsZero() && (x.frame.method != "tasks/update" || input.Type() != toolcall.ObjectType) {
		return badFrame("params.inputResponses must be an object, and of tasks/update")
	}
	if err := x.onlyAsked(t, input); err != nil {
		return err
	}
	x.frame, err = x.frame.with(at, toolcall.Quote(t.id))
	if err != nil {
		return err
	}
	x.task, x.decision = t, t.decision
	x.decision.Redact = t.redactions()
	x.call = &toolcall.Call{ID: id, Caller: x.caller, Session: x.ses.id, Upstream: x.ses.up.Name, Kind: toolcall.Tool, Name: t.Tool,
		Args: x.frame.params.Member("inputResponses"), Meta: x.frame.meta(), At: x.started}
	if x.frame.method == "tasks/update" {
		return hold(ctx, x.p, x) // what a person should agree to gets no more input without
	}
	return nil
}

// taskAnswered makes the answer about a task fit to leave. The policy may have
// changed while it was waited for: then the task is judged again, and both apply.
func (x *exchange) taskAnswered(ctx context.Context, f frame) (frame, error) {
	if snap := x.p.cfg.Judge.Current(); snap.Digest() != x.snap.Digest() {
		before := x.task.redactions()
		x.snap = snap
		t, err := x.judgeTask(ctx, x.task.Task, x.task.id)
		switch {
		case err != nil:
			return frame{}, err
		case t == nil:
			return frame{}, x.afterwards("decide", "the policy that is in force now denies it", nil)
		}
		t.Redact = before
		x.task = t
		x.redactor = snap.Redactor(t.redactions())
	}
	t := x.task
	if !f.err.IsZero() {
		switch {
		case x.frame.method != "tasks/result":
			x.demandNothing(t.redactions())
		case !unknownTask(f.err):
			x.last = &said{ended: true, outcome: toolcall.OutcomeError}
		}
		return x.withHandle(f)
	}
	if promisesMore(f.parts) {
		return frame{}, x.afterwards("task", "it is no last word", nil)
	}
	meta := f.result.Member("_meta")
	switch {
	case x.frame.method == "tasks/result":
		if asksInput(f.parts) {
			return frame{}, x.afterwards("task", "it is no last word", nil)
		}
		x.last = &said{ended: true, outcome: outcomeOf(f)}
		f, err := f.edited(relatedEdits(meta, t))
		return f, err
	case x.frame.method != "tasks/get" && f.result.Member("taskId").IsZero(): // an acknowledgement (extension)
		if reason := noAcknowledgement(f); reason != "" {
			return frame{}, x.afterwards("task", reason, nil)
		}
		x.demandNothing(t.redactions())
		return x.surveyed(f, relatedEdits(meta, t))
	}
	x.last = &said{}
	f, err := x.state(ctx, f, f.result, t, x.last)
	if err == nil && x.last.result.IsZero() {
		x.demandNothing(t.redactions())
	}
	return f, err
}

// noAcknowledgement says why the answer to tasks/update or tasks/cancel is more
// than an acknowledgement; "" is nothing. What it asks the client for would be
// judged by nobody, and the tasks that it tells of would have the upstream's ids.
func noAcknowledgement(f frame) (reason string) {
	if err := noFoldedNames(f.result, taskNames); err != nil {
		return "it has " + refusalOf(err).Reason
	}
	if asksInput(f.parts) || !f.parts.task.IsZero() || !f.result.Member("tasks").IsZero() {
		return "it is no acknowledgement of a request about a task"
	}
	return ""
}

// withHandle puts the client's id in the place of the upstream's in the message of
// an error: servers quote the id that they were asked for. A short id could be a
// part of any word, and stays.
func (x *exchange) withHandle(f frame) (frame, error) {
	message := f.err.Member("message")
	text, ok := message.Str()
	if !ok || len(x.task.id) < minQuotedID || !strings.Contains(text, x.task.id) {
		return f, nil
	}
	return f.with(message, toolcall.Quote(strings.ReplaceAll(text, x.task.id, x.task.Handle)))
}

// minQuotedID is the length from which an id is known when it is quoted.
const minQuotedID = 8

// unknownTask reports whether an error says that the upstream does not know the
// task (any more): how it ended stays unknown.
func unknownTask(failed toolcall.JSON) bool {
	n, ok := failed.Member("code").Number()
	code, _ := toolcall.Integer(codeInvalidParams).Number()
	return ok && n.Comparable() && n.Compare(code) == 0
}
