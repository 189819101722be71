package mcpproxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"mcpguard/toolcall"
)

func boxed(t *testing.T, text string) inbound {
	t.Helper()
	raw, err := toolcall.Parse(text, roomy)
	if err != nil {
		t.Fatal(err)
	}
	return inbound{frame: frame{raw: raw}}
}

// What was put comes out in its order, and then the reason of the end.
func TestMailbox(t *testing.T) {
	m := newMailbox(100, newMemory(1<<20, 1).lease(""))
	for _, text := range []string{`1`, `2`, `3`} {
		m.put(boxed(t, text))
	}
	m.close(nil)
	m.close(errMailboxFull) // the first close counts
	m.put(boxed(t, `4`))    // nobody hears of it
	for _, want := range []string{`1`, `2`, `3`} {
		if in, err := m.next(t.Context()); err != nil || in.frame.raw.Text() != want {
			t.Fatalf("got %s, %v; want %s", in.frame.raw.Text(), err, want)
		}
	}
	for range 2 {
		if _, err := m.next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("behind the end: %v", err)
		}
	}
}

// Who waits is woken by a message, by the end, and by its own context.
func TestMailboxWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMailbox(100, newMemory(1<<20, 1).lease(""))
		got := make(chan string)
		next := func(ctx context.Context) {
			in, err := m.next(ctx)
			if err != nil {
				got <- err.Error()
				return
			}
			got <- in.frame.raw.Text()
		}
		go next(t.Context())
		synctest.Wait() // it sleeps now
		m.put(boxed(t, `1`))
		if s := <-got; s != "1" {
			t.Errorf("a message: %s", s)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		go next(ctx)
		synctest.Wait()
		cancel(errIdle)
		if s := <-got; s != errIdle.Error() {
			t.Errorf("its context: %s", s)
		}
		go next(t.Context())
		synctest.Wait()
		m.close(errShutdown)
		if s := <-got; s != errShutdown.Error() {
			t.Errorf("the end: %s", s)
		}
	})
}

// A client that reads more slowly than its server writes loses its own stream,
// and nobody else waits for it. One message may be as long as it likes: it was
// held to the limit of results when it came.
func TestMailboxIsBounded(t *testing.T) {
	m := newMailbox(10, newMemory(1<<20, 1).lease(""))
	m.put(boxed(t, `"`+long("x", 50)+`"`))
	m.put(boxed(t, `1`))
	m.put(boxed(t, `2`))
	if in, err := m.next(t.Context()); err != nil || in.frame.raw.Len() != 52 {
		t.Errorf("the first message: %v", err)
	}
	if _, err := m.next(t.Context()); !errors.Is(err, errMailboxFull) {
		t.Errorf("behind what fitted: %v", err)
	}
	m = newMailbox(10, newMemory(1<<20, 1).lease(""))
	for range 100 { // what was taken out makes room again
		m.put(boxed(t, `"12345678"`))
		if _, err := m.next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadLine(t *testing.T) {
	const limit = 100
	text := "short\n\n" + long("x", 99) + "\n" + long("y", 70) + "\nlast without an end"
	r := bufio.NewReaderSize(strings.NewReader(text), 16)
	for _, want := range []string{"short\n", "\n", long("x", 99) + "\n", long("y", 70) + "\n"} {
		if line, err := readLine(r, limit); err != nil || string(line) != want {
			t.Errorf("got %q, %v; want %q", line, err, want)
		}
	}
	if line, err := readLine(r, limit); !errors.Is(err, io.EOF) || string(line) != "last without an end" {
		t.Errorf("the end: %q, %v", line, err)
	}
	r = bufio.NewReaderSize(strings.NewReader(long("z", 10_000)), 16)
	if line, err := readLine(r, limit); !errors.Is(err, toolcall.ErrTooLarge) {
		t.Errorf("a line of 10,000 bytes: %d bytes, %v", len(line), err)
	}
}

// Law 14: a stream on which nothing is said holds no memory, and does not stay the
// one that may go beyond the budget.
func TestLawASilentStreamHoldsNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := newMemory(20, 10)
		m := newMailbox(100, budget.lease("sam"))
		m.put(boxed(t, `"123456789"`)) // more than sam's half: it goes beyond
		if budget.over == nil {
			t.Fatal("the message fits")
		}
		if _, err := m.next(t.Context()); err != nil || budget.used == 0 {
			t.Fatalf("%v; %d bytes are held while it is sent", err, budget.used)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			if _, err := m.next(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("waiting ended with %v", err)
			}
		}()
		synctest.Wait()
		if budget.used != 0 || budget.over != nil {
			t.Errorf("a silent stream holds %d bytes, beyond the budget: %v", budget.used, budget.over != nil)
		}
	})
}
