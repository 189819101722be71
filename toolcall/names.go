package toolcall

import (
	"hash/maphash"
	"math/bits"
	"unsafe"
)

// nameStack holds the member names of all objects that a scan has open. Each
// object owns the part from its base on.
//
// A name is compared with those before it only where a 64-bit filter says that
// it may be among them, and beyond fewNames not before the object ends: then a
// hash table settles all of them in linear time. Its hash is seeded, so nobody
// can choose names that collide.
type nameStack struct {
	names   []name
	decoded []byte   // names that have escapes, decoded
	table   []uint32 // scratch: positions in names plus one; zero is free
}

// name is a member name: size bytes behind the quote at at, or behind from in
// decoded where that is not negative.
type name struct{ at, size, from int }

// openNames is the share of one object.
type openNames struct {
	base, decoded int    // where its share of names and of decoded begins
	filter        uint64 // a bit for every name seen
}

// fewNames is the number of members up to which names are compared one by one.
const fewNames = 16

// keepNames bounds the scratch memory that is kept between two scans: enough for
// every message of 256 KiB, some 2 MB, and no more after a larger one.
const keepNames = 1 << 16

var nameSeed = maphash.MakeSeed()

func (ns *nameStack) open() openNames {
	return openNames{base: len(ns.names), decoded: len(ns.decoded)}
}

// add takes the name that stands in s with its quotes from at to end. It
// reports false when it is certain that the object has the name already.
func (ns *nameStack) add(o *openNames, s string, at, end int, escaped bool) bool {
	n := name{at: at, size: end - at - 2, from: -1}
	if escaped {
		n.from = len(ns.decoded)
		ns.decoded = appendUnescaped(ns.decoded, s[at+1:end-1])
		n.size = len(ns.decoded) - n.from
	}
	ns.names = append(ns.names, n)
	last := len(ns.names) - 1
	if last-o.base >= fewNames {
		return true
	}
	text := ns.text(s, n)
	bit := filterBit(text)
	if o.filter&bit != 0 {
		for _, m := range ns.names[o.base:last] {
			if m.size == n.size && ns.text(s, m) == text {
				return false
			}
		}
	}
	o.filter |= bit
	return true
}

// filterBit chooses one of 64 bits for a name, cheaply and badly.
func filterBit(name string) uint64 {
	if name == "" {
		return 1
	}
	mixed := uint(name[0])*7 + uint(name[len(name)/2])*11 + uint(name[len(name)-1])*13 + uint(len(name))
	return 1 << (mixed % 64)
}

// close ends an object. It returns where the second of two equal names stands,
// or -1 when all names differ.
func (ns *nameStack) close(o openNames, s string) int {
	at := -1
	if count := len(ns.names) - o.base; count > fewNames {
		at = ns.repeated(ns.names[o.base:], s)
	}
	ns.names, ns.decoded = ns.names[:o.base], ns.decoded[:o.decoded]
	return at
}

func (ns *nameStack) repeated(names []name, s string) int {
	size := 1 << bits.Len(uint(2*len(names)))
	if size > len(ns.table) {
		ns.table = make([]uint32, size)
	}
	table, mask := ns.table[:size], uint64(size-1)
	clear(table)
	for i, n := range names {
		text := ns.text(s, n)
		slot := maphash.String(nameSeed, text) & mask
		for table[slot] != 0 {
			m := names[table[slot]-1]
			if m.size == n.size && ns.text(s, m) == text {
				return n.at
			}
			slot = (slot + 1) & mask
		}
		table[slot] = uint32(i + 1)
	}
	return -1
}

// text is the decoded name.
func (ns *nameStack) text(s string, n name) string {
	if n.from < 0 {
		return s[n.at+1 : n.at+1+n.size]
	}
	b := ns.decoded[n.from : n.from+n.size]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// reset makes the stack ready for the next scan.
func (ns *nameStack) reset() {
	if cap(ns.names) > keepNames {
		ns.names = nil
	}
	if cap(ns.decoded) > keepNames {
		ns.decoded = nil
	}
	if len(ns.table) > 2*keepNames {
		ns.table = nil
	}
	ns.names, ns.decoded = ns.names[:0], ns.decoded[:0]
}
