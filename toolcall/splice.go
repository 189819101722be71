package toolcall

import (
	"errors"
	"slices"
	"strings"
	"unsafe"
)

// An Edit replaces the sub-value At of a document by With. A zero With takes
// the value out: an element of an array, or a member of an object with its name.
type Edit struct{ At, With JSON }

// ErrSplice says that an edit does not replace a value of its document (a member
// name is none, nor is the document itself one to take out), or that two overlap.
var ErrSplice = errors.New("splice: an edit that replaces no value of the document, or overlaps another")

// Splice returns doc with every edit made; all other bytes stay as they are, but
// for a comma and the white space beside it that go with a value taken out. It
// takes one pass over doc, however many edits there are, in any order.
//
// The result needs no new scan. That each At is a value of doc is checked, not
// believed: a JSON parsed out of the inside of a string of doc is refused. So a
// proved value stands where a proved value stood, and no name was added.
func Splice(doc JSON, edits []Edit) (JSON, error) {
	if len(edits) == 0 {
		return doc, nil
	}
	cuts, size, err := cutsOf(doc, edits)
	if err != nil {
		return JSON{}, err
	}
	out := splicer{text: doc.text(), out: make([]byte, 0, size)}
	for _, c := range cuts {
		if !out.apply(c) {
			return JSON{}, ErrSplice
		}
	}
	return proved(out.finish()), nil
}

// cut is an edit by its place in the document; an empty with takes out.
type cut struct {
	start, end int
	with       string
}

// cutsOf orders the edits by place, and bounds the size of the result.
func cutsOf(doc JSON, edits []Edit) (cuts []cut, size int, err error) {
	cuts, size = make([]cut, len(edits)), doc.Len()
	for i, e := range edits {
		start, end, ok := e.At.SpanIn(doc)
		if !ok {
			return nil, 0, ErrSplice
		}
		cuts[i] = cut{start, end, e.With.text()}
		size += e.With.Len()
	}
	byStart := func(a, b cut) int { return a.start - b.start }
	if !slices.IsSortedFunc(cuts, byStart) {
		slices.SortFunc(cuts, byStart)
	}
	return cuts, size, nil
}

// splicer copies a proved text and makes one cut after the other.
type splicer struct {
	text   string
	out    []byte
	copied int // how much of text is dealt with
	seen   int // how far text was read; never inside a string
	name   int // where the last string before seen starts
}

// apply makes a cut; it reports false, and is of no more use, when no value
// stands there.
func (sp *splicer) apply(c cut) bool {
	if !sp.readTo(c.start) || !valueAt(sp.text, c) {
		return false
	}
	switch {
	case c.with != "":
		sp.out = append(append(sp.out, sp.text[sp.copied:c.start]...), c.with...)
		sp.copied = c.end
	case c.start == 0:
		return false
	default:
		sp.takeOut(c)
	}
	sp.seen = c.end
	return true
}

// readTo reads on to a place, string by string; it reports false when the place
// lies inside a string, or before what was read.
func (sp *splicer) readTo(at int) bool {
	for sp.seen < at {
		n := strings.IndexByte(sp.text[sp.seen:at], '"')
		if n < 0 {
			sp.seen = at
			break
		}
		sp.name = sp.seen + n
		sp.seen = skipString(sp.text, sp.name)
	}
	return sp.seen == at
}

// valueAt reports whether c covers one whole value of the proved text s. Its
// start is known to lie outside strings; what follows a colon, a comma or a
// bracket there is a value, or a name with a colon behind it.
func valueAt(s string, c cut) bool {
	if c.start > 0 {
		switch s[c.start-1] {
		case ':', ',', '[', '{', ' ', '\t', '\n', '\r':
		default:
			return false
		}
	}
	if skipValue(s, c.start) != c.end {
		return false
	}
	next := space(s, c.end)
	return next == len(s) || s[next] != ':'
}

// takeOut leaves out a value, its name where it is a member, and a comma: the one
// behind it, or behind the last value the one before it.
func (sp *splicer) takeOut(c cut) {
	from := c.start
	if sp.text[lastBefore(sp.text, from)] == ':' {
		from = sp.name
	}
	sp.out = append(sp.out, sp.text[sp.copied:from]...)
	next := space(sp.text, c.end)
	if sp.text[next] == ',' {
		sp.copied = space(sp.text, next+1)
		return
	}
	sp.copied = c.end
	// There is a comma before it exactly when a value before it stayed.
	if last := lastBefore(sp.out, len(sp.out)); sp.out[last] == ',' {
		sp.out = sp.out[:last]
	}
}

// lastBefore is where the last byte before at stands that is no white space.
func lastBefore[T string | []byte](s T, at int) int {
	for at--; s[at] == ' ' || s[at] == '\t' || s[at] == '\n' || s[at] == '\r'; at-- {
	}
	return at
}

// finish copies what is left. The bytes are nobody else's, so the string needs no
// copy of them.
func (sp *splicer) finish() string {
	out := append(sp.out, sp.text[sp.copied:]...)
	return unsafe.String(unsafe.SliceData(out), len(out))
}
