package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/store"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// health is the store with a memory for how its last write went. While writes go
// well nothing is written to find that out; when one failed, and nobody calls any
// more because others say that this mcpguard is not ready, it tries again by itself.
type health struct {
	*store.Store
	meter  *toolpolicy.Meter // whose counts are written with the records of the calls
	record recorder          // that writes through this store
	now    func() time.Time

	mu     sync.Mutex
	failed error     // of the last write
	tried  time.Time // when a record was written to try again
}

// tryEvery is how often a store that failed is tried again, when somebody asks.
const tryEvery = 2 * time.Second

// Append is the store's. What limits have counted goes into the transaction of the
// calls that were counted, at the cost of no sync of its own.
func (h *health) Append(ctx context.Context, es []audit.Entry) error {
	err := h.meter.Keep(func(ws []toolcall.Window) error { return h.AppendWith(ctx, es, ws) })
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = err
	return err
}

// lastFailure is how the last write failed; nil: it did not.
func (h *health) lastFailure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

// writable says why the record cannot be kept; nil: as far as anybody knows, it can.
func (h *health) writable(ctx context.Context) error {
	h.mu.Lock()
	failed, again := h.failed, h.failed != nil && h.now().Sub(h.tried) >= tryEvery
	if again {
		h.tried = h.now()
	}
	h.mu.Unlock()
	switch {
	case failed == nil:
		return nil
	case !again:
		return fmt.Errorf("write the record: %w", failed)
	}
	ctx, cancel := context.WithTimeout(ctx, tryEvery)
	defer cancel()
	rec := audit.Record{Kind: audit.Event, At: h.now(), Reason: redact.Public("the record is tried again after a failure")}
	if err := h.record.Put(rec).Wait(ctx); err != nil {
		return fmt.Errorf("write the record: %w", errors.Join(err, failed))
	}
	return nil
}
