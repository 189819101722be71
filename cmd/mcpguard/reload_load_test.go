package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/store"
)

// reloads is how often the policy is loaded anew under load.
const reloads = 50

// Fifty reloads while agents call: no call fails, every call is decided by one
// policy that was in force, and the record tells of every one of them. Half are
// asked for by a person, the others are what a person asks with.
func TestReloadUnderLoad(t *testing.T) {
	upstream := drainUpstream(t, nil, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	binary := buildGuard(t)
	guard := startServed(ctx, t, binary, upstream, allowAll)
	url, record := guard.url, guard.record
	write := func(n int) {
		t.Helper()
		// As an editor does: another file takes the place of the old one.
		text := allowAll + fmt.Sprintf("# %d\n", n)
		if err := os.WriteFile(guard.policy+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(guard.policy+".new", guard.policy); err != nil {
			t.Fatal(err)
		}
	}

	var agents sync.WaitGroup
	var calls atomic.Int64
	done := make(chan struct{})
	for agent := range 8 {
		agents.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				got, err := sendCall(ctx, url, drainCall(agent*1_000_000+n+2, "echo"))
				if err != nil || !strings.Contains(got, `"content":[]`) {
					t.Errorf("a call failed: %s, %v", got, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for n := range reloads {
		before := calls.Load()
		write(n + 1)
		if n%2 == 0 {
			out, err := exec.CommandContext(ctx, binary, "policy", "reload", "--store", record).CombinedOutput()
			if err != nil || !strings.Contains(string(out), ": in force, sha256:") && !strings.Contains(string(out), ": unchanged, sha256:") {
				t.Fatalf("reload %d: %s, %v", n, out, err)
			}
		} else {
			if err := guard.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			for loadedSoFar(t, record) < n+2 && ctx.Err() == nil {
				time.Sleep(5 * time.Millisecond)
			}
		}
		for calls.Load() == before && ctx.Err() == nil && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
	}
	close(done)
	agents.Wait()
	if err := guard.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-guard.ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	loaded, decided := map[string]bool{}, map[string]int{}
	for rec := range recordsOf(t, record) {
		switch rec.Kind {
		case audit.PolicyLoaded:
			loaded[rec.Policy] = true
		case audit.Intent:
			decided[rec.Policy]++
			if !loaded[rec.Policy] {
				t.Errorf("a call was decided by %s, which was not in force", rec.Policy)
			}
		case audit.Refusal, audit.PolicyRefused:
			t.Errorf("refused: %s", rec.Reason)
		}
	}
	if len(loaded) != reloads+1 {
		t.Errorf("%d policies were loaded, want %d", len(loaded), reloads+1)
	}
	t.Logf("%d calls, decided by %d policies", calls.Load(), len(decided))
	if len(decided) < reloads/2 {
		t.Errorf("only %d policies decided about a call: there was no load", len(decided))
	}
}

func loadedSoFar(t *testing.T, url string) (n int) {
	t.Helper()
	for rec := range recordsOf(t, url) {
		if rec.Kind == audit.PolicyLoaded {
			n++
		}
	}
	return n
}

// recordsOf are the records of a store, in their order.
func recordsOf(t *testing.T, url string) func(yield func(audit.Record) bool) {
	return func(yield func(audit.Record) bool) {
		r, err := store.OpenReader(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}()
		for e, err := range r.Chain(t.Context(), "main", 0) {
			if err != nil {
				t.Fatal(err)
			}
			rec, err := audit.Decode(e)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(rec) {
				return
			}
		}
	}
}
