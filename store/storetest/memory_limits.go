package storetest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// AppendWith keeps entries and windows, and fails like Append: then the windows
// are kept where all of the entries are.
func (m *Memory) AppendWith(ctx context.Context, es []audit.Entry, ws []toolcall.Window) error {
	before := m.records()
	err := m.Append(ctx, es)
	if err != nil && m.records()-before < len(es) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.windows == nil {
		m.windows = map[toolcall.Digest]toolcall.Window{}
	}
	for _, w := range ws {
		if w.State == nil {
			delete(m.windows, w.Key)
			continue
		}
		w.State = bytes.Clone(w.State)
		m.windows[w.Key] = w
	}
	return err
}

func (m *Memory) records() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, es := range m.chains {
		n += len(es)
	}
	return n
}

// Windows is what limits had counted and what still counts at that time.
func (m *Memory) Windows(_ context.Context, at time.Time) ([]toolcall.Window, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []toolcall.Window
	for key, w := range m.windows {
		if !w.Until.After(at) {
			delete(m.windows, key)
			continue
		}
		w.State = bytes.Clone(w.State)
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b toolcall.Window) int {
		return cmp.Or(a.Until.Compare(b.Until), bytes.Compare(a.Key[:], b.Key[:]))
	})
	return all, nil
}
