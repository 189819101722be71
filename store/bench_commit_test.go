package store

import (
	"path/filepath"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// BenchmarkCommit is what the store alone costs: groups of 64 records of 64
// sessions, as BenchmarkAppend makes them, without the log above.
func BenchmarkCommit(b *testing.B) {
	s, err := Open(b.Context(), "sqlite://"+filepath.Join(b.TempDir(), "guard.db"))
	if err != nil {
		b.Fatal(err)
	}
	const size = 64
	ids := sessionIDs(b, size)
	body := make([]byte, 600)
	for i := range body {
		body[i] = 'x'
	}
	var es [size]audit.Entry
	seq := uint64(0)
	before := cpuTime(b)
	b.ReportAllocs()
	for b.Loop() {
		for i := range es {
			seq++
			es[i] = audit.Entry{Chain: "a", Seq: seq, Kind: audit.Intent, Effect: toolcall.Allow, Session: ids[(seq/2)%size], Call: ids[i],
				At: time.Unix(0, 1<<60+int64(seq)), Who: audit.Ref{1}, Body: body[:500+i], Hash: toolcall.Digest{byte(seq)}}
		}
		mustAppend(b, s, es[:])
	}
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1000/float64(seq), "cpu-us/rec")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
