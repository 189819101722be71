package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// BenchmarkAppend is the hot path of the proxy: 64 writers, each of which waits
// for its intent (a row of about 900 bytes) and then for its outcome (700).
func BenchmarkAppend(b *testing.B) {
	for _, sessions := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) { benchmarkAppend(b, 64, sessions) })
	}
}

func benchmarkAppend(b *testing.B, writers, sessions int) {
	path := filepath.Join(b.TempDir(), "guard.db")
	s, err := Open(b.Context(), "sqlite://"+path)
	if err != nil {
		b.Fatal(err)
	}
	shared, err := os.Open(path + "-shm")
	if err != nil {
		b.Fatal(err)
	}
	sink := &countingSink{Store: s, shared: shared}
	log, err := audit.Open(b.Context(), audit.Config{Sink: sink, Keys: keyring.NewEphemeral(), Chain: "bench",
		Retention: audit.Retention{MaxAge: -1, MaxBytes: -1}})
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]toolcall.ID, sessions)
	for i := range ids {
		if ids[i], err = toolcall.NewID(); err != nil {
			b.Fatal(err)
		}
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	before := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for w := range writers {
		all.Go(func() {
			for i := w; left.Add(-2) >= 0; i += writers {
				session := ids[i%sessions]
				for _, r := range callOf(session) {
					if err := log.Put(r).Wait(context.Background()); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	took := cpuTime(b) - before
	n := float64(max(1, sink.records))
	b.ReportMetric(n/b.Elapsed().Seconds(), "rec/s")
	b.ReportMetric(float64(took.Nanoseconds())/1000/n, "cpu-us/rec")
	b.ReportMetric(n/float64(max(1, sink.commits)), "rec/commit")
	b.ReportMetric(float64(sink.frames)/float64(max(1, sink.commits)), "frames/commit")
	if err := log.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	if err := shared.Close(); err != nil { // not before: it would take the store's locks along
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/n, "disk-B/rec")
}

// callOf is the two records of one call.
func callOf(session toolcall.ID) [2]audit.Record {
	call, err := toolcall.NewID()
	if err != nil {
		panic(err) // no randomness
	}
	in := audit.Record{
		Kind: audit.Intent, Session: session, Call: call,
		Caller: toolcall.Caller{Person: "sam@example.com", Subject: "nightly", Issuer: "token", Client: "nightly", Groups: []string{"support"}},
		Roles:  []string{"everyone", "support"}, Era: "2025-11-25", Upstream: "crm", Method: "tools/call", Target: "get_customer",
		TargetKind: toolcall.Tool, Policy: "sha256:" + toolcall.Digest{3}.String(), Catalogue: "sha256:" + toolcall.Digest{1}.String(),
		Definition: toolcall.Digest{2}.String(), Effect: toolcall.Allow, Rule: "support/allow/1", File: "policy.yaml", Line: 12,
		Args: callArgs, ArgsDigest: toolcall.Digest{1}, ArgsSize: 250,
	}
	out := audit.Record{Kind: audit.Outcome, Session: session, Call: call, Outcome: toolcall.OutcomeOK, Caller: in.Caller,
		Result: callResult, ResultDigest: toolcall.Digest{4}, ResultSize: 490}
	return [2]audit.Record{in, out}
}

var (
	callArgs   = redact.Public(`{"text":"` + strings.Repeat("words ", 40) + `"}`)
	callResult = redact.Public(`{"text":"` + strings.Repeat("words ", 80) + `"}`)
)

// countingSink counts what a store commits, and how many pages of the
// write-ahead log that takes.
type countingSink struct {
	*Store
	shared                   *os.File // the index of the log, where the number of pages stands
	records, commits, frames int64
}

func (s *countingSink) Append(ctx context.Context, es []audit.Entry) error {
	before, err := s.logged()
	if err != nil {
		return err
	}
	if err := s.Store.Append(ctx, es); err != nil {
		return err
	}
	after, err := s.logged()
	if after < before { // the log began again
		before = 0
	}
	s.records, s.commits, s.frames = s.records+int64(len(es)), s.commits+1, s.frames+after-before
	return err
}

// logged is mxFrame of the header of the index (SQLite, "WAL-mode File Format", 2.1).
func (s *countingSink) logged() (int64, error) {
	var b [4]byte
	_, err := s.shared.ReadAt(b[:], 16)
	return int64(binary.NativeEndian.Uint32(b[:])), err
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
