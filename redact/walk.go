package redact

import (
	"unicode/utf8"

	"mcpguard/toolcall"
)

// nobody owns a value that no path leads to.
const nobody = -1

// layer is one proved JSON text, the document or JSON found inside a string, and
// what is in it that matters later.
type layer struct {
	text  string
	items []item
	where surface
	depth int // of layers above
}

// item is a token of a layer that will, or may, be edited. Items stand in the
// order of the text.
type item struct {
	start, end int32
	kind       itemKind
	ref        int32 // of a text: index into run.texts
}

type itemKind uint8

const (
	masked    itemKind = iota // a path leads here
	anyString                 // not masked; it may hold a removed value
	anyNumber
	anyName
	innerText // a text of the surface, decoded
)

// mark is a place in a layer where a part of the surface starts.
type mark struct {
	start, end int
	kind       markKind
}

type markKind uint8

const (
	rootMark  markKind = iota
	textMark           // a string
	blobMark           // base64 of a textual media type
	bytesMark          // base64 of an unknown one
)

// walker goes over one layer once: it follows the paths, notes what they mask,
// and collects the tokens in which removed values are to be searched.
type walker struct {
	*run
	*layer
	marks []mark
	next  int // where the next mark starts, -1 when there is none
}

// walk reads a layer. Only marks bring paths into it.
func (u *run) walk(l *layer, marks []mark) {
	l.items = u.takeItems(8 + len(l.text)/64)
	w := walker{run: u, layer: l, marks: marks, next: -1}
	if len(marks) > 0 {
		w.next = marks[0].start
	}
	w.value(0, noFrame, nobody)
}

// value reads the value that starts at i and returns where it ends. f is what
// the paths look for in it; owner is the rule that masks all of it, or nobody.
func (w *walker) value(i int, f int32, owner int) int {
	if i == w.next {
		return w.marked(i, f, owner)
	}
	return w.plain(i, f, owner, rootMark)
}

// marked is value where the surface starts.
func (w *walker) marked(i int, f int32, owner int) int {
	kind := rootMark
	bottom := w.level()
	for i == w.next {
		switch m := w.marks[0]; {
		case m.kind != rootMark:
			kind = m.kind
		case f == noFrame:
			f = w.root
		default:
			f = w.union(f, w.root)
		}
		w.marks = w.marks[1:]
		w.next = -1
		if len(w.marks) > 0 {
			w.next = w.marks[0].start
		}
	}
	var end int
	if w.depth == 0 && i == w.twin.start && w.twin.end > i {
		end = w.walkTwin(i, f, owner)
	} else {
		end = w.plain(i, f, owner, kind)
	}
	w.back(bottom)
	return end
}

// plain is value behind the marks; kind is that of a string.
func (w *walker) plain(i int, f int32, owner int, kind markKind) int {
	s := w.text
	var end int
	if w.frames[f].flags&hasFirm != 0 && owner == nobody && s[i] != 'n' {
		owner = w.shape(f, s[i])
	}
	switch s[i] {
	case '{':
		end = w.object(i, f, owner)
	case '[':
		end = w.array(i, f, owner)
	case '"':
		end = toolcall.StringEnd(s, i)
		w.str(i, end, kind, owner)
	case 't':
		end = i + len("true")
		if owner != nobody {
			w.count(owner)
			w.note(i, end, masked)
		}
	case 'f':
		end = i + len("false")
		if owner != nobody {
			w.count(owner)
		}
	case 'n':
		end = i + len("null")
	default:
		end = numberEnd(s, i)
		switch {
		case owner != nobody:
			w.count(owner)
			if s[i:end] != "0" {
				w.note(i, end, masked)
			}
		case end-i >= window:
			w.note(i, end, anyNumber)
		}
	}
	return end
}

func (w *walker) note(start, end int, kind itemKind) {
	w.items = append(w.items, item{start: int32(start), end: int32(end), kind: kind})
}

func (w *walker) count(owner int) { w.counts[owner][w.where]++ }

func (w *walker) str(start, end int, kind markKind, owner int) {
	raw := w.text[start+1 : end-1]
	switch {
	case owner != nobody:
		w.count(owner)
		if raw == maskWord {
			return
		}
		w.note(start, end, masked)
		if len(raw) >= window {
			if s := unescape(raw); countsCharacters(s, minCopied) && s != maskWord {
				w.remove(s, owner)
			}
		}
	case kind == textMark && w.again(raw):
		w.twin.texts++
		w.inner(start, end, text{twin: true})
	case kind == textMark:
		w.inner(start, end, w.readText(unescape(raw), max(onText, w.where), w.depth+1))
	case kind != rootMark:
		w.inner(start, end, w.readBlob(unescape(raw), kind == blobMark, w.depth+1))
	case len(raw) >= window:
		w.note(start, end, anyString)
	}
}

// minCopied is from how many characters on a removed string is searched for in
// the rest of the document.
const minCopied = 8

