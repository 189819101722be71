package store

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

const benchSessions = "MCPGUARD_BENCH_SESSIONS" // how many BenchmarkSession keeps; 5000 are a million records

// BenchmarkSession reads all calls of one of 500 sessions of 200 records of
// about 1 KiB each, when as many records as may be are unindexed.
func BenchmarkSession(b *testing.B) {
	const each = 200
	sessions := 500
	if n, err := strconv.Atoi(os.Getenv(benchSessions)); err == nil {
		sessions = n
	}
	s, err := Open(b.Context(), "sqlite://"+filepath.Join(b.TempDir(), "guard.db"))
	if err != nil {
		b.Fatal(err)
	}
	log, err := audit.Open(b.Context(), audit.Config{Sink: s, Keys: keyring.NewEphemeral(), Chain: "a"})
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]toolcall.ID, sessions)
	for i := range ids {
		if ids[i], err = toolcall.NewID(); err != nil {
			b.Fatal(err)
		}
	}
	args := redact.Public(`{"text":"` + strings.Repeat("words ", 115) + `"}`)
	for range each { // sessions interleave, as they do
		var last *audit.Commit
		for _, session := range ids {
			last = log.Put(audit.Record{Kind: audit.Intent, Session: session, Call: session, Target: "get_customer", Args: args})
		}
		if err := last.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if err := log.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	last, err := s.Last(b.Context(), "a")
	if err != nil {
		b.Fatal(err)
	}
	last.Session = toolcall.ID{}
	for range indexAfter - 1 - s.writer.known.unindexed {
		last.Seq++
		mustAppend(b, s, []audit.Entry{last})
	}
	b.Logf("%d records, %d of them unindexed", last.Seq, s.writer.known.unindexed)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		from, n := time.Now(), 0
		for _, err := range s.Entries(b.Context(), ids[i%sessions]) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != each {
			b.Fatalf("%d entries, want %d", n, each)
		}
		took = append(took, time.Since(from))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
