package mcpproxy

import (
	"context"
	"net/http"
	"time"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// Authenticator says who sent a request. An error that has a method
// Challenge() (status int, header string) chooses the answer's status and
// WWW-Authenticate header, one that has RetryAfter() string its Retry-After; any
// other error answers 401.
type Authenticator interface {
	Authenticate(*http.Request) (toolcall.Caller, error)
}

// Judge hands out the policy in force.
type Judge interface {
	Current() Snapshot
}

// Snapshot is one policy. A call keeps the one it was judged by to its answer.
// All methods are pure and safe for concurrent use.
type Snapshot interface {
	// Evaluate decides about a call, for those who need the answer only.
	Evaluate(*toolcall.Call) toolcall.Decision
	// Judge decides like Evaluate, and tells what every matcher came to.
	Judge(*toolcall.Call) toolcall.Decision
	// Queues reports whether Judge may wait until other calls are judged.
	Queues(*toolcall.Call) bool
	// Visible reports whether some arguments could be allowed or approved.
	Visible(c toolcall.Caller, kind toolcall.Kind, upstream, name string) bool
	// Narrow is a tool's definition as the caller's list shows it: Raw itself,
	// or with limits of policy in its schema and description.
	Narrow(toolcall.Caller, *toolcall.ToolDef) toolcall.JSON
	// VisibilityKey is equal for callers who see the same lists.
	VisibilityKey(toolcall.Caller) string
	// ListKey is equal under two policies that show a caller the same of one kind
	// of an upstream, whatever that offers.
	ListKey(c toolcall.Caller, kind toolcall.Kind, upstream string) string
	// Roles are the names of the caller's roles.
	Roles(toolcall.Caller) []string
	// Redactions names the profiles that apply to what an upstream says to a
	// caller about one of its tools, or, with an empty tool, outside a call.
	Redactions(c toolcall.Caller, upstream, tool string) []string
	// Redactor is the union of the named profiles.
	Redactor(names []string) *redact.Redactor
	// WithoutDemands names the same profiles without what they demand of a
	// result: they mask what is there, and withhold nothing for what is not.
	WithoutDemands(names []string) []string
	// Digest names the policy.
	Digest() string
}

// Limiter counts what calls take of the limits of their decisions, for all
// sessions together. It is safe for concurrent use.
type Limiter interface {
	// Reserve takes what a call needs of all limits of d, or of none, and returns d
	// as they leave it: as it was, or a denial. resumes is the call whose answer
	// asked for this one; zero: none did.
	Reserve(c *toolcall.Call, d toolcall.Decision, resumes toolcall.ID, at time.Time) toolcall.Decision
	// Settle tells how a call ended. What was taken is given back where nothing was
	// forwarded; of a task it is told twice. What was settled already is ignored.
	Settle(call toolcall.ID, how toolcall.Settlement)
}

// Recorder keeps records. A Commit waits until its record is durable.
type Recorder interface {
	Put(audit.Record) *audit.Commit
}

// Keys makes keyed digests, and seals what a client is given to carry. Open
// fails for every purpose, associated data and text but those of Seal.
type Keys interface {
	MAC(purpose string, parts ...[]byte) toolcall.Digest
	Seal(purpose string, aad, plaintext []byte) string
	Open(purpose string, aad []byte, sealed string) ([]byte, error)
}

// Archive answers what a restart would otherwise forget.
type Archive interface {
	// Ended reports whether the record has the end of a session.
	Ended(ctx context.Context, session toolcall.ID) (bool, error)
	// KeepCatalogue keeps the tool definitions behind a digest.
	KeepCatalogue(ctx context.Context, digest string, definitions []byte) error
	Tasks
}

// Tasks keeps which calls are tasks, for all sessions of a caller. What a method
// without an error has changed is durable; after an error it may be.
type Tasks interface {
	// KeepTask keeps t and returns it, or the task that has its name already.
	// Expired tasks may go, and of the owner's ended ones the oldest beyond most.
	KeepTask(ctx context.Context, t toolcall.Task, most int) (toolcall.Task, error)
	// EndTask notes that how the task of a call ended is in the record.
	EndTask(ctx context.Context, call toolcall.ID) error
	// AskTask notes what the task of a call asked its owner for last.
	AskTask(ctx context.Context, call toolcall.ID, asked string) error
	// DropTask removes the task of a call.
	DropTask(ctx context.Context, call toolcall.ID) error
	// TaskOf is the task that a call made; false: there is none.
	TaskOf(ctx context.Context, call toolcall.ID) (toolcall.Task, bool, error)
	// TaskNamed is the task of that name; false: there is none.
	TaskNamed(ctx context.Context, name toolcall.Digest) (toolcall.Task, bool, error)
	// OpenTasks counts the tasks that have neither ended nor expired: those of an
	// owner, and all.
	OpenTasks(ctx context.Context, owner toolcall.Digest, now time.Time) (own, all int, err error)
}
