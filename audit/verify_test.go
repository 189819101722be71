package audit_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"mcpguard/audit"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

func each(es []audit.Entry) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// chain is a chain of n entries.
func chain(t *testing.T, n int) (es []audit.Entry) {
	t.Helper()
	var m storetest.Memory
	log := open(t, &m)
	for i := range n {
		r := event(fmt.Sprint(i))
		r.Session, r.Call, r.Caller = newID(t), newID(t), sam
		put(t, log, r)
	}
	for e, err := range m.Chain(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	return es
}

func TestEveryChangeOfAnEntryBreaksTheChainThere(t *testing.T) {
	whole := chain(t, 10)
	if head, err := audit.Verify("a", audit.Head{}, each(whole)); err != nil || head.Seq != 10 || head.Hash != whole[9].Hash {
		t.Fatalf("the chain as it was written: %v, %v", head, err)
	}
	for name, change := range map[string]func(*audit.Entry){
		"the body":    func(e *audit.Entry) { e.Body = []byte(`{"v":1,"why_s":"other"}`) },
		"the kind":    func(e *audit.Entry) { e.Kind = audit.Refusal },
		"the effect":  func(e *audit.Entry) { e.Effect = toolcall.Allow },
		"the outcome": func(e *audit.Entry) { e.Outcome = toolcall.OutcomeOK },
		"the session": func(e *audit.Entry) { e.Session[3] ^= 1 },
		"the call":    func(e *audit.Entry) { e.Call[3] ^= 1 },
		"the time":    func(e *audit.Entry) { e.At = e.At.Add(1) },
		"the caller":  func(e *audit.Entry) { e.Who[3] ^= 1 },
		"no caller":   func(e *audit.Entry) { e.Who = audit.Ref{} },
		"the hash":    func(e *audit.Entry) { e.Hash[3] ^= 1 },
		"the chain":   func(e *audit.Entry) { e.Chain = "b" },
	} {
		for _, at := range []int{0, 4, 9} {
			es := slices.Clone(whole)
			change(&es[at])
			isBroken(t, name, es, uint64(at+1))
		}
	}
}

func isBroken(t *testing.T, name string, es []audit.Entry, at uint64) {
	t.Helper()
	_, err := audit.Verify("a", audit.Head{}, each(es))
	var broken *audit.Broken
	if !errors.As(err, &broken) || broken.Seq != at || !errors.Is(err, audit.ErrIntegrity) {
		t.Errorf("%s: %v, want a chain that is broken at entry %d", name, err, at)
	}
}

func TestEntriesThatAreMissingMovedOrMadeUpBreakTheChain(t *testing.T) {
	es := chain(t, 10)
	made := es[4]
	isBroken(t, "the first is missing", es[1:], 1)
	isBroken(t, "one is missing", slices.Delete(slices.Clone(es), 4, 5), 5)
	isBroken(t, "one is there twice", slices.Insert(slices.Clone(es), 5, made), 6)
	made.Seq, made.Body = 6, []byte(`{"v":1}`)
	isBroken(t, "one was put in", slices.Insert(slices.Clone(es), 5, made), 6)
	swapped := slices.Clone(es)
	swapped[4], swapped[5] = swapped[5], swapped[4]
	isBroken(t, "two were swapped", swapped, 5)
	swapped[4].Seq, swapped[5].Seq = 5, 6
	isBroken(t, "two were swapped and numbered anew", swapped, 5)
}

// A chain that was cut at its end verifies: only its head tells. The head that
// Verify returns is what to note elsewhere.
func TestACutEndShowsInTheHead(t *testing.T) {
	es := chain(t, 10)
	whole, err := audit.Verify("a", audit.Head{}, each(es))
	if err != nil {
		t.Fatal(err)
	}
	cut, err := audit.Verify("a", audit.Head{}, each(es[:8]))
	if err != nil || cut == whole || cut.Seq != 8 {
		t.Errorf("the cut chain ends at %v, %v", cut, err)
	}
}

func TestAWalkContinuesFromAHead(t *testing.T) {
	es := chain(t, 10)
	middle, err := audit.Verify("a", audit.Head{}, each(es[:5]))
	if err != nil {
		t.Fatal(err)
	}
	if head, err := audit.Verify("a", middle, each(es[5:])); err != nil || head.Seq != 10 {
		t.Errorf("behind entry 5: %v, %v", head, err)
	}
	middle.Hash[0] ^= 1
	if _, err := audit.Verify("a", middle, each(es[5:])); !errors.Is(err, audit.ErrIntegrity) {
		t.Errorf("behind another entry 5: %v, want ErrIntegrity", err)
	}
}

func TestVerifyTellsWhenItCannotRead(t *testing.T) {
	unreadable := func(yield func(audit.Entry, error) bool) { yield(audit.Entry{}, storetest.ErrDisk) }
	if _, err := audit.Verify("a", audit.Head{}, unreadable); !errors.Is(err, storetest.ErrDisk) || errors.Is(err, audit.ErrIntegrity) {
		t.Errorf("Verify: %v, want the disk's error and not a broken chain", err)
	}
}

// A beginning that is missing without a tombstone was cut off by somebody else.
func TestOnlyATombstoneExplainsAMissingBeginning(t *testing.T) {
	var m storetest.Memory
	log := open(t, &m)
	put(t, log, event("1"), event("2"), event("3"))
	m.Tamper("a", func(es []audit.Entry) []audit.Entry { return es[1:] })
	_, err := audit.VerifyChain(t.Context(), &m, "a")
	var broken *audit.Broken
	if !errors.As(err, &broken) || broken.Seq != 1 {
		t.Errorf("VerifyChain: %v, want a chain that is broken at entry 1", err)
	}
}

func BenchmarkVerify(b *testing.B) {
	var m storetest.Memory
	log, err := audit.Open(b.Context(), config(&m))
	if err != nil {
		b.Fatal(err)
	}
	session := newID(b)
	var last *audit.Commit
	for range 10000 {
		last = log.Put(record1K(session))
	}
	if err := last.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := log.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := audit.VerifyChain(b.Context(), &m, "a"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(10000*float64(b.N)/b.Elapsed().Seconds(), "rec/s")
}
