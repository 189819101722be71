package mcpproxy

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// session is mcpguard's own notion: what one caller does with one upstream. A
// legacy session is named by a handle that the client carries; a modern one,
// where the protocol has none, is the caller, the client and the upstream, until
// nothing happens for the idle limit. It groups what people look at and owns the
// way to the upstream. It grants nothing.
type session struct {
	id        toolcall.ID
	up        *upstream
	era       era
	caller    toolcall.Caller
	handle    string // legacy: Mcp-Session-Id
	client    clientInfo
	announced lists // legacy: of whose changes the upstream tells
	leg       leg
	shelf     atomic.Pointer[shelf]
	used      atomic.Int64 // unix nanoseconds of the last request
	busy      atomic.Int64 // requests and streams under way
	gets      atomic.Int64 // streams that the client opened with GET
	ended     atomic.Bool
	streams   streams

	mu        sync.Mutex
	version   string               // legacy: negotiated
	inFlight  map[string]*exchange // legacy: the client's requests, by id
	questions map[string]*question // the upstream's, that the client was shown, by id
}

// clientInfo is what the client says of itself: recorded, never judged.
type clientInfo struct {
	Name, Version string
	capabilities  toolcall.JSON
}

const maxClientName = 128

func clientInfoOf(info, capabilities toolcall.JSON) clientInfo {
	name, _ := info.Member("name").Str()
	version, _ := info.Member("version").Str()
	return clientInfo{Name: cut(name, maxClientName), Version: cut(version, maxClientName), capabilities: capabilities}
}

// modernClient is what a modern client says of itself in each of its messages.
func modernClient(f *frame) clientInfo {
	meta := f.meta()
	return clientInfoOf(meta.Member(mcp.MetaKeyClientInfo), meta.Member(mcp.MetaKeyClientCapabilities))
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// sessions is the table of the sessions that are open here.
type sessions struct {
	p *Proxy

	mu     sync.Mutex
	table  map[string]*session // legacy by handle, modern by modernKey
	counts map[string]quota    // what each caller holds
	total  quota

	opening singleflight.Group // of modern sessions, by their key
	stop    chan struct{}
	idle    sync.WaitGroup
}

var (
	// errNoSession is what a stranger gets: the same for a handle that was never
	// made, that ended, and that belongs to somebody else.
	errNoSession = &Refusal{Stage: "session", Code: codeInvalidRequest, Status: http.StatusNotFound,
		Reason: "no such session: send initialize to begin one"}
	errNeedsSession = &Refusal{Stage: "session", Code: codeInvalidRequest, Status: http.StatusBadRequest,
		Reason: "the message belongs to no session: begin one with initialize (over HTTP, its Mcp-Session-Id comes with each message)"}
	errTooManySessions = &Refusal{Stage: "session", Code: codeInternal, Status: http.StatusTooManyRequests,
		Reason: "too many open sessions for this caller: end one, or wait until one is idle for long enough"}
)

func newSessions(p *Proxy) *sessions {
	s := &sessions{p: p, table: map[string]*session{}, counts: map[string]quota{}, stop: make(chan struct{})}
	s.idle.Add(1)
	go s.sweep()
	return s
}

// open makes a session with a leg of its own and puts it on the table under no
// name yet; name does that.
func (s *sessions) open(up *upstream, e era, c toolcall.Caller, info clientInfo) (*session, error) {
	id, err := toolcall.NewID()
	if err != nil {
		return nil, fmt.Errorf("make a session id: %w", err)
	}
	return s.openAs(id, up, e, c, info)
}

func (s *sessions) openAs(id toolcall.ID, up *upstream, e era, c toolcall.Caller, info clientInfo) (*session, error) {
	if err := s.reserve(c, quota{sessions: 1}); err != nil {
		return nil, err
	}
	l, err := up.newLeg(c, e)
	if err != nil {
		s.release(c, quota{sessions: 1})
		return nil, err
	}
	ses := &session{id: id, up: up, era: e, caller: c, client: info, leg: l,
		inFlight: map[string]*exchange{}, questions: map[string]*question{}}
	ses.streams.room, ses.streams.caller = s.p.kept, c.Key()
	ses.touch(s.p.now())
	return ses, nil
}

// name puts a session on the table. It returns the session that already has the
// name, if there is one.
func (s *sessions) name(key string, ses *session) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there := s.table[key]; there != nil {
		return there
	}
	s.table[key] = ses
	return ses
}

// find is the legacy session that a handle names, if it is this caller's at
// this upstream. A handle of a process that is gone is revived.
func (s *sessions) find(ctx context.Context, up *upstream, c toolcall.Caller, handle string) (*session, error) {
	s.mu.Lock()
	ses := s.table[handle]
	s.mu.Unlock()
	if ses == nil {
		return s.revive(ctx, up, c, handle)
	}
	if ses.era != legacy || ses.up != up || ses.ended.Load() || ses.caller.Key() != c.Key() || ses.caller.Client != c.Client {
		return nil, errNoSession
	}
	if ses.dead() {
		s.drop(ses, "the server process ended")
		return nil, errNoSession
	}
	ses.touch(s.p.now())
	return ses, nil
}

