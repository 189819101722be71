package redact

import "hash/maphash"

// removed are the strings that paths took out of a document and that are searched
// for in the rest of it, each of them once.
type removed struct {
	secrets []secret
	table   []int32 // index into secrets plus 1, open addressing
	next    int     // where the secret stands that came behind the last one
}

// secret is a removed string and the rule that removed it.
type secret struct {
	text string
	rule int
}

// remove notes a removed string of at least a window.
//
// Most come twice, in the structured content and in the text, and in the same
// order: so the one that came behind the last one is looked at first.
func (r *removed) remove(text string, rule int) {
	if r.next < len(r.secrets) && r.secrets[r.next].text == text {
		r.next++
		return
	}
	if 2*len(r.secrets) >= len(r.table) {
		r.grow()
	}
	at := r.place(text)
	if have := r.table[at]; have != 0 {
		r.next = int(have)
		return
	}
	r.secrets = append(r.secrets, secret{text, rule})
	r.next = len(r.secrets)
	r.table[at] = int32(r.next)
}

// place is where in the table a text stands, or is to stand.
func (r *removed) place(text string) uint64 {
	mask := uint64(len(r.table) - 1)
	at := maphash.String(seed, text) & mask
	for r.table[at] != 0 && r.secrets[r.table[at]-1].text != text {
		at = (at + 1) & mask
	}
	return at
}

// seed keeps upstreams from choosing values that fall together in the table.
var seed = maphash.MakeSeed()

// grow doubles the table.
func (r *removed) grow() {
	size := max(64, 2*len(r.table))
	if size <= cap(r.table) {
		r.table = r.table[:size]
		clear(r.table)
	} else {
		r.table = make([]int32, size)
	}
	for i, s := range r.secrets {
		r.table[r.place(s.text)] = int32(i + 1)
	}
}

// forget drops the secrets, and keeps memory for up to so many of the next ones.
func (r *removed) forget(keep int) {
	if cap(r.secrets) > keep {
		*r = removed{}
		return
	}
	clear(r.secrets)
	r.secrets, r.table, r.next = r.secrets[:0], r.table[:0], 0
}
