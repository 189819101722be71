package redact

// twin is the largest root of a document, where texts say it again: MCP tells
// servers to send structured content a second time as JSON in a text (2025-06-18,
// Tools, "Structured Content"). A text that decodes to exactly the bytes of the
// root is proved as the root is, the same paths lead to the same values in it, and
// the same edits are to be made: so the root alone is walked and searched, and its
// edits are lifted into the text.
type twin struct {
	start, end int    // of the root in the document; equal when there is none
	texts      int    // how many texts say it
	items      [2]int // from which to which item of the document it goes
	edits      []edit // of the root; positions are the document's
	ready      bool   // edits may be used for the texts
	walked     []int  // by rule: values found in the root
	copied     []int  // by rule: copies found in it
}

// twinOf chooses the root that texts are compared with. Paths must lead into it
// just as into a text: it is an object or array with no other part of the surface
// inside or around it. There is one, so that comparing costs no more than reading.
func (u *run) twinOf(text string, marks []mark) {
	for _, m := range marks {
		if m.kind == rootMark && m.end-m.start > u.twin.end-u.twin.start && (text[m.start] == '{' || text[m.start] == '[') {
			u.twin.start, u.twin.end = m.start, m.end
		}
	}
	for _, m := range marks {
		if m.start < u.twin.end && m.end > u.twin.start && (m != mark{u.twin.start, u.twin.end, rootMark}) {
			u.twin.start, u.twin.end = 0, 0
		}
	}
}

// forget makes ready for another document.
func (t *twin) forget() {
	*t = twin{edits: t.edits[:0], walked: t.walked[:0], copied: t.copied[:0]}
}

// again reports whether the inside of a string of the document says what its twin
// says.
func (w *walker) again(raw string) bool {
	return w.depth == 0 && w.twin.end > w.twin.start && spells(raw, w.text[w.twin.start:w.twin.end])
}

// walkTwin is what marked does at the twin.
func (w *walker) walkTwin(i int, f int32, owner int) (end int) {
	for rule := range w.counts {
		w.twin.walked = append(w.twin.walked, -w.counts[rule][onRoot])
	}
	w.twin.items[0] = len(w.items)
	end = w.plain(i, f, owner, rootMark)
	w.twin.items[1] = len(w.items)
	for rule := range w.counts {
		w.twin.walked[rule] += w.counts[rule][onRoot]
	}
	return end
}

// prepareTwin makes the edits of the twin before all others of the document. Where
// member names are masked they are of no use: the masks are numbered in the order
// of each text.
func (u *run) prepareTwin(l *layer) {
	t := &u.twin
	if t.texts == 0 {
		return
	}
	for rule := range u.counts {
		t.copied = append(t.copied, -u.counts[rule][aCopy])
	}
	renamed := int32(0)
	t.edits = u.itemEdits(t.edits, l, l.items[t.items[0]:t.items[1]], &renamed)
	for rule := range u.counts {
		t.copied[rule] += u.counts[rule][aCopy]
	}
	if t.ready = renamed == 0; !t.ready {
		for rule, n := range t.copied { // they will be found once more
			u.counts[rule][aCopy] -= n
		}
	}
}

// twinEdits appends the edits of a text that says what the twin says, and counts
// what is masked in it.
func (u *run) twinEdits(dst []edit) []edit {
	for _, e := range u.twin.edits {
		e.start -= int32(u.twin.start)
		e.end -= int32(u.twin.start)
		dst = append(dst, e)
	}
	for rule := range u.counts {
		u.counts[rule][onText] += u.twin.walked[rule]
		u.counts[rule][aCopy] += u.twin.copied[rule]
	}
	return dst
}

// spells reports whether raw, the inside of a JSON string, decodes to s.
func spells(raw, s string) bool {
	at := 0 // in s
	for i := 0; i < len(raw); {
		if len(s)-at > len(raw)-i { // decoding never makes a text longer
			return false
		}
		if raw[i] == '\\' {
			n, r := escapeAt(raw, i)
			size := encodedAt(s, at, r)
			if size == 0 {
				return false
			}
			i, at = i+n, at+size
			continue
		}
		plain := plainRun(raw, i)
		if plain > len(s)-at || raw[i:i+plain] != s[at:at+plain] {
			return false
		}
		i, at = i+plain, at+plain
	}
	return at == len(s)
}
