package mcpproxy_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/identity"
	"mcpguard/keyring"
	"mcpguard/mcpproxy"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// setup is what a test wants of a rig. The zero setup has no policy, which
// refuses everything, and one scripted HTTP upstream called crm.
type setup struct {
	policy    string // text of policy.yaml; "" is no policy at all
	upstreams []mcpproxy.Upstream
	limits    func(*mcpproxy.Limits)
	keep      mcpproxy.Keep
	now       func() time.Time // nil: the rig's clock, which can be put forward
	auth      mcpproxy.Authenticator
	public    bool // the listener is not bound to loopback
	hosts     []string
	origins   []string
	store     *storetest.Memory         // nil: one of its own
	watch     func([]audit.Entry) error // sees what is about to be kept; an error of it is the store's
	keys      *keyring.Ring             // nil: a ring of its own
	archive   func(archive) mcpproxy.Archive
	pins      *mcpproxy.PinRules // of every upstream; nil: accept the first list, quarantine changes
	lock      *mcpproxy.PinLock
}

// rig is a proxy with real neighbours, joined like cmd/mcpguard joins them: a
// record over a store in memory, a compiled policy, static tokens, a key ring.
type rig struct {
	t      testing.TB
	url    string // of the agents' listener
	proxy  *mcpproxy.Proxy
	engine *toolpolicy.Engine
	meter  *toolpolicy.Meter
	store  *storetest.Memory
	pins   *mcpproxy.Pinbook
	keys   *keyring.Ring
	tokens map[string]identity.Secret
	logs   *logbook
	clock  *clock
	stop   func() // closes the proxy, and leaves its listener open
	close  func() // closes all; may be called before the test's end
}

// firstRules are those of pins.mode: first.
var firstRules = mcpproxy.PinRules{First: mcpproxy.PinAccept, Names: mcpproxy.PinAlert}

// The callers of every rig, and their groups.
var callers = map[string][]string{"sam": {"support"}, "fran": {"finance"}}

const chain = "test"

