package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Broken is the error of a chain that is not as it was written. It wraps
// ErrIntegrity.
type Broken struct {
	Chain  string
	Seq    uint64 // the first entry that does not stand where it was written
	Reason string
}

func (b *Broken) Error() string {
	return fmt.Sprintf("chain %s is broken at entry %d: %s", b.Chain, b.Seq, b.Reason)
}

func (b *Broken) Unwrap() error { return ErrIntegrity }

// Verify walks entries that should follow from, and returns the head that they
// lead to. An edited, missing, inserted or moved entry is a *Broken that names
// the first bad one. That the chain was cut off at its end cannot be seen here:
// compare the head with one noted elsewhere.
func Verify(chain string, from Head, entries iter.Seq2[Entry, error]) (Head, error) {
	var h hasher
	head := from
	for e, err := range entries {
		if err != nil {
			return head, fmt.Errorf("verify chain %s: %w", chain, err)
		}
		broken := func(reason string) error { return &Broken{Chain: chain, Seq: head.Seq + 1, Reason: reason} }
		switch {
		case e.Seq != head.Seq+1:
			return head, broken(fmt.Sprintf("entry %d stands in its place", e.Seq))
		case e.Chain != chain:
			return head, broken("an entry of another chain stands in its place")
		}
		e.Prev = head.Hash
		if h.of(&e) != e.Hash {
			return head, broken("it does not hash to what was noted")
		}
		head = Head{Seq: e.Seq, Hash: e.Hash}
	}
	return head, nil
}

// VerifyChain verifies all that is kept of a chain. Where its beginning was
// purged, the newest tombstone says what went before. The chain may grow, and
// be purged, meanwhile.
func VerifyChain(ctx context.Context, r Reader, chain string) (Head, error) {
	from, err := origin(ctx, r, chain)
	for err == nil {
		head, broken := Verify(chain, from, r.Chain(ctx, chain, from.Seq))
		if broken == nil {
			return head, nil
		}
		// Not broken, when a purge took its beginning between the two walks.
		now, err := origin(ctx, r, chain)
		if err != nil || now == from {
			return head, errors.Join(broken, err)
		}
		from = now
	}
	return Head{}, err
}

// origin is the head that the oldest kept entry of a chain follows.
func origin(ctx context.Context, r Reader, chain string) (Head, error) {
	first, newest := uint64(0), Purge{}
	for e, err := range r.Chain(ctx, chain, 0) {
		if err != nil {
			return Head{}, fmt.Errorf("verify chain %s: %w", chain, err)
		}
		if first == 0 {
			first = e.Seq
		}
		if first == 1 {
			return Head{}, nil
		}
		if e.Kind != Purged {
			continue
		}
		record, err := Decode(e)
		if err != nil {
			return Head{}, err
		}
		newest = record.Purge
	}
	if first != 0 && newest.UpTo != first-1 {
		return Head{}, &Broken{Chain: chain, Seq: newest.UpTo + 1, Reason: "it is missing, and no purge removed it"}
	}
	return Head{Seq: newest.UpTo, Hash: newest.Hash}, nil
}
