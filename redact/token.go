package redact

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// This file steps over the tokens of a proved JSON text: no syntax is checked.

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// load is the 8 bytes of s from i on, the first of them lowest.
func load(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// has marks the bytes of w that are c. A byte behind the first marked one may be
// marked wrongly.
func has(w uint64, c byte) uint64 {
	x := w ^ lows*uint64(c)
	return (x - lows) &^ x & highs
}

// space returns the first index from i on that holds no white space.
func space(s string, i int) int {
	for s[i] <= ' ' {
		i++
	}
	return i
}

// nameEnd is toolcall.StringEnd for a member name; odd says that the name has escapes or
// other than ASCII characters.
func nameEnd(s string, i int) (end int, odd bool) {
	i++
	for {
		for i+8 <= len(s) {
			w := load(s, i)
			m := has(w, '"') | has(w, '\\') | w&highs
			if m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		switch c := s[i]; {
		case c == '"':
			return i + 1, odd
		case c == '\\':
			i, odd = i+2, true
		case c >= utf8.RuneSelf:
			i, odd = i+1, true
		default:
			i++
		}
	}
}

// numberEnd returns where the number that starts at i ends.
func numberEnd(s string, i int) int {
	for i < len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
			i++
		default:
			return i
		}
	}
	return i
}

// escapeAt reads the backslash at s[i] and what belongs to it: how many bytes it
// takes, and which character it stands for. A backslash that starts no JSON
// escape stands for itself; a half of a surrogate pair for U+FFFD.
func escapeAt(s string, i int) (n int, r rune) {
	if i+1 >= len(s) {
		return 1, '\\'
	}
	switch c := s[i+1]; c {
	case '"', '\\', '/':
		return 2, rune(c)
	case 'b':
		return 2, '\b'
	case 'f':
		return 2, '\f'
	case 'n':
		return 2, '\n'
	case 'r':
		return 2, '\r'
	case 't':
		return 2, '\t'
	case 'u':
		r, ok := hex4(s, i+2)
		if !ok {
			return 1, '\\'
		}
		if !utf16.IsSurrogate(r) {
			return 6, r
		}
		if i+12 <= len(s) && s[i+6] == '\\' && s[i+7] == 'u' {
			if low, ok := hex4(s, i+8); ok {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					return 12, pair
				}
			}
		}
		return 6, utf8.RuneError
	}
	return 1, '\\'
}

// plainRun is how many bytes of s from i on stand before the next backslash; s[i]
// is none.
func plainRun(s string, i int) int {
	at := i
	for ; at+8 <= len(s); at += 8 {
		if m := has(load(s, at), '\\'); m != 0 {
			return at + bits.TrailingZeros64(m)/8 - i
		}
	}
	for at < len(s) && s[at] != '\\' {
		at++
	}
	return at - i
}

// encodedAt is how many bytes r takes in UTF-8, if it stands in s at i, else 0.
func encodedAt(s string, i int, r rune) int {
	if i < len(s) && r < utf8.RuneSelf {
		if rune(s[i]) == r {
			return 1
		}
		return 0
	}
	got, n := utf8.DecodeRuneInString(s[i:])
	if got != r || n == 1 {
		return 0
	}
	return n
}

func hex4(s string, i int) (rune, bool) {
	if i+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape decodes every JSON escape in s. A string without any comes back as it
// is.
func unescape(s string) string {
	at := strings.IndexByte(s, '\\')
	if at < 0 {
		return s
	}
	dst := append([]byte(nil), s...) // a copy is cheaper than zeroed memory
	end := at
	for at < len(s) {
		switch {
		case s[at] == '\\':
			n, r := escapeAt(s, at)
			at += n
			if r < utf8.RuneSelf {
				dst[end] = byte(r)
				end++
			} else {
				end += utf8.EncodeRune(dst[end:], r)
			}
		case at+8 <= len(s):
			// Eight bytes are written whatever they are, and then only those
			// before a backslash counted.
			w := load(s, at)
			plain := bits.TrailingZeros64(has(w, '\\')) / 8
			binary.LittleEndian.PutUint64(dst[end:], w)
			at, end = at+plain, end+plain
		default:
			dst[end] = s[at]
			at, end = at+1, end+1
		}
	}
	return unsafe.String(unsafe.SliceData(dst), end) // nobody writes to dst any more
}
