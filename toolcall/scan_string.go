package toolcall

import (
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Strings are searched eight bytes at a time: lows and highs hold the lowest
// and the highest bit of each byte.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// load reads eight bytes of s from i on, the first one lowest.
func load(s string, i int) uint64 {
	b := s[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// special marks the highest bit of the bytes of w that mean something inside a
// string: control characters, the quote and the backslash. The lowest mark is
// right; those above it may stand one byte too high.
func special(w uint64) uint64 {
	quote := w ^ lows*'"'
	slash := w ^ lows*'\\'
	return ((w - lows*0x20) | (quote - lows) | (slash - lows)) &^ w & highs
}

// str scans the string whose opening quote stands at open. It returns where it
// ends behind its closing quote, and whether it has escapes.
func (sc *scanner) str(s string, open int) (end int, escaped bool) {
	i := open + 1
	var bytes uint64 // the highest bits tell whether any byte was outside ASCII
	for {
		for i+8 <= len(s) {
			w := load(s, i)
			if m := special(w); m != 0 {
				n := bits.TrailingZeros64(m)
				bytes |= w & (1<<n - 1)
				i += n / 8
				break
			}
			bytes |= w
			i += 8
		}
		if i >= len(s) {
			return sc.failString(s, open, open, "a string without an end"), false
		}
		switch c := s[i]; {
		case c == '"':
			if bytes&highs != 0 && !utf8.ValidString(s[open+1:i]) {
				return sc.failString(s, open, i, "invalid UTF-8"), false
			}
			return i + 1, escaped
		case c == '\\':
			escaped = true
			if i+1 < len(s) && shortEscapes[s[i+1]] {
				i += 2
				continue
			}
			if i+1 == len(s) {
				return sc.failString(s, open, open, "a string without an end"), false
			}
			n, reason := unicodeEscape(s[i:])
			if n == 0 {
				return sc.failString(s, open, i, reason), false
			}
			i += n
		case c < 0x20:
			return sc.failString(s, open, i, "a control character inside a string"), false
		default:
			bytes |= uint64(c)
			i++
		}
	}
}

// failString fails at at inside the string that starts at open, or at an
// invalid byte before it: the scan leaves UTF-8 to the end of a string, but the
// first mistake is the one to tell.
func (sc *scanner) failString(s string, open, at int, reason string) int {
	inside := s[open+1:]
	if at > open {
		inside = s[open+1 : at]
	}
	for i, r := range inside {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(inside[i:]); n == 1 {
				return sc.fail(open+1+i, "invalid UTF-8")
			}
		}
	}
	return sc.fail(at, reason)
}

// shortEscapes are the characters that make an escape of two.
var shortEscapes = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// unicodeEscape measures the \u escape that s starts with; 0 says that it is
// none, and why. A surrogate pair counts as one escape.
func unicodeEscape(s string) (n int, reason string) {
	if s[1] != 'u' {
		return 0, "an unknown escape sequence"
	}
	r, ok := hex4(s[2:])
	if !ok {
		return 0, "an escape \\u without four hexadecimal digits"
	}
	if !utf16.IsSurrogate(r) {
		return 6, ""
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if low, ok := hex4(s[8:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
			return 12, ""
		}
	}
	return 0, "a lone surrogate"
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
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

// appendUnescaped decodes the inside of a proved JSON string.
func appendUnescaped(dst []byte, s string) []byte {
	from := 0 // of what is not yet copied
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		if s[i+1] == 'u' {
			r, _ := hex4(s[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				low, _ := hex4(s[i+2:])
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
		} else {
			dst = append(dst, unescaped(s[i+1]))
			i += 2
		}
		from = i
	}
	return append(dst, s[from:]...)
}

// unescaped is the character that a backslash and c stand for.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // a quote, a backslash, a slash
}
