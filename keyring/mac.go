package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"mcpguard/toolcall"
)

// MAC is the HMAC-SHA-256 of parts under the newest mac key, for one purpose.
// Parts are length-prefixed, so ("ab", "c") and ("a", "bc") differ.
func (r *Ring) MAC(purpose string, parts ...[]byte) (d toolcall.Digest) {
	pool := r.macPool(purpose)
	m := pool.Get().(*macState)
	m.hash.Reset()
	for _, p := range parts {
		binary.BigEndian.PutUint64(m.length[:], uint64(len(p)))
		m.hash.Write(m.length[:])
		m.hash.Write(p)
	}
	copy(d[:], m.hash.Sum(m.sum[:0]))
	pool.Put(m)
	return d
}

// macState is a keyed hash with the small memory that it needs, so that a MAC
// allocates nothing.
type macState struct {
	hash   hash.Hash
	length [8]byte
	sum    [sha256.Size]byte
}

func (r *Ring) macPool(purpose string) *sync.Pool {
	if p, ok := r.macs.Load(purpose); ok {
		return p.(*sync.Pool)
	}
	secret := derive(newest(r.mac, macKind), macKind, purpose)
	p, _ := r.macs.LoadOrStore(purpose, &sync.Pool{New: func() any {
		return &macState{hash: hmac.New(sha256.New, secret)}
	}})
	return p.(*sync.Pool)
}
