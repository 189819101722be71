package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mcpguard/audit"
	"mcpguard/identity"
	"mcpguard/keyring"
	"mcpguard/mcpproxy"
	"mcpguard/store"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// guard is mcpguard with all its rooms joined. serve, demo, tests and
// benchmarks are made of it; nothing else joins rooms.
type guard struct {
	proxy  *mcpproxy.Proxy
	engine *toolpolicy.Engine
	judge  judge
	record *audit.Log
	pins   *mcpproxy.Pinbook
	store  *store.Store
	log    *slog.Logger
	now    func() time.Time
	token  localToken
	dog    *watchdog // nil where no upstream is a process

	upstreams []string // the configured ones, by name

	policies *reloader
	metrics  *metrics
	health   *health
	people   mcpproxy.Authenticator // of the admin listener; nil where the caller is on stdin
}

// localToken is where the laptop's user finds the token of the local identity.
type localToken struct {
	path    string // "" without a local user
	created bool
}

// chainName names the one chain that a store on one machine has.
const chainName = "main"

// wire opens the store, the keys and the policy of a configuration, and joins
// them. Whatever was opened is closed again when something is missing.
func wire(ctx context.Context, cfg *Config, env *environment, log *slog.Logger) (_ *guard, err error) {
	g := &guard{log: log, now: env.now, upstreams: namesOf(cfg.Upstreams)}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close(ctx))
		}
	}()
	if err := keysAreThere(ctx, cfg); err != nil {
		return nil, err
	}
	keys, err := keyring.Open(cfg.Keys)
	if err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	looks := lookAt(cfg.Policy)
	policy, err := buildPolicy(cfg.Policy, nil, false)
	if err != nil {
		return nil, fail(exitUsage, err, tryOf(err))
	}
	g.engine = toolpolicy.NewEngine(nil)
	g.metrics = newMetrics(cfg)
	if g.store, err = store.Open(ctx, cfg.Store); err != nil {
		return nil, storeFailure(err)
	}
	g.store.Notice(func(err error) { log.Error("copy the write-ahead log", "err", err) })
	meter, err := meterOf(ctx, g.store, keys, env.now())
	if err != nil {
		return nil, err
	}
	g.health = &health{Store: g.store, meter: meter, now: env.now}
	if g.record, err = audit.Open(ctx, recordConfig(cfg, g.health, keys, env, log)); err != nil {
		return nil, fmt.Errorf("open the record: %w", err)
	}
	g.health.record = g.record
	g.policies = &reloader{path: cfg.Policy, looked: looks, storeFolder: filepath.Dir(cfg.StorePath()), engine: g.engine, blobs: g.store, record: g.record,
		count: g.metrics.reloaded, now: env.now, log: log}
	if err := g.policies.enforce(ctx, policy, occasion{cause: startCause(cfg)}); err != nil {
		return nil, err
	}
	auth, err := g.authenticator(cfg, env)
	if err != nil {
		return nil, err
	}
	g.judge = judge{engine: g.engine, until: cfg.ObserveUntil, now: env.now}
	var dog mcpproxy.Watchdog
	if slices.ContainsFunc(cfg.Upstreams, func(u Upstream) bool { return u.Command != "" }) {
		g.dog = newWatchdog(log)
		dog = g.dog
	}
	if g.pins, err = pinbook(cfg, g.store, g.record, env, log); err != nil {
		return nil, err
	}
	g.proxy, err = mcpproxy.New(mcpproxy.Config{
		Upstreams: upstreamsOf(cfg),
		Watchdog:  dog,
		Auth:      auth,
		Judge:     g.judge,
		Limiter:   limiter{meter, g.judge},
		Record:    counting{g.record, g.metrics},
		Keys:      keys,
		Archive:   archive{g.store},
		Pins:      g.pins,
		Limits:    limitsOf(cfg.Limits),
		Keep:      keepOf(cfg.Record),
		Log:       log,
		Now:       env.now,
		Loopback:  cfg.onLoopback(),
		Hosts:     cfg.AllowedHosts,
		Origins:   cfg.AllowedOrigins,
	})
	if err != nil {
		return nil, err
	}
	g.policies.told = func(before, after *toolpolicy.Policy) {
		g.proxy.PolicyChanged(g.judge.of(before), g.judge.of(after))
	}
	g.measure()
	return g, nil
}