// modernFor is the session of a modern request. The client's own name for
// itself does not tell sessions apart: it could choose a thousand.
func (s *sessions) modernFor(up *upstream, c toolcall.Caller, info clientInfo) (*session, error) {
	key := fmt.Sprintf("modern\x00%s\x00%d:%s\x00%s", up.Name, len(c.Client), c.Client, c.Key())
	if ses := s.alive(key); ses != nil {
		return ses, nil
	}
	ses, err, _ := s.opening.Do(key, func() (any, error) {
		if ses := s.alive(key); ses != nil {
			return ses, nil
		}
		ses, err := s.open(up, modern, c, info)
		if err != nil {
			return nil, err
		}
		ses.handle = key
		if err := s.p.recordSession(ses, audit.SessionStart, ""); err != nil {
			s.forget(ses)
			ses.letGo()
			return nil, err
		}
		s.name(key, ses)
		return ses, nil
	})
	if err != nil {
		return nil, err
	}
	return ses.(*session), nil
}

// alive is the session of that name, unless its server process is gone.
func (s *sessions) alive(key string) *session {
	s.mu.Lock()
	ses := s.table[key]
	s.mu.Unlock()
	if ses == nil {
		return nil
	}
	if ses.dead() {
		s.drop(ses, "the server process ended")
		return nil
	}
	ses.touch(s.p.now())
	return ses
}

// dead reports whether the session's server process is gone.
func (ses *session) dead() bool {
	return ses.ended.Load() || ses.leg.over()
}

func (ses *session) touch(now time.Time) { ses.used.Store(now.UnixNano()) }

// forget takes a session off the table; only the first call returns true.
func (s *sessions) forget(ses *session) bool {
	if !ses.ended.CompareAndSwap(false, true) {
		return false
	}
	s.mu.Lock()
	if s.table[ses.handle] == ses {
		delete(s.table, ses.handle)
	}
	s.mu.Unlock()
	ses.streams.close()
	s.release(ses.caller, quota{sessions: 1})
	return true
}

// drop ends a session that nobody asked to end, and records why.
func (s *sessions) drop(ses *session, why string) {
	if !s.forget(ses) {
		return
	}
	if err := s.p.recordSession(ses, audit.SessionEnd, why); err != nil {
		s.p.log.Error("record the end of a session", "session", ses.id, "err", err)
	}
	ses.letGo()
}

// letGo ends the way to the upstream, within bounds.
func (ses *session) letGo() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*grace)
	defer cancel()
	ses.leg.end(ctx)
}

// finish ends a session at the client's wish: recorded first, so that no
// restart revives it.
func (s *sessions) finish(ses *session) error {
	if err := s.p.recordSession(ses, audit.SessionEnd, "ended by the client"); err != nil {
		return err
	}
	if s.forget(ses) {
		ses.letGo()
	}
	return nil
}

// sweep ends what is idle.
func (s *sessions) sweep() {
	defer s.idle.Done()
	t := time.NewTicker(max(s.p.cfg.Limits.Idle/10, time.Second))
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
		}
		s.dropIdle(s.p.now().Add(-s.p.cfg.Limits.Idle).UnixNano())
	}
}

// dropAtOnce is how many idle sessions are ended at the same time: their records
// share a commit, and an upstream that does not answer keeps none but its own.
const dropAtOnce = 256

// dropIdle ends the sessions that were last used before limit.
func (s *sessions) dropIdle(limit int64) {
	var ending errgroup.Group
	ending.SetLimit(dropAtOnce)
	defer func() { _ = ending.Wait() }() // drop reports what goes wrong
	for _, ses := range s.list() {
		select {
		case <-s.stop:
			return
		default:
		}
		if ses.busy.Load() == 0 && ses.used.Load() < limit {
			ending.Go(func() error {
				s.drop(ses, "idle")
				return nil
			})
		}
	}
}

func (s *sessions) list() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.table))
	for _, ses := range s.table {
		all = append(all, ses)
	}
	return all
}

// close lets go of everything at shutdown. Sessions over HTTP stay what they
// are: their handles are good for the next process.
func (s *sessions) close() {
	close(s.stop)
	s.idle.Wait()
	var wait sync.WaitGroup
	for _, ses := range s.list() {
		if ses.leg.tied() {
			wait.Go(func() { s.drop(ses, "mcpguard was stopped") })
		}
	}
	wait.Wait()
}

// maxInFlight bounds the requests that one session may have running (law 14).
const maxInFlight = 1024

// enter books a legacy request in flight; an id that is in flight already is
// refused, because its answers could not be told apart.
func (ses *session) enter(x *exchange) error {
	if ses.era != legacy {
		return nil
	}
	key := idKey(x.frame.id)
	ses.mu.Lock()
	defer ses.mu.Unlock()
	switch {
	case ses.inFlight[key] != nil:
		return badFrame("a request with this id is still running in this session")
	case len(ses.inFlight) >= maxInFlight:
		return &Refusal{Stage: "session", Code: codeInternal, Status: http.StatusTooManyRequests, Reason: "too many requests are running in this session"}
	}
	ses.inFlight[key] = x
	return nil
}

func (ses *session) leave(x *exchange) {
	if ses.era != legacy {
		return
	}
	key := idKey(x.frame.id)
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if ses.inFlight[key] == x {
		delete(ses.inFlight, key)
	}
}

// running is the request in flight that an answer belongs to.
func (ses *session) running(id toolcall.JSON) *exchange {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	return ses.inFlight[idKey(id)]
}
