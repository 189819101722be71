package mcpproxy

import (
	"context"
	"io"
	"net/http"
	"sync"

	"golang.org/x/sync/singleflight"

	"mcpguard/toolcall"
)

// Share says which sessions of a stdio upstream may have one server process. The
// zero Share shares nothing.
type Share uint8

// The ways to share.
const (
	// ShareSession gives each legacy session, and each modern caller, a process. A
	// server written for one client cannot mix up two.
	ShareSession Share = iota
	// ShareCaller gives the sessions of one caller a process.
	ShareCaller
	// ShareAll gives the sessions of all callers a process: for servers that keep
	// nothing between two calls.
	ShareAll
)

func (s Share) String() string { return [...]string{"session", "caller", "all"}[s] }

// room counts server processes against quotas.
type room interface {
	takeProcess(toolcall.Caller) error
	leaveProcess(toolcall.Caller)
}

// pool holds the server processes of one upstream that sessions share, by what
// their sessions have in common: era, caller, and all that the server learned in
// its handshake, for that is fixed for the life of the process.
type pool struct {
	starting singleflight.Group

	mu    sync.Mutex
	muxes map[string]*mux
}

// maxJoins ends the attempts to join a server that is gone each time.
const maxJoins = 5

// join adds a session to the server of its kind, and starts that where it does not
// run.
func (u *upstream) join(c toolcall.Caller, l *muxLeg, e era, hello string) (*mux, error) {
	var who toolcall.Caller
	if u.Share == ShareCaller {
		who = c
	}
	key := string(aad(who, u.Name, e.String(), hello))
	for range maxJoins {
		if m := u.pool.get(key); m != nil && m.attach(l) {
			return m, nil
		}
		got, err, _ := u.pool.starting.Do(key, func() (any, error) {
			if m := u.pool.get(key); m != nil && !m.over() {
				return m, nil
			}
			return u.pool.start(u, c, key)
		})
		if err != nil {
			return nil, err
		}
		if m := got.(*mux); m.attach(l) {
			return m, nil
		}
	}
	return nil, &upstreamError{upstream: u.Name, what: "does not keep running"}
}

func (p *pool) get(key string) *mux {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.muxes[key]
}

// start starts a server and puts it into the place of one that is gone.
func (p *pool) start(u *upstream, c toolcall.Caller, key string) (*mux, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var m *mux
	m, err := u.startServer(c, true, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.muxes[key] == m {
			delete(p.muxes, key)
		}
	})
	if err != nil {
		return nil, err
	}
	p.muxes[key] = m
	return m, nil
}

// greeting is the handshake of a legacy server that sessions share: it is had once,
// and its answer is given to every session.
type greeting struct {
	ready   chan struct{} // closed when the answer is there, or will not come
	reply   frame         // the server's answer
	err     error         // why there is none
	settled bool
	begun   bool // notifications/initialized was sent
}

// unasked are the capabilities of a client that are of no use on a shared server:
// its questions would have to be asked of somebody.
var unasked = [...]string{"sampling", "elicitation", "roots"}

// greet joins a shared server with a session's handshake.
func (l *muxLeg) greet(ctx context.Context, f frame, room *lease) (*answer, error) {
	capabilities := f.params.Member("capabilities")
	var edits []toolcall.Edit
	for _, name := range unasked {
		if c := capabilities.Member(name); !c.IsZero() {
			edits = append(edits, toolcall.Edit{At: c})
		}
	}
	f, err := f.edited(edits)
	if err != nil {
		return nil, err
	}
	hello := f.params
	if info := hello.Member("clientInfo"); !info.IsZero() {
		if hello, err = toolcall.Splice(hello, []toolcall.Edit{{At: info}}); err != nil {
			return nil, err
		}
	}
	m, err := l.join(hello.Text())
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	first := m.greeting == nil
	if first {
		m.greeting = &greeting{ready: make(chan struct{})}
	}
	g := m.greeting
	m.mu.Unlock()
	if !first {
		return g.again(ctx, m.up, f.id), nil
	}
	a, err := l.ask(ctx, f, false, room)
	if err != nil {
		m.greeted(frame{}, err)
		return nil, err
	}
	next, end := a.next, a.close
	a.next = func() (inbound, error) {
		in, err := next()
		if err == nil && in.frame.kind == response {
			m.greeted(in.frame, nil)
		}
		return in, err
	}
	a.close = func() {
		m.greeted(frame{}, &upstreamError{upstream: m.up.Name, what: "did not finish its handshake with another session"})
		end()
	}
	return a, nil
}

// greeted keeps the server's answer to its handshake; the first word counts. A
// server without one can be joined by nobody.
func (m *mux) greeted(reply frame, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.greeting
	if g.settled {
		return
	}
	g.settled, g.reply, g.err = true, reply, err
	if reply.result.IsZero() && m.err == nil {
		m.err = &upstreamError{upstream: m.up.Name, what: "refused the handshake"}
	}
	close(g.ready)
}

