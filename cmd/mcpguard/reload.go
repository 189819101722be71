package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// reloader is the one way by which a policy comes into force: at the start, when
// its files change, at SIGHUP, and when a person asks for it. It builds the new
// policy and runs the policy's own tests; only then it swaps (law 12).
type reloader struct {
	path   string
	looked string // what its files looked like before the start read them

	storeFolder string // where the record is written all the time
	engine      *toolpolicy.Engine
	blobs       blobs
	record      recorder
	count       func(result string)                    // of metrics: loaded, unchanged or refused
	told        func(before, after *toolpolicy.Policy) // after a swap; nil: nobody
	now         func() time.Time
	log         *slog.Logger

	mu     sync.Mutex                // one load at a time
	loaded atomic.Pointer[time.Time] // when the policy in force came into force
}

// reload loads the policy for a cause that no person waits for, and tells in the
// log what is wrong with it.
func (g *guard) reload(ctx context.Context, env *environment, cause string) {
	if _, err := g.policies.load(ctx, occasion{cause: cause}); err != nil {
		g.log.Error("the policy in force stays: the new one is refused", "asked for", cause)
		report(env.stderr, err)
	}
}

// watch reloads the policy when its files change, until the returned function is
// called, which waits for the end of what is under way.
func (g *guard) watch(ctx context.Context, env *environment) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	w := watcher{
		look:    func() string { return lookAt(g.policies.path) },
		changed: func() { g.reload(ctx, env, causeChange) },
		hints:   hints(ctx, &done, g.policies.path, g.policies.storeFolder, g.log),
	}
	done.Go(func() { w.run(ctx, g.policies.looked) })
	return func() {
		cancel()
		done.Wait()
	}
}

// blobs keeps what lies behind a digest.
type blobs interface {
	PutBlob(ctx context.Context, kind, digest string, data []byte) error
}

// recorder keeps records.
type recorder interface {
	Put(audit.Record) *audit.Commit
}

// occasion says why a policy is loaded, and who asked for it.
type occasion struct {
	cause   string          // for the record and the log
	by      toolcall.Caller // zero: nobody but the process itself
	addr    string          // of the one who asked, without port
	removed bool            // files of the policy in force may be gone
}

// The causes that no person has.
const (
	causeStart  = "at the start"
	causeHangup = "at SIGHUP"
	causeChange = "because its files changed"
)

// loaded is what came of a load that was not refused.
type loadedPolicy struct {
	Policy  string `json:"policy"`  // where it was read from
	Digest  string `json:"digest"`  // of the policy in force
	Changed bool   `json:"changed"` // another one was in force before
}

// load builds the policy anew and puts it in force. After an error the policy
// that was in force still is, and the record says that another was refused.
func (r *reloader) load(ctx context.Context, o occasion) (loadedPolicy, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	policy, err := buildPolicy(r.path, r.engine.Current(), o.removed)
	// Who asked may be gone, and mcpguard about to stop: what the record says of the
	// policy is true all the same. The time begins here: tests may take longer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRecords)
	defer cancel()
	if err != nil {
		r.count("refused")
		return loadedPolicy{}, errors.Join(&refusedPolicy{err}, r.refused(ctx, o, err))
	}
	done := loadedPolicy{Policy: r.path, Digest: policy.Digest()}
	if policy.Digest() == r.engine.Current().Digest() {
		r.count("unchanged")
		return done, nil
	}
	done.Changed = true
	if err := r.enforce(ctx, policy, o); err != nil {
		r.count("refused")
		return loadedPolicy{}, err
	}
	return done, nil
}

// enforce keeps the texts of a policy by its digest, records that it is the one
// that decides from here on, and swaps it in.
func (r *reloader) enforce(ctx context.Context, p *toolpolicy.Policy, o occasion) error {
	texts := map[string]string{}
	for _, f := range p.Files() {
		texts[f.Name] = string(f.Text)
	}
	blob, err := json.Marshal(texts)
	if err != nil {
		return fmt.Errorf("keep the policy: %w", err)
	}
	if err := r.blobs.PutBlob(ctx, "policy", p.Digest(), blob); err != nil {
		return fmt.Errorf("keep the policy: %w", err)
	}
	rec := audit.Record{Kind: audit.PolicyLoaded, At: r.now(), Policy: p.Digest(),
		Caller: o.by, ClientAddr: o.addr, Reason: redact.Public(o.cause)}
	if err := r.record.Put(rec).Wait(ctx); err != nil {
		return fmt.Errorf("record the policy: %w", err)
	}
	before := r.engine.Current()
	r.engine.Swap(p)
	loaded := r.now()
	r.loaded.Store(&loaded)
	r.count("loaded")
	r.log.Info("policy loaded", "digest", p.Digest())
	if r.told != nil {
		r.told(before, p)
	}
	return nil
}

