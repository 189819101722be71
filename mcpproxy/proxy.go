package mcpproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mcpguard/toolcall"
)

// Config is what a Proxy is made of. Every seam is required.
type Config struct {
	Upstreams []Upstream
	Auth      Authenticator
	Judge     Judge
	Limiter   Limiter
	Record    Recorder
	Keys      Keys
	Archive   Archive
	Pins      *Pinbook // which definitions of upstreams are shown
	Limits    Limits
	Keep      Keep
	Watchdog  Watchdog         // nil: on Linux the kernel kills a server with mcpguard, but not what that started
	Log       *slog.Logger     // nil discards
	Now       func() time.Time // nil: time.Now

	// Loopback says that the listener is bound to loopback: then only loopback
	// names are accepted as Host, and as the host of an Origin.
	Loopback bool
	// Hosts and Origins are accepted beside those.
	Hosts, Origins []string
}

// Limits bound what one message, one caller and all callers may take.
type Limits struct {
	Request            int           // bytes of a client's message
	Result             int           // bytes of an upstream's message
	Depth              int           // levels of nesting in both
	Timeout            time.Duration // the longest silence of an upstream while a call runs
	Idle               time.Duration // a session without a request for this long ends
	SessionLife        time.Duration // a legacy session is not revived after this
	Sessions           int           // open sessions in all
	SessionsPerCaller  int
	Processes          int // stdio server processes in all
	ProcessesPerCaller int // of a shared one, its first caller's
	Calls              int // messages being read or answered, in all
	CallsPerCaller     int
	Streams            int // streams that answer no message, in all
	StreamsPerCaller   int
	Tasks              int // open tasks in all
	TasksPerCaller     int
	Memory             int // bytes that messages hold at once, in all; more than Result
	Kept               int // bytes of events kept for clients that come back, in all
	KeptPerCaller      int
	KeptPerSession     int
	KeepAlive          time.Duration // silence after which a client is sent a comment; 0 sends none
}

// DefaultLimits are limits for a Proxy that no configuration bounds.
func DefaultLimits() Limits {
	return Limits{
		Request: 1 << 20, Result: 32 << 20, Depth: 128,
		Timeout: 60 * time.Second, Idle: 30 * time.Minute, SessionLife: 24 * time.Hour,
		Sessions: 16384, SessionsPerCaller: 4096, Processes: 256, ProcessesPerCaller: 64,
		Calls: 4096, CallsPerCaller: 512, Streams: 4096, StreamsPerCaller: 256, Tasks: 4096, TasksPerCaller: 256, Memory: 256 << 20,
		Kept: 64 << 20, KeptPerCaller: 16 << 20, KeptPerSession: 4 << 20, KeepAlive: 15 * time.Second,
	}
}

func (l Limits) message() toolcall.Limits { return toolcall.Limits{Bytes: l.Request, Depth: l.Depth} }

// Detail says how much of an argument or a result the record keeps. The zero
// Detail keeps the redacted text.
type Detail uint8

// The details.
const (
	KeepRedacted Detail = iota // what redaction leaves
	KeepDigest                 // size and keyed digest
	KeepNone                   // size only
)

// Durability says what an answer waits for. The zero Durability is the strict one.
type Durability uint8

// The durabilities. Only tools that the policy marks "reads: true" may have less
// than strict (law 2).
const (
	Strict     Durability = iota // the intent before the call, the outcome before the answer
	Overlapped                   // both before the answer; the intent is committed while the upstream works
	Relaxed                      // the intent before the call; the outcome is not waited for
)

func (d Durability) String() string { return [...]string{"strict", "overlapped", "relaxed"}[d] }

// Keep says what the record holds, and when.
type Keep struct {
	Args, Results Detail
	Durability    Durability
}

