package mcpproxy

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// memory is the budget of bytes that messages hold while they are read, judged,
// redacted and sent: those of requests, of answers, and of what waits for a slow
// client. Working copies come on top.
//
// Who needs more than there is waits. Leases grow while others hold on to theirs,
// so all could wait for each other: one lease at a time may therefore go beyond the
// budget, by no more than a message, and beyond its caller's share. It always
// finishes, and then the next may.
type memory struct {
	all  int // bytes that all leases may hold, the one beyond apart; 0 refuses
	each int // bytes of one caller (law 14)

	mu      sync.Mutex
	used    int
	callers map[string]int
	over    *lease        // goes beyond all
	freed   chan struct{} // closed when something is given back, for those who wait
}

// newMemory makes a budget of so many bytes in all, of which one message of the
// largest size may be beyond what leases share.
func newMemory(bytes, message int) *memory {
	all := max(bytes-message, 0)
	return &memory{all: all, each: all / 2, callers: map[string]int{}, freed: make(chan struct{})}
}

// lease is what one message, or one stream, holds of the budget.
type lease struct {
	m      *memory
	caller string
	held   int
}

func (m *memory) lease(caller string) *lease { return &lease{m: m, caller: caller} }

// errNoMemory says that a message found no room in time.
var errNoMemory = &Refusal{Stage: "memory", Code: codeInternal, Status: http.StatusServiceUnavailable, Failed: true,
	Reason: "mcpguard holds as many bytes of messages as limits.memory allows: try again later"}

// grow takes n bytes more, and waits for them until ctx ends.
func (l *lease) grow(ctx context.Context, n int) error {
	for {
		freed, ok := l.take(n, true)
		if ok {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return errNoMemory
		}
	}
}

// try takes n bytes more if they are there.
func (l *lease) try(n int) bool {
	_, ok := l.take(n, true)
	return ok
}

// spare takes n bytes more if the budget has them: it is for what need not be held.
func (l *lease) spare(n int) bool {
	_, ok := l.take(n, false)
	return ok
}

// take takes n bytes, or returns what to wait for. With beyond, this lease may be
// the one that goes beyond the budget.
func (l *lease) take(n int, beyond bool) (freed <-chan struct{}, ok bool) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.all == 0:
		return m.freed, false
	case m.over == l || m.used+n <= m.all && m.callers[l.caller]+n <= m.each:
	case m.over == nil && beyond:
		m.over = l
	default:
		return m.freed, false
	}
	m.used += n
	m.callers[l.caller] += n
	l.held += n
	return nil, true
}

// give gives n bytes back.
func (l *lease) give(n int) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	n = min(n, l.held)
	if n == 0 && m.over != l {
		return
	}
	l.held -= n
	m.used -= n
	if m.callers[l.caller] -= n; m.callers[l.caller] == 0 {
		delete(m.callers, l.caller)
	}
	if l.held == 0 && m.over == l {
		m.over = nil
	}
	close(m.freed)
	m.freed = make(chan struct{})
}

// end gives everything back.
func (l *lease) end() { l.give(int(^uint(0) >> 1)) }

// uncounted is for one who relays for a single client, and has no budget.
func uncounted(int) error { return nil }

// countedReader holds what it reads until it is told that it is not needed.
type countedReader struct {
	src  io.Reader
	ctx  context.Context
	room *lease
	held int
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if n > 0 {
		if none := r.room.grow(r.ctx, n); none != nil {
			return 0, none
		}
		r.held += n
	}
	return n, err
}

// done gives back what was read so far.
func (r *countedReader) done() {
	r.room.give(r.held)
	r.held = 0
}