func newRig(t testing.TB, s setup) *rig {
	t.Helper()
	r := &rig{t: t, store: s.store, keys: s.keys, tokens: map[string]identity.Secret{}, logs: &logbook{}, clock: &clock{}}
	if r.store == nil {
		r.store = &storetest.Memory{}
	}
	if r.keys == nil {
		r.keys = keyring.NewEphemeral()
	}
	if s.now == nil {
		s.now = r.clock.now
	}
	windows, err := r.store.Windows(t.Context(), s.now())
	if err != nil {
		t.Fatal(err)
	}
	if r.meter, err = toolpolicy.NewMeter(r.keys, windows, s.now()); err != nil {
		t.Fatal(err)
	}
	record, err := audit.Open(t.Context(), audit.Config{Sink: counted{tap{r.store, s.watch}, r.meter}, Keys: r.keys, Chain: chain, Now: s.now})
	if err != nil {
		t.Fatal(err)
	}
	r.engine = toolpolicy.NewEngine(compile(t, s.policy))
	if s.auth == nil {
		s.auth = r.authenticator()
	}
	limits := mcpproxy.DefaultLimits()
	limits.Timeout = 20 * time.Second
	if s.limits != nil {
		s.limits(&limits)
	}
	var kept mcpproxy.Archive = archive{r.store}
	if s.archive != nil {
		kept = s.archive(archive{r.store})
	}
	rules := map[string]mcpproxy.PinRules{}
	for _, u := range s.upstreams {
		rules[u.Name] = firstRules
		if s.pins != nil {
			rules[u.Name] = *s.pins
		}
	}
	r.pins, err = mcpproxy.NewPinbook(mcpproxy.PinbookConfig{Store: r.store, Record: record, Rules: rules, Lock: s.lock,
		Now: s.now, Log: slog.New(slog.NewTextHandler(r.logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	r.proxy, err = mcpproxy.New(mcpproxy.Config{
		Upstreams: s.upstreams, Auth: s.auth, Judge: judge{r.engine}, Limiter: r.meter, Record: record, Keys: r.keys,
		Archive: kept, Pins: r.pins, Limits: limits, Keep: s.keep, Now: s.now,
		Log:      slog.New(slog.NewTextHandler(r.logs, nil)),
		Loopback: !s.public, Hosts: s.hosts, Origins: s.origins,
	})
	if err != nil {
		t.Fatal(err)
	}
	door := httptest.NewServer(r.proxy)
	r.url = door.URL
	r.stop = r.proxy.Close
	r.close = sync.OnceFunc(func() {
		r.stop()
		door.Close()
		if err := record.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.close)
	return r
}

func compile(t testing.TB, text string) *toolpolicy.Policy {
	t.Helper()
	if text == "" {
		return nil
	}
	p, err := toolpolicy.Compile("policy.yaml", []byte(text))
	if err != nil {
		t.Fatalf("compile the policy: %v", err)
	}
	return p
}

func (r *rig) authenticator() mcpproxy.Authenticator {
	var c identity.Config
	for name, groups := range callers {
		token := identity.NewToken()
		r.tokens[name] = token
		c.Tokens = append(c.Tokens, identity.Token{Name: name, Owner: name + "@example.com", SHA256: token.Digest(),
			Groups: groups, Expires: time.Now().Add(1000 * time.Hour)})
	}
	known, err := identity.New(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return known
}

// judge, snapshot and archive are what cmd/mcpguard/wire.go puts between the
// rooms.
type judge struct{ engine *toolpolicy.Engine }

func (j judge) Current() mcpproxy.Snapshot { return snapshot{j.engine.Current()} }

type snapshot struct{ *toolpolicy.Policy }

func (s snapshot) Visible(c toolcall.Caller, kind toolcall.Kind, upstream, name string) bool {
	return s.Policy.Visible(c, kind, upstream, name) == toolpolicy.Listed
}

func (s snapshot) Redactions(c toolcall.Caller, upstream, tool string) []string {
	return s.RedactionsFor(c, upstream, tool)
}

// tap is a store whose writes a test watches, delays or lets fail.
type tap struct {
	*storetest.Memory
	watch func([]audit.Entry) error
}

func (s tap) AppendWith(ctx context.Context, es []audit.Entry, ws []toolcall.Window) error {
	if s.watch != nil {
		if err := s.watch(es); err != nil {
			return err
		}
	}
	return s.Memory.AppendWith(ctx, es, ws)
}

// counted keeps with the records what limits have counted, as cmd/mcpguard/wire.go
// does.
type counted struct {
	tap
	meter *toolpolicy.Meter
}

func (s counted) Append(ctx context.Context, es []audit.Entry) error {
	return s.meter.Keep(func(ws []toolcall.Window) error { return s.AppendWith(ctx, es, ws) })
}

type archive struct{ *storetest.Memory }

func (a archive) KeepCatalogue(ctx context.Context, digest string, definitions []byte) error {
	return a.PutBlob(ctx, "catalogue", digest, definitions)
}

// records are what is in the store, in the order of the chain.
func (r *rig) records() []audit.Record {
	r.t.Helper()
	var all []audit.Record
	for e, err := range r.store.Chain(context.Background(), chain, 0) {
		if err != nil {
			r.t.Fatal(err)
		}
		rec, err := audit.Decode(e)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, rec)
	}
	return all
}

// recorded are the records of some kinds.
func (r *rig) recorded(kinds ...audit.Kind) []audit.Record {
	r.t.Helper()
	var some []audit.Record
	for _, rec := range r.records() {
		for _, k := range kinds {
			if rec.Kind == k {
				some = append(some, rec)
			}
		}
	}
	return some
}

// outcomes are how the calls ended, in the order of the chain.
func (r *rig) outcomes() string {
	r.t.Helper()
	var all []string
	for _, rec := range r.recorded(audit.Outcome) {
		all = append(all, rec.Outcome.String())
	}
	return strings.Join(all, " ")
}

// clock is the time of a rig.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// logbook is what the proxy logged.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// eventually waits for something that another goroutine is about to do. It is
// for what has no channel to wait on; a condition that never comes fails.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
