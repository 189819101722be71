package toolpolicy

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"time"

	"mcpguard/toolcall"
)

// timeline is what the tests of a file have called so far, at the times that they
// say. No clock is read.
type timeline struct {
	meter *Meter
	calls uint64
}

// testsBegin is when every test file begins.
var testsBegin = time.Unix(0, 0)

func newTimeline() *timeline { return &timeline{meter: testMeter()} }

func testMeter() *Meter {
	m, err := NewMeter(plainKeys{}, nil, testsBegin)
	if err != nil {
		panic(err) // it has keys, and nothing to read
	}
	return m
}

// decide makes the calls of a test, as often as it says, and ends each at once.
// A test without a time is alone: nothing was called before it.
func (l *timeline) decide(p *Policy, c *toolcall.Call, e *example) iter.Seq2[int, toolcall.Decision] {
	return func(yield func(int, toolcall.Decision) bool) {
		meter, at := l.meter, testsBegin
		if e.after == nil {
			meter = testMeter()
		} else {
			at = at.Add(*e.after)
		}
		for n := range e.repeat {
			l.calls++
			call := *c
			binary.BigEndian.PutUint64(call.ID[8:], l.calls)
			d := meter.Reserve(&call, p.Evaluate(&call), toolcall.ID{}, at)
			meter.Settle(call.ID, toolcall.Settlement{Outcome: toolcall.OutcomeOK, At: at})
			if !yield(n+1, d) {
				return
			}
		}
	}
}

// plainKeys are no secret: what tests count is in their own file, and goes with
// them.
type plainKeys struct{}

func (plainKeys) MAC(purpose string, parts ...[]byte) toolcall.Digest {
	h := sha256.New()
	for _, part := range append([][]byte{[]byte(purpose)}, parts...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return toolcall.Digest(h.Sum(nil))
}
