package redact

import (
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"
)

// edit replaces a stretch of a text. Edits of one text stand in ascending order
// and do not overlap. There can be very many, so an edit holds no pointers.
type edit struct {
	start, end int32
	mask       mask
	depth      uint8 // how many times the replacement is escaped
	ref        int32 // of maskName: the number; of maskBlob: index into run.blobs
}

// mask is what stands for a removed value.
type mask uint8

const (
	maskString mask = iota // a whole string
	maskNumber
	maskBool
	maskText // a part of a string or of a member name
	maskName // the same with a number, where names must stay distinct
	maskBlob // a string that was made for this place
)

// maskWord is what people see in place of text.
const maskWord = "[redacted]"

var maskTexts = [...]string{`"` + maskWord + `"`, "0", "false", maskWord}

// maskOf is the mask for a value that starts with c.
func maskOf(c byte) mask {
	switch c {
	case '"':
		return maskString
	case 't', 'f':
		return maskBool
	}
	return maskNumber
}

// replacement is the text of an edit.
func (u *run) replacement(e edit) string {
	switch e.mask {
	case maskName:
		return "[redacted " + strconv.Itoa(int(e.ref)) + "]"
	case maskBlob:
		return escaped(u.blobs[e.ref], e.depth)
	}
	return escaped(maskTexts[e.mask], e.depth)
}

// escaped makes s, so many times, the inside of a JSON string. Only our own
// replacements come here: quotes are all that they have to escape, and before
// each of them the backslashes double with every level.
func escaped(s string, depth uint8) string {
	if depth == 0 {
		return s
	}
	return strings.ReplaceAll(s, `"`, strings.Repeat(`\`, 1<<depth-1)+`"`)
}

// apply makes the edits.
func (u *run) apply(text string, edits []edit) string {
	grow := len(text)
	for _, e := range edits {
		grow += max(0, len(maskWord)+4-int(e.end-e.start))
	}
	var out strings.Builder
	out.Grow(grow)
	at := int32(0)
	var last edit // the last replacement, kept because most are alike
	var with string
	for _, e := range edits {
		if with == "" || e.mask != last.mask || e.depth != last.depth || e.ref != last.ref {
			with = u.replacement(e)
			last = e
		}
		out.WriteString(text[at:e.start])
		out.WriteString(with)
		at = e.end
	}
	out.WriteString(text[at:])
	return out.String()
}

// lift turns edits of a decoded string into edits of its raw form, the inside of
// a JSON string that starts at base of some text, and appends them to dst. What
// no edit touches keeps its spelling.
func lift(dst []edit, raw string, base int, edits []edit) []edit {
	m := mapper{raw: raw}
	for _, e := range edits {
		e.start = int32(base + m.to(int(e.start)))
		e.end = int32(base + m.to(int(e.end)))
		e.depth++
		dst = append(dst, e)
	}
	return dst
}

// mapper goes through a raw string and its decoded form side by side.
type mapper struct {
	raw     string
	at      int // in raw
	decoded int // how many decoded bytes stand before it
}

// to returns where in raw the given number of decoded bytes ends. Positions must
// be asked for in ascending order. Inside the bytes of one escape there is no
// such place: the answer is behind the escape.
func (m *mapper) to(decoded int) int {
	at, done := m.at, m.decoded
	for done < decoded {
		switch {
		case m.raw[at] == '\\':
			n, r := escapeAt(m.raw, at)
			at, done = at+n, done+utf8.RuneLen(r)
		case at+8 <= len(m.raw):
			plain := bits.TrailingZeros64(has(load(m.raw, at), '\\')) / 8
			plain = min(plain, decoded-done)
			at, done = at+plain, done+plain
		default:
			at, done = at+1, done+1
		}
	}
	m.at, m.decoded = at, done
	return at
}
