package mcpproxy

import (
	"context"
	"errors"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// noticeOfTask makes an upstream's word about a task fit for the client. ok is
// false when the task is not the caller's, and when it cannot be made safe. How
// the task ended is in the record before the client hears of it.
func (p *Proxy) noticeOfTask(ctx context.Context, x *exchange, f frame) (_ frame, ok bool) {
	f, err := x.taskNotice(ctx, f)
	if err != nil {
		if !errors.Is(err, errNotTheirs) {
			p.log.Warn("a notification of a task is withheld", "upstream", x.ses.up.Name, "err", err)
		}
		return frame{}, false
	}
	return f, true
}

// errNotTheirs says that a task is none of the caller's.
var errNotTheirs = errors.New("the task is none of the caller's")

func (x *exchange) taskNotice(ctx context.Context, f frame) (frame, error) {
	id, _ := f.params.Member("taskId").Str()
	t, err := x.taskNamed(ctx, id)
	switch {
	case err != nil:
		return frame{}, err
	case t == nil:
		return frame{}, errNotTheirs
	}
	var what said
	if f, err = x.state(ctx, f, f.params, t, &what); err != nil {
		return frame{}, err
	}
	names := t.redactions()
	if what.result.IsZero() {
		names = x.snap.WithoutDemands(names)
	}
	names = append(names, x.snap.Redactions(x.caller, x.ses.up.Name, "")...)
	clean, kept, findings, err := x.snap.Redactor(names).Both(f.params, f.where)
	if err != nil {
		return frame{}, err
	}
	end := ending{outcome: what.outcome, result: kept, raw: f.params, findings: findings}
	if err := x.taskEnded(ctx, t, &what, end); err != nil {
		return frame{}, err
	}
	return f.rebuilt(f.params, clean)
}

// related makes a message fit for the client that an upstream ties to a task: the
// client's id stands in the place of the upstream's, and what applied to the call
// that made the task applies to the message. A message that belongs to a task of
// somebody else is not for this client.
func (x *exchange) related(ctx context.Context, f frame) (_ frame, names []string, err error) {
	at := f.params.Member("_meta").Member(relatedTask)
	if at.IsZero() {
		return f, nil, nil
	}
	id, _ := at.Member("taskId").Str()
	t, err := x.taskNamed(ctx, id)
	switch {
	case err != nil:
		return frame{}, nil, err
	case t == nil:
		return frame{}, nil, errNotTheirs
	}
	f, err = f.edited(relatedEdits(f.params.Member("_meta"), t))
	return f, x.snap.WithoutDemands(t.redactions()), err
}

// relatedEdits gives the member of _meta that ties an answer to the task t the
// client's id. One that names another task says nothing that the client may know.
func relatedEdits(meta toolcall.JSON, t *task) []toolcall.Edit {
	at := meta.Member(relatedTask)
	if at.IsZero() {
		return nil
	}
	id := at.Member("taskId")
	if name, ok := id.Str(); !ok || name != t.id {
		return []toolcall.Edit{{At: at}}
	}
	return []toolcall.Edit{{At: id, With: toolcall.Quote(t.Handle)}}
}

// acknowledged gives the tasks of which an upstream will tell the client's ids.
func (p *Proxy) acknowledged(ctx context.Context, x *exchange, f frame) (_ frame, ok bool) {
	var edits []toolcall.Edit
	ids := f.params.Member("notifications").Member("taskIds")
	for e := ids.Elements(); e.Next() && len(edits) < maxTasksNamed; {
		id, _ := e.Value().Str()
		edit := toolcall.Edit{At: e.Value()}
		t, err := x.taskNamed(ctx, id)
		if err != nil {
			p.log.Warn("a task is not acknowledged", "upstream", x.ses.up.Name, "err", err)
		}
		if t != nil {
			edit.With = toolcall.Quote(t.Handle)
		}
		edits = append(edits, edit)
	}
	if len(edits) == maxTasksNamed || !ids.IsZero() && ids.Type() != toolcall.ArrayType {
		edits = []toolcall.Edit{{At: ids}}
	}
	f, err := f.edited(edits)
	if err == nil {
		f, err = x.cleaned(f, false, nil)
	}
	if err != nil {
		p.log.Warn("a notification is withheld", "upstream", x.ses.up.Name, "err", err)
		return frame{}, false
	}
	return f, true
}

// restored is a client's message with the upstream's id in it, where it belongs to
// a task. With a task of anybody else, and with one that is none, it goes nowhere.
func (x *exchange) restored(ctx context.Context) (frame, error) {
	meta := x.frame.params.Member("_meta")
	if x.frame.kind == response {
		meta = x.frame.result.Member("_meta")
	}
	at := meta.Member(relatedTask)
	if at.IsZero() {
		return x.frame, nil
	}
	handle, _ := at.Member("taskId").Str()
	t, err := x.taskOf(ctx, handle)
	switch {
	case err != nil:
		return frame{}, err
	case t == nil:
		return frame{}, noTask()
	}
	return x.frame.with(at.Member("taskId"), toolcall.Quote(t.id))
}

// redactorWith is the redactor of what is said beside answers, and of more.
func (x *exchange) redactorWith(names []string) *redact.Redactor {
	if len(names) == 0 {
		return x.redactAll()
	}
	return x.snap.Redactor(append(names, x.snap.Redactions(x.caller, x.ses.up.Name, "")...))
}
