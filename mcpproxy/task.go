package mcpproxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// A task is a call that its upstream goes on with after the first answer: by
// params.task in MCP 2025-11-25 (Tasks), at the server's choice with the extension
// io.modelcontextprotocol/tasks of 2026-07-28.
//
//	task_start.go   a call may become one, and does
//	task_asks.go    what it asked for, and the answers
//	task_serve.go   tasks/get, tasks/result, tasks/cancel, tasks/update
//	task_state.go   what an upstream says of one, wherever it says it
//	task_list.go    tasks/list, and subscriptions
//	task_notice.go  notifications, and messages that belong to one
//	task_record.go  how one ended
//
// What is said about a task is judged as the call that made it, by the policy in
// force: that call's caller, tool and arguments. Who may not make the call any
// more has no such task. The profiles that applied then apply beside those of now.

// Purposes of seals and of keyed digests.
const (
	purposeTask     = "task"      // the id that a client is given
	purposeTaskArgs = "task-args" // what is kept of the call
	purposeTaskKeys = "task-keys" // under which it asked for something
	digestTask      = "task"      // names a task by what its upstream calls it
	digestOwner     = "task-owner"
)

// maxTaskLife ends a task that its upstream does not end.
const maxTaskLife = 7 * 24 * time.Hour

// relatedTask is the member of _meta that ties a message to a task (MCP
// 2025-11-25, Tasks, "Related Task Metadata").
const relatedTask = mcp.RelatedTaskMetaKey

// task is a task as a request of its owner sees it.
type task struct {
	toolcall.Task
	id       string            // as the upstream has it
	decision toolcall.Decision // of today's policy about the call that made it
}

// redactions are the profiles that applied to the call when it was made, and
// those that apply now.
func (t *task) redactions() []string {
	names := slices.Clone(t.decision.Redact)
	for _, name := range t.Redact {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (x *exchange) owner() toolcall.Digest {
	return x.p.cfg.Keys.MAC(digestOwner, []byte(x.caller.Key()), []byte(x.caller.Client))
}

// taskName is the keyed digest of a task's name at its upstream. A server process
// names its tasks for itself: another one may use the same names.
func (x *exchange) taskName(id string) toolcall.Digest {
	scope := []byte(nil)
	if x.ses.up.URL == "" {
		scope = x.ses.id[:]
	}
	return x.p.cfg.Keys.MAC(digestTask, []byte(x.ses.up.Name), scope, []byte(id))
}

// sealTask is a task's id as its owner gets it. It holds the call that made the
// task, so that an id that an upstream uses again does not lead to another task.
func (x *exchange) sealTask(call toolcall.ID, id string, until time.Time) string {
	return x.sealUntil(purposeTask, "", string(call[:])+id, until)
}

// taskOf is the caller's task with the id that they were given; nil is none. The
// error is mcpguard's or the upstream's, never the caller's.
func (x *exchange) taskOf(ctx context.Context, handle string) (*task, error) {
	plain, ok := x.unseal(purposeTask, "", handle)
	var call toolcall.ID
	if !ok || len(plain) <= len(call) {
		return nil, nil
	}
	id := plain[copy(call[:], plain):]
	kept, ok, err := x.p.cfg.Archive.TaskOf(ctx, call)
	if err != nil {
		return nil, unkept(err)
	}
	if !ok || kept.Name != x.taskName(id) {
		return nil, nil
	}
	return x.judgeTask(ctx, kept, id)
}

// taskNamed is the caller's task that the upstream means by an id; nil is none.
func (x *exchange) taskNamed(ctx context.Context, id string) (*task, error) {
	kept, ok, err := x.p.cfg.Archive.TaskNamed(ctx, x.taskName(id))
	if err != nil {
		return nil, unkept(err)
	}
	if !ok {
		return nil, nil
	}
	return x.judgeTask(ctx, kept, id)
}

// judgeTask is a task, if it is the caller's at this upstream and has not expired,
// which the seal over its arguments says, and if today's policy does not deny the
// call that made it, of a tool that is still there.
func (x *exchange) judgeTask(ctx context.Context, kept toolcall.Task, id string) (*task, error) {
	text, ok := x.unseal(purposeTaskArgs, kept.Call.String(), kept.Args)
	if !ok {
		return nil, nil
	}
	cat, err := x.p.catalogue(ctx, x, callAge)
	if err != nil {
		return nil, err
	}
	call := &toolcall.Call{ID: kept.Call, Caller: x.caller, Session: kept.Session, Upstream: kept.Upstream,
		Kind: toolcall.Tool, Name: kept.Tool, Def: cat.tools[kept.Tool], At: kept.Began}
	if text != "" {
		call.Args, err = toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: maxDepth})
		if err != nil {
			return nil, unkept(err)
		}
	}
	t := &task{Task: kept, id: id, decision: x.snap.Judge(call)}
	if call.Def == nil || t.decision.Effect == toolcall.Deny {
		return nil, nil
	}
	return t, nil
}

// noTask is the answer about a task that does not exist for this caller: that of
// the protocol for a task that nobody knows.
func noTask() *Refusal {
	return &Refusal{Stage: "find", Code: codeInvalidParams, Hidden: true, Reason: "Task not found"}
}

// unkept refuses because the store cannot say what is kept of a task.
func unkept(err error) *Refusal {
	r := unrecorded(err)
	r.Reason = "what is kept of tasks cannot be read or written: try again later"
	return r
}

// taskNames are the members of a task that are read here.
var taskNames = []string{"createdAt", "error", "inputRequests", "lastUpdatedAt", "pollInterval", "pollIntervalMs", "requestState",
	"result", "resultType", "status", "statusMessage", "task", "taskId", "tasks", "ttl", "ttlMs"}

// declaresTasks reports whether a modern request's client follows tasks.
func (x *exchange) declaresTasks() toolcall.JSON {
	return x.frame.meta().Member(mcp.MetaKeyClientCapabilities).Member("extensions").Member(tasksExtension)
}

// errNeedsTasks is in a refusal that names the capability which a client lacks.
var errNeedsTasks = errors.New("the client does not declare " + tasksExtension)

// needsTasks refuses a modern request about tasks of a client that does not
// declare them (ext-tasks 2026-07-28, "Protocol Errors").
func (x *exchange) needsTasks() error {
	if x.ses.era != modern || x.declaresTasks().Type() == toolcall.ObjectType {
		return nil
	}
	return &Refusal{Stage: "frame", Code: codeMissingCapability, Reason: "Missing required client capability: extensions." + tasksExtension,
		err: errNeedsTasks}
}
