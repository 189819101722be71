package mcpproxy

import (
	"context"
	"io"
	"net/http"
	"slices"
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

	work *heavy // turns at the processors, for what the bytes make them do

	mu      sync.Mutex
	used    int
	callers map[string]int
	over    *lease               // goes beyond all
	waiting map[string][]*wanted // by caller, first come first
}

// wanted is what a lease waits for.
type wanted struct {
	lease  *lease
	bytes  int
	behind bool          // not before those of the caller that waited before
	taken  chan struct{} // closed when it has them
}

// newMemory makes a budget of so many bytes in all, of which one message of the
// largest size may be beyond what leases share.
func newMemory(bytes, message int) *memory {
	all := max(bytes-message, 0)
	return &memory{all: all, each: all / 2, callers: map[string]int{}, waiting: map[string][]*wanted{}}
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
func (l *lease) grow(ctx context.Context, n int) error { return l.wait(ctx, n, false) }

// follow waits until nothing of the caller waits for room any more that did before.
func (l *lease) follow(ctx context.Context) error { return l.wait(ctx, 1, true) }

func (l *lease) wait(ctx context.Context, n int, behind bool) error {
	m := l.m
	m.mu.Lock()
	if m.fitsLocked(l, n) && (!behind || len(m.waiting[l.caller]) == 0) {
		m.takeLocked(l, n)
		m.mu.Unlock()
		return nil
	}
	w := &wanted{lease: l, bytes: n, behind: behind, taken: make(chan struct{})}
	m.waiting[l.caller] = append(m.waiting[l.caller], w)
	m.mu.Unlock()
	select {
	case <-w.taken:
		return nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-w.taken: // in this moment
		return nil
	default:
	}
	m.waiting[l.caller] = slices.DeleteFunc(m.waiting[l.caller], func(of *wanted) bool { return of == w })
	m.serveLocked() // those behind it may be content with less
	return errNoMemory
}

// try takes n bytes more if they are there.
func (l *lease) try(n int) bool {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.fitsLocked(l, n) {
		return false
	}
	m.takeLocked(l, n)
	return true
}

// spare takes n bytes more if the budget has them: it is for what need not be held.
func (l *lease) spare(n int) bool {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over != l && !m.sharedLocked(l, n) {
		return false
	}
	m.takeLocked(l, n)
	return true
}

// fitsLocked reports whether a lease may take n bytes more; it may be that it
// becomes the one that goes beyond.
func (m *memory) fitsLocked(l *lease, n int) bool {
	return m.all > 0 && (m.over == l || m.over == nil || m.sharedLocked(l, n))
}

func (m *memory) sharedLocked(l *lease, n int) bool {
	return m.used+n <= m.all && m.callers[l.caller]+n <= m.each
}

func (m *memory) takeLocked(l *lease, n int) {
	if m.over != l && !m.sharedLocked(l, n) {
		m.over = l
	}
	m.used += n
	m.callers[l.caller] += n
	l.held += n
}

// serveLocked gives to those who wait what there is. It wakes nobody else: many may
// wait, and every message that ends gives something back.
func (m *memory) serveLocked() {
	for caller, queue := range m.waiting {
		still := queue[:0]
		for _, w := range queue {
			if !m.fitsLocked(w.lease, w.bytes) || w.behind && len(still) > 0 {
				still = append(still, w)
				continue
			}
			m.takeLocked(w.lease, w.bytes)
			close(w.taken)
		}
		clear(queue[len(still):])
		if m.waiting[caller] = still; len(still) == 0 {
			delete(m.waiting, caller)
		}
	}
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
	m.serveLocked()
}

// end gives everything back.
func (l *lease) end() { l.give(int(^uint(0) >> 1)) }

// heavy runs work on n bytes of the lease's message, in the caller's turn. A message
// without a lease is nobody's, and takes none.
func (l *lease) heavy(n int, work func()) {
	if l == nil || l.m.work == nil {
		work()
		return
	}
	l.m.work.do(l.caller, n, work)
}

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
