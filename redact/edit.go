package redact

import (
	"math/bits"
	"strconv"
	"unicode/utf8"

	"mcpguard/toolcall"
)

// edit replaces a stretch of a text. Edits of one text stand in ascending order
// and do not overlap. There can be very many, so an edit holds no pointers.
type edit struct {
	start, end int32
	mask       mask
	inside     bool  // of a string, with all that the edit replaces
	ref        int32 // of maskName: the number; of maskBlob: index into run.blobs
}

// mask is what stands for a removed value. No mask has a character that JSON
// escapes, so it is the same at every level of JSON inside the strings of JSON.
type mask uint8

const (
	maskText   mask = iota // the inside of a string, or a part of it or of a member name
	maskNumber             // a number
	maskBool               // true
	maskName               // a part of a member name, with a number, where names must stay distinct
	maskBlob               // the inside of a string, with base64 that was made for this place
)

// maskWord is what people see in place of text.
const maskWord = "[redacted]"

var (
	zero = toolcall.Integer(0)
	no   = toolcall.Bool(false)
)

// replacement is the text of an edit.
func (u *run) replacement(e edit) string {
	switch e.mask {
	case maskNumber:
		return zero.Text()
	case maskBool:
		return no.Text()
	case maskName:
		return "[redacted " + strconv.Itoa(int(e.ref)) + "]"
	case maskBlob:
		return u.blobs[e.ref]
	}
	return maskWord
}

// growth is by how much the edits make a text longer, in bytes.
func (u *run) growth(edits []edit) int {
	n := 0
	for _, e := range edits {
		n += len(u.replacement(e)) - int(e.end-e.start)
	}
	return n
}

// write makes the edits of a document: every one is at a token of it, or inside
// of a string.
func (u *run) write(before string, doc toolcall.JSON, after string, edits []edit) (whole string, masked toolcall.JSON, err error) {
	m := toolcall.NewMasker(before, doc, u.growth(edits)+len(after))
	for _, e := range edits {
		switch start, end := int(e.start), int(e.end); {
		case e.mask == maskNumber && !e.inside:
			m.Scalar(start, end, zero)
		case e.mask == maskBool && !e.inside:
			m.Scalar(start, end, no)
		default:
			m.Text(start, end, u.replacement(e))
		}
	}
	whole, masked, err = m.Done(after)
	if err != nil {
		return "", toolcall.JSON{}, &Withheld{Reason: "masking it failed: " + err.Error()}
	}
	return whole, masked, nil
}

// apply makes the edits of any other text.
func (u *run) apply(text string, edits []edit) string {
	out := make([]byte, 0, len(text)+u.growth(edits))
	at := int32(0)
	for _, e := range edits {
		out = append(append(out, text[at:e.start]...), u.replacement(e)...)
		at = e.end
	}
	return string(append(out, text[at:]...))
}

// lift turns edits of a decoded string into edits of its raw form, the inside of
// a JSON string that starts at base of some text, and appends them to dst. What
// no edit touches keeps its spelling.
func lift(dst []edit, raw string, base int, edits []edit) []edit {
	m := mapper{raw: raw}
	for _, e := range edits {
		e.start = int32(base + m.to(int(e.start)))
		e.end = int32(base + m.to(int(e.end)))
		e.inside = true
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
