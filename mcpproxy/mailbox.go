package mcpproxy

import (
	"context"
	"errors"
	"io"
	"sync"
)

// mailbox is where a process's messages for one request wait until they are
// sent on. Putting never blocks, so that a slow client does not hold up the
// process's other requests; a box over its limit of bytes fails instead.
type mailbox struct {
	mu    sync.Mutex
	ready chan struct{} // capacity 1
	queue []inbound
	bytes int
	limit int
	room  *lease // of what waits and what was taken last
	taken int    // bytes of the message that was taken last
	err   error  // what next returns once the queue is empty
}

// errMailboxFull says that a client reads more slowly than its upstream writes.
var errMailboxFull = errors.New("more messages wait for the client than limits.result allows")

func newMailbox(limit int, room *lease) *mailbox {
	return &mailbox{ready: make(chan struct{}, 1), limit: limit, room: room}
}

// put adds a message; after close or over the limit it is dropped.
func (m *mailbox) put(in inbound) {
	m.mu.Lock()
	if m.err == nil {
		if m.bytes += in.frame.raw.Len(); m.bytes > m.limit && len(m.queue) > 0 {
			m.err = errMailboxFull
		} else if !m.room.try(in.frame.raw.Len()) {
			m.err = errNoMemory
		} else {
			m.queue = append(m.queue, in)
		}
	}
	m.mu.Unlock()
	m.wake()
}

// close lets next return err, or io.EOF for nil, after what is queued. The
// first close counts.
func (m *mailbox) close(err error) {
	if err == nil {
		err = io.EOF
	}
	m.mu.Lock()
	if m.err == nil {
		m.err = err
	}
	m.mu.Unlock()
	m.wake()
}

func (m *mailbox) wake() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

// next waits for a message. Only one goroutine may call it.
func (m *mailbox) next(ctx context.Context) (inbound, error) {
	m.mu.Lock()
	m.room.give(m.taken) // it was sent on: a stream that falls silent holds nothing
	m.taken = 0
	m.mu.Unlock()
	for {
		m.mu.Lock()
		if len(m.queue) > 0 {
			in := m.queue[0]
			m.queue[0] = inbound{}
			m.queue = m.queue[1:]
			m.bytes -= in.frame.raw.Len()
			m.taken = in.frame.raw.Len()
			m.mu.Unlock()
			return in, nil
		}
		err := m.err
		m.mu.Unlock()
		if err != nil {
			return inbound{}, err
		}
		select {
		case <-m.ready:
		case <-ctx.Done():
			return inbound{}, context.Cause(ctx)
		}
	}
}
