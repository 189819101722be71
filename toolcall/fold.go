package toolcall

import (
	"strings"
	"unicode"
)

// SameFolded reports whether two member names that are not equal would be taken
// for each other by a reader that ignores case, as encoding/json does (also
// U+017F for s and U+212A for k), or that stops at a NUL.
func SameFolded(a, b string) bool {
	return a != b && strings.EqualFold(untilNUL(a), untilNUL(b))
}

func untilNUL(s string) string {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return s[:i]
	}
	return s
}

// Folded finds, anywhere in j, two members of one object whose names fold
// together. It returns the two names; ok is false when there are none. It reads
// j once, however deep it is nested.
func (j JSON) Folded() (a, b string, ok bool) {
	var f folder
	if !j.IsZero() {
		f.value(j.text(), 0)
	}
	return f.a, f.b, f.found
}

// folder looks for names that fold together.
type folder struct {
	a, b  string
	found bool
}

// value looks into the value that starts at i, and returns where it ends. After
// a find the end means nothing: everybody stops.
func (f *folder) value(s string, i int) (end int) {
	switch s[i] {
	case '{':
		return f.object(s, i)
	case '[':
		for i = separator(s, i+1); s[i] != ']'; i = separator(s, i) {
			if i = f.value(s, i); f.found {
				return i
			}
		}
		return i + 1
	}
	return skipValue(s, i)
}

func (f *folder) object(s string, i int) (end int) {
	var few [fewFolded]string
	names := few[:0]
	for i = separator(s, i+1); s[i] != '}'; i = separator(s, i) {
		nameEnd := skipString(s, i)
		names = append(names, unquote(s[i:nameEnd]))
		if i = f.value(s, separator(s, nameEnd)); f.found {
			return i
		}
	}
	f.a, f.b, f.found = foldedPair(names)
	return i + 1
}

// fewFolded is the number of names up to which all pairs are compared.
const fewFolded = 16

// foldedPair compares all pairs of few names, and by folded form of many.
func foldedPair(names []string) (a, b string, ok bool) {
	if len(names) <= fewFolded {
		for i, n := range names {
			for _, m := range names[:i] {
				if SameFolded(n, m) {
					return m, n, true
				}
			}
		}
		return "", "", false
	}
	seen := make(map[string]string, len(names))
	for _, n := range names {
		key := FoldKey(n)
		if m, dup := seen[key]; dup {
			return m, n, true
		}
		seen[key] = n
	}
	return "", "", false
}

// FoldKey is equal for exactly the names that SameFolded takes for each other.
func FoldKey(s string) string {
	return strings.Map(leastFold, untilNUL(s))
}

// leastFold is the smallest rune of the orbit that r folds with.
func leastFold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}
