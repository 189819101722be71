package toolcall

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// An Edit replaces the sub-value At of a document by With. A zero With takes
// the value out: an element of an array, or a member of an object with its name.
type Edit struct{ At, With JSON }

// ErrSplice says that an edit does not lie in its document, or that two overlap.
var ErrSplice = errors.New("splice: an edit outside the document or inside another edit")

// Splice returns doc with every edit made; all other bytes stay as they are.
// The result needs no new scan: a proved value stands where a proved value
// stood, and member names are never added.
func Splice(doc JSON, edits []Edit) (JSON, error) {
	if len(edits) == 0 {
		return doc, nil
	}
	spans := make([]span, len(edits))
	grow := 0
	for i, e := range edits {
		start := e.At.offsetIn(doc)
		if start < 0 || e.At.IsZero() {
			return JSON{}, ErrSplice
		}
		spans[i] = span{start, start + len(e.At.text), e.With.text}
		grow += len(e.With.text)
	}
	byStart := func(a, b span) int { return a.start - b.start }
	if !slices.IsSortedFunc(spans, byStart) {
		slices.SortFunc(spans, byStart)
	}
	var b strings.Builder
	b.Grow(len(doc.text) + grow)
	at := 0
	for i, s := range spans {
		if s.start < at || i > 0 && s.start < spans[i-1].end {
			return JSON{}, ErrSplice
		}
		if s.with == "" {
			return spliceOut(doc, edits)
		}
		b.WriteString(doc.text[at:s.start])
		b.WriteString(s.with)
		at = s.end
	}
	b.WriteString(doc.text[at:])
	return JSON{b.String()}, nil
}

type span struct {
	start, end int
	with       string
}

// spliceOut makes edits of which some take values out. It rebuilds the arrays
// and objects on the way to each edit, member by member, so that commas and
// names go with their values.
func spliceOut(doc JSON, edits []Edit) (JSON, error) {
	out, ok := rebuild(nil, doc, doc, edits)
	if !ok {
		return JSON{}, ErrSplice // the document itself cannot be taken out
	}
	return JSON{string(out)}, nil
}

func rebuild(dst []byte, doc, v JSON, edits []Edit) ([]byte, bool) {
	at := v.offsetIn(doc)
	inside := edits[:0:0]
	for _, e := range edits {
		start := e.At.offsetIn(doc)
		if start == at && len(e.At.text) == len(v.text) {
			return append(dst, e.With.text...), !e.With.IsZero()
		}
		if start >= at && start < at+len(v.text) {
			inside = append(inside, e)
		}
	}
	if len(inside) == 0 {
		return append(dst, v.text...), true
	}
	opened := len(dst)
	dst = append(dst, v.text[0])
	part := func(name string, value JSON) {
		mark := len(dst)
		if mark > opened+1 {
			dst = append(dst, ',')
		}
		dst = append(dst, name...)
		if name != "" {
			dst = append(dst, ':')
		}
		next, kept := rebuild(dst, doc, value, inside)
		if !kept {
			next = next[:mark]
		}
		dst = next
	}
	for m := v.Members(); m.Next(); {
		part(m.name, m.Value())
	}
	for e := v.Elements(); e.Next(); {
		part("", e.Value())
	}
	return append(dst, v.text[len(v.text)-1]), true
}

// Quote makes the JSON string of s. Invalid UTF-8 becomes U+FFFD.
func Quote(s string) JSON { return JSON{string(AppendQuoted(make([]byte, 0, len(s)+2), s))} }

const hexDigits = "0123456789abcdef"

// AppendQuoted appends the JSON string of s in the form of RFC 8785, section
// 3.2.2.2: the shortest escapes, and none where none is needed.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, s[from:i]...)
				dst = append(dst, "\uFFFD"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// Array makes the array of the given values.
func Array(values ...JSON) JSON {
	var b strings.Builder
	b.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(v.text)
	}
	b.WriteByte(']')
	return JSON{b.String()}
}
