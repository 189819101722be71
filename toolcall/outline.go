package toolcall

// outline notes where the long values of a proved text end, so that a walk over
// what stands around them does not read them again.
type outline struct {
	text  hidden
	spans []span // in the order of their starts
}

// span is where a value stands, in bytes.
type span struct{ start, end int }

const (
	// longValue is from how many bytes on the end of a value is noted. To read a
	// shorter one again takes a microsecond or two.
	longValue = 4 << 10
	// maxSpans bounds the notes on one text, in number: they are a help, and a
	// text could be made of nothing but long values inside each other.
	maxSpans = 1 << 10
)

// ParseLong is Parse for a text that will be walked more than once: steps over
// its long values, and over those of its parts, cost nothing afterwards. The
// notes for that are all it allocates, and nothing where no value is long.
func ParseLong(text string, limits Limits) (JSON, error) {
	return parse(text, limits, true)
}

// open notes that a container starts at i, and returns the place of the note; or
// a negative one when there is no room for it.
func (sc *scanner) open(i int) (note int) {
	if len(sc.long) == maxSpans {
		return -1
	}
	sc.long = append(sc.long, span{start: i})
	return len(sc.long) - 1
}

// shut ends what open began. A container that is too short holds nothing long,
// so its note is the last one.
func (sc *scanner) shut(note, end int) int {
	switch {
	case note < 0:
	case end-sc.long[note].start < longValue:
		sc.long = sc.long[:note]
	default:
		sc.long[note].end = end
	}
	return end
}

// outline keeps the notes of a scan, with the text they are about; nil where
// there are none.
func (sc *scanner) outline(text string) *outline {
	if len(sc.long) == 0 {
		return nil
	}
	return &outline{hide(text), append(make([]span, 0, len(sc.long)), sc.long...)}
}

// part is the sub-value of j that stands from start to end in it.
func (j JSON) part(start, end int) JSON {
	p := proved(j.text()[start:end])
	if end-start >= longValue {
		p.long = j.long
	}
	return p
}

// leaps steps over values of one proved text, in ascending order, with what is
// noted about the long ones.
type leaps struct {
	spans []span // those that are not passed yet
	base  int    // where the text stands in the one that the spans are of
}

func (j JSON) leaps() leaps {
	if j.long == nil {
		return leaps{}
	}
	return leaps{j.long.spans, int(uintptr(j.raw.start) - uintptr(j.long.text.start))}
}

// skip returns where the value that starts at i ends.
func (l *leaps) skip(s string, i int) (end int) {
	for len(l.spans) > 0 {
		switch at := l.spans[0].start - l.base; {
		case at < i:
			l.spans = l.spans[1:]
			continue
		case at == i:
			return l.spans[0].end - l.base
		}
		break
	}
	return skipValue(s, i)
}
