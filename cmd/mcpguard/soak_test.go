package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"mcpguard/audit"
	"mcpguard/identity"
	"mcpguard/store"
	"mcpguard/toolcall"
)

// The soak lets many agents open sessions, call and leave, in every way that
// there is to leave, and then looks for what stayed behind: goroutines, open
// files, memory, sessions without an end, calls without an outcome.
//
// MCPGUARD_SOAK=2m makes it last that long with 1,000 agents (make soak);
// otherwise it is short.
const (
	soakShort       = 2 * time.Second
	soakShortAgents = 64
	soakAgents      = 1000
	soakCallers     = 8 // one may not have all its agents' calls under way at once
	soakShortIdle   = "1s"
	soakIdle        = "10s" // an agent among a thousand may have to wait for its turn
)

// What may stay behind. A leak of anything per session or per call is thousands.
const (
	soakGoroutines = 16
	soakFiles      = 256 + 16 // the pool of idle connections to an upstream, and a few
	soakHeap       = 16 << 20
)

const soakPolicy = `version: 1
roles:
  agents: {groups: [agents], redact: [pii], allow: [soak/echo, soak/slow]}
redactions:
  pii: {paths: ["**.ssn"], replace: mask}
`

func TestSoak(t *testing.T) {
	lasting, agents, idle := soakShort, soakShortAgents, soakShortIdle
	if text := os.Getenv("MCPGUARD_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("read MCPGUARD_SOAK: %v", err)
		}
		lasting, agents, idle = d, soakAgents, soakIdle
	}
	up := newSoakUpstream()
	upstream := httptest.NewServer(up)
	defer upstream.Close()
	dir, tokens := soakConfig(t, upstream.URL, idle)
	env := osEnvironment()
	cfg, err := LoadConfig(filepath.Join(dir, "mcpguard.yaml"), overrides{}, env)
	if err != nil {
		t.Fatal(err)
	}
	g, err := wire(t.Context(), cfg, env, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(g.handler())
	reader, err := store.OpenReader(t.Context(), cfg.Store)
	if err != nil {
		t.Fatal(err)
	}
	run := &soakRun{url: front.URL + "/mcp", tokens: tokens, up: up, reader: reader}

	// What is made once and stays, such as pools, is made before it is counted.
	run.let(t, lasting/4, agents)
	before := run.settled(t, upstream, holding{goroutines: 1 << 20, files: 1 << 20})
	run.let(t, lasting, agents)
	after := run.settled(t, upstream, before)
	t.Logf("%d sessions and %d calls: %d deleted, %d left, %d left with a stream, %d left during a call",
		run.sessions.Load(), run.calls.Load(), run.ends[endDeleted].Load(), run.ends[endLeft].Load(), run.ends[endStream].Load(), run.ends[endCalling].Load())
	t.Logf("before: %v; after: %v", before, after)
	if after.heap > before.heap+soakHeap {
		t.Errorf("the heap grew from %d to %d KiB", before.heap>>10, after.heap>>10)
	}
	for i := range run.ends {
		if run.ends[i].Load() == 0 {
			t.Errorf("no session ended in way %d", i)
		}
	}

	front.Close()
	if err := g.close(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkSoakRecord(t, run)
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

// soakConfig writes the configuration of a guard whose sessions are soon idle.
func soakConfig(t *testing.T, upstream, idle string) (dir string, tokens []string) {
	t.Helper()
	dir = t.TempDir()
	entries := make([]string, soakCallers)
	for i := range entries {
		secret := identity.NewToken()
		tokens = append(tokens, secret.Reveal())
		entries[i] = fmt.Sprintf("{name: agent%d, owner: sam%d@example.com, sha256: %s, groups: [agents], expires: 2099-12-31}", i, i, secret.Digest())
	}
	for name, text := range map[string]string{
		"policy.yaml": soakPolicy,
		"mcpguard.yaml": `listen: 127.0.0.1:0
policy: policy.yaml
store: sqlite://record.db
keys: keys/
upstreams: {soak: {url: ` + upstream + `/mcp}}
identity: {tokens: [` + strings.Join(entries, ", ") + `]}
limits: {idle: ` + idle + `, sessions: 50000, sessions_total: 50000}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, tokens
}

// The ways in which an agent leaves a session.
const (
	endDeleted = iota // says so
	endLeft           // never comes back
	endStream         // closes its stream, and never comes back
	endCalling        // hangs up in the middle of a call, and never comes back
	endWays
)

// soakRun is what the agents do and count.
type soakRun struct {
	url      string
	tokens   []string
	up       *soakUpstream
	reader   *store.Reader
	seen     uint64 // entries of the chain that openSessions has counted
	open     int    // sessions that had no end by then
	sessions atomic.Int64
	calls    atomic.Int64 // that were sent
	ends     [endWays]atomic.Int64
	answered marks // calls whose answer arrived
}

// let lets that many agents come and go for a while.
func (r *soakRun) let(t *testing.T, lasting time.Duration, agents int) {
	t.Helper()
	until := time.Now().Add(lasting)
	var running sync.WaitGroup
	for i := range agents {
		running.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			a := &soakAgent{run: r, token: r.tokens[i%len(r.tokens)], client: &http.Client{Transport: transport, Timeout: time.Minute}}
			for way := i % endWays; time.Now().Before(until); way = (way + 1) % endWays {
				if err := a.session(t.Context(), way); err != nil {
					t.Error(err)
					return
				}
				r.ends[way].Add(1)
			}
		})
	}
	running.Wait()
}

// holding is what a process holds.
type holding struct {
	goroutines, files int
	heap              uint64
}

// settled waits until every session has its end in the record and the process
// holds no more than it may, and says how much that is.
func (r *soakRun) settled(t *testing.T, upstream *httptest.Server, most holding) holding {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		sessions, requests := r.openSessions(t), r.up.open.Load()
		if requests == 0 {
			upstream.CloseClientConnections() // each has a goroutine of the test's own
		}
		runtime.GC()
		runtime.GC() // what finalizers let go
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		files, err := os.ReadDir("/dev/fd")
		if err != nil {
			Lacking(t, "the list of open files", err)
		}
		now := holding{runtime.NumGoroutine(), len(files), memory.HeapAlloc}
		if sessions == 0 && requests == 0 && now.goroutines <= most.goroutines+soakGoroutines && now.files <= most.files+soakFiles {
			return now
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d sessions, %d requests of the upstream and %v stay, where %v was held before:\n%s",
				sessions, requests, now, most, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// openSessions is how many sessions have no end in the record.
func (r *soakRun) openSessions(t *testing.T) int {
	t.Helper()
	for e, err := range r.reader.Chain(t.Context(), chainName, r.seen) {
		if err != nil {
			t.Fatal(err)
		}
		r.seen = e.Seq
		switch e.Kind {
		case audit.SessionStart:
			r.open++
		case audit.SessionEnd:
			r.open--
		}
	}
	return r.open
}

// checkSoakRecord holds the record to the law: every call that ran has its
// intent, every intent its one outcome, every session its start and its end, and
// the chain verifies.
func checkSoakRecord(t *testing.T, run *soakRun) {
	t.Helper()
	if _, err := audit.VerifyChain(t.Context(), run.reader, chainName); err != nil {
		t.Error(err)
	}
	intents := map[string]toolcall.ID{} // by marker
	outcomes := map[toolcall.ID]int{}
	ended := map[toolcall.Outcome]int{}
	open := map[toolcall.ID]int{}
	refused := 0
	for e, err := range run.reader.Chain(t.Context(), chainName, 0) {
		if err != nil {
			t.Fatal(err)
		}
		switch e.Kind {
		case audit.SessionStart:
			open[e.Session]++
		case audit.SessionEnd:
			open[e.Session]--
		case audit.Intent:
			rec, err := audit.Decode(e)
			if err != nil {
				t.Fatal(err)
			}
			intents[gjson.Get(rec.Args.String(), "marker").Str] = e.Call
		case audit.Outcome:
			outcomes[e.Call]++
			ended[e.Outcome]++
		case audit.Refusal:
			refused++
		}
	}
	t.Logf("the record has %d sessions, %d intents, outcomes %v, %d refusals", len(open), len(intents), ended, refused)
	if refused > 0 {
		t.Errorf("%d refusals, and nothing was sent that should be refused", refused)
	}
	for id, n := range open {
		if n != 0 {
			t.Errorf("session %s: starts and ends differ by %d", id, n)
		}
	}
	if int64(len(open)) != run.sessions.Load() {
		t.Errorf("%d sessions in the record, and %d were opened", len(open), run.sessions.Load())
	}
	for marker, call := range intents {
		if outcomes[call] != 1 {
			t.Errorf("call %s (%s): %d outcomes", call, marker, outcomes[call])
		}
	}
	if len(outcomes) != len(intents) {
		t.Errorf("%d calls have an outcome, and %d an intent", len(outcomes), len(intents))
	}
	for what, marks := range map[string]*marks{"ran": &run.up.ran, "was answered": &run.answered} {
		for number, marked := range marks.set {
			if _, ok := intents[marker(int64(number))]; marked && !ok {
				t.Errorf("call %s %s, and has no intent", marker(int64(number)), what)
			}
		}
	}
	if ran := run.up.executions.Load(); ran > int64(len(intents)) {
		t.Errorf("%d calls ran, and %d have an intent", ran, len(intents))
	}
}
