package mcpproxy

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// flood bounds how many records of a kind one caller may cause. A refusal, for
// one, costs the caller nothing, and the record is finite: who could fill it
// could drive the evidence of something else out of it.
type flood struct {
	mu      sync.Mutex
	callers map[string]*refused
}

type refused struct {
	limit   *rate.Limiter
	dropped int
}

const (
	refusalsPerSecond = 50
	refusalsAtOnce    = 500
	maxFloodCallers   = 4096
)

func newFlood() *flood { return &flood{callers: map[string]*refused{}} }

// admit reports whether one more record is to be kept, and how many of the caller
// were not since the last that was.
func (f *flood) admit(caller string, now time.Time) (before int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.callers[caller]
	if c == nil {
		if len(f.callers) >= maxFloodCallers {
			clear(f.callers)
		}
		c = &refused{limit: rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)}
		f.callers[caller] = c
	}
	if !c.limit.AllowN(now, 1) {
		c.dropped++
		return 0, false
	}
	before, c.dropped = c.dropped, 0
	return before, true
}
