package mcpproxy

import (
	"context"

	"mcpguard/toolcall"
)

// maxTasksNamed bounds the tasks that one message may name: each is looked up.
const maxTasksNamed = 1000

// tasksListed leaves the caller's own tasks in a page of tasks/list.
func tasksListed(ctx context.Context, x *exchange, f frame) (frame, error) {
	list := f.result.Member("tasks")
	if list.Type() != toolcall.ArrayType {
		return frame{}, &upstreamError{upstream: x.ses.up.Name, what: "sent a list without the array tasks"}
	}
	if err := noFoldedNames(f.result, taskNames); err != nil {
		return frame{}, &upstreamError{upstream: x.ses.up.Name, what: "sent a list of tasks that cannot be read: " + refusalOf(err).Reason}
	}
	var edits []toolcall.Edit
	names := x.snap.Redactions(x.caller, x.ses.up.Name, "")
	shown, hidden := 0, 0
	for e := list.Elements(); e.Next(); {
		if shown+hidden >= maxTasksNamed {
			return frame{}, &upstreamError{upstream: x.ses.up.Name, what: "lists too many tasks on one page"}
		}
		at := e.Value().Member("taskId")
		t, err := x.listedTask(ctx, e.Value(), at)
		if err != nil {
			return frame{}, err
		}
		if t == nil {
			hidden++
			edits = append(edits, toolcall.Edit{At: e.Value()})
			continue
		}
		shown++
		names = append(names, t.redactions()...)
		edits = append(edits, toolcall.Edit{At: at, With: toolcall.Quote(t.Handle)})
	}
	f, err := x.surveyed(f, edits)
	if err != nil {
		return frame{}, err
	}
	result, err := x.sealCursor(f.result, f.result.Member("nextCursor"))
	if err != nil {
		return frame{}, err
	}
	if err := x.p.recordList(ctx, x, shown, hidden); err != nil {
		return frame{}, err
	}
	x.demandNothing(names)
	if f, err = f.with(f.result, result); err != nil {
		return frame{}, err
	}
	return x.surveyed(f, nil)
}

// listedTask is the caller's task that an item of a list tells of; nil: nobody's
// business.
func (x *exchange) listedTask(ctx context.Context, item, at toolcall.JSON) (*task, error) {
	id, ok := at.Str()
	for m := item.Members(); m.Next(); {
		switch m.Name() {
		case "result", "error", "inputRequests": // which a list does not have
			return nil, nil
		}
		ok = ok && foldsTo(taskNames, m.Name()) == ""
	}
	if !ok {
		return nil, nil
	}
	return x.taskNamed(ctx, id)
}

// subscribedTasks puts the upstream's ids in the place of those that a client
// subscribes to with subscriptions/listen (extension, "Task Status Notifications").
func (x *exchange) subscribedTasks(ctx context.Context, filter toolcall.JSON) error {
	ids := filter.Member("taskIds")
	if ids.IsZero() {
		return nil
	}
	if err := x.needsTasks(); err != nil {
		return err
	}
	if ids.Type() != toolcall.ArrayType {
		return badFrame("taskIds must be an array of strings")
	}
	var edits []toolcall.Edit
	for e := ids.Elements(); e.Next(); {
		handle, ok := e.Value().Str()
		if !ok || len(edits) == maxTasksNamed {
			return badFrame("taskIds must be an array of at most 1000 strings")
		}
		t, err := x.taskOf(ctx, handle)
		switch {
		case err != nil:
			return err
		case t == nil:
			return noTask()
		}
		edits = append(edits, toolcall.Edit{At: e.Value(), With: toolcall.Quote(t.id)})
	}
	var err error
	x.frame, err = x.frame.edited(edits)
	return err
}
