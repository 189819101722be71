package audit

import (
	"context"
	"fmt"
)

// A group that one Append keeps is bounded, so that a long queue does not
// become one long transaction.
const (
	batchEntries = 1024
	batchBytes   = 4 << 20
)

// batch is a group of entries that are committed together, and the place where
// all who put them wait: one channel for all.
type batch struct {
	*batchRoom               // nil once it is settled
	done       chan struct{} // closed when kept and err are set
	kept       int           // so many entries from the front are durable
	err        error         // why the others are not
}

// batchRoom is the memory of a batch, which goes from batch to batch.
type batchRoom struct {
	entries []Entry
	bodies  []byte // the bodies one behind the other
	bytes   int
}

func (b *batchRoom) full() bool { return len(b.entries) >= batchEntries || b.bytes >= batchBytes }

// add copies an entry into the batch. It is called with the log's lock held.
func (b *batch) add(e *Entry) *Commit {
	start := len(b.bodies)
	b.bodies = append(b.bodies, e.Body...) // when it moves, older bodies stay where they were
	b.bytes += e.room()
	b.entries = append(b.entries, *e)
	b.entries[len(b.entries)-1].Body = b.bodies[start:len(b.bodies):len(b.bodies)]
	return &Commit{batch: b, at: len(b.entries) - 1}
}

// keepRoom is how large a room may be and still be used again.
const keepRoom = 1 << 20

// reset empties the room; false says that it is too large to keep.
func (b *batchRoom) reset() bool {
	clear(b.entries)
	b.entries, b.bodies, b.bytes = b.entries[:0], b.bodies[:0], 0
	return cap(b.bodies) <= keepRoom
}

// entryRoom is about what an entry takes beside its bytes.
const entryRoom = 256

// room is how much of the queue an entry takes.
func (e *Entry) room() int {
	n := entryRoom + len(e.Body)
	for i := range e.Blobs {
		n += len(e.Blobs[i].Data)
	}
	return n
}

// Commit is the fate of one record.
type Commit struct {
	log   *Log
	batch *batch
	at    int
	err   error // of a record that was never queued
}

func failed(err error) *Commit { return &Commit{err: err} }

// Wait returns nil when the record survives a power failure, and an error when
// it is not known to. When ctx ends first the record goes its way all the same,
// and a later Wait tells how that ended. Wait may be called by many.
func (c *Commit) Wait(ctx context.Context) error {
	switch {
	case c == nil:
		return errNoCommit
	case c.err != nil:
		return c.err
	case c.batch == nil:
		return errNoCommit
	}
	select {
	case <-c.batch.done:
	default:
		c.log.hurry()
		select {
		case <-c.batch.done:
		case <-ctx.Done():
			return fmt.Errorf("wait for a record: %w", context.Cause(ctx))
		}
	}
	if c.at < c.batch.kept {
		return nil
	}
	return c.batch.err
}
