package toolcall

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// scan proves that s is exactly one JSON value which every parser reads alike,
// and returns where the value starts and ends between white space.
//
// Refused are, beyond RFC 8259's grammar: two members of one object whose names
// are equal after unescaping, invalid UTF-8, escaped lone surrogates, a byte
// order mark, anything after the value, and more than depth levels of nesting.
// On accept it allocates nothing once its scratch memory has grown.
func scan(s string, depth int) (start, end int, err error) {
	sc := scanners.Get().(*scanner)
	sc.s = unsafe.Slice(unsafe.StringData(s), len(s)) // read only
	start = sc.space(0)
	end, ok := sc.value(start, depth)
	if ok {
		if rest := sc.space(end); rest != len(s) {
			sc.fail(rest, "data after the JSON value")
			ok = false
		}
	}
	if !ok {
		err = &SyntaxError{Offset: sc.failedAt, Reason: sc.reason}
	}
	sc.release()
	return start, end, err
}

// scanner is the scratch memory of one scan. Names of the objects that are open
// stand on one stack; each object owns the part above where it began.
type scanner struct {
	s        []byte
	names    []name
	hashes   []uint64
	buf      []byte // decoded forms of names that have escapes
	failedAt int
	reason   string
}

// name is a member name without its quotes: a span of the text, or of buf where
// it was escaped.
type name struct {
	start, end int
	decoded    bool
}

// keepNames bounds the scratch memory that a scanner takes back to the pool, so
// that one huge message does not stay resident.
const keepNames = 4096

var scanners = sync.Pool{New: func() any { return new(scanner) }}

func (sc *scanner) release() {
	sc.s = nil
	if cap(sc.names) > keepNames {
		sc.names = nil
	}
	if cap(sc.hashes) > keepNames {
		sc.hashes = nil
	}
	if cap(sc.buf) > keepNames {
		sc.buf = nil
	}
	sc.names, sc.hashes, sc.buf = sc.names[:0], sc.hashes[:0], sc.buf[:0]
	scanners.Put(sc)
}

func (sc *scanner) fail(at int, reason string) (int, bool) {
	sc.failedAt, sc.reason = at, reason
	return at, false
}

func (sc *scanner) space(i int) int {
	s := sc.s
	for i < len(s) && s[i] <= ' ' && (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t') {
		i++
	}
	return i
}

// value scans the value that starts at i and returns where it ends.
func (sc *scanner) value(i, depth int) (int, bool) {
	if i >= len(sc.s) {
		return sc.fail(i, "the text ends where a value should start")
	}
	switch c := sc.s[i]; c {
	case '"':
		end, _, ok := sc.str(i)
		return end, ok
	case '{':
		if depth <= 0 {
			return sc.fail(i, "nested too deeply")
		}
		return sc.object(i, depth-1)
	case '[':
		if depth <= 0 {
			return sc.fail(i, "nested too deeply")
		}
		return sc.array(i, depth-1)
	case 't':
		return sc.literal(i, "true")
	case 'f':
		return sc.literal(i, "false")
	case 'n':
		return sc.literal(i, "null")
	case 0xEF:
		return sc.fail(i, "a byte order mark or other character where a value should start")
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return sc.number(i)
		}
		return sc.fail(i, "no value can start with this character")
	}
}

func (sc *scanner) literal(i int, want string) (int, bool) {
	if len(sc.s)-i < len(want) || string(sc.s[i:i+len(want)]) != want {
		return sc.fail(i, "not a JSON literal (true, false, null)")
	}
	return i + len(want), true
}

func (sc *scanner) array(i, depth int) (int, bool) {
	i = sc.space(i + 1)
	if i < len(sc.s) && sc.s[i] == ']' {
		return i + 1, true
	}
	for {
		end, ok := sc.value(i, depth)
		if !ok {
			return end, false
		}
		i = sc.space(end)
		if i >= len(sc.s) {
			return sc.fail(i, "the text ends inside an array")
		}
		switch sc.s[i] {
		case ',':
			i = sc.space(i + 1)
		case ']':
			return i + 1, true
		default:
			return sc.fail(i, "expected a comma or ] in an array")
		}
	}
}

func (sc *scanner) object(i, depth int) (int, bool) {
	base, baseBuf := len(sc.names), len(sc.buf)
	i = sc.space(i + 1)
	if i < len(sc.s) && sc.s[i] == '}' {
		return i + 1, true
	}
	for {
		if i >= len(sc.s) {
			return sc.fail(i, "the text ends inside an object")
		}
		if sc.s[i] != '"' {
			return sc.fail(i, "expected a member name in double quotes")
		}
		end, escaped, ok := sc.str(i)
		if !ok {
			return end, false
		}
		n := name{start: i + 1, end: end - 1}
		if escaped {
			n = sc.decode(n)
		}
		sc.names = append(sc.names, n)
		if count := len(sc.names) - base; count <= fewNames && sc.repeats(base) {
			return sc.fail(i, "a member name that this object already has")
		}
		i = sc.space(end)
		if i >= len(sc.s) || sc.s[i] != ':' {
			return sc.fail(i, "expected a colon after a member name")
		}
		if end, ok = sc.value(sc.space(i+1), depth); !ok {
			return end, false
		}
		i = sc.space(end)
		if i >= len(sc.s) {
			return sc.fail(i, "the text ends inside an object")
		}
		switch sc.s[i] {
		case ',':
			i = sc.space(i + 1)
			continue
		case '}':
		default:
			return sc.fail(i, "expected a comma or } in an object")
		}
		if len(sc.names)-base > fewNames {
			if at := sc.repeated(base); at >= 0 {
				return sc.fail(at, "a member name that this object already has")
			}
		}
		sc.names, sc.buf = sc.names[:base], sc.buf[:baseBuf]
		return i + 1, true
	}
}

