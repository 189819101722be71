package mcpproxy

import (
	"context"
	"math"
	"slices"
	"time"

	"mcpguard/toolcall"
)

// What is kept of one task, and how many.
const (
	maxTaskArgs  = 64 << 10 // bytes of the call's arguments
	maxTaskID    = 512      // bytes of the upstream's id
	maxEndedKept = 1024     // tasks of one caller that have ended, and can be asked for again
)

// mayStart is the stage of calls that may become tasks: where policy could not
// follow one (law 14, and what would have to be kept), a client that asks for one
// is refused, and a server that may choose is not told that it may.
//
// The bound is looked at before the call. Calls that are under way together may
// pass it, as many as one caller may have under way.
func mayStart(ctx context.Context, p *Proxy, x *exchange) error {
	asked, declared := x.frame.params.Member("task"), toolcall.JSON{}
	if x.ses.era == modern {
		declared = x.declaresTasks()
	}
	switch {
	case asked.IsZero() && (declared.IsZero() || x.call.Kind != toolcall.Tool):
		return nil
	case !asked.IsZero() && (x.call.Kind != toolcall.Tool || x.revision() != in20251125):
		return &Refusal{Stage: "task", Code: codeInvalidParams, Reason: "a call as a task has no place here: send it without params.task"}
	case !asked.IsZero() && asked.Type() != toolcall.ObjectType:
		return &Refusal{Stage: "task", Code: codeInvalidParams, Reason: "params.task must be an object"}
	}
	if err := noFoldedNames(asked, taskNames); err != nil {
		return err
	}
	own, all, err := p.cfg.Archive.OpenTasks(ctx, x.owner(), p.now())
	if err != nil {
		return unkept(err)
	}
	reason := ""
	switch {
	case own >= p.cfg.Limits.TasksPerCaller || all >= p.cfg.Limits.Tasks:
		reason = "too many tasks are open: fetch the results of some, or cancel them"
	case x.call.Args.Len() > maxTaskArgs:
		reason = "the arguments of a call as a task may have 64 KiB"
	}
	switch {
	case reason == "":
		x.mayTask = true
		return nil
	case !asked.IsZero():
		return &Refusal{Stage: "task", Code: codeInvalidParams, Reason: reason}
	}
	x.frame, err = x.frame.edited([]toolcall.Edit{{At: declared}})
	return err
}

// starts reports whether an answer makes x's call a task.
func (x *exchange) starts(r resultParts) bool {
	if !x.mayTask {
		return false
	}
	if x.ses.era == legacy {
		return r.task.Type() == toolcall.ObjectType
	}
	kind, _ := r.resultType.Str()
	return kind == "task"
}

// taskStarted keeps the task that an answer tells of, before the client hears of it,
// and gives it an id that is good for this caller alone.
func (x *exchange) taskStarted(ctx context.Context, f frame) (frame, error) {
	body := f.result
	if x.ses.era == legacy {
		body = f.parts.task
	}
	id, ok := body.Member("taskId").Str()
	if !ok || id == "" || len(id) > maxTaskID {
		return frame{}, x.afterwards("task", "it is a task without an id that can be kept", nil)
	}
	now := x.p.now()
	t := &task{id: id, decision: x.decision, Task: toolcall.Task{
		Call: x.call.ID, Session: x.ses.id, Name: x.taskName(id), Owner: x.owner(), Upstream: x.ses.up.Name, Tool: x.call.Name,
		Redact: slices.Clone(x.decision.Redact), Policy: x.snap.Digest(), Began: now, Expires: now.Add(lifeOf(body)),
	}}
	t.Handle = x.sealTask(t.Call, id, t.Expires)
	t.Args = x.sealUntil(purposeTaskArgs, t.Call.String(), x.call.Args.Text(), t.Expires)
	kept, err := x.p.cfg.Archive.KeepTask(ctx, t.Task, maxEndedKept)
	if err != nil {
		return frame{}, unkept(err)
	}
	if kept.Call != t.Call {
		if !x.sameTask(kept, t.Task) {
			// Whose is it? Then it is nobody's: either could read what is the other's.
			if err := x.p.cfg.Archive.DropTask(ctx, kept.Call); err != nil {
				return frame{}, unkept(err)
			}
			return frame{}, x.afterwards("task", "it is a task whose id the upstream has given to another call before", nil)
		}
		t.Task = kept
	}
	x.taskUntil = t.Expires
	x.demandNothing(t.redactions())
	return x.state(ctx, f, body, t, nil)
}

// sameTask reports whether the call of the task a was this one once more: then an
// upstream may have answered with the same task.
func (x *exchange) sameTask(a, b toolcall.Task) bool {
	args, ok := x.unseal(purposeTaskArgs, a.Call.String(), a.Args)
	return ok && args == x.call.Args.Text() && a.Tool == b.Tool && a.Policy == b.Policy && slices.Equal(a.Redact, b.Redact)
}

// lifeOf is how long a task is remembered: as long as the upstream says, but at
// least as long as other handles, for an upstream may give it longer later.
func lifeOf(body toolcall.JSON) time.Duration {
	for _, name := range [...]string{"ttl", "ttlMs"} {
		n, ok := body.Member(name).Number()
		if !ok {
			continue
		}
		ms, _ := n.Float64()
		if ms < 0 || math.IsNaN(ms) || ms > float64(maxTaskLife.Milliseconds()) {
			return maxTaskLife
		}
		return max(handleLife, time.Duration(ms)*time.Millisecond)
	}
	return maxTaskLife
}

// demandNothing makes the redactor of an answer that is no result of a tool: what
// a profile demands of a result is not in it yet.
func (x *exchange) demandNothing(names []string) {
	x.redactor = x.snap.Redactor(x.snap.WithoutDemands(names))
}
