package toolcall

import (
	"errors"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// ErrMask says that a mask would not leave one JSON text with the values where
// they were.
var ErrMask = errors.New("mask: a stretch that is no part of a string and no scalar, or overlaps another")

// Masker copies a proved text and puts masks into it, in ascending order. What
// comes out has the same values in the same places, so it needs no new scan: a
// string stays a string, a scalar becomes another one.
//
// It believes one thing: that a stretch handed to Text lies inside of a string.
// What it checks is the stretch and its seams, so that nothing else can go wrong.
// A mask in a member name can make two names equal; who puts one there must scan
// the result.
type Masker struct {
	doc    string
	out    []byte
	before int
	copied int // how much of doc is dealt with
	plain  string
	failed bool
}

// NewMasker begins a copy of doc, with before in front of it. grow is by how many
// bytes the masks and what comes behind the copy will make it longer; a wrong
// figure costs only time.
func NewMasker(before string, doc JSON, grow int) *Masker {
	m := &Masker{doc: doc.text(), before: len(before)}
	m.out = append(make([]byte, 0, max(0, len(before)+doc.Len()+grow)), before...)
	return m
}

// Text replaces what stands from start to end, a part of the inside of a string.
// with is printable ASCII without quotes and backslashes, so it means the same
// behind any number of escapes.
func (m *Masker) Text(start, end int, with string) {
	if with != m.plain {
		m.failed = m.failed || !plain(with)
		m.plain = with
	}
	if start < m.copied || end < start || end >= len(m.doc) || !seam(m.doc, start) || !seam(m.doc, end) || leaves(m.doc, start, end) {
		m.failed = true
		return
	}
	m.replace(start, end, with)
}

// Scalar replaces the number or boolean that stands from start to end.
func (m *Masker) Scalar(start, end int, with JSON) {
	if start < m.copied || end <= start || end > len(m.doc) || !scalar(with.text()) || !scalar(m.doc[start:end]) ||
		end < len(m.doc) && !ends[m.doc[end]] || start > 0 && !begins[m.doc[start-1]] {
		m.failed = true
		return
	}
	m.replace(start, end, with.text())
}

func (m *Masker) replace(start, end int, with string) {
	m.out = append(append(m.out, m.doc[m.copied:start]...), with...)
	m.copied = end
}

// Done ends the copy. whole is all that was written, after included; masked is
// the copy in it. After a mask that could not be put, there is neither.
func (m *Masker) Done(after string) (whole string, masked JSON, err error) {
	if m.failed {
		return "", JSON{}, ErrMask
	}
	m.out = append(append(m.out, m.doc[m.copied:]...), after...)
	whole = unsafe.String(unsafe.SliceData(m.out), len(m.out)) // nobody writes to it any more
	return whole, proved(whole[m.before : len(whole)-len(after)]), nil
}

// begins are the characters before a number or a literal that is not the whole
// text.
var begins = [256]bool{',': true, ':': true, '[': true, ' ': true, '\t': true, '\n': true, '\r': true}

// scalar reports whether s is a number or a boolean, of one that could stand in
// a proved text.
func scalar(s string) bool {
	switch s {
	case "true", "false":
		return true
	case "":
		return false
	}
	var sc scanner
	return (s[0] == '-' || s[0]-'0' <= 9) && sc.number(s, 0) == len(s)
}

// plain reports whether s means itself inside of a JSON string, however deep.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// leaves reports whether a string that goes on at start ends before end.
func leaves(s string, start, end int) bool {
	for i := start; ; i++ {
		quote := strings.IndexByte(s[i:end], '"')
		if quote < 0 {
			return false
		}
		if i += quote; !escapes(s, i) {
			return true
		}
	}
}

// escapes reports whether the backslashes before i belong to what stands there.
func escapes(s string, i int) bool {
	n := 0
	for n < i && s[i-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// seam reports whether no character and no escape of a string reaches over i.
func seam(s string, i int) bool {
	if i == 0 || i >= len(s) || !utf8.RuneStart(s[i]) || s[i-1] == '\\' && escapes(s, i) {
		return false
	}
	for at := i - 2; at >= max(0, i-5); at-- { // in the midst of \uXXXX
		if s[at] == '\\' {
			if s[at+1] == 'u' && !escapes(s, at) {
				return false
			}
			break
		}
	}
	if i >= 6 && s[i-6] == '\\' && s[i-5] == 'u' && s[i] == '\\' && !escapes(s, i-6) { // between two halves
		n, _ := unicodeEscape(s[i-6:])
		return n != 12
	}
	return true
}
