package mcpproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// No budget is no room.
func TestZeroMemoryRefuses(t *testing.T) {
	for _, m := range []*memory{newMemory(0, 10), newMemory(10, 10)} {
		if m.lease("sam").try(1) {
			t.Error("a budget of nothing gave a byte")
		}
	}
}

// However leases grow while others hold on to theirs, each of them finishes in the
// end, the budget is not exceeded by more than one message, and all comes back.
func TestMemoryNeverDeadlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const message, all = 100, 250
		m := newMemory(all+message, message)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		finished := make(chan error)
		for i := range 40 {
			go func() {
				l := m.lease([]string{"sam", "fran", "kim"}[i%3])
				defer l.end()
				for range message / 10 {
					if err := l.grow(ctx, 10); err != nil {
						finished <- err
						return
					}
					time.Sleep(time.Millisecond)
				}
				finished <- nil
			}()
		}
		for range 40 {
			if err := <-finished; err != nil {
				t.Error(err)
			}
			m.mu.Lock()
			if m.used > all+message {
				t.Errorf("%d bytes are held of %d", m.used, all+message)
			}
			m.mu.Unlock()
		}
		synctest.Wait()
		if m.used != 0 || len(m.callers) != 0 || m.over != nil {
			t.Errorf("not all came back: %d, %v, %v", m.used, m.callers, m.over)
		}
	})
}

// Law 14: a caller who holds all that one may have does not keep others from theirs,
// and waits for no longer than its own call.
func TestMemoryOfOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1100, 100)
		greedy := m.lease("sam")
		for greedy.m.callers["sam"] < 500 {
			if !greedy.try(50) {
				t.Fatal("a caller's half is not there")
			}
		}
		beyond := m.lease("sam")
		if !beyond.try(100) {
			t.Fatal("nobody goes beyond, so nobody would finish")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := m.lease("sam").grow(ctx, 1); !errors.Is(err, errNoMemory) || time.Since(began) != time.Minute {
			t.Errorf("more than half: %v after %s", err, time.Since(began))
		}
		if !m.lease("fran").try(400) {
			t.Error("another caller has no room")
		}
	})
}

// What is small need not wait behind what is large, a message that cancels for one;
// a new call does, until the last of those before it has its room or gave up.
func TestOnlyCallsWaitBehindOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1100, 100)
		if !m.lease("sam").try(450) || !m.lease("sam").try(100) { // the second goes beyond
			t.Fatal("there is no room from the start")
		}
		m.each += 100 // what is beyond the share is not the share's
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		large, call := make(chan error, 1), make(chan error, 1)
		go func() { large <- m.lease("sam").grow(short, 60) }()
		synctest.Wait()
		go func() { call <- m.lease("sam").follow(t.Context()) }()
		synctest.Wait()
		small := m.lease("sam")
		if err := small.grow(t.Context(), 10); err != nil {
			t.Errorf("what is small: %v", err)
		}
		small.end()
		synctest.Wait()
		select {
		case err := <-call:
			t.Errorf("a call began while an answer waits for room: %v", err)
		default:
		}
		if err := <-large; !errors.Is(err, errNoMemory) {
			t.Errorf("more than there is: %v", err)
		}
		if err := <-call; err != nil {
			t.Errorf("nothing waits any more: %v", err)
		}
		if len(m.waiting) != 0 {
			t.Errorf("%d callers wait", len(m.waiting))
		}
	})
}

// Law 14: a caller whose answers find no room begins no more calls; nothing of it is
// recorded, and nothing goes upstream.
func TestNoCallBeginsWithoutMemory(t *testing.T) {
	m := newMemory(200, 100)
	if !m.lease("sam").try(50) || !m.lease("fran").try(100) {
		t.Fatal("there is no room from the start")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Proxy{}).begin(ctx, &exchange{lease: m.lease("sam")}); !errors.Is(err, errNoMemory) {
		t.Errorf("got %v", err)
	}
}

// Law 14: bytes that were announced take room as they come. However many bodies one
// caller announces and does not send, its other messages have room, and so does
// everybody; what a body holds is no more than eight times what came of it.
func TestAnnouncedBytesTakeRoomAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const message, bodies = 1 << 20, 40
		m := newMemory(4*message, message)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		type slow struct {
			to   *io.PipeWriter
			room *lease
		}
		var all []slow
		read := make(chan error, bodies)
		for range bodies {
			body, to := io.Pipe()
			s := slow{to, m.lease("sam")}
			all = append(all, s)
			go func() {
				text, err := readAll(body, message, message, func(n int) error { return s.room.grow(ctx, n) })
				if err == nil && (len(text) != message || s.room.held != message+1) {
					err = fmt.Errorf("%d bytes were read, and %d are held", len(text), s.room.held)
				}
				s.room.end()
				read <- err
			}()
		}
		synctest.Wait()
		for _, who := range []string{"sam", "fran"} {
			if l := m.lease(who); !l.try(100 << 10) {
				t.Errorf("%s has no room beside bodies of which nothing came", who)
			} else {
				l.end()
			}
		}
		chunk := make([]byte, 1000)
		for sent := 0; sent < message; sent += len(chunk) {
			chunk = chunk[:min(len(chunk), message-sent)]
			for _, s := range all[:2] { // for so many there is room whole
				if _, err := s.to.Write(chunk); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if most := max(16<<10, 8*(sent+len(chunk))); all[0].room.held > most {
				t.Fatalf("%d bytes came, and %d are held", sent+len(chunk), all[0].room.held)
			}
		}
		for i, s := range all {
			how := io.EOF
			if i >= 2 {
				how = io.ErrUnexpectedEOF
			}
			if err := s.to.CloseWithError(how); err != nil {
				t.Fatal(err)
			}
		}
		broken := 0
		for range bodies {
			if err := <-read; errors.Is(err, io.ErrUnexpectedEOF) {
				broken++
			} else if err != nil {
				t.Error(err)
			}
		}
		if broken != bodies-2 {
			t.Errorf("%d bodies broke off, want %d", broken, bodies-2)
		}
		if m.used != 0 || m.over != nil {
			t.Errorf("%d bytes did not come back", m.used)
		}
	})
}

// Many large bodies at once that all want more than there is are read all the same,
// one after the other if need be.
func TestAnnouncedBodiesNeverDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const message, bodies = 1 << 20, 60
		m := newMemory(3*message, message)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		text := strings.Repeat("x", message)
		read := make(chan error, bodies)
		for i := range bodies {
			go func() {
				l := m.lease([]string{"sam", "fran", "kim"}[i%3])
				defer l.end()
				got, err := readAll(iotest.HalfReader(strings.NewReader(text)), message, message,
					func(n int) error { time.Sleep(time.Millisecond); return l.grow(ctx, n) })
				if err == nil && len(got) != message {
					err = fmt.Errorf("%d bytes were read", len(got))
				}
				read <- err
			}()
		}
		for range bodies {
			if err := <-read; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait() // until all have given back
		if m.used != 0 || m.over != nil || len(m.waiting) != 0 {
			t.Errorf("%d bytes did not come back, %d callers wait", m.used, len(m.waiting))
		}
	})
}
