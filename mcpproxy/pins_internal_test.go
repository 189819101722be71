package mcpproxy

import (
	"context"
	"fmt"
	"testing"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

// A hostile upstream that names its prompts anew in every list makes the book
// remember no more than its bound, and what is beyond is out of reach: in lists,
// and for who asks for it by its name.
func TestPinsAreBounded(t *testing.T) {
	store := &storetest.Memory{}
	log, err := audit.Open(t.Context(), audit.Config{Sink: store, Keys: keyring.NewEphemeral(), Chain: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	b, err := NewPinbook(PinbookConfig{Store: store, Record: log, Rules: map[string]PinRules{"crm": {First: PinAccept, New: PinAlert}}})
	if err != nil {
		t.Fatal(err)
	}
	key := pinKey{"crm", toolcall.PinPrompt}
	list := func(from, to int) sighting {
		s := sighting{pinKey: key, whole: true, record: audit.Record{Kind: audit.ToolChange}, clean: func(toolcall.JSON) string { return "" }}
		for i := from; i < to; i++ {
			name := fmt.Sprint("p", i)
			def, err := toolcall.Parse(`{"name":"`+name+`"}`, toolcall.Limits{Bytes: 100, Depth: 2})
			if err != nil {
				t.Fatal(err)
			}
			s.items = append(s.items, sighted{name, def})
		}
		return s
	}
	for round := range 3 {
		v, err := b.judge(t.Context(), list(round*maxPins, (round+1)*maxPins))
		if err != nil {
			t.Fatal(err)
		}
		if want := min(round, 1) * maxPins; len(v.held) != want {
			t.Errorf("round %d: %d are hidden, want %d", round, len(v.held), want)
		}
	}
	k := b.kinds[key]
	if k.forms > maxPins || len(k.byName) > maxPins || len(k.shown) > maxPins || len(k.gone) > maxPins {
		t.Errorf("remembered: %d forms, %d names, %d shown, %d gone", k.forms, len(k.byName), len(k.shown), len(k.gone))
	}
	for name, want := range map[string]bool{"p1": false, fmt.Sprint("p", maxPins+1): true} {
		if held, err := b.holds(t.Context(), "crm", toolcall.PinPrompt, name); err != nil || held != want {
			t.Errorf("%s is out of reach: %v, %v; want %v", name, held, err, want)
		}
	}
}