// pinbook joins the pins of a configuration with what was decided before.
func pinbook(cfg *Config, kept *store.Store, record *audit.Log, env *environment, log *slog.Logger) (*mcpproxy.Pinbook, error) {
	lock, err := loadLock(cfg.PinLock)
	if err != nil {
		return nil, err
	}
	rules := map[string]mcpproxy.PinRules{}
	for i := range cfg.Upstreams {
		rules[cfg.Upstreams[i].Name] = cfg.Upstreams[i].Pins.rules()
	}
	return mcpproxy.NewPinbook(mcpproxy.PinbookConfig{Store: kept, Record: record, Rules: rules, Lock: lock, Log: log, Now: env.now})
}

// handler is the agents' listener.
func (g *guard) handler() http.Handler { return g.proxy }

// close ends what is under way, then what it is recorded with.
func (g *guard) close(ctx context.Context) error {
	var errs []error
	if g.proxy != nil {
		g.proxy.Close()
	}
	if g.dog != nil {
		errs = append(errs, g.dog.close())
	}
	if g.record != nil {
		errs = append(errs, g.record.Close(ctx))
	}
	if g.store != nil {
		errs = append(errs, g.store.Close())
	}
	return errors.Join(errs...)
}

// storeFailure says what to try where the store cannot be written.
func storeFailure(err error) error {
	said := fmt.Errorf("open the store: %w", err)
	switch {
	case errors.Is(err, store.ErrLocked):
		return fail(exitFailure, said, "--store sqlite://PATH for a record of its own, or end the other")
	case errors.Is(err, store.ErrForeign):
		return fail(exitUsage, said, "--store sqlite://PATH with the path of a store, or of a file that is not there yet")
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitFailure, said, "make the store's folder first, with mode 0700")
	}
	return said
}

// keysAreThere refuses a store whose keys are gone: new ones would make its
// digests and every handle that clients carry worthless, in silence (law 3).
func keysAreThere(ctx context.Context, cfg *Config) error {
	switch record, err := os.Stat(cfg.StorePath()); {
	case errors.Is(err, fs.ErrNotExist) || err == nil && record.Size() == 0:
		return nil
	case err != nil:
		return fmt.Errorf("look for the store: %w", err)
	}
	// An empty folder is a volume that was not mounted.
	if keys, err := os.ReadDir(cfg.Keys); errors.Is(err, fs.ErrNotExist) || err == nil && len(keys) == 0 {
		switch record, err := store.OpenReader(ctx, cfg.Store); {
		case err != nil && !errors.Is(err, store.ErrOlder): // which serve would bring up to date
			return storeFailure(err) // no keys would make a store of it
		case err == nil:
			if err := record.Close(); err != nil {
				return storeFailure(err)
			}
		}
		return fail(exitUsage, fmt.Errorf("the store %s is there, and the keys that it was written with are not", cfg.StorePath()),
			"put the folder "+cfg.Keys+" back from a backup, or begin a new store")
	}
	return nil
}

// authenticator joins the identities of a configuration.
func (g *guard) authenticator(cfg *Config, env *environment) (_ mcpproxy.Authenticator, err error) {
	if cfg.Stdio {
		if cfg.Identity.Local == nil {
			return nil, errors.New("read the local user: the configuration has none")
		}
		return identity.NewStdio(identity.Local{Username: identity.OSUser(), Groups: cfg.Identity.Local.Groups})
	}
	c := identity.Config{Tokens: cfg.Identity.Tokens, Now: env.now}
	if l := cfg.Identity.Local; l != nil {
		token, created, err := identity.LocalToken(l.TokenFile)
		if err != nil {
			return nil, err
		}
		g.token = localToken{l.TokenFile, created}
		c.Local = &identity.Local{
			Username: identity.OSUser(), Groups: l.Groups, SHA256: token.Digest(), TrustLoopback: l.TrustLoopback,
		}
	}
	if g.people, err = peopleOf(c); err != nil {
		return nil, err
	}
	return identity.New(c)
}