// fewNames is the number of members up to which comparing all pairs beats
// sorting hashes.
const fewNames = 12

func (sc *scanner) bytes(n name) []byte {
	if n.decoded {
		return sc.buf[n.start:n.end]
	}
	return sc.s[n.start:n.end]
}

// repeats reports whether the last name equals one before it, down to base.
func (sc *scanner) repeats(base int) bool {
	last := sc.bytes(sc.names[len(sc.names)-1])
	for _, n := range sc.names[base : len(sc.names)-1] {
		if n.end-n.start == len(last) && string(sc.bytes(n)) == string(last) {
			return true
		}
	}
	return false
}

// repeated finds a repeated name among many: equal names have equal hashes, so
// only neighbours in sorted order can be equal. It returns the offset of the
// second of the two, or -1.
func (sc *scanner) repeated(base int) int {
	names := sc.names[base:]
	sc.hashes = sc.hashes[:0]
	for _, n := range names {
		sc.hashes = append(sc.hashes, hashName(sc.bytes(n)))
	}
	slices.Sort(sc.hashes)
	for i := 1; i < len(sc.hashes); i++ {
		if sc.hashes[i] == sc.hashes[i-1] {
			return sc.firstRepeat(names)
		}
	}
	return -1
}

// firstRepeat is the slow, exact answer after two hashes were equal. It makes a
// map, which only a message about to be refused pays for.
func (sc *scanner) firstRepeat(names []name) int {
	seen := make(map[string]bool, len(names))
	for _, n := range names {
		if b := sc.bytes(n); seen[string(b)] {
			if n.decoded {
				return 0
			}
			return n.start - 1
		} else {
			seen[string(b)] = true
		}
	}
	return -1
}

func (sc *scanner) decode(n name) name {
	start := len(sc.buf)
	raw := sc.s[n.start:n.end]
	sc.buf = appendUnescaped(sc.buf, unsafe.String(unsafe.SliceData(raw), len(raw)))
	return name{start: start, end: len(sc.buf), decoded: true}
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks the bytes of w that end the fast path through a string: control
// characters, the quote, the backslash, and everything outside ASCII. A byte
// after the first marked one may be marked wrongly.
func special(w uint64) uint64 {
	quote := w ^ lows*'"'
	slash := w ^ lows*'\\'
	return ((w - lows*0x20) | (quote - lows) | (slash - lows) | w) & highs
}

// str scans the string whose opening quote stands at i. It returns where it
// ends behind its closing quote, and whether it has escapes.
func (sc *scanner) str(i int) (end int, escaped, ok bool) {
	s, open := sc.s, i
	i++
	for {
		for i+8 <= len(s) {
			if m := special(binary.LittleEndian.Uint64(s[i:])); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		if i >= len(s) {
			sc.fail(open, "a string without an end")
			return open, false, false
		}
		switch c := s[i]; {
		case c == '"':
			return i + 1, escaped, true
		case c == '\\':
			escaped = true
			n, reason := escape(s[i:])
			if n == 0 {
				sc.fail(i, reason)
				return i, false, false
			}
			i += n
		case c < 0x20:
			sc.fail(i, "a control character inside a string")
			return i, false, false
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n <= 1 {
				sc.fail(i, "invalid UTF-8")
				return i, false, false
			}
			i += n
		}
	}
}

// escape measures the escape sequence that s starts with; 0 says that it is
// none, and why. A surrogate pair counts as one escape.
func escape(s []byte) (n int, reason string) {
	if len(s) < 2 {
		return 0, "a string without an end"
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
	default:
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

func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range s[:4] {
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
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch s[i+1] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4([]byte(s[i+2 : i+6]))
			i += 6
			if utf16.IsSurrogate(r) {
				low, _ := hex4([]byte(s[i+2 : i+6]))
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			continue
		default: // a quote, a backslash, a slash
			dst = append(dst, s[i+1])
		}
		i += 2
	}
	return dst
}

// number scans RFC 8259's number.
func (sc *scanner) number(i int) (int, bool) {
	s := sc.s
	if s[i] == '-' {
		i++
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
	case i < len(s) && '1' <= s[i] && s[i] <= '9':
		i = digits(s, i)
	default:
		return sc.fail(i, "a number without digits")
	}
	if i < len(s) && s[i] == '.' {
		end := digits(s, i+1)
		if end == i+1 {
			return sc.fail(end, "a number without digits behind its point")
		}
		i = end
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		end := digits(s, i)
		if end == i {
			return sc.fail(end, "a number without digits in its exponent")
		}
		i = end
	}
	return i, true
}

func digits(s []byte, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}
