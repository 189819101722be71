package storetest

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// KeepPins keeps pins: see store.Store. It fails when Append does.
func (m *Memory) KeepPins(_ context.Context, pins []toolcall.Pin) error {
	return m.change(func() {
		for _, p := range pins {
			i := slices.IndexFunc(m.pins, func(have toolcall.Pin) bool { return samePin(have, p) })
			if i < 0 {
				m.pins = append(m.pins, p)
				continue
			}
			m.pins[i].State, m.pins[i].Decided, m.pins[i].By = p.State, p.Decided, p.By
		}
	})
}

// Pins are all pins, without their texts.
func (m *Memory) Pins(context.Context) ([]toolcall.Pin, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blind {
		return nil, ErrDisk
	}
	all := slices.Clone(m.pins)
	for i := range all {
		all[i].Text = ""
	}
	slices.SortFunc(all, func(a, b toolcall.Pin) int {
		return cmp.Or(strings.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name),
			a.Seen.Compare(b.Seen), slices.Compare(a.Digest[:], b.Digest[:]))
	})
	return all, nil
}

// PinText is the definition behind a pin.
func (m *Memory) PinText(_ context.Context, p toolcall.Pin) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, have := range m.pins {
		if samePin(have, p) {
			return have.Text, nil
		}
	}
	return "", nil
}

func samePin(a, b toolcall.Pin) bool {
	return a.Upstream == b.Upstream && a.Kind == b.Kind && a.Name == b.Name && a.Digest == b.Digest
}
