package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"mcpguard/toolcall"
)

var errNoCommit = errors.New("wait for a record: there is none")

// committer is the one goroutine that knows where the chain ends. It links
// entries to the chain as it commits them, so that a failed group leaves no gap.
type committer struct {
	log  *Log
	head Head
	hash hasher

	// After a failed Append nobody knows what was kept. Until Last has told,
	// nothing more is appended; tried are the hashes that may stand behind head.
	unsure bool
	tried  []toolcall.Digest
	broken error // the chain in the sink is not ours: for good

	purgeDue   bool
	purgeError error
}

func (c *committer) run(ctx context.Context) {
	defer close(c.log.done)
	tick := time.NewTicker(c.log.cfg.PurgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.purgeDue = true
		default:
		}
		if ctx.Err() != nil {
			c.abandon()
			return
		}
		// Those whom the last group released put their next records first: fewer,
		// larger groups cost less. A lone caller is not held up.
		runtime.Gosched()
		b, closed := c.log.next()
		switch {
		case b != nil:
			c.commit(ctx, b)
			c.purge(ctx)
		case closed:
			return
		case c.purgeDue:
			c.purge(ctx)
		default:
			select {
			case <-c.log.wake:
			case <-tick.C:
				c.purgeDue = true
			case <-ctx.Done():
			}
		}
	}
}

// abandon fails all that still waits.
func (c *committer) abandon() {
	for b, _ := c.log.next(); b != nil; b, _ = c.log.next() {
		c.log.settle(b, 0, fmt.Errorf("keep record: %w", ErrClosed))
	}
}

// commit keeps a batch, or settles what of it was kept.
func (c *committer) commit(ctx context.Context, b *batch) {
	if _, err := c.findEnd(ctx); err != nil {
		c.log.settle(b, 0, err)
		return
	}
	head := c.head
	for i := range b.entries {
		head = c.hash.link(head, &b.entries[i])
	}
	err := c.log.cfg.Sink.Append(ctx, b.entries)
	if err == nil {
		c.head = head
		c.log.settle(b, len(b.entries), nil)
		return
	}
	err = fmt.Errorf("keep record: %w", err)
	kept, lost := c.afterFailure(ctx, b.entries)
	c.log.settle(b, kept, errors.Join(err, lost))
}

// afterFailure finds out how many of the entries of a failed Append were kept.
func (c *committer) afterFailure(ctx context.Context, es []Entry) (kept int, err error) {
	c.unsure, c.tried = true, c.tried[:0]
	for i := range es {
		c.tried = append(c.tried, es[i].Hash)
	}
	return c.findEnd(ctx)
}

// findEnd asks the sink where the chain ends, if that is not known, and goes on
// from there. It returns how many of the entries last tried were kept.
func (c *committer) findEnd(ctx context.Context) (kept int, err error) {
	if c.broken != nil {
		return 0, c.broken
	}
	if !c.unsure {
		return 0, nil
	}
	chain := c.log.cfg.Chain
	last, err := c.log.cfg.Sink.Last(ctx, chain)
	if err != nil {
		return 0, fmt.Errorf("read the end of chain %s: %w", chain, err)
	}
	end := Head{Seq: last.Seq, Hash: last.Hash}
	n := last.Seq - c.head.Seq
	switch {
	case end == c.head:
	case last.Seq > c.head.Seq && n <= uint64(len(c.tried)) && last.Hash == c.tried[n-1]:
		kept = int(n)
	default:
		c.broken = fmt.Errorf("chain %s ends with entry %d, which this writer did not write: %w", chain, last.Seq, ErrIntegrity)
		return 0, c.broken
	}
	c.head, c.unsure, c.tried = end, false, c.tried[:0]
	return kept, nil
}

// purgeStep bounds how many entries one transaction removes, and so how long
// it holds others up.
const purgeStep = 4096

// purge removes one step of what is too old or too much, and asks to be called
// again while there is more.
func (c *committer) purge(ctx context.Context) {
	if !c.purgeDue {
		return
	}
	more, err := c.purgeSome(ctx)
	c.purgeDue = more
	if err == nil {
		c.purgeError = nil
		return
	}
	c.purgeError = fmt.Errorf("purge chain %s: %w", c.log.cfg.Chain, err)
	if c.log.cfg.Notice != nil {
		c.log.cfg.Notice(c.purgeError)
	}
}

func (c *committer) purgeSome(ctx context.Context) (more bool, err error) {
	cfg := &c.log.cfg
	if !cfg.Retention.bounded() {
		return false, nil
	}
	if _, err := c.findEnd(ctx); err != nil {
		return false, err
	}
	now := cfg.Now()
	var before time.Time
	if cfg.Retention.MaxAge > 0 {
		before = now.Add(-cfg.Retention.MaxAge)
	}
	last, err := cfg.Pruner.Expired(ctx, cfg.Chain, before, max(0, cfg.Retention.MaxBytes), purgeStep)
	if err != nil || last.Seq == 0 {
		return false, err
	}
	tombstone, err := c.log.encode.tombstone(&Record{
		Kind:  Purged,
		At:    now,
		Purge: Purge{UpTo: last.Seq, Hash: last.Hash, Before: before},
	})
	if err != nil {
		return false, err
	}
	head := c.hash.link(c.head, &tombstone)
	if err := cfg.Pruner.Purge(ctx, last.Seq, tombstone); err != nil {
		_, lost := c.afterFailure(ctx, []Entry{tombstone})
		return false, errors.Join(err, lost)
	}
	c.head = head
	return true, nil
}
