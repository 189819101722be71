package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"mcpguard/toolcall"
)

// Pins is what the pinbook, and those who show it, want of a store: see
// mcpproxy.PinStore.
type Pins interface {
	KeepPins(ctx context.Context, pins []toolcall.Pin) error
	Pins(ctx context.Context) ([]toolcall.Pin, error)
	PinText(ctx context.Context, p toolcall.Pin) (string, error)
}

// aPin is a pin with every field set.
func aPin(upstream, name string, digest byte) toolcall.Pin {
	return toolcall.Pin{
		Upstream: upstream, Kind: toolcall.PinTool, Name: name, Digest: toolcall.Digest{digest},
		Parts: [toolcall.PinParts]toolcall.Digest{{1, digest}, {2, digest}, {}, {4, digest}},
		State: toolcall.PinQuarantined, Causes: toolcall.CauseSchema | toolcall.CauseHidden, Was: toolcall.Digest{99},
		Seen: start.Add(time.Duration(digest)).UTC(), Decided: start.Add(time.Hour).UTC(), By: toolcall.ByRule, Text: `{"name":"` + name + `"}`,
	}
}

func pinsKept(t *testing.T, s Store) {
	if all, err := s.Pins(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("an empty store has %v, %v", all, err)
	}
	want := []toolcall.Pin{aPin("crm", "a", 1), aPin("crm", "a", 2), aPin("crm", "b", 1), aPin("erp", "a", 1)}
	first := toolcall.Pin{Upstream: "erp", Kind: toolcall.PinPrompt, State: toolcall.PinAccepted, Seen: start.UTC(), Decided: start.UTC(), By: toolcall.FirstSight}
	want = append(want, first)
	if err := s.KeepPins(t.Context(), []toolcall.Pin{want[4], want[2], want[1]}); err != nil {
		t.Fatal(err)
	}
	if err := s.KeepPins(t.Context(), []toolcall.Pin{want[0], want[3]}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Pins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if text, err := s.PinText(t.Context(), want[i]); err != nil || text != want[i].Text {
			t.Errorf("the text of %d is %q, %v", i, text, err)
		}
		want[i].Text = ""
	}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("kept as\n%+v\nwant\n%+v", all, want)
	}
	if text, err := s.PinText(t.Context(), aPin("crm", "none", 1)); err != nil || text != "" {
		t.Errorf("what is not there has the text %q, %v", text, err)
	}
}

func pinsDecided(t *testing.T, s Store) {
	p := aPin("crm", "a", 1)
	if err := s.KeepPins(t.Context(), []toolcall.Pin{p}); err != nil {
		t.Fatal(err)
	}
	again := aPin("crm", "a", 1)
	again.State, again.By, again.Decided = toolcall.PinAccepted, "fran@example.com", start.Add(2*time.Hour).UTC()
	again.Seen, again.Causes, again.Text = start.Add(2*time.Hour).UTC(), 0, "something else"
	if err := s.KeepPins(t.Context(), []toolcall.Pin{again}); err != nil {
		t.Fatal(err)
	}
	want := p
	want.State, want.By, want.Decided, want.Text = again.State, again.By, again.Decided, ""
	all, err := s.Pins(t.Context())
	if err != nil || len(all) != 1 || !reflect.DeepEqual(all[0], want) {
		t.Errorf("decided, it is %+v, %v; want %+v", all, err, want)
	}
	if text, err := s.PinText(t.Context(), p); err != nil || text != p.Text {
		t.Errorf("its text is %q, %v", text, err)
	}
}
