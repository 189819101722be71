package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestALogWithoutASinkKeysOrANameIsRefused(t *testing.T) {
	for name, breakIt := range map[string]func(*audit.Config){
		"no sink":     func(c *audit.Config) { c.Sink = nil },
		"no keys":     func(c *audit.Config) { c.Keys = nil },
		"no name":     func(c *audit.Config) { c.Chain = "" },
		"a long name": func(c *audit.Config) { c.Chain = strings.Repeat("a", 256) },
		"a sink that cannot purge, and a retention": func(c *audit.Config) {
			c.Sink, c.Retention = struct{ audit.Sink }{c.Sink}, audit.Retention{}
		},
		"a sink that cannot be read": func(c *audit.Config) { c.Sink.(*storetest.Memory).Blind(true) },
	} {
		if log, err := audit.Open(t.Context(), config(&storetest.Memory{}, breakIt)); err == nil || log != nil {
			t.Errorf("%s: the log was opened", name)
		}
	}
}

func TestTheZeroRecordAndTheZeroCommitAreRefused(t *testing.T) {
	var m storetest.Memory
	log := open(t, &m)
	if err := log.Put(audit.Record{}).Wait(t.Context()); err == nil {
		t.Error("a record without a kind was kept")
	}
	if err := log.Put(audit.Record{Kind: 200}).Wait(t.Context()); err == nil {
		t.Error("a record of an unknown kind was kept")
	}
	if err := (&audit.Commit{}).Wait(t.Context()); err == nil {
		t.Error("the zero Commit is durable")
	}
	var none *audit.Commit
	if err := none.Wait(t.Context()); err == nil {
		t.Error("a nil Commit is durable")
	}
	holds(t, &m, 0)
}

func TestWaitReturnsOnlyWhenTheRecordIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m)
		release := m.Block()
		c := log.Put(event("slow"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait on a blocked disk: %v, want the end of the context", err)
		}
		if got := told(t, &m); len(got) != 0 {
			t.Fatalf("the store has %v", got)
		}
		release()
		for range 2 { // the record was not lost, and Wait may be called again
			if err := c.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := told(t, &m); !slices.Equal(got, []string{"slow"}) {
			t.Errorf("the store has %v", got)
		}
	})
}

// busy puts one record, which the committer is stuck with until release.
func busy(log *audit.Log, m *storetest.Memory) (gate *audit.Commit, release func()) {
	release = m.Block()
	gate = log.Put(event("gate"))
	time.Sleep(time.Second) // of the bubble: nobody waits for the gate, so it is taken after a moment
	synctest.Wait()
	return gate, release
}

func TestWhatArrivesDuringACommitGoesIntoTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m)
		_, release := busy(log, &m)
		want := []string{"gate"}
		var last *audit.Commit
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
			last = log.Put(event(fmt.Sprint(i)))
		}
		release()
		if err := last.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := m.Appends(); n != 2 {
			t.Errorf("%d commits for 1 + 100 records, want 2", n)
		}
		if got := told(t, &m); !slices.Equal(got, want) {
			t.Errorf("the order is %v", got)
		}
		holds(t, &m, 101)
	})
}

func TestALongQueueIsCommittedInBoundedGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m)
		_, release := busy(log, &m)
		var last *audit.Commit
		for range 3000 {
			last = log.Put(event("x"))
		}
		release()
		if err := last.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := m.Appends(); n != 4 {
			t.Errorf("%d commits for 1 + 3000 records, want groups of at most 1024", n)
		}
		holds(t, &m, 3001)
	})
}

// A disk fails in two ways: it did not keep what it was given, or it did and
// said otherwise. Exactly the records that are not there must fail.
func TestOfAFailedGroupExactlyWhatIsNotOnDiskFails(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(*storetest.Memory)
		kept  int // of the ten records in the group
	}{
		"nothing was kept":        {(*storetest.Memory).FailLost, 0},
		"all was kept":            {(*storetest.Memory).FailKept, 10},
		"the first four were":     {func(m *storetest.Memory) { m.FailAfter(4) }, 4},
		"all but the last was":    {func(m *storetest.Memory) { m.FailAfter(9) }, 9},
		"only the first was kept": {func(m *storetest.Memory) { m.FailAfter(1) }, 1},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { failGroup(t, c.fault, c.kept) }) })
	}
}

