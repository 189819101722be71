package toolcall

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// AppendCanonical appends the canonical form of j: RFC 8785's order of members
// and form of strings, without white space, with numbers as exact decimals.
// (RFC 8785 itself goes through doubles, which makes 9007199254740992 and
// 9007199254740993 one: two calls would share an approval.)
// Two texts have the same canonical form exactly when they mean the same.
// The zero JSON appends nothing.
func (j JSON) AppendCanonical(dst []byte) []byte {
	if j.IsZero() {
		return dst
	}
	dst, _ = appendCanonical(dst, j.text(), 0)
	return dst
}

// appendCanonical appends the canonical form of the value that starts at i, and
// returns where the value ends.
func appendCanonical(dst []byte, s string, i int) (out []byte, end int) {
	switch s[i] {
	case '{':
		return appendCanonicalObject(dst, s, i)
	case '[':
		return appendCanonicalArray(dst, s, i)
	case '"':
		end = skipString(s, i)
		return appendCanonicalString(dst, s[i:end]), end
	case 't', 'f', 'n':
		end = skipValue(s, i)
		return append(dst, s[i:end]...), end
	}
	end = skipValue(s, i)
	return numberOf(s[i:end]).AppendCanonical(dst), end
}

// appendCanonicalString writes a proved string. One without escapes is canonical
// already: what RFC 8785 escapes cannot stand in a JSON string unescaped.
func appendCanonicalString(dst []byte, q string) []byte {
	if strings.IndexByte(q, '\\') < 0 {
		return append(dst, q...)
	}
	return AppendQuoted(dst, unquote(q))
}

func appendCanonicalArray(dst []byte, s string, i int) (out []byte, end int) {
	dst = append(dst, '[')
	opened := len(dst)
	for i = separator(s, i+1); s[i] != ']'; i = separator(s, i) {
		if len(dst) > opened {
			dst = append(dst, ',')
		}
		dst, i = appendCanonical(dst, s, i)
	}
	return append(dst, ']'), i + 1
}

// canonicalMember is a member in canonical form, by its place in the output.
type canonicalMember struct {
	name       string
	start, end int
}

// appendCanonicalObject writes the members as they come, and puts them in order
// afterwards where they are not: so every value is read once, however deep.
func appendCanonicalObject(dst []byte, s string, i int) (out []byte, end int) {
	var few [8]canonicalMember
	members := few[:0]
	dst = append(dst, '{')
	opened := len(dst)
	for i = separator(s, i+1); s[i] != '}'; i = separator(s, i) {
		if len(dst) > opened {
			dst = append(dst, ',')
		}
		start, nameEnd := len(dst), skipString(s, i)
		name := unquote(s[i:nameEnd])
		dst = append(appendCanonicalString(dst, s[i:nameEnd]), ':')
		dst, i = appendCanonical(dst, s, separator(s, nameEnd))
		members = append(members, canonicalMember{name, start, len(dst)})
	}
	byName := func(a, b canonicalMember) int { return compareUTF16(a.name, b.name) }
	if !slices.IsSortedFunc(members, byName) {
		slices.SortFunc(members, byName)
		dst = reorder(dst, opened, members)
	}
	return append(dst, '}'), i + 1
}

// reorder writes the members anew behind themselves, in the order given, and
// moves them back to where they were.
func reorder(dst []byte, opened int, members []canonicalMember) []byte {
	old := len(dst)
	for n, m := range members {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, dst[m.start:m.end]...)
	}
	return dst[:opened+copy(dst[opened:], dst[old:])]
}

// compareUTF16 orders strings by their UTF-16 code units (RFC 8785, section
// 3.2.3). That is the order of their bytes, but for characters beyond U+FFFF: as
// surrogates they come before those from U+E000 on.
func compareUTF16(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return cmp.Compare(rankUTF16(a[i]), rankUTF16(b[i]))
		}
	}
	return cmp.Compare(len(a), len(b))
}

// rankUTF16 puts the first bytes of four-byte characters (F0 to F4) before those
// of U+E000 to U+FFFF (EE and EF), and changes no other order.
func rankUTF16(c byte) byte {
	switch {
	case c >= 0xF0:
		return c - 2
	case c >= 0xEE:
		return c + 5
	}
	return c
}

// Equal reports whether two values mean the same: numbers by value, strings
// after decoding, objects in any order. Two zero JSONs are equal.
func (j JSON) Equal(k JSON) bool {
	if j.Type() != k.Type() {
		return false
	}
	switch j.Type() {
	case NoType, Null, True, False:
		return true
	case StringType:
		return j.text() == k.text() || unquote(j.text()) == unquote(k.text())
	case NumberType:
		return numberOf(j.text()).Compare(numberOf(k.text())) == 0
	}
	return bytes.Equal(j.AppendCanonical(nil), k.AppendCanonical(nil))
}
