package mcpproxy

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"mcpguard/toolcall"
)

// flood bounds how many records of a kind one caller may cause. A refusal, for
// one, costs the caller nothing, and the record is finite: who could fill it
// could drive the evidence of something else out of it.
type flood struct {
	perSecond rate.Limit

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

// Beyond refusalsAtOnce, what a caller is refused is answered late: in turn, so
// many a second over all of its connections, and none later than longestTurn. An
// answer at once would be an invitation to send the next.
const (
	answersPerSecond = 200
	longestTurn      = 5 * time.Second
)

func newFlood(perSecond rate.Limit) *flood {
	return &flood{perSecond: perSecond, callers: map[string]*refused{}}
}

// admit reports whether one more record is to be kept, and how many of the caller
// were not since the last that was.
func (f *flood) admit(caller string, now time.Time) (before int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.ofLocked(caller)
	if !c.limit.AllowN(now, 1) {
		c.dropped++
		return 0, false
	}
	before, c.dropped = c.dropped, 0
	return before, true
}

// turn is how long the caller's next refusal waits for its answer.
func (f *flood) turn(caller string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.ofLocked(caller).limit.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > longestTurn {
		r.CancelAt(now)
		return longestTurn
	}
	return wait
}

func (f *flood) ofLocked(caller string) *refused {
	c := f.callers[caller]
	if c == nil {
		if len(f.callers) >= maxFloodCallers {
			clear(f.callers)
		}
		c = &refused{limit: rate.NewLimiter(f.perSecond, refusalsAtOnce)}
		f.callers[caller] = c
	}
	return c
}

// await waits for the turn of a caller that is to be told that something was
// refused, until the request or the proxy ends (law 14).
func (p *Proxy) await(ctx context.Context, caller toolcall.Caller) {
	wait := p.turns.turn(caller.Key(), time.Now())
	if wait == 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-p.open.Done():
	}
}

// retryLater tells a client that gets HTTP 429 when to come back (RFC 6585, 4).
func retryLater(h http.Header, status int) {
	if status == http.StatusTooManyRequests {
		h["Retry-After"] = []string{"1"}
	}
}