// again is the handshake's answer for one more session.
func (g *greeting) again(ctx context.Context, up *upstream, id toolcall.JSON) *answer {
	done := false
	return &answer{
		status: http.StatusOK,
		next: func() (inbound, error) {
			if done {
				return inbound{}, io.EOF
			}
			done = true
			select {
			case <-g.ready:
			case <-ctx.Done():
				return inbound{}, context.Cause(ctx)
			}
			if g.err != nil {
				return inbound{}, g.err
			}
			f, err := g.reply.with(g.reply.id, id)
			if err == nil && !f.result.IsZero() {
				err = f.readResult()
			}
			return inbound{frame: f}, unreadable(up.Name, err)
		},
		close: func() {},
	}
}

// maxURIs bounds the resources that one session of a shared server subscribes to.
const maxURIs = 1024

// errNotAlone refuses what would change a shared server for other sessions.
var errNotAlone = &Refusal{Stage: "session", Code: codeInvalidRequest,
	Reason: "the server process is shared with other sessions: what it logs is for none of them, so its level is nobody's to set"}

// sharing treats the messages of a client that would change a shared server for
// other sessions. done is false for those that pass as they are.
func (l *muxLeg) sharing(f frame) (_ *answer, done bool, _ error) {
	m := l.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	uri, _ := f.params.Member("uri").Str()
	switch f.method {
	case "notifications/initialized":
		// The server was greeted once: it is told once that all is well.
		told := m.greeting == nil || m.greeting.begun
		if m.greeting != nil {
			m.greeting.begun = true
		}
		return nil, told, nil
	case "notifications/roots/list_changed", "notifications/progress":
		return nil, true, nil // about what the server cannot have asked for
	case "logging/setLevel":
		if !m.alone() {
			return nil, true, errNotAlone
		}
	case "resources/subscribe":
		if len(l.uris) >= maxURIs && !l.uris[uri] {
			return nil, true, &Refusal{Stage: "session", Code: codeInvalidRequest, Status: http.StatusTooManyRequests,
				Reason: "this session subscribes to too many resources"}
		}
		if l.uris == nil {
			l.uris = map[string]bool{}
		}
		l.uris[uri] = true
	case "resources/unsubscribe":
		delete(l.uris, uri)
		if m.subscribed(uri) { // by another session
			reply, err := readFrame(`{"jsonrpc":"2.0","id":`+f.id.Text()+`,"result":{}}`, m.up.limits)
			if err == nil {
				err = reply.readResult()
			}
			return &answer{status: http.StatusOK, next: once(inbound{frame: reply}), close: func() {}}, true, err
		}
	}
	return nil, false, nil
}

// subscribed reports whether a session subscribes to a resource.
func (m *mux) subscribed(uri string) bool {
	for _, l := range m.legs {
		if l.uris[uri] {
			return true
		}
	}
	return false
}

// subscribes reports whether an update of a resource is for this session, which
// subscribed to it or to one that holds it (MCP 2025-11-25, Resources).
func (l *muxLeg) subscribes(uri string) bool {
	if l.uris[uri] {
		return true
	}
	for i := range len(uri) {
		if uri[i] == '/' && (l.uris[uri[:i]] || l.uris[uri[:i+1]]) {
			return true
		}
	}
	return false
}

// unsubscribe tells the server that nobody hears of a resource any more. Its
// answer is nobody's.
func (m *mux) unsubscribe(uri string) bool {
	id := m.lastID.Add(1)
	w := &waiter{leg: &muxLeg{}, id: id, own: true, box: newMailbox(m.up.limits.Bytes, m.up.lease())}
	w.box.close(nil) // what comes is dropped
	m.mu.Lock()
	m.waiting[id] = w
	m.mu.Unlock()
	return m.tell(`{"jsonrpc":"2.0","id":`+toolcall.Integer(id).Text()+`,"method":"resources/unsubscribe","params":{"uri":`+toolcall.Quote(uri).Text()+`}}`,
		"unsubscribe from a resource of an upstream")
}

// aside answers a question of a shared server in its clients' place: ping as
// anybody would, all else with a refusal that is in the record first (law 2).
func (m *mux) aside(f frame) {
	select {
	case m.asides <- struct{}{}:
	default:
		m.up.log.Warn("a shared server asks more than can be refused: a question stays without an answer", "upstream", m.up.Name)
		return
	}
	m.work.Go(func() {
		defer func() { <-m.asides }()
		if f.method == "ping" {
			m.tell(`{"jsonrpc":"2.0","id":`+f.id.Text()+`,"result":{}}`, "answer a ping of an upstream")
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*grace)
		defer cancel()
		if err := m.up.refuse(ctx, f); err != nil {
			m.up.log.Error("record the refusal of an upstream's question", "upstream", m.up.Name, "err", err)
			return
		}
		m.tell(errorReply(f.id, codeRefused, "refused by mcpguard: this process is shared by several sessions, and can ask none of them"),
			"refuse a question of an upstream")
	})
}
