package redact

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"mcpguard/toolcall"
)

// maxDepth is how many levels of JSON inside the strings of JSON are read.
const maxDepth = 4

// maxNesting is the deepest nesting of arrays and objects within one such level.
const maxNesting = 128

// text is a string of the surface, decoded.
type text struct {
	decoded string
	base    int              // where in decoded its JSON starts
	json    *layer           // nil when it is prose
	blob    *base64.Encoding // how it was encoded, of a blob
	twin    bool             // it says what the twin says, and was not read
}

// readText reads a text of the surface: JSON is walked with all paths, prose is
// only kept for the search.
func (u *run) readText(decoded string, where surface, depth int) text {
	t := text{decoded: decoded}
	base, like := jsonLike(decoded)
	if like == prose {
		return t
	}
	j, err := toolcall.Parse(decoded[base:], toolcall.Limits{Bytes: len(decoded), Depth: maxNesting})
	if err != nil {
		if like == likely {
			u.refuse(nobody, "a text looks like JSON and is not: "+err.Error())
		}
		return t
	}
	if depth > maxDepth {
		u.refuse(nobody, "a text holds JSON in JSON in JSON, too many levels of it")
		return t
	}
	kind := rootMark
	if j.Type() == toolcall.StringType {
		kind = textMark
	}
	t.base = base
	t.json = &layer{text: j.Text(), where: where, depth: depth}
	u.walk(t.json, []mark{{0, j.Len(), kind}})
	return t
}

// innerEdits appends the edits that a text of the surface makes in the layer it
// stands in, between start and end.
func (u *run) innerEdits(dst []edit, t *text, outer string, start, end int) []edit {
	if t.twin && !u.twin.ready {
		*t = u.readText(unescape(outer[start+1:end-1]), onText, 1)
	}
	var inside []edit
	switch {
	case t.twin:
		inside = u.twinEdits(u.takeEdits(len(u.twin.edits)))
	case t.json != nil:
		inside = u.edits(t.json)
		shift(inside, t.base)
	case u.needles != nil:
		hits := u.loose(t.decoded, 1)
		u.copies(hits)
		inside = masksOf(hits)
	}
	defer u.giveEdits(inside)
	if len(inside) == 0 {
		return dst
	}
	if t.blob != nil {
		data := t.blob.EncodeToString([]byte(u.apply(t.decoded, inside)))
		u.blobs = append(u.blobs, data)
		return append(dst, edit{start: int32(start + 1), end: int32(end - 1), mask: maskBlob, ref: int32(len(u.blobs) - 1)})
	}
	return lift(dst, outer[start+1:end-1], start+1, inside)
}

// stringEdits appends the edits that the search makes in a string that no path
// leads to. Where the string is JSON itself, the masks keep its types.
func (u *run) stringEdits(dst []edit, raw string, base, depth int) []edit {
	escaped := strings.IndexByte(raw, '\\') >= 0
	if !escaped && len(u.needles.find(raw)) == 0 {
		return dst
	}
	decoded := unescape(raw)
	if depth <= maxDepth {
		if from, like := jsonLike(decoded); like != prose {
			j, err := toolcall.Parse(decoded[from:], toolcall.Limits{Bytes: len(decoded), Depth: maxNesting})
			if err == nil && j.Type() != toolcall.StringType { // all else is searched as prose
				l := &layer{text: j.Text(), depth: depth}
				u.walk(l, nil)
				inside := u.edits(l)
				shift(inside, from)
				dst = lift(dst, raw, base, inside)
				u.giveEdits(inside)
				return dst
			}
		}
	}
	hits := u.loose(decoded, depth)
	u.copies(hits)
	return lift(dst, raw, base, masksOf(hits))
}

func shift(edits []edit, by int) {
	for i := range edits {
		edits[i].start += int32(by)
		edits[i].end += int32(by)
	}
}

// loose searches prose, as it stands and with what looks like JSON escapes in it
// decoded, level by level: a quotation of JSON hides its strings like JSON does.
func (u *run) loose(s string, depth int) []hit {
	hits := u.needles.find(s)
	if depth > maxDepth {
		return hits
	}
	decoded := unescape(s)
	if len(decoded) == len(s) {
		return hits
	}
	deeper := u.loose(decoded, depth+1)
	m := mapper{raw: s}
	for i := range deeper {
		deeper[i].start = m.to(deeper[i].start)
		deeper[i].end = m.to(deeper[i].end)
	}
	return merge(hits, deeper)
}

// merge unites two ascending lists of stretches.
func merge(a, b []hit) []hit {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]hit, 0, len(a)+len(b))
	for len(a)+len(b) > 0 {
		if len(a) == 0 || len(b) > 0 && b[0].start < a[0].start {
			a, b = b, a
		}
		next := a[0]
		a = a[1:]
		if last := len(out) - 1; last >= 0 && next.start <= out[last].end {
			out[last].end = max(out[last].end, next.end)
		} else {
			out = append(out, next)
		}
	}
	return out
}

// likeness is what a text looks like from its start.
type likeness uint8

const (
	prose  likeness = iota
	maybe           // JSON if it parses, prose if not
	likely          // JSON, or broken JSON
)

// jsonLike tells whether a reader would take s for JSON, and where it starts.
// An opening brace always looks like JSON. An opening bracket does when a JSON
// value follows, so "[INFO] started", "[x] done" and "[1] Knuth" may be prose:
// no reader, strict or lenient, finds members in them.
func jsonLike(s string) (start int, like likeness) {
	start = len(s) - len(trimLeft(s))
	if start == len(s) {
		return start, prose
	}
	switch s[start] {
	case '{':
		return start, likely
	case '[':
		if opensArray(s[start:]) {
			return start, likely
		}
		return start, maybe
	case '"':
		return start, maybe
	}
	return start, prose
}

// opensArray reports whether s, which starts with a bracket, goes on like an
// array, in the JSON of lenient readers too.
func opensArray(s string) bool {
	for s != "" && s[0] == '[' {
		s = trimLeft(s[1:])
	}
	if s == "" {
		return true // the text broke off
	}
	switch s[0] {
	case '{', '"', '\'':
		return true
	case '/':
		return strings.HasPrefix(s, "//") || strings.HasPrefix(s, "/*")
	case ']':
		return trimLeft(s[1:]) == "" || strings.ContainsAny(trimLeft(s[1:])[:1], ",]")
	}
	word := s
	if i := strings.IndexFunc(s, func(r rune) bool { return !isWord(r) }); i >= 0 {
		word = s[:i]
	}
	rest := trimLeft(s[len(word):])
	if !isScalar(word) {
		return false
	}
	return rest == "" || rest[0] == ',' || rest[0] == ']' && trimLeft(rest[1:]) == ""
}

func isWord(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("+-.", r)
}

// isScalar reports whether word is a number (NaN and Infinity are, to lenient
// readers) or a literal of JSON, JavaScript or Python.
func isScalar(word string) bool {
	switch word {
	case "true", "false", "null", "undefined", "None", "True", "False":
		return true
	}
	_, err := strconv.ParseFloat(word, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

// trimLeft drops white space of all kinds, byte order marks and zero-width
// spaces: readers differ in which of them they skip.
func trimLeft(s string) string {
	return strings.TrimLeftFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || r == '\uFEFF' || r == '\u200B' || r == '\u2060'
	})
}
