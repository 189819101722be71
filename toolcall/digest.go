package toolcall

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest is a SHA-256, plain or keyed; what it was taken over, and with which
// key, is said where it is made.
type Digest [sha256.Size]byte

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether the digest was never taken.
func (d Digest) IsZero() bool { return d == Digest{} }
