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
// together. It returns the two names; ok is false when there are none.
func (j JSON) Folded() (a, b string, ok bool) {
	switch j.Type() {
	case ArrayType:
		for e := j.Elements(); e.Next(); {
			if a, b, ok = e.Value().Folded(); ok {
				return a, b, true
			}
		}
	case ObjectType:
		var few [8]string
		names := few[:0]
		for m := j.Members(); m.Next(); {
			names = append(names, m.Name())
			if a, b, ok = m.Value().Folded(); ok {
				return a, b, true
			}
		}
		return foldedPair(names)
	}
	return "", "", false
}

// foldedPair compares all pairs of few names, and by lower-cased form of many.
func foldedPair(names []string) (a, b string, ok bool) {
	if len(names) <= 16 {
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
		key := foldKey(n)
		if m, dup := seen[key]; dup {
			return m, n, true
		}
		seen[key] = n
	}
	return "", "", false
}

// foldKey is equal for exactly the names that SameFolded takes for each other.
func foldKey(s string) string {
	return strings.Map(simpleFold, untilNUL(s))
}

// simpleFold is the smallest rune of the orbit that r folds with.
func simpleFold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}
