package mcpproxy

import (
	"context"
	"math/bits"

	"mcpguard/toolcall"
)

// method is one row of the table of the protocol: a message that one side may
// send, in which revisions, how policy sees it, what the record keeps of it, and
// what becomes of it. The rows are in methodtable.go.
type method struct {
	name string
	form frameKind // request or notification
	from sender
	in   revisions
	ext  string // the extension that has it; "" is the protocol itself

	sees   judgement
	kind   toolcall.Kind // what policy judges; NoKind where it judges no target
	target string        // the member of params that names the target
	ask    string        // of what a server asks for: the name in policy's request selectors
	record keeping

	asks   bool // its answer may ask the client for something first
	serve  func(*Proxy, context.Context, *exchange)
	result func(context.Context, *exchange, frame) (frame, error)        // makes an answer fit for the client
	hear   func(*exchange, frame) bool                                   // of a server's notification: whether the client may hear it
	tell   func(*Proxy, context.Context, *exchange, frame) (frame, bool) // of a server's notification: makes all of it fit for the client
}

// sender says which side a message comes from, and by which road.
type sender uint8

const (
	fromClient sender = iota + 1
	fromServer
	asInput // from a server, as an entry of inputRequests (MCP 2026-07-28, multi round-trip requests)
)

func (s sender) String() string {
	switch s {
	case fromClient:
		return "client"
	case fromServer:
		return "server"
	case asInput:
		return "server, in a result"
	}
	return "nobody"
}

// revisions is a set of protocol revisions.
type revisions uint8

const (
	in20241105 revisions = 1 << iota
	in20250326
	in20250618
	in20251125
	in20260728

	inLegacy = in20241105 | in20250326 | in20250618 | in20251125
	inAll    = inLegacy | in20260728
	from0618 = in20250618 | in20251125
)

// revisionNames are in the order of the bits.
var revisionNames = [...]string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"}

// revisionOf is the revision of that name; of any other name it is none.
func revisionOf(version string) revisions {
	for i, name := range revisionNames {
		if name == version {
			return 1 << i
		}
	}
	return 0
}

func (r revisions) String() string {
	switch {
	case r == inAll:
		return "all"
	case r == 0:
		return "none"
	}
	first, last := bits.TrailingZeros8(uint8(r)), bits.Len8(uint8(r))-1
	switch {
	case bits.OnesCount8(uint8(r)) != last-first+1:
		return revisionNames[first] + ", " + (r &^ (1 << first)).String()
	case first == last:
		return revisionNames[first]
	case first == 0:
		return "to " + revisionNames[last]
	case last == len(revisionNames)-1:
		return "from " + revisionNames[first]
	}
	return revisionNames[first] + " to " + revisionNames[last]
}

// revision is the revision that the messages of an exchange are read by. Before
// a handshake is over that is the oldest: what it has, every legacy one has.
func (x *exchange) revision() revisions {
	switch {
	case x.ses.era == modern:
		return in20260728
	case x.version == "":
		return in20241105
	}
	return revisionOf(x.version)
}

// judgement says how policy sees a message. The zero judgement refuses.
type judgement uint8

const (
	noPlace  judgement = iota // mcpguard does not follow it
	free                      // nothing in it is policy's business
	byTarget                  // a tool, a prompt or a resource, by name
	byAnswer                  // what it lists is filtered
	byAsk                     // what a server asks of the client
	byTask                    // as the call that made the task that it is about
	byName                    // a message that the protocol does not have
)

// keeping says what the record keeps of a message. Refusals are always kept.
type keeping uint8

const (
	nothing   keeping = iota
	asCall            // an intent before it goes on, an outcome before its answer does
	asEvent           // one record before it goes on
	asList            // one record of what was shown
	asSession         // the beginning of a session
)

// methods is the table, made for looking up.
type methods map[messageName]*method

// messageName tells rows apart. The same name may be another message from the
// other side.
type messageName struct {
	from sender
	form frameKind
	name string
}

func newMethods(rows []method) methods {
	table := make(methods, len(rows))
	for i := range rows {
		m := &rows[i]
		table[messageName{m.from, m.form, m.name}] = m
	}
	return table
}

// foreign reports whether the protocol has no message of that name, from
// whichever side, in whatever form and revision. Only such a name can be allowed
// by a method rule: a rule must not open a road past the table.
func (t methods) foreign(name string) bool {
	for _, from := range [...]sender{fromClient, fromServer, asInput} {
		for _, form := range [...]frameKind{request, notification} {
			if t[messageName{from, form, name}] != nil {
				return false
			}
		}
	}
	return true
}

// find is the row of a message. What the protocol does not have is judged by its
// name; what it has, and not here, is refused.
func (t methods) find(from sender, form frameKind, name string, in revisions) method {
	if t.foreign(name) {
		return method{name: name, form: form, from: from, in: in, sees: byName, kind: toolcall.Method, record: asCall, serve: (*Proxy).HandleCall}
	}
	if m := t[messageName{from, form, name}]; m != nil && m.in&in != 0 && m.sees != noPlace {
		return *m
	}
	return method{name: name, form: form, from: from, in: in, serve: (*Proxy).misplaced}
}

// words is what a server asks for, in the words of policy.
func (m *method) words() string {
	if m.ask != "" {
		return m.ask
	}
	return m.name
}

// misplaced refuses a message of the protocol that has no place here: one of
// another revision, or of the other side, or that mcpguard does not follow.
func (p *Proxy) misplaced(ctx context.Context, x *exchange) {
	p.refuse(ctx, x, x.noSuchMethod())
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
	x.method = p.methods.find(fromClient, request, x.frame.method, x.revision())
	if err := x.ses.enter(x); err != nil {
		p.fail(x, err)
		return
	}
	if err := x.narrow(); err != nil {
		p.fail(x, err)
		return
	}
	x.method.serve(p, ctx, x)
}
