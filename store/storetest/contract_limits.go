package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// Windows is what the count of limits wants of a store: see toolpolicy.Meter.
type Windows interface {
	// AppendWith is audit.Sink's Append, and keeps windows in the same transaction.
	AppendWith(ctx context.Context, es []audit.Entry, ws []toolcall.Window) error
	// Windows are those that still count at a time, by their end. Others go.
	Windows(ctx context.Context, at time.Time) ([]toolcall.Window, error)
}

func windowsKept(t *testing.T, s Store) {
	at := func(d time.Duration) time.Time { return start.Add(d).UTC() }
	window := func(key byte, state string, until time.Duration) toolcall.Window {
		return toolcall.Window{Key: toolcall.Digest{key}, State: []byte(state), Until: at(until)}
	}
	keep := func(ws ...toolcall.Window) {
		t.Helper()
		if err := s.AppendWith(t.Context(), nil, ws); err != nil {
			t.Fatal(err)
		}
	}
	want := func(now time.Duration, ws ...toolcall.Window) {
		t.Helper()
		got, err := s.Windows(t.Context(), at(now))
		if err != nil || len(got) != len(ws) || len(ws) > 0 && !reflect.DeepEqual(got, ws) {
			t.Errorf("at %v there is %+v, %v; want %+v", now, got, err, ws)
		}
	}
	want(0)
	keep(window(1, "one", 2*time.Hour), window(2, "two", time.Hour), window(3, "three", 3*time.Hour))
	want(0, window(2, "two", time.Hour), window(1, "one", 2*time.Hour), window(3, "three", 3*time.Hour))
	keep(window(2, "more", 4*time.Hour), toolcall.Window{Key: toolcall.Digest{3}}, toolcall.Window{Key: toolcall.Digest{9}})
	want(time.Hour, window(1, "one", 2*time.Hour), window(2, "more", 4*time.Hour))
	want(2*time.Hour, window(2, "more", 4*time.Hour))
	want(0, window(2, "more", 4*time.Hour)) // what went is gone
}

// windowsGoWithRecords appends a record that cannot be: its windows are not kept.
func windowsGoWithRecords(t *testing.T, s Store) {
	w := toolcall.Window{Key: toolcall.Digest{1}, State: []byte("one"), Until: start.Add(time.Hour)}
	e := audit.Entry{Chain: "a", Seq: 1, Kind: audit.Event, At: start, Body: []byte("{}")}
	if err := s.AppendWith(t.Context(), []audit.Entry{e}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendWith(t.Context(), []audit.Entry{e}, []toolcall.Window{w}); err == nil {
		t.Fatal("a record is there twice")
	}
	if got, err := s.Windows(t.Context(), start); err != nil || len(got) != 0 {
		t.Errorf("without its record a window was kept: %+v, %v", got, err)
	}
	e.Seq = 2
	if err := s.AppendWith(t.Context(), []audit.Entry{e}, []toolcall.Window{w}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Windows(t.Context(), start); err != nil || len(got) != 1 {
		t.Errorf("with its record a window was not kept: %+v, %v", got, err)
	}
}
