package main

import (
	"math"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// The collector runs when the heap has grown threefold, not twofold: what a relay
// allocates dies young, and collecting it costs more than the room it takes. Near
// softMemory it runs as often as it must.
const (
	heapGrowth = 200
	baseMemory = 128 << 20 // of all that is not a message
	copies     = 3         // of a message: as it came, redacted, and in the record
)

// softMemory is what the collector is told to keep to, of a guard whose messages
// may hold so many bytes (limits.memory). It leaves room for their working copies:
// were all of it in use and near the bound, the collector would take half of every
// processor from the callers who have nothing to do with it (law 14).
func softMemory(messages int64) int64 {
	return baseMemory + copies*min(messages, (math.MaxInt64-baseMemory)/copies)
}

// tuneMemory sets the collector's pace for messages that hold so many bytes, unless
// GOGC or GOMEMLIMIT do. The returned function sets it back.
func tuneMemory(env *environment, messages int64) func() {
	for _, name := range [...]string{"GOGC", "GOMEMLIMIT"} {
		if _, set := env.lookup(name); set {
			return func() {}
		}
	}
	growth, limit := debug.SetGCPercent(heapGrowth), debug.SetMemoryLimit(softMemory(messages))
	return func() {
		debug.SetGCPercent(growth)
		debug.SetMemoryLimit(limit)
	}
}

// trimmer gives memory back to the system when a second has passed without a
// request: what a burst of calls left behind would otherwise stay with a process
// that has nothing to do. Under load it does nothing but count.
type trimmer struct {
	next    http.Handler
	release func()
	seen    atomic.Int64 // requests begun, and requests ended
}

const trimEvery = time.Second

func (t *trimmer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.seen.Add(1)
	defer t.seen.Add(1)
	t.next.ServeHTTP(w, r)
}

// start watches until the returned function is called, which waits for its end.
func (t *trimmer) start() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(trimEvery)
		defer tick.Stop()
		var last, trimmed int64
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			seen := t.seen.Load()
			if seen == last && seen != trimmed {
				t.release()
				trimmed = seen
			}
			last = seen
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
