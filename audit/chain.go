package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"mcpguard/toolcall"
)

// Head is the end of a chain: its newest entry. The zero Head is the end of an
// empty chain.
type Head struct {
	Seq  uint64
	Hash toolcall.Digest
}

// hasher computes hashes of entries with memory of its own. The zero hasher is
// ready for use by one goroutine.
type hasher struct {
	sum hash.Hash
	buf []byte
}

// link puts e behind head: it sets Seq, Prev and Hash, and returns the new head.
func (h *hasher) link(head Head, e *Entry) Head {
	e.Seq, e.Prev = head.Seq+1, head.Hash
	e.Hash = h.of(e)
	return Head{Seq: e.Seq, Hash: e.Hash}
}

// of is the hash of an entry: SHA-256 over the hash before it and over the
// stored form, every part of fixed length or behind its length, integers big
// endian:
//
//	prev 32 | format 1 | seq 8 | kind 1 | effect 1 | outcome 1 | session 16 |
//	call 16 | at 8 (ns since 1970, UTC) | who 16 | len 1, chain | len 8, body
func (h *hasher) of(e *Entry) (d toolcall.Digest) {
	if h.sum == nil {
		h.sum = sha256.New()
	}
	b := append(h.buf[:0], e.Prev[:]...)
	b = append(b, formatVersion)
	b = binary.BigEndian.AppendUint64(b, e.Seq)
	b = append(b, byte(e.Kind), byte(e.Effect), byte(e.Outcome))
	b = append(b, e.Session[:]...)
	b = append(b, e.Call[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixNano()))
	b = append(b, e.Who[:]...)
	b = append(b, byte(len(e.Chain)))
	b = append(b, e.Chain...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(e.Body)))
	h.buf = b
	h.sum.Reset()
	h.sum.Write(b)
	h.sum.Write(e.Body)
	h.buf = h.sum.Sum(b[:0])
	copy(d[:], h.buf)
	return d
}

// checkLast reports whether the newest entry of a chain hashes to what stands
// there. The entry before it may be gone only when it is a tombstone that says so.
func checkLast(last Entry) error {
	if last.Seq == 0 {
		return nil
	}
	if last.Seq > 1 && last.Prev.IsZero() {
		r, err := Decode(last)
		if err != nil {
			return err
		}
		if last.Kind != Purged || r.Purge.UpTo != last.Seq-1 {
			return fmt.Errorf("the entry before the last, %d, is missing: %w", last.Seq-1, ErrIntegrity)
		}
		last.Prev = r.Purge.Hash
	}
	var h hasher
	if h.of(&last) != last.Hash {
		return fmt.Errorf("the last entry, %d, was changed: %w", last.Seq, ErrIntegrity)
	}
	return nil
}
