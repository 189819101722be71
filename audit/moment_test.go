package audit_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mcpguard/store/storetest"
)

// A record that nobody waits for is on disk after a moment all the same.
func TestARecordThatNobodyWaitsForIsKeptByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m)
		time.Sleep(time.Second) // the committer has nothing to do
		log.Put(event("alone"))
		synctest.Wait()
		if got := told(t, &m); len(got) != 0 {
			t.Errorf("at once the store has %v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := told(t, &m); !slices.Equal(got, []string{"alone"}) {
			t.Errorf("after a moment the store has %v", got)
		}
	})
}

// An intent that is not waited for, and the outcome that is, share one commit
// when the outcome comes fast.
func TestIntentAndOutcomeShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m storetest.Memory
		log := open(t, &m)
		time.Sleep(time.Second)
		before := m.Appends()
		intent := log.Put(event("intent"))
		outcome := log.Put(event("outcome"))
		if err := outcome.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := intent.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := m.Appends() - before; n != 1 {
			t.Errorf("%d commits for two records, want 1", n)
		}
		if got := told(t, &m); !slices.Equal(got, []string{"intent", "outcome"}) {
			t.Errorf("the store has %v", got)
		}
	})
}
