package toolcall

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Digest is a SHA-256, plain or keyed; what it was taken over, and with which
// key, is said where it is made.
type Digest [sha256.Size]byte

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether the digest was never taken.
func (d Digest) IsZero() bool { return d == Digest{} }

// AppendCanonical appends the canonical form of j: RFC 8785's order of members
// and form of strings, without white space, with numbers as exact decimals.
// (RFC 8785 itself goes through doubles, which makes 9007199254740992 and
// 9007199254740993 one: two calls would share an approval.)
// Two texts have the same canonical form exactly when they mean the same.
func (j JSON) AppendCanonical(dst []byte) []byte {
	switch j.Type() {
	case StringType:
		return AppendQuoted(dst, unquote(j.text))
	case NumberType:
		return numberOf(j.text).AppendCanonical(dst)
	case ArrayType:
		dst = append(dst, '[')
		for e := j.Elements(); e.Next(); {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			dst = e.Value().AppendCanonical(dst)
		}
		return append(dst, ']')
	case ObjectType:
		return j.appendCanonicalObject(dst)
	}
	return append(dst, j.text...)
}

type member struct {
	name  string
	value JSON
}

func (j JSON) appendCanonicalObject(dst []byte) []byte {
	var few [12]member
	members := few[:0]
	for m := j.Members(); m.Next(); {
		members = append(members, member{m.Name(), m.Value()})
	}
	slices.SortFunc(members, func(a, b member) int { return compareUTF16(a.name, b.name) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendQuoted(dst, m.name), ':')
		dst = m.value.AppendCanonical(dst)
	}
	return append(dst, '}')
}

// compareUTF16 orders strings by their UTF-16 code units (RFC 8785, section
// 3.2.3), which differs from the order of bytes for characters beyond the BMP.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		x, n := utf8.DecodeRuneInString(a)
		y, m := utf8.DecodeRuneInString(b)
		if x != y {
			hx, lx := unit(x)
			hy, ly := unit(y)
			return cmp.Or(cmp.Compare(hx, hy), cmp.Compare(lx, ly))
		}
		a, b = a[n:], b[m:]
	}
	return cmp.Compare(len(a), len(b))
}

func unit(r rune) (high, low rune) {
	if r < 0x10000 {
		return r, -1
	}
	return utf16.EncodeRune(r)
}

// Equal reports whether two values mean the same: numbers by value, strings
// after decoding, objects in any order.
func (j JSON) Equal(k JSON) bool {
	if j.Type() != k.Type() {
		return false
	}
	switch j.Type() {
	case NoType, Null, True, False:
		return true
	case StringType:
		return j.text == k.text || unquote(j.text) == unquote(k.text)
	case NumberType:
		a, b := numberOf(j.text), numberOf(k.text)
		if a.Comparable() && b.Comparable() {
			return a.Compare(b) == 0
		}
	}
	return bytes.Equal(j.AppendCanonical(nil), k.AppendCanonical(nil))
}
