package redact

import (
	"math/bits"
	"slices"
	"strings"
)

// window is how many bytes of a removed value are looked at first. No value
// that is searched for is shorter.
const window = 8

// secret is a removed string and the rule that removed it.
type secret struct {
	text string
	rule int
}

// needles finds many strings at once: the first window of each is in a hash table
// behind a bit filter, and those that share it are sorted, so the longest that
// stands at a place is found by halving. That is linear in the text unless the
// text was made to repeat itself; such a one is given up.
type needles struct {
	secrets []secret // distinct; together by bucket, and sorted there
	parent  []int32  // the longest other secret that a secret starts with, or -1
	buckets []bucket
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

// spread mixes the bits of a window (the multiplier is 2^64 over the golden
// ratio).
func spread(w uint64) uint64 { return w * 0x9E3779B97F4A7C15 }

// newNeedles indexes secrets, of which none is shorter than a window. budget is
// how many bytes all searches together may compare behind the first window.
func newNeedles(secrets []secret, budget int) *needles {
	secrets = distinct(secrets)
	size := 1 << bits.Len(uint(2*len(secrets)))
	n := &needles{
		secrets: make([]secret, len(secrets)),
		parent:  make([]int32, len(secrets)),
		table:   make([]int32, size),
		filter:  make([]uint64, max(size/4, 64)),
		shift:   uint(64 - bits.TrailingZeros(uint(size))),
		budget:  budget,
	}
	in := make([]int32, len(secrets)) // the bucket of each
	for i, s := range secrets {
		in[i] = n.put(load(s.text, 0))
		n.buckets[in[i]].hi++
	}
	end := int32(0)
	for i := range n.buckets {
		b := &n.buckets[i]
		end += b.hi
		b.lo, b.hi = end-b.hi, end-b.hi
	}
	for i, s := range secrets {
		b := &n.buckets[in[i]]
		n.secrets[b.hi] = s
		b.hi++
	}
	for _, b := range n.buckets {
		n.order(b)
	}
	return n
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

// distinct drops repetitions, in place and without order: most removed values
// stand in the structured content and again in the text.
func distinct(secrets []secret) []secret {
	size := 1 << bits.Len(uint(2*len(secrets)))
	shift := uint(64 - bits.TrailingZeros(uint(size)))
	table := make([]int32, size)
	kept := secrets[:0]
next:
	for _, s := range secrets {
		h := spread(load(s.text, 0)^spread(load(s.text, len(s.text)-window))) + uint64(len(s.text))
		at := spread(h) >> shift
		for table[at] != 0 {
			if kept[table[at]-1].text == s.text {
				continue next
			}
			at = (at + 1) & uint64(size-1)
		}
		kept = append(kept, s)
		table[at] = int32(len(kept))
	}
	return kept
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
	n.filter[n.filterWord(h)] |= 1 << (h & 63)
	n.buckets = append(n.buckets, bucket{key: key})
	n.table[at] = int32(len(n.buckets))
	return n.table[at] - 1
}

// filterWord is the word of the filter that a hash falls into. Its bit is taken
// from the low end of the hash, its word from the middle, its place in the table
// from the high end.
func (n *needles) filterWord(h uint64) uint64 { return h >> 24 & uint64(len(n.filter)-1) }

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
	mask := uint64(len(filter) - 1)
	for i := 0; i+window <= len(text); i++ {
		w := load(text, i)
		h := spread(w)
		if filter[h>>24&mask]>>(h&63)&1 == 0 {
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
