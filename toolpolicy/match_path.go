package toolpolicy

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"mcpguard/toolcall"
)

// under: the value is a plain absolute path at or below one of the roots.
// Paths compare by whole segments, and case counts. Where symbolic links lead
// is the upstream's business.
type under struct{ roots []string }

func (m *under) judge(v toolcall.JSON) outcome {
	s, how := readPath(v)
	if how != holds {
		return how
	}
	return outcomeOf(slices.ContainsFunc(m.roots, func(root string) bool {
		_, below := relativeTo(root, s)
		return below
	}))
}

func (m *under) words() words {
	roots := strings.Join(m.roots, " or ")
	return words{"under " + roots, "outside", "is not under " + roots}
}

// relativeTo is what of a plain path stands below a root; "" is the root itself.
func relativeTo(root, path string) (rest string, below bool) {
	if root == "/" {
		return strings.TrimPrefix(path, "/"), true
	}
	rest, below = strings.CutPrefix(path, root)
	if !below || rest == "" {
		return "", below
	}
	return strings.CutPrefix(rest, "/")
}

// notGlob keeps paths out. A glob that begins with "/" is for the whole path;
// any other is for what stands below the root. It covers everything below what
// it stands for, and case does not count: what is refused must not come back
// in capitals on a file system that ignores them.
type notGlob struct {
	roots []string
	globs []glob // folded
	text  string
}

func (m *notGlob) judge(v toolcall.JSON) outcome {
	s, how := readPath(v)
	if how != holds {
		return how
	}
	for _, g := range m.globs {
		if strings.HasPrefix(g.text, "/") {
			if g.matchAbove(s) {
				return fails
			}
			continue
		}
		for _, root := range m.roots {
			if rest, below := relativeTo(root, s); below && rest != "" && g.matchAbove(rest) {
				return fails
			}
		}
	}
	return holds
}

func (m *notGlob) words() words {
	return words{"not_glob " + m.text, "kept out", "is kept out by not_glob " + m.text}
}

// readPath is the plain path that a value holds, without a final slash.
func readPath(v toolcall.JSON) (string, outcome) {
	s, ok := v.Str()
	if !ok {
		return "", notText
	}
	if s != "/" {
		s = strings.TrimSuffix(s, "/")
	}
	if !plainPath(s) {
		return "", notPlainPath
	}
	return s, holds
}

// plainPath reports whether s is an absolute path with one spelling only:
// no empty, "." or ".." segment, none that ends in a dot or a space, no
// control, invisible or unassigned character, no "%" and no backslash, nothing
// that Unicode normalisation changes.
func plainPath(s string) bool {
	if !strings.HasPrefix(s, "/") {
		return false
	}
	if s == "/" {
		return true
	}
	for rest, more := s[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if !plainSegment(segment) {
			return false
		}
	}
	return true
}

func plainSegment(s string) bool {
	if s == "" {
		return false
	}
	if last := s[len(s)-1]; last == '.' || last == ' ' {
		return false // also "." and ".."; some file systems drop them
	}
	plain := true
	for _, r := range s {
		if r < utf8.RuneSelf {
			if r < 0x20 || r == 0x7F || r == '%' || r == '\\' {
				return false
			}
			continue
		}
		plain = false
		if r == utf8.RuneError || !unicode.IsGraphic(r) ||
			unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return false
		}
	}
	// NFKC changes what has a second spelling (NFC does) and compatibility
	// characters, like the fullwidth full stop.
	return plain || norm.NFKC.IsNormalString(s)
}
