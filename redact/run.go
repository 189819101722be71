package redact

import (
	"cmp"
	"slices"
	"sync"

	"mcpguard/toolcall"
)

// surface is where a value stood, for findings.
type surface uint8

const (
	onRoot surface = iota
	onText
	onBlob
	aCopy
	surfaces
)

var surfaceNames = [surfaces]string{"root", "text", "blob", "copy"}

// run is the state of one Redact. Its memory is used again by later ones, so
// all that points to a document is dropped at its end.
type run struct {
	arena
	root  int32 // the frame in which all paths start
	twin  twin
	texts []text
	blobs []string // re-encoded, as JSON strings
	removed
	needles  *needles        // nil when nothing is to be searched
	index    needles         // what it points to otherwise
	found    []bool          // by rule: it led to a value
	counts   [][surfaces]int // by rule
	withheld *Withheld       // the first reason
	renamed  bool            // a member name of the document is masked

	spareItems [][]item
	spareEdits [][]edit
}

var runs = sync.Pool{New: func() any { return new(run) }}

func newRun(r *Redactor) *run {
	u := runs.Get().(*run)
	u.Redactor = r
	u.frames = append(u.frames[:0], frame{})
	u.sets = append(u.sets[:0], r.start...)
	u.root = u.frame(0, unknown)
	u.found = zeroed(u.found, len(r.rules))
	u.counts = zeroed(u.counts, len(r.rules))
	return u
}

func zeroed[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// keepItems bounds the memory that stays for later runs, in items.
const keepItems = 1 << 16

func (u *run) release() {
	u.Redactor, u.needles, u.withheld, u.renamed = nil, nil, nil, false
	clear(u.texts)
	clear(u.blobs)
	u.texts, u.blobs = u.texts[:0], u.blobs[:0]
	u.removed.forget(keepItems)
	u.twin.forget()
	if cap(u.twin.edits) > keepItems {
		u.twin.edits = nil
	}
	u.index.forget(keepItems)
	runs.Put(u)
}

// takeItems and takeEdits lend memory until giveItems and giveEdits.
func (u *run) takeItems(n int) []item { return take(&u.spareItems, n) }
func (u *run) takeEdits(n int) []edit { return take(&u.spareEdits, n) }
func (u *run) giveItems(s []item)     { give(&u.spareItems, s) }
func (u *run) giveEdits(s []edit)     { give(&u.spareEdits, s) }

func take[T any](spare *[][]T, n int) []T {
	if last := len(*spare) - 1; last >= 0 {
		s := (*spare)[last]
		*spare = (*spare)[:last]
		return slices.Grow(s, n)
	}
	return make([]T, 0, n)
}

func give[T any](spare *[][]T, s []T) {
	if len(*spare) < maxDepth && cap(s) <= keepItems {
		*spare = append(*spare, s[:0])
	}
}

// refuse keeps the first reason to withhold. rule is nobody when no path is to
// be named.
func (u *run) refuse(rule int, reason string) {
	if u.withheld != nil {
		return
	}
	u.withheld = &Withheld{Reason: reason}
	if rule != nobody {
		u.withheld.Profile, u.withheld.Path = u.rules[rule].profile, u.rules[rule].path
	}
}

// redact returns what is to be changed in a document.
func (u *run) redact(doc toolcall.JSON, s Surface) ([]edit, error) {
	marks, ok := marksOf(doc, s)
	if !ok {
		u.refuse(nobody, "its surface names a value that stands outside it")
	}
	top := &layer{text: doc.Text()}
	if ok && !doc.IsZero() {
		u.twinOf(top.text, marks)
		u.walk(top, marks)
	}
	for i, r := range u.rules {
		if r.required && !u.found[i] {
			u.refuse(i, "a required value is missing")
		}
	}
	if u.withheld != nil {
		return nil, u.withheld
	}
	if len(u.secrets) > 0 {
		u.index.index(u.secrets, searchBudget(doc.Len()))
		u.needles = &u.index
	}
	edits := u.edits(top)
	if u.needles != nil && u.needles.exhausted() {
		u.refuse(nobody, "it repeats itself too much to be searched for removed values")
	}
	if u.withheld != nil {
		return nil, u.withheld
	}
	return edits, nil
}

// searchBudget is how many bytes may be compared in the search for copies in a
// document of that many bytes. Documents of people and programs need a fraction.
func searchBudget(size int) int { return 1<<20 + 64*size }

// prove scans what was written where a mask stands in a member name. It refuses
// only what that can bring about: two names that are equal now.
func prove(text string) *Withheld {
	if _, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: len(text)}); err != nil {
		return &Withheld{Reason: "masking makes it unreadable: " + err.Error()}
	}
	return nil
}

