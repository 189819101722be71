package mcpproxy

import "sync"

// turns lets a caller have one of its calls judged at a time, where judging one waits
// for the judgement of others: then nobody waits for more than one call of each other
// caller, whatever the number that they have sent (law 14). It is not for work that
// the processors share, which [heavy] is. The zero turns are ready.
type turns struct {
	mu      sync.Mutex
	callers map[string]*turn // who has a call there
}

// turn is one caller's.
type turn struct {
	sync.Mutex
	calls int // that have it or wait for it
}

// do judges in the caller's turn.
func (t *turns) do(caller string, judge func()) {
	t.mu.Lock()
	own := t.callers[caller]
	if own == nil {
		if t.callers == nil {
			t.callers = map[string]*turn{}
		}
		own = &turn{}
		t.callers[caller] = own
	}
	own.calls++
	t.mu.Unlock()
	defer t.leave(caller, own)
	own.Lock()
	defer own.Unlock()
	judge()
}

func (t *turns) leave(caller string, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.calls--; own.calls == 0 {
		delete(t.callers, caller)
	}
}
