// Package storetest says what a store must do, as tests that every store runs,
// and has a store in memory that fails when it is told to.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// Store is everything that audit wants of a store.
type Store interface {
	audit.Sink
	audit.Pruner
	audit.Reader
	audit.Blobs
	EraseIdentity(ctx context.Context, ref audit.Ref) error
	Ended(ctx context.Context, session toolcall.ID) (bool, error)
	Tasks
	Pins
	Windows
}

// Run runs the contract. open makes an empty store, and closes it with the test.
func Run(t *testing.T, open func(*testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"what is appended is read as it was written":          readBack,
		"an empty store has no end, no sessions and no blobs": empty,
		"chains do not mix": chainsApart,
		"an entry is not appended twice, and not before another":           appendOnly,
		"an identity can be erased, and the chain holds":                   erase,
		"a session tells who, where, when and how much":                    sessionInfo,
		"sessions are found by each filter":                                filters,
		"retention by age removes a prefix and leaves a tombstone":         purgeByAge,
		"retention by size removes the oldest":                             purgeBySize,
		"the newest entry never goes":                                      newestStays,
		"a purge takes blobs and names along that nothing needs":           purgeTakesAlong,
		"a long value is kept once, and found by its digest":               blobs,
		"the end of a session is found":                                    ended,
		"two sessions at once read in the order of time, each its own":     interleaved,
		"a walk can stop early and start behind any entry":                 walks,
		"a failed append keeps no rest of itself, and can be repeated":     failedAppend,
		"a session goes on when its beginning was purged":                  sessionGoesOn,
		"a purge leaves the names of those who are in later records":       namesStay,
		"a purge that would take the newest entries, or none, is refused":  badPurge,
		"sessions of many records are whole, in order and counted":         manyRecords,
		"retention cuts through sessions of many records":                  purgeManyRecords,
		"no entry goes into a gap that a purge left, or in twice":          noGaps,
		"a task is found by its call and by its name, until it is dropped": taskFound,
		"a name that is taken stays with the task that has it":             taskNameTaken,
		"open tasks are counted: of one owner, and all":                    tasksCounted,
		"tasks that expired go, and the oldest that have ended":            tasksGo,
		"pins are kept whole, in order, each form of a definition":         pinsKept,
		"a pin that is decided again keeps what was seen of it":            pinsDecided,
		"what limits have counted is kept until it counts no more":         windowsKept,
		"what limits have counted is kept with its records, or not at all": windowsGoWithRecords,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// start is when the records of the contract begin.
var start = time.Date(2026, 3, 1, 9, 0, 0, 123456789, time.UTC)

// writer is a Log on a store, with a clock that a test moves.
type writer struct {
	*audit.Log
	t   *testing.T
	now time.Time
}

func newWriter(t *testing.T, s Store, chain string, change ...func(*audit.Config)) *writer {
	t.Helper()
	w := &writer{t: t, now: start}
	cfg := audit.Config{Sink: s, Keys: keyring.NewEphemeral(), Chain: chain, Edge: "laptop",
		Now: func() time.Time { return w.now }, PurgeEvery: time.Hour}
	for _, c := range change {
		c(&cfg)
	}
	log, err := audit.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Log = log
	t.Cleanup(func() {
		if err := log.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *writer) put(rs ...audit.Record) {
	w.t.Helper()
	for _, r := range rs {
		if r.At.IsZero() {
			r.At = w.now
		}
		w.now = w.now.Add(time.Second)
		if err := w.Put(r).Wait(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func id(t *testing.T) toolcall.ID {
	t.Helper()
	id, err := toolcall.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func collect(t *testing.T, es iter.Seq2[audit.Entry, error]) (all []audit.Entry) {
	t.Helper()
	for e, err := range es {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func verify(t *testing.T, s Store, chain string) audit.Head {
	t.Helper()
	head, err := audit.VerifyChain(t.Context(), s, chain)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

var (
	sam  = toolcall.Caller{Person: "sam@example.com", Subject: "sam", Issuer: "local", Client: "editor", Groups: []string{"support"}}
	fran = toolcall.Caller{Person: "fran@example.com", Subject: "agent-7", Issuer: "token", Act: []string{"fran", "agent"}}
)

func intent(session, call toolcall.ID, who toolcall.Caller) audit.Record {
	return audit.Record{Kind: audit.Intent, Session: session, Call: call, Caller: who, Upstream: "crm", ClientName: "probe",
		Method: "tools/call", Target: "get_customer", TargetKind: toolcall.Tool, Effect: toolcall.Allow,
		Args: redact.Public(`{"id":7}`), Rule: "support/allow/1", File: "policy.yaml", Line: 12}
}

func outcome(session, call toolcall.ID) audit.Record {
	return audit.Record{Kind: audit.Outcome, Session: session, Call: call, Outcome: toolcall.OutcomeOK, Result: redact.Public(`{"ok":true}`)}
}

func readBack(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	session, call := id(t), id(t)
	w.put(intent(session, call, fran), outcome(session, call))
	es := collect(t, s.Entries(t.Context(), session))
	if len(es) != 2 {
		t.Fatalf("%d entries, want 2", len(es))
	}
	for i, want := range []audit.Entry{
		{Chain: "a", Seq: 1, Kind: audit.Intent, Effect: toolcall.Allow, Session: session, Call: call, At: start, Upstream: "crm", Client: "probe"},
		{Chain: "a", Seq: 2, Kind: audit.Outcome, Outcome: toolcall.OutcomeOK, Session: session, Call: call, At: start.Add(time.Second), Upstream: "crm", Client: "probe"},
	} {
		got := es[i]
		if i == 0 && (got.Who.IsZero() || got.Identity.Person != fran.Person || !slices.Equal(got.Identity.Act, fran.Act)) {
			t.Errorf("entry 1 is of %v, want %s", got.Identity, fran.Person)
		}
		want.Who, want.Hash = got.Who, got.Hash
		if fmt.Sprint(strip(got)) != fmt.Sprint(strip(want)) {
			t.Errorf("got  %+v\nwant %+v", strip(got), strip(want))
		}
	}
	last, err := s.Last(t.Context(), "a")
	if err != nil || last.Seq != 2 || last.Hash != es[1].Hash || last.Prev != es[0].Hash {
		t.Errorf("Last: seq %d, error %v; want 2 with the hashes of both entries", last.Seq, err)
	}
	if head := verify(t, s, "a"); head.Seq != 2 {
		t.Errorf("the chain verifies up to %d, want 2", head.Seq)
	}
}

func strip(e audit.Entry) audit.Entry {
	e.Body, e.Identity, e.Blobs = nil, audit.Identity{}, nil
	return e
}

func empty(t *testing.T, s Store) {
	last, err := s.Last(t.Context(), "a")
	if err != nil || last.Seq != 0 {
		t.Errorf("Last: seq %d, error %v; want 0, nil", last.Seq, err)
	}
	infos, err := s.Sessions(t.Context(), audit.Filter{})
	if err != nil || len(infos) != 0 {
		t.Errorf("Sessions: %v, %v", infos, err)
	}
	if _, err := s.Blob(t.Context(), "none"); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("Blob: %v, want ErrNotFound", err)
	}
	if head := verify(t, s, "a"); head != (audit.Head{}) {
		t.Errorf("a chain that is not there ends at %v", head)
	}
}

func chainsApart(t *testing.T, s Store) {
	a, b := newWriter(t, s, "a"), newWriter(t, s, "b")
	a.put(audit.Record{Kind: audit.Event}, audit.Record{Kind: audit.Event})
	b.put(audit.Record{Kind: audit.Event})
	a.put(audit.Record{Kind: audit.Event})
	for chain, n := range map[string]uint64{"a": 3, "b": 1} {
		if head := verify(t, s, chain); head.Seq != n {
			t.Errorf("chain %s has %d entries, want %d", chain, head.Seq, n)
		}
	}
	names, err := s.Chains(t.Context())
	if err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("Chains: %v, %v", names, err)
	}
}

func appendOnly(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	w.put(audit.Record{Kind: audit.Event}, audit.Record{Kind: audit.Event})
	for _, e := range collect(t, s.Chain(t.Context(), "a", 0)) {
		if err := s.Append(t.Context(), []audit.Entry{e}); err == nil {
			t.Errorf("entry %d was appended again", e.Seq)
		}
	}
	if err := s.Append(t.Context(), []audit.Entry{{Chain: "a", Kind: audit.Event, At: start, Body: []byte("{}")}}); err == nil {
		t.Error("an entry without a sequence number was appended")
	}
	if head := verify(t, s, "a"); head.Seq != 2 {
		t.Errorf("the chain has %d entries, want 2", head.Seq)
	}
}

func failedAppend(t *testing.T, s Store) {
	session := id(t)
	good := audit.Entry{Chain: "a", Seq: 1, Kind: audit.Event, Session: session, At: start, Body: []byte(`{"v":1}`), Upstream: "crm",
		Who: audit.Ref{1}, Identity: audit.Identity{Person: sam.Person, Subject: sam.Subject, Issuer: sam.Issuer}}
	bad := good
	bad.Seq = 0
	if err := s.Append(t.Context(), []audit.Entry{good, bad}); err == nil {
		t.Fatal("an entry without a sequence number was appended")
	}
	last, err := s.Last(t.Context(), "a") // any prefix may have been kept
	if err != nil {
		t.Fatal(err)
	}
	good.Seq = last.Seq + 1
	if err := s.Append(t.Context(), []audit.Entry{good}); err != nil {
		t.Fatal(err)
	}
	es := collect(t, s.Entries(t.Context(), session))
	if len(es) != int(good.Seq) || es[0].Identity.Person != sam.Person || es[0].Upstream != "crm" {
		t.Errorf("the session has %d entries, want %d, each with what stands beside it", len(es), good.Seq)
	}
}

func erase(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	session, call := id(t), id(t)
	w.put(intent(session, call, sam), intent(id(t), id(t), fran))
	ref := collect(t, s.Entries(t.Context(), session))[0].Who
	if err := s.EraseIdentity(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	e := collect(t, s.Entries(t.Context(), session))[0]
	if !e.Identity.IsZero() || e.Who != ref {
		t.Errorf("after the erasure the record tells of %v, by %s; want nobody, by %s", e.Identity, e.Who, ref)
	}
	if infos, err := s.Sessions(t.Context(), audit.Filter{Caller: sam.Person}); err != nil || len(infos) != 0 {
		t.Errorf("after the erasure %d sessions are found by name, error %v", len(infos), err)
	}
	if head := verify(t, s, "a"); head.Seq != 2 {
		t.Errorf("the chain verifies up to %d, want 2", head.Seq)
	}
	if err := s.EraseIdentity(t.Context(), ref); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a second erasure: %v, want ErrNotFound", err)
	}
}

func blobs(t *testing.T, s Store) {
	for _, b := range []string{"one", "one", "another"} { // the second is kept no more
		if err := s.PutBlob(t.Context(), "policy", "d-"+b, []byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Blob(t.Context(), "d-one")
	if err != nil || string(got) != "one" {
		t.Errorf("Blob: %q, %v", got, err)
	}
}

func ended(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	over, open := id(t), id(t)
	w.put(audit.Record{Kind: audit.SessionStart, Session: over}, audit.Record{Kind: audit.SessionStart, Session: open},
		audit.Record{Kind: audit.SessionEnd, Session: over})
	for session, want := range map[toolcall.ID]bool{over: true, open: false, id(t): false} {
		if got, err := s.Ended(t.Context(), session); err != nil || got != want {
			t.Errorf("Ended: %v, %v; want %v", got, err, want)
		}
	}
}

func interleaved(t *testing.T, s Store) {
	a, b := newWriter(t, s, "a"), newWriter(t, s, "b")
	one, two := id(t), id(t)
	first, second, third := intent(one, id(t), sam), intent(two, id(t), fran), outcome(one, id(t))
	first.At, second.At, third.At = start.Add(2*time.Second), start.Add(3*time.Second), start
	b.put(first, second)
	a.put(third) // another replica, an earlier time
	got := collect(t, s.Entries(t.Context(), one))
	if len(got) != 2 || got[0].Chain != "a" || got[1].Chain != "b" {
		t.Errorf("got %d entries, of them the first from chain %q; want those of a, then of b", len(got), got[0].Chain)
	}
}

func walks(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	for range 40 {
		w.put(audit.Record{Kind: audit.Event})
	}
	for e, err := range s.Chain(t.Context(), "a", 17) {
		if err != nil || e.Seq != 18 {
			t.Errorf("behind entry 17 stands %d, %v", e.Seq, err)
		}
		break
	}
	if n := len(collect(t, s.Chain(t.Context(), "a", 17))); n != 23 {
		t.Errorf("%d entries behind 17, want 23", n)
	}
	if n := len(collect(t, s.Chain(t.Context(), "a", 40))); n != 0 {
		t.Errorf("%d entries behind the last", n)
	}
}