// marksOf lists the surface in the order of the document.
func marksOf(doc toolcall.JSON, s Surface) ([]mark, bool) {
	marks := make([]mark, 0, len(s.Roots)+len(s.Texts)+len(s.Blobs))
	whole := true
	add := func(j toolcall.JSON, ofString markKind) {
		if j.IsZero() {
			return
		}
		start, end, ok := j.SpanIn(doc)
		whole = whole && ok
		kind := rootMark
		if j.Type() == toolcall.StringType {
			kind = ofString
		}
		marks = append(marks, mark{start, end, kind})
	}
	for _, j := range s.Roots {
		add(j, textMark)
	}
	for _, j := range s.Texts {
		add(j, textMark)
	}
	for _, b := range s.Blobs {
		switch {
		case b.MIME == "":
			add(b.Data, bytesMark)
		case b.textual():
			add(b.Data, blobMark)
		}
	}
	slices.SortFunc(marks, func(a, b mark) int {
		return cmp.Or(a.start-b.start, int(a.kind)-int(b.kind))
	})
	return slices.Compact(marks), whole
}

// edits returns what is to be changed in a layer that was walked.
func (u *run) edits(l *layer) []edit {
	edits := u.takeEdits(len(l.items))
	renamed := int32(0)
	if l.depth == 0 {
		u.prepareTwin(l)
	}
	if l.depth == 0 && u.twin.ready {
		edits = u.itemEdits(edits, l, l.items[:u.twin.items[0]], &renamed)
		edits = append(edits, u.twin.edits...)
		edits = u.itemEdits(edits, l, l.items[u.twin.items[1]:], &renamed)
	} else {
		edits = u.itemEdits(edits, l, l.items, &renamed)
	}
	u.giveItems(l.items)
	l.items = nil
	switch {
	case renamed == 0:
	case l.depth == 0:
		u.renamed = true
	default:
		if err := prove(u.apply(l.text, edits)); err != nil {
			u.refuse(nobody, err.Reason)
		}
	}
	return edits
}

// itemEdits appends what is to be changed at items of a layer. renamed counts the
// member names among it.
func (u *run) itemEdits(edits []edit, l *layer, items []item, renamed *int32) []edit {
	for _, it := range items {
		start, end := int(it.start), int(it.end)
		switch it.kind {
		case masked:
			edits = append(edits, maskedToken(it, l.text[start]))
		case innerText:
			edits = u.innerEdits(edits, &u.texts[it.ref], l.text, start, end)
		case anyString:
			if u.needles != nil {
				edits = u.stringEdits(edits, l.text[start+1:end-1], start+1, l.depth+1)
			}
		case anyNumber:
			if u.needles != nil {
				if hits := u.needles.find(l.text[start:end]); len(hits) > 0 {
					u.copies(hits)
					edits = append(edits, edit{start: it.start, end: it.end, mask: maskNumber})
				}
			}
		case anyName:
			if u.needles != nil {
				edits = u.nameEdits(edits, l.text[start+1:end-1], start+1, renamed)
			}
		}
	}
	return edits
}

// maskedToken masks a whole value, which starts with c.
func maskedToken(it item, c byte) edit {
	switch c {
	case '"':
		return edit{start: it.start + 1, end: it.end - 1, mask: maskText}
	case 't':
		return edit{start: it.start, end: it.end, mask: maskBool}
	}
	return edit{start: it.start, end: it.end, mask: maskNumber}
}

// nameEdits masks removed values in a member name. The masks are numbered, so
// that the names of an object stay distinct.
func (u *run) nameEdits(edits []edit, raw string, base int, renamed *int32) []edit {
	hits := u.loose(unescape(raw), maxDepth)
	if len(hits) == 0 {
		return edits
	}
	u.copies(hits)
	*renamed++
	masks := masksOf(hits)
	if *renamed > 1 {
		masks[0].mask, masks[0].ref = maskName, *renamed
	}
	return lift(edits, raw, base, masks)
}

// copies counts hits of the search.
func (u *run) copies(hits []hit) {
	for _, h := range hits {
		u.counts[h.rule][aCopy]++
	}
}

func masksOf(hits []hit) []edit {
	edits := make([]edit, len(hits))
	for i, h := range hits {
		edits[i] = edit{start: int32(h.start), end: int32(h.end), mask: maskText}
	}
	return edits
}

// findings lists what was masked, in the order of the rules.
func (u *run) findings() []Finding {
	var list []Finding
	for i, r := range u.rules {
		for where, n := range u.counts[i] {
			if n > 0 {
				list = append(list, Finding{r.profile, r.path, surfaceNames[where], n})
			}
		}
	}
	return list
}
