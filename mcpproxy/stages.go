package mcpproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// stage is one step of the judgement of a call. The first error ends the walk
// and refuses the call.
type stage struct {
	name string
	run  func(context.Context, *Proxy, *exchange) error
}

// stages are walked in this order. Recording and forwarding are not among them.
var stages = []stage{
	{"restore", restore}, // handles become the upstream's own again
	{"find", find},       // the target exists, for this caller
	{"decide", decide},   // policy
	{"limit", limit},     // what it takes is left
	{"hold", hold},       // a person must agree
	{"task", mayStart},   // what may become a task can be followed
}

// find builds the call and looks up what it addresses. What the caller may not
// see takes the same path as what does not exist (law 9).
func find(ctx context.Context, p *Proxy, x *exchange) error {
	target := x.target()
	if target == "" {
		return &Refusal{Stage: "find", Code: codeInvalidParams, Reason: "params." + x.method.target + " must be a string that is not empty"}
	}
	id, err := toolcall.NewID()
	if err != nil {
		return fmt.Errorf("make a call id: %w", err)
	}
	x.call = &toolcall.Call{
		ID: id, Caller: x.caller, Session: x.ses.id, Upstream: x.ses.up.Name,
		Kind: x.method.kind, Name: target, Args: x.frame.params.Member("arguments"), Meta: x.frame.meta(), At: x.started,
	}
	if x.method.kind == toolcall.Method {
		x.call.Args = x.frame.params
	}
	if t := x.call.Args.Type(); t != toolcall.NoType && t != toolcall.ObjectType {
		return &Refusal{Stage: "find", Code: codeInvalidParams, Reason: "params.arguments must be an object"}
	}
	if _, _, folded := x.call.Args.Folded(); folded {
		return &Refusal{Stage: "find", Code: codeInvalidParams, Reason: "two arguments have names that differ only by case"}
	}
	if x.call.Kind == toolcall.Tool {
		if err := x.define(ctx, callAge); err != nil {
			return err
		}
	}
	if x.call.Kind == toolcall.Prompt {
		held, err := x.p.cfg.Pins.holds(ctx, x.ses.up.Name, toolcall.PinPrompt, target)
		if err != nil {
			return err
		}
		if held {
			return x.unknown()
		}
	}
	if x.visible() {
		return x.checkParamHeaders()
	}
	if x.call.Kind == toolcall.Tool {
		if err := x.define(ctx, missAge); err != nil {
			return err
		}
		if x.visible() {
			return x.checkParamHeaders()
		}
	}
	return x.unknown()
}

// define takes the tool's definition from a catalogue not older than age.
func (x *exchange) define(ctx context.Context, age time.Duration) error {
	cat, err := x.p.catalogue(ctx, x, age)
	if err != nil {
		return err
	}
	x.call.Def, x.catalogue = cat.tools[x.call.Name], cat.digest
	return nil
}

func (x *exchange) visible() bool {
	c := x.call
	if c.Kind == toolcall.Tool && c.Def == nil {
		return false
	}
	if c.Kind == toolcall.Resource {
		return x.reachable(c.Name)
	}
	return x.snap.Visible(c.Caller, c.Kind, c.Upstream, c.Name)
}

// reachable reports whether the caller may see the resource of that URI. What has
// a brace is no template here, but the resource itself: it is not judged by what
// stands before the brace.
func (x *exchange) reachable(uri string) bool {
	if strings.Contains(uri, "{") {
		return x.snap.Evaluate(x.outside(toolcall.Resource, uri, toolcall.JSON{})).Effect != toolcall.Deny
	}
	return x.snap.Visible(x.caller, toolcall.Resource, x.ses.up.Name, uri)
}

// unknown is the answer about a target that does not exist for this caller.
func (x *exchange) unknown() *Refusal {
	r := &Refusal{Stage: "find", Code: codeInvalidParams, Hidden: true}
	switch x.call.Kind {
	case toolcall.Resource:
		r.Reason = "Resource not found"
		if x.ses.era == legacy {
			r.Code = codeResourceNotFound
		}
	case toolcall.Method:
		return x.noSuchMethod()
	case toolcall.Prompt:
		r.Reason = "Unknown prompt: " + cut(x.call.Name, maxEcho)
	default:
		r.Reason = "Unknown tool: " + cut(x.call.Name, maxEcho)
	}
	return r
}

// noSuchMethod is the answer about a method that does not exist for this caller.
func (x *exchange) noSuchMethod() *Refusal {
	return &Refusal{Stage: "find", Code: codeMethodNotFound, Reason: "Method not found", Hidden: x.call != nil}
}

// maxEcho bounds how much of a name is said back.
const maxEcho = 128

// checkParamHeaders holds the Mcp-Param-* headers of a modern request to the
// arguments that they mirror (SEP-2243).
func (x *exchange) checkParamHeaders() error {
	if x.ses.era != modern || x.call.Def == nil || !strings.Contains(x.call.Def.Schema.Text(), `"x-mcp-header"`) {
		return nil
	}
	var tool mcp.Tool
	if err := json.Unmarshal([]byte(x.call.Def.Raw.Text()), &tool); err != nil {
		return &upstreamError{upstream: x.ses.up.Name, what: "declares a tool whose header annotations cannot be read", err: err}
	}
	lookup := func(name string) (string, bool) {
		values := x.headers[http.CanonicalHeaderKey(name)]
		if len(values) != 1 {
			return "", false
		}
		return values[0], true
	}
	err := mcp.ValidateParamHeadersLookup(lookup, &tool, []byte(x.frame.params.Text()))
	if err == nil {
		err = x.numbersMirrored(&tool)
	}
	if err != nil {
		return &Refusal{Stage: "find", Code: codeHeaderMismatch, Status: http.StatusBadRequest, Reason: "an Mcp-Param header is missing or differs from the arguments", err: err}
	}
	x.params = mcp.GenerateParamHeaders(&tool, []byte(x.frame.params.Text())) // made anew: what nobody checked stays here
	return nil
}

// decide asks policy.
func decide(_ context.Context, p *Proxy, x *exchange) error {
	var d toolcall.Decision
	judge := func() { d = x.snap.Judge(x.call) }
	if x.snap.Queues(x.call) {
		p.queue.do(x.caller.Key(), judge)
	} else {
		x.lease.heavy(x.frame.raw.Len(), judge)
	}
	x.decision = d
	switch d.Effect {
	case toolcall.Allow, toolcall.Approve:
		return nil
	}
	r := &Refusal{Stage: "decide", File: d.File, Line: d.Line, recorded: d.Reason}
	r.Rule, r.Reason, r.Miss = d.Told()
	switch x.call.Kind {
	case toolcall.Tool:
	case toolcall.Method:
		return x.unknown()
	default:
		r.Code = codeInvalidParams // only tools/call has results that are errors
		r.Reason = r.text()
	}
	return r
}

// hold stops a call that a person must agree to. Nobody can be asked yet: this
// version has no approvals, so the answer is no.
func hold(_ context.Context, _ *Proxy, x *exchange) error {
	if x.decision.Effect == toolcall.Allow {
		return nil
	}
	rule, _, _ := x.decision.Told()
	r := &Refusal{Stage: "hold", Rule: rule, File: x.decision.File, Line: x.decision.Line,
		Reason: "a person must approve this call, and this version of mcpguard cannot ask anybody: nothing was executed"}
	if x.call.Kind != toolcall.Tool || x.task != nil {
		r.Code = codeInvalidParams
	}
	return r
}
