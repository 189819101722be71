package toolcall

import "hash/maphash"

// seed makes the order of hashes unpredictable, so that nobody can choose names
// that collide.
var seed = maphash.MakeSeed()

func hashName(b []byte) uint64 { return maphash.Bytes(seed, b) }