func failGroup(t *testing.T, fault func(*storetest.Memory), kept int) {
	var m storetest.Memory
	log := open(t, &m)
	put(t, log, event("before"))
	want := []string{"before"}
	gate, release := busy(log, &m)
	commits := []*audit.Commit{}
	for i := range 10 {
		commits = append(commits, log.Put(event(fmt.Sprint(i))))
	}
	fault(&m) // for the gate, a group of one, too
	release()
	if err := gate.Wait(t.Context()); (err == nil) != (kept > 0) {
		t.Errorf("the gate, kept: %v; Wait: %v", kept > 0, err)
	}
	if kept > 0 {
		want = append(want, "gate")
	}
	for i, commit := range commits {
		err := commit.Wait(t.Context())
		if (err == nil) != (i < kept) {
			t.Errorf("record %d, kept: %v; Wait: %v", i, i < kept, err)
		}
		if err != nil && !errors.Is(err, storetest.ErrDisk) {
			t.Errorf("record %d: %v, want the disk's error", i, err)
		}
		if i < kept {
			want = append(want, fmt.Sprint(i))
		}
	}
	m.Heal()
	put(t, log, event("after"))
	want = append(want, "after")
	if got := told(t, &m); !slices.Equal(got, want) {
		t.Errorf("the store has %v\nwant %v", got, want)
	}
	holds(t, &m, uint64(len(want)))
}

// While nobody can say what was kept, nothing is appended and everything fails.
func TestALogThatCannotReadItsEndWaitsUntilItCan(t *testing.T) {
	for name, fault := range map[string]func(*storetest.Memory){
		"nothing was kept": (*storetest.Memory).FailLost,
		"all was kept":     (*storetest.Memory).FailKept,
	} {
		t.Run(name, func(t *testing.T) {
			var m storetest.Memory
			log := open(t, &m)
			put(t, log, event("before"))
			fault(&m)
			m.Blind(true)
			if err := log.Put(event("unsure")).Wait(t.Context()); err == nil {
				t.Error("a record of which nobody knows was called durable")
			}
			appends := m.Appends()
			for range 3 {
				if err := log.Put(event("refused")).Wait(t.Context()); !errors.Is(err, storetest.ErrDisk) {
					t.Errorf("Wait: %v, want the disk's error", err)
				}
			}
			if n := m.Appends(); n != appends {
				t.Errorf("%d appends to a chain whose end is unknown", n-appends)
			}
			kept := told(t, &m)
			m.Heal()
			put(t, log, event("after"))
			if got := told(t, &m); !slices.Equal(got, append(kept, "after")) {
				t.Errorf("the store has %v", got)
			}
			holds(t, &m, uint64(len(kept)+1))
		})
	}
}

func TestALogWhoseChainSomebodyElseWroteStopsForGood(t *testing.T) {
	var m storetest.Memory
	log := open(t, &m)
	put(t, log, event("before"))
	m.FailLost()
	other := open(t, &m)
	m.Heal()
	put(t, other, event("a second writer"))
	if err := log.Put(event("on top of it")).Wait(t.Context()); err == nil {
		t.Fatal("two writers wrote one chain")
	}
	for range 2 {
		if err := log.Put(event("later")).Wait(t.Context()); !errors.Is(err, audit.ErrIntegrity) {
			t.Errorf("Wait: %v, want ErrIntegrity", err)
		}
	}
	if got := told(t, &m); !slices.Equal(got, []string{"before", "a second writer"}) {
		t.Errorf("the store has %v", got)
	}
	holds(t, &m, 2)
}

func TestAQueueThatIsFullRefusesAtOnceAndTakesAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m, func(c *audit.Config) { c.MaxQueue = 100 << 10 })
		_, release := busy(log, &m)
		var taken []*audit.Commit
		for {
			c := log.Put(event(strings.Repeat("x", 1000)))
			if audit.Refused(c) {
				if err := c.Wait(t.Context()); !errors.Is(err, audit.ErrBusy) {
					t.Fatalf("Wait: %v, want ErrBusy", err)
				}
				break
			}
			taken = append(taken, c)
		}
		if n := len(taken); n < 60 || n > 100 {
			t.Errorf("%d records of 1 KiB in a queue of 100 KiB", n)
		}
		release()
		for _, c := range taken {
			if err := c.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		put(t, log, event("after"))
		holds(t, &m, uint64(len(taken)+2))
	})
}

func TestOneCallerCannotFillTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m, func(c *audit.Config) { c.MaxQueue = 100 << 10 })
		_, release := busy(log, &m)
		flood := event(strings.Repeat("x", 1000))
		flood.Caller = sam
		n := 0
		for !audit.Refused(log.Put(flood)) {
			n++
		}
		if n < 15 || n > 25 {
			t.Errorf("one caller has %d KiB of a queue of 100 KiB, want a quarter", n)
		}
		other := flood
		other.Caller = toolcall.Caller{Person: "fran@example.com", Subject: "fran", Issuer: "local"}
		c := log.Put(other)
		release()
		if err := c.Wait(t.Context()); err != nil {
			t.Errorf("another caller: %v", err)
		}
		put(t, log, flood) // and sam again, when the queue is empty
	})
}

func TestCloseKeepsWhatWasPutAndTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m)
		_, release := busy(log, &m)
		last := log.Put(event("last"))
		closed := make(chan error)
		go func() { closed <- log.Close(context.Background()) }()
		synctest.Wait()
		if err := log.Put(event("late")).Wait(t.Context()); !errors.Is(err, audit.ErrClosed) {
			t.Errorf("Put after Close: %v, want ErrClosed", err)
		}
		release()
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := last.Wait(t.Context()); err != nil {
			t.Errorf("what was put before: %v", err)
		}
		holds(t, &m, 2)
	})
}

func TestCloseOfAStuckDiskEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m)
		gate, release := busy(log, &m)
		defer release()
		waiting := log.Put(event("waiting"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := log.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v, want the end of its context", err)
		}
		for _, c := range []*audit.Commit{gate, waiting} {
			if err := c.Wait(t.Context()); err == nil {
				t.Error("an abandoned record is durable")
			}
		}
		holds(t, &m, 0)
	})
}

func TestARestartContinuesTheChain(t *testing.T) {
	var m storetest.Memory
	for i := range 3 {
		log := open(t, &m)
		put(t, log, event(fmt.Sprint(i)), event(fmt.Sprint(i)))
		if err := log.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := told(t, &m); !slices.Equal(got, []string{"0", "0", "1", "1", "2", "2"}) {
		t.Errorf("the store has %v", got)
	}
	holds(t, &m, 6)
}

func TestARestartOnAChangedEndIsRefused(t *testing.T) {
	for name, change := range map[string]func([]audit.Entry) []audit.Entry{
		"the last entry was changed": func(es []audit.Entry) []audit.Entry {
			es[2].Body = []byte(`{"v":1}`)
			return es
		},
		"the one before it was taken out": func(es []audit.Entry) []audit.Entry { return []audit.Entry{es[0], es[2]} },
		"all before it were":              func(es []audit.Entry) []audit.Entry { return es[2:] },
	} {
		var m storetest.Memory
		log := open(t, &m)
		put(t, log, event("1"), event("2"), event("3"))
		if err := log.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Tamper("a", change)
		if _, err := audit.Open(t.Context(), config(&m)); !errors.Is(err, audit.ErrIntegrity) {
			t.Errorf("%s: %v, want ErrIntegrity", name, err)
		}
	}
}

func TestManyWritersShareOneChain(t *testing.T) {
	var m storetest.Memory
	log := open(t, &m)
	var group sync.WaitGroup
	for w := range 16 {
		group.Go(func() {
			for i := range 50 {
				r := event(fmt.Sprintf("%02d %03d", w, i))
				r.Caller = toolcall.Caller{Subject: fmt.Sprint(w % 3), Issuer: "local"}
				if err := log.Put(r).Wait(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	got := told(t, &m)
	slices.Sort(got) // each writer waited, so the order within a writer is checked by the chain's own
	if len(slices.Compact(got)) != 800 {
		t.Errorf("%d different records, want 800", len(slices.Compact(got)))
	}
	holds(t, &m, 800)
}

func TestRetentionWorksBesideTheWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m, func(c *audit.Config) {
			c.Now, c.Retention, c.PurgeEvery = time.Now, audit.Retention{MaxAge: time.Hour, MaxBytes: -1}, 0
		})
		for range 300 { // one a minute for five hours
			put(t, log, event("x"))
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		all := records(t, m.Chain(t.Context(), "a", 0))
		oldest := time.Since(all[0].At)
		if oldest > time.Hour+time.Minute || oldest < time.Hour-2*time.Minute {
			t.Errorf("the oldest record is %v old, want an hour", oldest)
		}
		if _, err := audit.VerifyChain(t.Context(), &m, "a"); err != nil {
			t.Error(err)
		}
	})
}

func TestAFailedPurgeIsToldAndRepeated(t *testing.T) {
	for name, fault := range map[string]func(*storetest.Memory){
		"nothing was kept": (*storetest.Memory).FailLost,
		"all was kept":     (*storetest.Memory).FailKept,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m storetest.Memory
				var told []error
				log, err := audit.Open(t.Context(), config(&m, func(c *audit.Config) {
					c.Now, c.Retention = time.Now, audit.Retention{MaxAge: time.Hour, MaxBytes: -1}
					c.Notice = func(err error) { told = append(told, err) }
				}))
				if err != nil {
					t.Fatal(err)
				}
				put(t, log, event("old"), event("old"))
				fault(&m)
				time.Sleep(time.Hour + 90*time.Second)
				synctest.Wait()
				if len(told) == 0 || !errors.Is(told[0], storetest.ErrDisk) {
					t.Errorf("told were %v, want the disk's error", told)
				}
				m.Heal()
				put(t, log, event("new"))
				time.Sleep(2 * time.Minute)
				if _, err := audit.VerifyChain(t.Context(), &m, "a"); err != nil {
					t.Error(err)
				}
				if first := records(t, m.Chain(t.Context(), "a", 0))[0]; first.Reason == redact.Public("old") {
					t.Error("the old records are still there")
				}
				if err := log.Close(t.Context()); err != nil {
					t.Errorf("Close: %v, though a later purge went well", err)
				}
			})
		})
	}
}