func recordConfig(cfg *Config, sink audit.Sink, keys *keyring.Ring, env *environment, log *slog.Logger) audit.Config {
	edge, err := os.Hostname()
	if err != nil {
		edge = ""
	}
	return audit.Config{
		Sink: sink, Keys: keys, Chain: chainName, Edge: edge, Now: env.now,
		MaxResult: int(cfg.Record.MaxResult),
		Retention: audit.Retention{MaxAge: cfg.Record.Retention.Age, MaxBytes: cfg.Record.Retention.Size},
		Notice:    func(err error) { log.Error("remove old records", "err", err) },
	}
}

func upstreamsOf(cfg *Config) []mcpproxy.Upstream {
	share := map[string]mcpproxy.Share{
		shareSession: mcpproxy.ShareSession, shareCaller: mcpproxy.ShareCaller, shareAll: mcpproxy.ShareAll,
	}
	transport := map[string]mcpproxy.Transport{
		transportAuto: mcpproxy.TransportAuto, transportStreamable: mcpproxy.TransportStreamable, transportSSE: mcpproxy.TransportSSE,
	}
	var all []mcpproxy.Upstream
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		up := mcpproxy.Upstream{
			Name: u.Name, URL: u.URL.Reveal(), Transport: transport[u.Transport], Dir: u.Cwd, Header: http.Header{},
			Timeout: u.Limits.Timeout, Result: int(u.Limits.Result), Secrets: u.Secrets(),
		}
		for _, h := range u.Headers {
			up.Header.Set(h.Name, h.Value.Reveal())
		}
		if u.Command != "" {
			up.Share = share[u.Share]
			up.Command = []string{u.Command}
			for _, arg := range u.Args {
				up.Command = append(up.Command, arg.Reveal())
			}
			for _, e := range u.Env {
				up.Env = append(up.Env, e.Name+"="+e.Value.Reveal())
			}
		}
		all = append(all, up)
	}
	return all
}

func limitsOf(l Limits) mcpproxy.Limits {
	limits := mcpproxy.DefaultLimits()
	limits.Request, limits.Result, limits.Depth = int(l.Request), int(l.Result), l.Depth
	limits.Timeout, limits.Idle = l.Timeout, l.Idle
	limits.SessionsPerCaller, limits.Sessions = l.Sessions, l.SessionsTotal
	limits.ProcessesPerCaller, limits.Processes = l.Processes, l.ProcessesTotal
	limits.Memory = int(l.Memory)
	return limits
}

func keepOf(r Record) mcpproxy.Keep {
	detail := map[string]mcpproxy.Detail{
		keepRedacted: mcpproxy.KeepRedacted, keepDigest: mcpproxy.KeepDigest, keepNothing: mcpproxy.KeepNone,
	}
	durability := map[string]mcpproxy.Durability{
		durabilityStrict: mcpproxy.Strict, durabilityOverlapped: mcpproxy.Overlapped, durabilityRelaxed: mcpproxy.Relaxed,
	}
	return mcpproxy.Keep{Args: detail[r.Arguments], Results: detail[r.Results], Durability: durability[r.Durability]}
}

// snapshot is a policy as the proxy sees it.
type snapshot struct{ *toolpolicy.Policy }

func (s snapshot) Visible(c toolcall.Caller, kind toolcall.Kind, upstream, name string) bool {
	return s.Policy.Visible(c, kind, upstream, name) == toolpolicy.Listed
}

func (s snapshot) Redactions(c toolcall.Caller, upstream, tool string) []string {
	return s.RedactionsFor(c, upstream, tool)
}

// meterOf goes on with what the store says that limits have counted.
func meterOf(ctx context.Context, from *store.Store, keys *keyring.Ring, now time.Time) (*toolpolicy.Meter, error) {
	windows, err := from.Windows(ctx, now)
	if err != nil {
		return nil, err
	}
	return toolpolicy.NewMeter(keys, windows, now)
}

// archive is the store as the proxy sees it.
type archive struct{ *store.Store }

func (a archive) KeepCatalogue(ctx context.Context, digest string, definitions []byte) error {
	return a.PutBlob(ctx, "catalogue", digest, definitions)
}

// endpoints are the addresses that agents are pointed at.
func endpoints(cfg *Config, base string) string {
	if len(cfg.Upstreams) == 1 {
		return base + "/mcp"
	}
	var all []string
	for _, u := range cfg.Upstreams {
		all = append(all, base+"/mcp/"+u.Name)
	}
	return strings.Join(all, " ")
}
