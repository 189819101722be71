package mcpproxy

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"
)

// upstreamStream is where the upstream's event stream stands. Its ids and retry
// times end here: mcpguard itself goes back for the rest of an answer, and clients
// get ids of mcpguard's own (resume.go).
type upstreamStream struct {
	id    string // of the last event that was passed on; "" where the upstream keeps none
	retry time.Duration
}

const (
	// usualRetry is how long to wait where the upstream does not say.
	usualRetry = time.Second
	// An upstream may ask for less or more; it gets this.
	minRetry, maxRetry = 50 * time.Millisecond, 5 * time.Minute
)

// passed notes an event of the upstream after its message was passed on.
func (x *exchange) passed(ev event) {
	if ms, err := strconv.Atoi(ev.retry); err == nil {
		x.upstream.retry = time.Duration(ms) * time.Millisecond
		if x.out.own {
			x.out.hint(ev.retry)
		}
	}
	if !ev.hasID || len(ev.id) > maxSourceID {
		return
	}
	x.upstream.id = ev.id
	if x.out.own {
		x.out.came(ev.id)
	}
}

// canGoBack reports whether the rest of an answer can be had after its connection
// ended: the upstream gave its events ids (MCP 2025-11-25, SEP-1699).
func (x *exchange) canGoBack(ctx context.Context, err error) bool {
	var fault *upstreamError
	lost := errors.Is(err, io.EOF) || errors.As(err, &fault) && fault.cut
	return lost && x.ses.era == legacy && x.upstream.id != "" && ctx.Err() == nil && !x.settled.Load()
}

// goBack waits for as long as the upstream asked to, and reads the rest of an
// answer behind the last event that was passed on. The request is not sent again.
func (p *Proxy) goBack(ctx context.Context, x *exchange) error {
	if err := x.pause(ctx); err != nil {
		return err
	}
	a, err := x.ses.leg.listen(ctx, x.upstream.id)
	if errors.Is(err, errNoStream) {
		return io.ErrUnexpectedEOF // it gives ids and takes none: the rest cannot be had
	}
	if err != nil {
		return err
	}
	defer a.close()
	return p.pump(ctx, a, x, x.alive)
}

// pause waits for the upstream's retry time. A wait that it asked for is no
// silence: the clock of the timeout is put back meanwhile.
func (x *exchange) pause(ctx context.Context) error {
	left := x.upstream.retry
	asked := left > 0
	if !asked {
		left = usualRetry
	}
	left = min(max(left, minRetry), maxRetry)
	for left > 0 {
		step := min(left, x.ses.up.Timeout/2)
		t := time.NewTimer(step)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
		if left -= step; left > 0 && asked {
			x.alive()
		}
	}
	return nil
}