// Proxy is an http.Handler in front of its upstreams.
type Proxy struct {
	cfg       Config
	log       *slog.Logger
	upstreams map[string]*upstream
	only      *upstream // where there is exactly one
	sessions  *sessions
	flood     *flood
	chatter   *flood // of what leaves a record and is no call
	turns     *flood // of answers to what was refused
	calls     *inFlight
	gets      *inFlight // streams that clients opened with GET
	methods   methods
	launcher  *launcher
	memory    *memory
	queue     turns // of callers whose calls queue to be judged
	kept      *keptBytes
	listeners listeners
	ownID     atomic.Int64 // numbers mcpguard's own requests

	ctx   context.Context // ends with Close
	stop  context.CancelCauseFunc
	open  context.Context // ends with Drain: streams that answer no call
	drain context.CancelCauseFunc
	last  context.Context // ends when Close no longer waits for records
	leave context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	once   sync.Once
	work   sync.WaitGroup // requests under way; grows only while not closed
}

// New makes a Proxy. Close lets go of what it holds.
func New(cfg Config) (*Proxy, error) {
	switch {
	case cfg.Auth == nil || cfg.Judge == nil || cfg.Limiter == nil || cfg.Record == nil || cfg.Keys == nil || cfg.Archive == nil || cfg.Pins == nil:
		return nil, errors.New("make a proxy: a seam is missing")
	case len(cfg.Upstreams) == 0:
		return nil, errors.New("make a proxy: no upstream")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Proxy{cfg: cfg, log: cfg.Log, upstreams: map[string]*upstream{}, flood: newFlood(refusalsPerSecond), chatter: newFlood(refusalsPerSecond), turns: newFlood(answersPerSecond), calls: newInFlight(cfg.Limits.CallsPerCaller, cfg.Limits.Calls), gets: newInFlight(cfg.Limits.StreamsPerCaller, cfg.Limits.Streams), kept: newKeptBytes(cfg.Limits), methods: newMethods(table())}
	for _, u := range cfg.Upstreams {
		if p.upstreams[u.Name] != nil {
			return nil, fmt.Errorf("make a proxy: two upstreams are called %s", u.Name)
		}
		up, err := newUpstream(u, cfg.Limits, cfg.Log)
		if err != nil {
			return nil, fmt.Errorf("make a proxy: %w", err)
		}
		p.upstreams[u.Name] = up
		p.only = up
	}
	if len(p.upstreams) > 1 {
		p.only = nil
	}
	largest := cfg.Limits.Result
	for _, up := range p.upstreams {
		largest = max(largest, up.limits.Bytes)
	}
	p.memory = newMemory(cfg.Limits.Memory, largest)
	p.memory.work = newHeavy(p.calls.several)
	p.launcher = newLauncher()
	for _, up := range p.upstreams {
		up.launcher, up.watch, up.memory = p.launcher, cfg.Watchdog, p.memory
	}
	p.ctx, p.stop = context.WithCancelCause(context.Background())
	p.open, p.drain = context.WithCancelCause(p.ctx)
	p.last, p.leave = context.WithCancelCause(context.Background())
	p.sessions = newSessions(p)
	for _, up := range p.upstreams {
		up.room = p.sessions
		up.refuse = func(ctx context.Context, f frame) error { return p.recordUnasked(ctx, up, f) }
	}
	return p, nil
}

// enter counts a request under way; it is false once the proxy is closed.
func (p *Proxy) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.work.Add(1)
	}
	return !p.closed
}

func (p *Proxy) now() time.Time { return p.cfg.Now() }

// Drain ends the streams that answer no call, which would otherwise stay open
// for as long as their clients like, and refuses new requests. Calls under way go
// on, with the notifications and answers of their clients.
func (p *Proxy) Drain() { p.drain(errShutdown) }

// patience is how long Close waits for the records of calls that it ended.
const patience = 10 * time.Second

// Close ends every call under way, waits until each is recorded, and stops the
// server processes. The listener must have stopped accepting.
func (p *Proxy) Close() { p.once.Do(p.close) }

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop(errShutdown)
	late := time.AfterFunc(patience, func() { p.leave(errShutdown) })
	p.work.Wait()
	late.Stop()
	p.leave(errShutdown)
	p.sessions.close()
	p.launcher.close()
	for _, u := range p.upstreams {
		if t, ok := u.transport.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
}