// since is when the policy in force came into force. It does not wait for a load:
// those who ask whether mcpguard is alive and ready ask for it.
func (r *reloader) since() time.Time {
	if at := r.loaded.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// refusedPolicy is the error about a policy that is not fit to be in force. Every
// other error of a load is mcpguard's own.
type refusedPolicy struct{ error }

func (r *refusedPolicy) Unwrap() error { return r.error }

// maxRefusedWords bounds what the record keeps of the reason why a policy was
// refused, in bytes: check and test tell all of it.
const maxRefusedWords = 1 << 10

// refused records that a policy was not loaded.
func (r *reloader) refused(ctx context.Context, o occasion, why error) error {
	words := o.cause + ": " + why.Error()
	if len(words) > maxRefusedWords {
		words = strings.ToValidUTF8(words[:maxRefusedWords], "") + " ..."
	}
	rec := audit.Record{Kind: audit.PolicyRefused, At: r.now(), Policy: r.engine.Current().Digest(),
		Caller: o.by, ClientAddr: o.addr, Reason: redact.Public(words)}
	if err := r.record.Put(rec).Wait(ctx); err != nil {
		return fmt.Errorf("record that a policy was refused: %w", err)
	}
	return nil
}

// buildPolicy reads and compiles the policy at path and runs its own tests. A file
// that the policy in force has and that is gone is a mistake, unless removed says
// that it is meant: a folder that is half copied would lose its denials.
func buildPolicy(path string, inForce *toolpolicy.Policy, removed bool) (*toolpolicy.Policy, error) {
	policy, err := loadPolicy(path)
	if err != nil {
		return nil, err
	}
	if !removed {
		if err := filesAreThere(policy, inForce); err != nil {
			return nil, err
		}
	}
	return policy, passesOwnTests(path, policy)
}

func filesAreThere(policy, inForce *toolpolicy.Policy) error {
	there := map[string]bool{}
	for _, f := range policy.Files() {
		there[f.Name] = true
	}
	var gone []string
	for _, f := range inForce.Files() {
		if !there[f.Name] {
			gone = append(gone, f.Name)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return fail(exitProblems, fmt.Errorf("load the policy: the one in force has %s, and the folder has not: nothing changes",
		strings.Join(gone, ", ")), "put it back, or mcpguard policy reload --allow-removed")
}

// testFailures are the tests of a policy that failed.
type testFailures []testResult

func (f testFailures) Error() string {
	lines := []string{"load the policy: " + count(len(f), "test") + " of its own failed: nothing changes"}
	for _, r := range f {
		lines = append(lines, fmt.Sprintf("%s:%d: %s: %s", r.File, r.Line, r.Name, strings.Join(r.Failures, "; ")))
	}
	return strings.Join(lines, "\n")
}

// passesOwnTests runs the tests beside a policy. Of a folder these are all of its
// *_test.yaml; of a file, those beside it that name it. A test file that cannot be
// read might be one of them.
func passesOwnTests(path string, policy *toolpolicy.Policy) error {
	folder, err := isFolder(path)
	if err != nil {
		return fmt.Errorf("find the policy's tests: %w", err)
	}
	dir := path
	if !folder {
		dir = filepath.Dir(path)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("find the policy's tests: %w", err)
	}
	var failed testFailures
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !isPolicyTest(e.Name()) {
			continue
		}
		tests, err := readPolicyTests(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		own := sameFile(tests.policy(), path)
		if !folder && !own {
			continue
		}
		ran, err := tests.run(func(named string) (*toolpolicy.Policy, error) {
			if own {
				return policy, nil
			}
			return loadPolicy(named)
		})
		if err != nil {
			return err
		}
		failed = append(failed, slices.DeleteFunc(ran, func(r testResult) bool { return r.OK })...)
	}
	if len(failed) > 0 {
		return fail(exitProblems, failed, "mcpguard policy test "+dir)
	}
	return nil
}

func isFolder(path string) (bool, error) {
	info, err := os.Stat(path)
	return err == nil && info.IsDir(), err
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