// countsCharacters reports whether s has so many of them.
func countsCharacters(s string, n int) bool {
	return len(s) >= n*utf8.UTFMax || utf8.RuneCountInString(s) >= n
}

func (w *walker) inner(start, end int, t text) {
	w.texts = append(w.texts, t)
	w.items = append(w.items, item{int32(start), int32(end), innerText, int32(len(w.texts) - 1)})
}

func (w *walker) object(i int, id int32, owner int) int {
	s := w.text
	i = space(s, i+1)
	if s[i] == '}' {
		return i + 1
	}
	f := w.frames[id]
	bottom := w.level()
	for {
		end, odd := nameEnd(s, i)
		child, owns := f.below, owner
		name := s[i+1 : end-1]
		bit := uint64(1) << nameBit(name)
		if odd {
			bit = everyName // its text does not say what its name is
		}
		if f.flags&hasAny != 0 || f.names&bit != 0 {
			child, owns = w.member(f, owner, name, odd, bit)
		}
		if len(name) >= window {
			w.note(i, end, anyName)
		}
		i = space(s, end) // the colon
		i = space(s, i+1) // the value
		i = w.value(i, child, owns)
		if child != f.below {
			w.back(bottom)
		}
		i = space(s, i)
		if s[i] == '}' {
			return i + 1
		}
		i = space(s, i+1)
	}
}

// member takes the steps of f that lead to the member of that name, of which bit
// is the nameBit.
func (w *walker) member(f frame, owner int, name string, odd bool, bit uint64) (int32, int) {
	lo := len(w.sets)
	for _, s := range w.sets[f.lo:f.hi] {
		n := &w.nodes[s]
		if n.names&bit != 0 && n.named(name, odd) || n.Kind == toolcall.StepAny {
			owner = w.step(s, owner, lo)
		}
	}
	return w.child(f, lo), owner
}

func (w *walker) array(i int, id int32, owner int) int {
	s := w.text
	i = space(s, i+1)
	if s[i] == ']' {
		return i + 1
	}
	f := w.frames[id]
	child, owns := f.below, owner
	bottom := w.level()
	for index := 0; ; index++ {
		// Without an index among the steps all elements are alike.
		if f.flags&hasIndex != 0 || index == 0 && f.flags&(hasAny|hasEach) != 0 {
			w.back(bottom)
			child, owns = w.element(f, owner, index)
		}
		i = w.value(i, child, owns)
		i = space(s, i)
		if s[i] == ']' {
			w.back(bottom)
			return i + 1
		}
		i = space(s, i+1)
	}
}

// element takes the steps of f that lead to the element of that index.
func (w *walker) element(f frame, owner, index int) (int32, int) {
	lo := len(w.sets)
	for k := f.lo; k < f.hi; k++ {
		s := w.sets[k]
		n := &w.nodes[s]
		if n.Kind == toolcall.StepDeep || n.Kind == toolcall.StepName && n.Index != index {
			continue
		}
		owner = w.step(s, owner, lo)
	}
	return w.child(f, lo), owner
}

// step goes from s to what stands behind it: the next step, in the set that
// starts at lo, or the end of the path, which owns the value.
func (w *walker) step(s state, owner, lo int) int {
	n := &w.nodes[s]
	if !n.last {
		w.enter(s+1, lo)
		return owner
	}
	w.found[n.rule] = true
	if owner == nobody {
		return n.rule
	}
	return owner
}

// child is the frame of a value that the set from lo on leads to, together with
// what goes down from f anyway.
func (w *walker) child(f frame, lo int) int32 {
	if lo == len(w.sets) {
		return f.below
	}
	below := f.below
	for _, s := range w.sets[lo:] {
		if w.nodes[s].Kind == toolcall.StepDeep {
			below = unknown // there is one "**" more than above
		}
	}
	for from, k := w.frames[f.below], w.frames[f.below].lo; k < from.hi; k++ {
		w.push(w.sets[k], lo)
	}
	return w.frame(lo, below)
}

// union is the frame of a root that stands inside another one.
func (w *walker) union(f, g int32) int32 {
	lo := len(w.sets)
	for _, from := range [2]frame{w.frames[f], w.frames[g]} {
		for k := from.lo; k < from.hi; k++ {
			w.push(w.sets[k], lo)
		}
	}
	return w.frame(lo, unknown)
}

// shape looks for steps of f that cannot be taken from a value that starts with
// c, and returns the owner that the value thereby gets.
func (w *walker) shape(f int32, c byte) int {
	owner := nobody
	for _, s := range w.sets[w.frames[f].lo:w.frames[f].hi] {
		n := &w.nodes[s]
		switch {
		case n.odds == tolerate || n.fits(c):
		case n.odds == withhold:
			w.refuse(n.rule, typeOf(c)+" stands where the path goes on")
		default:
			owner = n.rule
		}
	}
	return owner
}

func typeOf(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}
