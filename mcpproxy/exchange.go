package mcpproxy

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// exchange is one message of a client and what becomes of it. It keeps the
// policy that it began with, to its answer.
type exchange struct {
	p       *Proxy
	ses     *session
	caller  toolcall.Caller // as this request's credential proved them
	frame   frame
	version string
	client  clientInfo
	addr    string            // network address of the client, without port
	headers http.Header       // of a modern request, held to its body
	params  map[string]string // Mcp-Param-* for the upstream, made of the arguments
	out     *reply
	lease   *lease    // what the answer holds
	listens *listener // of subscriptions/listen
	method  method
	snap    Snapshot
	started time.Time
	sent    time.Time // when it went upstream

	inputs    []input        // answers to what the upstream asked by a result
	call      *toolcall.Call // set where policy judges the request
	decision  toolcall.Decision
	catalogue string // digest of the catalogue that was judged with
	intent    *audit.Commit
	stages    []audit.Stage // since the last record
	room      [8]audit.Stage

	resumes   toolcall.ID // whose answer asked for this request; zero: none did
	reserved  bool        // it has taken of limits
	asksMore  bool        // its answer asks for another request
	taskUntil time.Time   // its answer made it a task, which is forgotten then

	mayTask bool  // the answer may make the call a task
	task    *task // that the request is about
	last    *said // what the answer says of it

	redactor *redact.Redactor // of all that is said in the answer; made at first use
	alive    func()           // to be called when the upstream says something
	cancel   context.CancelCauseFunc
	settled  atomic.Bool // the answer is decided
	upstream upstreamStream
}

// lifetime is the context of a request's way upstream. It ends when the upstream
// is silent for too long, and when mcpguard closes; a modern client that hangs
// up cancels its request, a legacy one does not (MCP, Cancellation).
func (x *exchange) lifetime(ctx context.Context) (context.Context, func()) {
	until := x.p.ctx
	if waits(x.frame.method) {
		until = x.p.open
	}
	unhook := func() bool { return true }
	var cancel context.CancelCauseFunc
	if x.ses.era == legacy && !waits(x.frame.method) {
		ctx, cancel = context.WithCancelCause(until)
	} else {
		ctx, cancel = context.WithCancelCause(ctx)
		unhook = context.AfterFunc(until, func() { cancel(errShutdown) })
	}
	timeout := x.ses.up.Timeout
	idle := time.AfterFunc(timeout, func() { cancel(errIdle) })
	x.alive = func() { idle.Reset(timeout) }
	if waits(x.frame.method) {
		idle.Stop()
		x.alive = func() {}
	}
	x.cancel = cancel
	return ctx, func() {
		idle.Stop()
		unhook()
		cancel(nil)
		x.ses.leave(x)
		x.settleLimits(toolcall.Settlement{Outcome: toolcall.OutcomeUnknown}) // had nobody told
	}
}

// target is the name that the request addresses, as its params say.
func (x *exchange) target() string {
	if x.method.target == "" {
		return x.frame.method
	}
	name, _ := x.frame.params.Member(x.method.target).Str()
	return name
}

// capabilities are what the client declared, for this request or its session.
func (x *exchange) capabilities() toolcall.JSON { return x.client.capabilities }

// ownMeta is the _meta of a modern request of our own: what the client declared,
// and nothing else that it sent.
func (x *exchange) ownMeta() string {
	b := builder{text: "{}"}
	for _, key := range [...]string{mcp.MetaKeyProtocolVersion, mcp.MetaKeyClientInfo, mcp.MetaKeyClientCapabilities} {
		if v := x.frame.meta().Member(key); !v.IsZero() {
			b.raw(strings.ReplaceAll(key, ".", `\.`), v.Text())
		}
	}
	text, err := b.done()
	if err != nil {
		return "{}"
	}
	return text
}

// redact is the redactor of what the answer says.
func (x *exchange) redact() *redact.Redactor {
	if x.redactor == nil {
		names := x.decision.Redact
		if x.call == nil {
			names = x.snap.Redactions(x.caller, x.ses.up.Name, "")
		}
		x.redactor = x.snap.Redactor(names)
		if x.redactor == nil {
			x.redactor = redact.New()
		}
	}
	return x.redactor
}

// redactAll is the redactor of what is said beside answers: the union of all that
// applies to the caller at this upstream, whatever the call.
func (x *exchange) redactAll() *redact.Redactor {
	return x.snap.Redactor(x.snap.Redactions(x.caller, x.ses.up.Name, ""))
}

// refresh takes the policy in force, for a stream that answers no call: it may
// stay open for longer than a policy.
func (x *exchange) refresh() {
	if x.frame.kind == request && x.frame.method != listenMethod {
		return
	}
	if snap := x.p.cfg.Judge.Current(); snap.Digest() != x.snap.Digest() || snap.VisibilityKey(x.caller) != x.snap.VisibilityKey(x.caller) {
		x.snap, x.redactor = snap, nil
		x.decision.Redact = snap.Redactions(x.caller, x.ses.up.Name, "")
	}
}

// took notes how long a stage took, and starts the clock of the next.
func (x *exchange) took(stage string, since time.Time) time.Time {
	now := x.p.now()
	if x.stages == nil {
		x.stages = x.room[:0]
	}
	x.stages = append(x.stages, audit.Stage{Name: stage, Took: now.Sub(since)})
	return now
}
