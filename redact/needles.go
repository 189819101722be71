package redact

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
)

// window is how many bytes of a removed value are looked at first. No value
// that is searched for is shorter.
const window = 8

// needles finds many strings at once: the first window of each is in a hash table
// behind a bit filter, and those that share it are sorted, so the longest that
// stands at a place is found by halving. That is linear in the text unless the
// text was made to repeat itself; such a one is given up.
type needles struct {
	secrets []secret // distinct; together by bucket, and sorted there
	parent  []int32  // the longest other secret that a secret starts with, or -1
	buckets []bucket
	in      []int32 // the bucket of each secret, in the order in which they came
	table   []int32 // index into buckets plus 1, open addressing
	filter  []uint64
	shift   uint // of a hash, for its place in table
	budget  int  // bytes that may still be compared
}

// bucket is the secrets with one first window.
type bucket struct {
	key    uint64
	lo, hi int32
}

// multiplier is odd and another one in every process, so that nobody can choose
// values that fall together in a table (Dietzfelbinger et al., "A Reliable
// Randomized Algorithm for the Closest-Pair Problem", multiply-shift hashing).
var multiplier = rand.Uint64() | 1

// spread mixes the bits of a window; the high ones are the good ones.
func spread(w uint64) uint64 { return w * multiplier }

// index takes secrets, distinct and none shorter than a window, in place of those
// that were there. budget is how many bytes all searches together may compare
// behind the first window.
func (n *needles) index(secrets []secret, budget int) {
	size := 1 << bits.Len(uint(2*len(secrets)))
	n.table = zeroed(n.table, size)
	n.filter = zeroed(n.filter, max(size/4, 64))
	n.shift = uint(64 - bits.TrailingZeros(uint(size)))
	n.secrets = slices.Grow(n.secrets[:0], len(secrets))[:len(secrets)]
	n.parent = slices.Grow(n.parent[:0], len(secrets))[:len(secrets)]
	n.in = slices.Grow(n.in[:0], len(secrets))[:len(secrets)]
	n.buckets, n.budget = n.buckets[:0], budget
	for i, s := range secrets {
		n.in[i] = n.put(load(s.text, 0))
		n.buckets[n.in[i]].hi++
	}
	end := int32(0)
	for i := range n.buckets {
		b := &n.buckets[i]
		end += b.hi
		b.lo, b.hi = end-b.hi, end-b.hi
	}
	for i, s := range secrets {
		b := &n.buckets[n.in[i]]
		n.secrets[b.hi] = s
		b.hi++
	}
	for _, b := range n.buckets {
		n.order(b)
	}
}

// forget drops the secrets, and keeps memory for up to so many of the next ones.
func (n *needles) forget(keep int) {
	if cap(n.secrets) > keep {
		*n = needles{}
		return
	}
	clear(n.secrets)
	n.secrets = n.secrets[:0]
}

// order sorts the secrets of a bucket and links each to the longest other one
// that it starts with: that one stands before it, or is linked from there.
func (n *needles) order(b bucket) {
	if b.hi-b.lo > 1 {
		slices.SortFunc(n.secrets[b.lo:b.hi], func(a, b secret) int { return strings.Compare(a.text, b.text) })
	}
	for i := b.lo; i < b.hi; i++ {
		p := i - 1
		for p >= b.lo && !strings.HasPrefix(n.secrets[i].text, n.secrets[p].text) {
			p = n.parent[p]
		}
		if p < b.lo {
			p = -1
		}
		n.parent[i] = p
	}
}

// put returns the index of the bucket for the first window key.
func (n *needles) put(key uint64) int32 {
	h := spread(key)
	at := h >> n.shift
	for n.table[at] != 0 {
		if i := n.table[at] - 1; n.buckets[i].key == key {
			return i
		}
		at = (at + 1) & uint64(len(n.table)-1)
	}
	n.filter[n.filterWord(h)] |= 1 << (h >> 58)
	n.buckets = append(n.buckets, bucket{key: key})
	n.table[at] = int32(len(n.buckets))
	return n.table[at] - 1
}

// filterWord is the word of the filter that a hash falls into: from the middle of
// the hash; its bit is taken from the high end.
func (n *needles) filterWord(h uint64) uint64 { return h >> 40 & uint64(len(n.filter)-1) }

// bucket finds the secrets whose first window is w.
func (n *needles) bucket(w, h uint64) (bucket, bool) {
	at := h >> n.shift
	for n.table[at] != 0 {
		if b := n.buckets[n.table[at]-1]; b.key == w {
			return b, true
		}
		at = (at + 1) & uint64(len(n.table)-1)
	}
	return bucket{}, false
}

// hit is a stretch of text that removed values cover, and the rule of the first.
type hit struct{ start, end, rule int }

// find returns the stretches of text that secrets cover, in ascending order.
// Occurrences that touch or overlap are one hit.
func (n *needles) find(text string) []hit {
	var hits []hit
	if len(text) < window || n.exhausted() {
		return nil
	}
	filter := n.filter
	mask, by := uint64(len(filter)-1), multiplier
	for i := 0; i+window <= len(text); i++ {
		w := load(text, i)
		h := w * by // spread
		if filter[h>>40&mask]>>(h>>58)&1 == 0 {
			continue
		}
		b, ok := n.bucket(w, h)
		if !ok {
			continue
		}
		found := n.longest(b, text[i:])
		if found < 0 {
			continue
		}
		s := n.secrets[found]
		end := i + len(s.text)
		if last := len(hits) - 1; last >= 0 && i <= hits[last].end {
			hits[last].end = max(hits[last].end, end)
		} else {
			hits = append(hits, hit{i, end, s.rule})
		}
	}
	return hits
}

// longest is the longest secret of b that text starts with, or -1.
func (n *needles) longest(b bucket, text string) int32 {
	lo, hi := b.lo, b.hi // the secrets before lo are not after text, those from hi on are
	shared := 0          // bytes that the last secret before lo has in common with text
	for lo < hi && !n.exhausted() {
		mid := (lo + hi) / 2
		s := n.secrets[mid].text
		same := common(s, text)
		n.budget -= same
		if same == len(s) || same < len(text) && s[same] < text[same] {
			lo, shared = mid+1, same
		} else {
			hi = mid
		}
	}
	found := lo - 1
	if found < b.lo {
		return -1
	}
	for found >= 0 && len(n.secrets[found].text) > shared {
		found = n.parent[found]
		n.budget--
	}
	return found
}

// exhausted reports that the texts were too repetitive to be searched; hits are
// missing from then on.
func (n *needles) exhausted() bool { return n.budget < 0 }

// common is the length of the longest common prefix.
func common(a, b string) int {
	limit := min(len(a), len(b))
	i := 0
	for ; i+8 <= limit; i += 8 {
		if x := load(a, i) ^ load(b, i); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < limit && a[i] == b[i] {
		i++
	}
	return i
}
