package toolpolicy

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// glob is a path pattern: * stands for any characters but "/", ? for one such
// character, and ** as a whole segment for any number of segments, none
// included. Everything else stands for itself.
type glob struct {
	text     string
	segments []string // folded where fold is set
	fold     bool     // case does not count
	expanded []string // the segments by full case folding; set where fold is
}

// compileGlob refuses what other globs give a meaning to and this one does
// not, rather than take it for itself.
func compileGlob(text string) (g glob, why string) {
	if i := strings.IndexAny(text, `[]{}\`); i >= 0 || strings.HasPrefix(text, "!") {
		i = max(i, 0)
		return glob{}, "only *, ** and ? have a meaning, and " + text[i:i+1] + " is refused because other globs give it one"
	}
	g = glob{text: text, segments: strings.Split(text, "/")}
	for i, s := range g.segments {
		switch {
		case s == "**" && i > 0 && g.segments[i-1] == "**":
			return glob{}, "** follows **"
		case s != "**" && strings.Contains(s, "**"):
			return glob{}, "** must stand alone between slashes"
		case s == "" && i > 0 && i < len(g.segments)-1, s == ".", s == "..":
			return glob{}, "it has an empty or dot segment, which no plain path has"
		}
	}
	return g, ""
}

// folded is the same glob, to which case does not count.
func (g glob) folded() glob {
	folded := glob{text: g.text, fold: true}
	for _, s := range g.segments {
		folded.segments = append(folded.segments, strings.Map(foldRune, s))
		folded.expanded = append(folded.expanded, strings.Map(foldRune, foldFully(s)))
	}
	return folded
}

// foldFully is s by full case folding (Unicode 3.13, D145), which takes one
// character for several: to APFS and to ext4 with casefold ".\u00dfh" is ".ssh".
func foldFully(s string) string {
	if isASCII(s) {
		return s
	}
	return norm.NFC.String(cases.Fold().String(norm.NFD.String(s)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// match reports whether the glob stands for the whole of s.
func (g glob) match(s string) bool { return g.matchSegments(s, false) }

// matchAbove reports whether the glob stands for s or for a directory above it.
func (g glob) matchAbove(s string) bool { return g.matchSegments(s, true) }

// matchSegments matches the glob's segments against those of s. With above, it is
// enough that the patterns end where a segment of s ends. Of several ** only
// the last is tried again, so the time is bounded by the product of lengths.
func (g glob) matchSegments(s string, above bool) bool {
	patterns := g.segments
	i, more := 0, true
	again, star := "", -1
	for more {
		if above && i == len(patterns) {
			return true
		}
		if i < len(patterns) && patterns[i] == "**" {
			if i == len(patterns)-1 {
				return true
			}
			star, again = i, s
			i++
			continue
		}
		segment, tail, rest := strings.Cut(s, "/")
		if i < len(patterns) && g.matchOne(i, segment) {
			i, s, more = i+1, tail, rest
			continue
		}
		if star < 0 {
			return false
		}
		if _, again, more = strings.Cut(again, "/"); more {
			i, s = star+1, again
			continue
		}
		return false
	}
	for i < len(patterns) && patterns[i] == "**" {
		i++
	}
	return i == len(patterns)
}

// matchOne matches one segment of s by the i-th of the glob: as written and,
// where case does not count, by what both expand to.
func (g glob) matchOne(i int, s string) bool {
	if matchSegment(g.segments[i], s, g.fold) {
		return true
	}
	return g.fold && (g.segments[i] != g.expanded[i] || !isASCII(s)) && matchSegment(g.expanded[i], foldFully(s), true)
}

// matchSegment matches * and ? within one segment, in at most
// len(pattern) * len(s) steps: only the last star is tried again.
func matchSegment(pattern, s string, fold bool) bool {
	star, again := -1, 0
	i, j := 0, 0
	for j < len(s) {
		r, n := utf8.DecodeRuneInString(s[j:])
		if i < len(pattern) {
			want, m := utf8.DecodeRuneInString(pattern[i:])
			if want == '*' {
				star, again = i, j
				i++
				continue
			}
			if want == '?' || want == r || fold && want == foldRune(r) {
				i, j = i+m, j+n
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, n = utf8.DecodeRuneInString(s[again:])
		again += n
		i, j = star+1, again
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}

// foldRune is one of the characters that differ from r only by case, the same
// for all of them (Unicode simple folding, which takes U+017F for s and U+212A
// for k as file systems may).
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		return least + ('a' - 'A')
	}
	return least
}
