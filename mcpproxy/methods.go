package mcpproxy

import (
	"context"
	"slices"

	"mcpguard/toolcall"
)

// method is one row of the protocol: in which eras a client may send it, and
// what becomes of it.
type method struct {
	eras   []era
	serve  func(*Proxy, context.Context, *exchange)
	kind   toolcall.Kind // what policy judges; NoKind where it judges nothing
	target string        // the member of params that names the target

	asks   bool // its answer may ask the client for something first
	result func(context.Context, *exchange, frame) (frame, error)
}

var (
	both       = []era{legacy, modern}
	onlyLegacy = []era{legacy}
	onlyModern = []era{modern}
)

// listenMethod opens a stream that may be silent for as long as it likes.
const listenMethod = "subscriptions/listen"

// requests are the requests that a client may send. initialize is not among
// them: it has no session yet (initialize.go). What is not here is unknown, and
// needs a rule of policy that allows it by name.
var requests = map[string]method{
	"ping":                     {eras: onlyLegacy, serve: (*Proxy).pass},
	"server/discover":          {eras: onlyModern, serve: (*Proxy).pass, result: discovered},
	"logging/setLevel":         {eras: onlyLegacy, serve: (*Proxy).pass},
	"tools/list":               {eras: both, serve: restoring((*Proxy).toolsList)},
	"prompts/list":             {eras: both, serve: restoring((*Proxy).pass), result: listResult},
	"resources/list":           {eras: both, serve: restoring((*Proxy).pass), result: listResult},
	"resources/templates/list": {eras: both, serve: restoring((*Proxy).pass), result: listResult},
	"completion/complete":      {eras: both, serve: (*Proxy).complete},
	"tools/call":               {eras: both, serve: (*Proxy).HandleCall, kind: toolcall.Tool, target: "name", asks: true},
	"prompts/get":              {eras: both, serve: (*Proxy).HandleCall, kind: toolcall.Prompt, target: "name", asks: true},
	"resources/read":           {eras: both, serve: (*Proxy).HandleCall, kind: toolcall.Resource, target: "uri", asks: true},
	"resources/subscribe":      {eras: onlyLegacy, serve: (*Proxy).HandleCall, kind: toolcall.Resource, target: "uri"},
	"resources/unsubscribe":    {eras: onlyLegacy, serve: (*Proxy).HandleCall, kind: toolcall.Resource, target: "uri"},
	listenMethod:               {eras: onlyModern, serve: (*Proxy).subscribe},
}

// ours are the names that the protocol has, beside those of requests: none of them
// is an unknown method that a rule could allow by name, whoever sends it and as
// whatever.
var ours = map[string]bool{
	"initialize": true, "tasks/get": true, "tasks/result": true, "tasks/list": true, "tasks/cancel": true, "tasks/update": true,
	"sampling/createMessage": true, "elicitation/create": true, "roots/list": true,
}

// foreign reports whether the protocol does not have a method.
func foreign(name string) bool {
	_, known := requests[name]
	return !known && !ours[name]
}

// misplaced refuses a method of the protocol that has no place here: one of
// another era, or of the other side, or that mcpguard does not follow.
func (p *Proxy) misplaced(ctx context.Context, x *exchange) {
	p.refuse(ctx, x, &Refusal{Stage: "find", Code: codeMethodNotFound, Reason: "Method not found"})
}

// restoring is for methods that policy judges by their answer only: handles in
// the request are restored, then it is served.
func restoring(serve func(*Proxy, context.Context, *exchange)) func(*Proxy, context.Context, *exchange) {
	return func(p *Proxy, ctx context.Context, x *exchange) {
		if err := restore(ctx, p, x); err != nil {
			p.refuse(ctx, x, err)
			return
		}
		serve(p, ctx, x)
	}
}

// dispatch serves a client's request.
func (p *Proxy) dispatch(ctx context.Context, x *exchange) {
	ctx, release := x.lifetime(ctx)
	defer release()
	m, known := requests[x.frame.method]
	switch {
	case foreign(x.frame.method):
		m = method{serve: (*Proxy).HandleCall, kind: toolcall.Method}
	case !known || !slices.Contains(m.eras, x.ses.era):
		m = method{serve: (*Proxy).misplaced}
	}
	x.method = m
	if err := x.ses.enter(x); err != nil {
		p.fail(ctx, x, err)
		return
	}
	m.serve(p, ctx, x)
}
