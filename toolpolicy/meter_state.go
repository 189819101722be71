package toolpolicy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	"mcpguard/toolcall"
)

// Windows are kept as a measure, the span in nanoseconds, and what their counter
// appends; legs as legState and their fields. Numbers are big endian.

// row is the window as it is kept; one in which nothing counts any more has no
// state.
func (w *window) row(now int64) toolcall.Window {
	until := w.counter.until(w.every)
	if until <= now {
		return toolcall.Window{Key: w.key}
	}
	state := binary.BigEndian.AppendUint64([]byte{byte(w.measure)}, uint64(w.every))
	return toolcall.Window{Key: w.key, State: w.counter.append(state), Until: time.Unix(0, until).UTC()}
}

// load reads what row wrote.
func (m *Meter) load(k toolcall.Window) error {
	b := k.State
	if len(b) > 0 && b[0] == legState {
		g, err := readLeg(b)
		if err != nil {
			return fmt.Errorf("read a call that may go on: %w", err)
		}
		m.legs.add(g)
		return nil
	}
	if len(b) < 9 {
		return fmt.Errorf("read a window: %w", errState)
	}
	w := &window{key: k.Key, measure: toolcall.Measure(b[0]), every: span(binary.BigEndian.Uint64(b[1:]))}
	var err error
	if w.counter, err = readCounter(w.measure, b[9:], m.latest); err != nil || w.every < 0 {
		return fmt.Errorf("read a window: %w", errors.Join(err, errState))
	}
	m.kept[k.Key] = w
	if w.measure == toolcall.AtOnce {
		m.seating[w] = struct{}{}
		m.dirty[w] = struct{}{} // until when it counts was not known before
	}
	return nil
}

var errState = errors.New("what was counted cannot be read")

// newCounter is the counter of a measure with nothing counted; nil: there is no
// such measure.
func newCounter(m toolcall.Measure) counter {
	switch m {
	case toolcall.Calls:
		return &bucket{}
	case toolcall.Sum:
		return &total{}
	case toolcall.Distinct:
		return &values{map[valueKey]*value{}}
	case toolcall.AtOnce:
		return &seats{}
	}
	return nil
}

// readCounter reads what append wrote. Calls that were under way when that was
// written count for a while: nobody knows whether they still are.
func readCounter(m toolcall.Measure, b []byte, now int64) (counter, error) {
	c := newCounter(m)
	switch c := c.(type) {
	case *bucket:
		if len(b) != 8 {
			return nil, errState
		}
		c.tat = int64(binary.BigEndian.Uint64(b))
	case *total:
		for len(b) > 0 {
			if len(b) < 9 || len(b) < 9+int(b[8]) {
				return nil, errState
			}
			end := 9 + int(b[8])
			c.parts = append(c.parts, part{int64(binary.BigEndian.Uint64(b)), new(big.Int).SetBytes(b[9:end])})
			b = b[end:]
		}
	case *values:
		for ; len(b) >= 24; b = b[24:] {
			c.seen[valueKey(b)] = &value{at: int64(binary.BigEndian.Uint64(b[16:])), confirmed: true}
		}
	case *seats:
		for ; len(b) >= 24; b = b[24:] {
			t := seat{toolcall.ID(b[:16]), int64(binary.BigEndian.Uint64(b[16:]))}
			if t.until == running {
				t.until = now + lingering
			}
			c.taken = append(c.taken, t)
		}
	default:
		return nil, errState
	}
	switch c.(type) {
	case *values, *seats:
		if len(b) != 0 {
			return nil, errState
		}
	}
	return c, nil
}
