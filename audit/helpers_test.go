package audit_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// config is a log on m for ever, with the given changes.
func config(m *storetest.Memory, change ...func(*audit.Config)) audit.Config {
	cfg := audit.Config{Sink: m, Keys: keyring.NewEphemeral(), Chain: "a", Edge: "laptop",
		Now: func() time.Time { return noon }, Retention: audit.Retention{MaxAge: -1, MaxBytes: -1}}
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

func open(t *testing.T, m *storetest.Memory, change ...func(*audit.Config)) *audit.Log {
	t.Helper()
	log, err := audit.Open(t.Context(), config(m, change...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return log
}

// event is a record that tells what.
func event(what string) audit.Record {
	return audit.Record{Kind: audit.Event, Reason: redact.Public(what)}
}

func put(t *testing.T, log *audit.Log, rs ...audit.Record) {
	t.Helper()
	for _, r := range rs {
		if err := log.Put(r).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// told is what the events of a chain tell, in order.
func told(t *testing.T, m *storetest.Memory) (all []string) {
	t.Helper()
	for _, r := range records(t, m.Chain(t.Context(), "a", 0)) {
		all = append(all, r.Reason.String())
	}
	return all
}

func records(t *testing.T, es iter.Seq2[audit.Entry, error]) (all []audit.Record) {
	t.Helper()
	for e, err := range es {
		if err != nil {
			t.Fatal(err)
		}
		r, err := audit.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// holds fails the test unless the chain verifies, up to seq.
func holds(t *testing.T, m *storetest.Memory, seq uint64) {
	t.Helper()
	head, err := audit.VerifyChain(t.Context(), m, "a")
	if err != nil {
		t.Fatal(err)
	}
	if head.Seq != seq {
		t.Errorf("the chain ends with entry %d, want %d", head.Seq, seq)
	}
}

func newID(t testing.TB) toolcall.ID {
	t.Helper()
	id, err := toolcall.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var sam = toolcall.Caller{Person: "sam@example.com", Subject: "nightly", Issuer: "token", Client: "nightly",
	Act: []string{"outer", "inner"}, Groups: []string{"support", "\"quoted\""}}
