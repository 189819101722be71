package audit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/store"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

// BenchmarkDurable is goal 13 of the record: records per second at w writers,
// each waiting for its own, beside a plain file with group fdatasync.
func BenchmarkDurable(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("file/w=%d", writers), func(b *testing.B) {
			benchmarkLog(b, writers, openFile(b))
		})
		b.Run(fmt.Sprintf("memory/w=%d", writers), func(b *testing.B) {
			benchmarkLog(b, writers, &storetest.Memory{})
		})
		b.Run(fmt.Sprintf("sqlite/w=%d", writers), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "guard.db")
			s, err := store.Open(b.Context(), "sqlite://"+path)
			if err != nil {
				b.Fatal(err)
			}
			benchmarkLog(b, writers, s)
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(size(b, path))/float64(b.N), "disk-B/rec")
		})
	}
}

func size(b *testing.B, path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}

// record1K is a record of about 1 KiB: 700 bytes of arguments and the fields
// that every call has.
func record1K(session toolcall.ID) audit.Record {
	call, err := toolcall.NewID()
	if err != nil {
		panic(err) // no randomness
	}
	return audit.Record{
		Kind: audit.Intent, Session: session, Call: call,
		Caller: toolcall.Caller{Person: "sam@example.com", Subject: "nightly", Issuer: "token", Client: "nightly", Groups: []string{"support"}},
		Roles:  []string{"everyone", "support"}, Era: "2025-11-25", Upstream: "crm", Method: "tools/call", Target: "get_customer",
		TargetKind: toolcall.Tool, Policy: "sha256:" + digest(3).String(),
		Catalogue: "sha256:" + digest(1).String(), Definition: digest(2).String(), Effect: toolcall.Allow, Rule: "support/allow/1", File: "policy.yaml", Line: 12,
		Args: args700, ArgsDigest: toolcall.Digest{1}, ArgsSize: 700,
	}
}

var args700 = redact.Public(`{"text":"` + strings.Repeat("words ", 115) + `"}`)

func benchmarkLog(b *testing.B, writers int, sink audit.Sink) {
	log, err := audit.Open(b.Context(), audit.Config{Sink: sink, Keys: keyring.NewEphemeral(), Chain: "bench",
		Retention: audit.Retention{MaxAge: -1, MaxBytes: -1}})
	if err != nil {
		b.Fatal(err)
	}
	waits := make([][]time.Duration, writers)
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	before := cpu(b)
	b.ReportAllocs()
	b.ResetTimer()
	for w := range writers {
		group.Go(func() {
			session, err := toolcall.NewID()
			if err != nil {
				panic(err)
			}
			for left.Add(-1) >= 0 {
				from := time.Now()
				if err := log.Put(record1K(session)).Wait(context.Background()); err != nil {
					b.Error(err)
					return
				}
				waits[w] = append(waits[w], time.Since(from))
			}
		})
	}
	group.Wait()
	b.StopTimer()
	took := cpu(b) - before
	all := slices.Concat(waits...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rec/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(took.Microseconds())/float64(b.N), "cpu-us/rec")
	if err := log.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fileSink is the least that durable means: lines appended to a file, one
// fdatasync a group.
type fileSink struct {
	f   *os.File
	buf []byte
}

func openFile(b *testing.B) *fileSink {
	f, err := os.Create(filepath.Join(b.TempDir(), "records"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := f.Close(); err != nil {
			b.Error(err)
		}
	})
	return &fileSink{f: f}
}

func (s *fileSink) Append(_ context.Context, es []audit.Entry) error {
	s.buf = s.buf[:0]
	for i := range es {
		s.buf = append(append(s.buf, es[i].Body...), '\n')
	}
	if _, err := s.f.Write(s.buf); err != nil {
		return err
	}
	return syscall.Fdatasync(int(s.f.Fd()))
}

func (s *fileSink) Last(context.Context, string) (audit.Entry, error) { return audit.Entry{}, nil }

// BenchmarkPut is the part of a record that the caller's goroutine does.
func BenchmarkPut(b *testing.B) {
	log, err := audit.Open(b.Context(), audit.Config{Sink: &fileless{}, Keys: keyring.NewEphemeral(), Chain: "bench",
		Retention: audit.Retention{MaxAge: -1, MaxBytes: -1}, MaxQueue: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	session, err := toolcall.NewID()
	if err != nil {
		b.Fatal(err)
	}
	r := record1K(session)
	r.At = time.Now()
	b.ReportAllocs()
	var last *audit.Commit
	for b.Loop() {
		last = log.Put(r)
	}
	if err := last.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// fileless keeps nothing.
type fileless struct{}

func (fileless) Append(context.Context, []audit.Entry) error       { return nil }
func (fileless) Last(context.Context, string) (audit.Entry, error) { return audit.Entry{}, nil }
