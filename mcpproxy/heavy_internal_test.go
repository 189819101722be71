package mcpproxy

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// Law 14: however much work one caller's messages make, another's is next. While
// both are there one processor is left for what is small.
func TestHeavyWorkIsDoneInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		several := true
		h := &heavy{processors: 2, several: func() bool { return several }, waiting: map[string][]chan struct{}{}}
		var mu sync.Mutex
		var done []string
		finish := map[string]chan struct{}{"sam": make(chan struct{}), "fran": make(chan struct{})}
		begin := func(caller string) {
			go h.do(caller, heavyBytes, func() {
				<-finish[caller]
				mu.Lock()
				defer mu.Unlock()
				done = append(done, caller)
			})
			synctest.Wait()
		}
		for range 5 {
			begin("sam")
		}
		begin("fran")
		if h.busy != 1 {
			t.Errorf("%d of 2 processors are taken", h.busy)
		}
		ran := false
		if h.do("kim", heavyBytes-1, func() { ran = true }); !ran {
			t.Error("a small message waited")
		}
		finish["sam"] <- struct{}{}
		synctest.Wait()
		finish["sam"] <- struct{}{} // the next of those before fran came
		synctest.Wait()
		finish["fran"] <- struct{}{}
		synctest.Wait()
		if !slices.Equal(done, []string{"sam", "sam", "fran"}) {
			t.Errorf("the turns: %v", done)
		}
		several = false
		finish["sam"] <- struct{}{}
		synctest.Wait()
		if h.busy != 2 {
			t.Errorf("one caller alone has %d of 2 processors", h.busy)
		}
		finish["sam"] <- struct{}{}
		finish["sam"] <- struct{}{}
		synctest.Wait()
		if h.busy != 0 || len(h.callers) != 0 || len(h.waiting) != 0 {
			t.Errorf("left behind: %d, %v, %d", h.busy, h.callers, len(h.waiting))
		}
	})
}

// Work that panics ends its turn: net/http lives on, and so do the others.
func TestHeavyWorkThatPanicsEndsItsTurn(t *testing.T) {
	h := &heavy{processors: 1, several: func() bool { return false }, waiting: map[string][]chan struct{}{}}
	func() {
		defer func() { _ = recover() }()
		h.do("sam", heavyBytes, func() { panic("a mistake") })
	}()
	if h.busy != 0 {
		t.Fatal("the turn never ends")
	}
}
