package mcpproxy

import (
	"runtime"
	"sync"
)

// heavyBytes is from where the work on a message is taken in turns: below it the
// turn would cost more than it spares.
const heavyBytes = 64 << 10

// heavy lets the work that a large message makes for the processors (reading it
// strictly, judging it, redacting it, digesting it for the record) be done in turns: a caller
// each, whatever the number of its messages. While more than one caller has
// messages under way, one processor is kept out of it, so that a small message need
// not wait until many large ones had their slice of time (law 14). A turn is never
// kept while something else is waited for.
//
// Measured with and without it on two processors that others were using as well, by
// turns, six times (make hostile, "bodies": 32 clients of another caller send
// arguments of 900 KiB): the p99 of small calls was 359 ms with it in the median
// (315 to 594) and 649 ms without (503 to 998), and as much of the attack was served.
type heavy struct {
	processors int
	several    func() bool // more than one caller has messages under way

	mu      sync.Mutex
	busy    int
	waiting map[string][]chan struct{} // by caller, first come first
	callers []string                   // who waits, the next first
}

func newHeavy(several func() bool) *heavy {
	return &heavy{processors: runtime.GOMAXPROCS(0), several: several, waiting: map[string][]chan struct{}{}}
}

// do runs work on n bytes of a caller's message, when it is the caller's turn.
func (h *heavy) do(caller string, n int, work func()) {
	if n < heavyBytes {
		work()
		return
	}
	h.enter(caller)
	defer h.leave()
	work()
}

func (h *heavy) places() int {
	if h.processors > 1 && h.several() {
		return h.processors - 1
	}
	return h.processors
}

func (h *heavy) enter(caller string) {
	h.mu.Lock()
	if len(h.callers) == 0 && h.busy < h.places() {
		h.busy++
		h.mu.Unlock()
		return
	}
	if len(h.waiting[caller]) == 0 {
		h.callers = append(h.callers, caller)
	}
	turn := make(chan struct{})
	h.waiting[caller] = append(h.waiting[caller], turn)
	h.mu.Unlock()
	<-turn // somebody is busy, and leaves
}

// leave ends a turn, and begins those of the callers who waited longest.
func (h *heavy) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy--
	for len(h.callers) > 0 && h.busy < h.places() {
		caller := h.callers[0]
		h.callers = h.callers[1:]
		turns := h.waiting[caller]
		if len(turns) > 1 {
			h.waiting[caller] = turns[1:]
			h.callers = append(h.callers, caller)
		} else {
			delete(h.waiting, caller)
		}
		h.busy++
		close(turns[0])
	}
}
