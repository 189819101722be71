package toolpolicy

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"mcpguard/toolcall"
)

// pathScope is where paths may lie, and how a value is read as one: an absolute
// path, and only where the rule says so a relative path or a file URL. Paths
// are those of POSIX. Where symbolic links lead is the upstream's business.
type pathScope struct {
	roots []string
	from  string // where relative paths begin; empty when they are unknown
	urls  bool   // file URLs (RFC 8089) are paths too
}

// read is the plain absolute path that a value holds, without a final slash.
func (p *pathScope) read(v toolcall.JSON) (string, outcome) {
	s, ok := v.Str()
	if !ok {
		return "", notText
	}
	switch {
	case strings.HasPrefix(s, "/"):
		s = trimSlash(s)
	case p.urls && strings.HasPrefix(s, "file:"):
		if s, ok = fileURLPath(s); !ok {
			return "", notPlainFileURL
		}
		s = trimSlash(s)
	case p.from == "":
		return "", notPlainPath
	case s == ".":
		return p.from, holds
	default:
		if s = trimSlash(s); !plainRelative(s) {
			return "", notPlainRelative
		}
		return strings.TrimSuffix(p.from, "/") + "/" + s, holds
	}
	if !plainPath(s) {
		return "", notPlainPath
	}
	return s, holds
}

// trimSlash takes one slash from the end, which only says that a directory is
// meant.
func trimSlash(s string) string {
	if s == "/" {
		return s
	}
	return strings.TrimSuffix(s, "/")
}

// words are the scope as a policy writes it.
func (p *pathScope) words() string {
	s := strings.Join(p.roots, " or ")
	if p.from != "" {
		s += ", relative to " + p.from
	}
	if p.urls {
		s += ", file URLs too"
	}
	return s
}

// under: the value is a path at or below one of the roots. Paths compare by
// whole segments, and case counts.
type under struct{ pathScope }

func (m *under) judge(v toolcall.JSON) outcome {
	s, how := m.read(v)
	if how != holds {
		return how
	}
	return outcomeOf(slices.ContainsFunc(m.roots, func(root string) bool {
		_, below := relativeTo(root, s)
		return below
	}))
}

func (m *under) words() words {
	where := m.pathScope.words()
	return words{"under " + where, "outside", "is not under " + where}
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
	pathScope
	globs []glob // folded
	text  string
}

func (m *notGlob) judge(v toolcall.JSON) outcome {
	s, how := m.read(v)
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

// plainPath reports whether s is an absolute path with one spelling only:
// no empty, "." or ".." segment, none that ends in a dot or a space, no
// control, invisible or unassigned character, no "%" and no backslash, nothing
// that Unicode normalisation changes, and no drive in front.
func plainPath(s string) bool {
	if !strings.HasPrefix(s, "/") {
		return false
	}
	return s == "/" || !beginsWithDrive(s[1:]) && plainNames(s[1:])
}

// plainRelative reports whether s is a relative path with one reading only. A
// first segment with a colon may be a scheme or a drive, one that begins with
// "~" is a home to some, one that begins with "-" an option, and a space in
// front is trimmed by many.
func plainRelative(s string) bool {
	first, _, _ := strings.Cut(s, "/")
	return first != "" && strings.IndexByte("~- ", first[0]) < 0 && !strings.Contains(first, ":") && plainNames(s)
}

// beginsWithDrive tells C: and C:/x, and nothing like C:x, which is a name.
func beginsWithDrive(s string) bool {
	first, _, _ := strings.Cut(s, "/")
	return len(first) == 2 && first[1] == ':' && ('a' <= first[0]|0x20 && first[0]|0x20 <= 'z')
}

func plainNames(s string) bool {
	if len(s) > maxPath {
		return false
	}
	for rest, more := s, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if !plainSegment(segment) {
			return false
		}
	}
	return true
}

// maxPath is the longest path that is read, in bytes: systems take some 4 KiB, and
// to look for second spellings costs time.
const maxPath = 64 << 10

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
		if r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.IsSpace(r) ||
			unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return false
		}
	}
	// NFKC changes what has a second spelling (NFC does) and compatibility
	// characters, like the fullwidth full stop.
	return plain || norm.NFKC.IsNormalString(s)
}

// fileURLPath is the path of a file URL in its one spelling: "file:///", no
// host, query or fragment, and percent-encoding of exactly the bytes that need
// it, in capitals.
func fileURLPath(s string) (string, bool) {
	path, found := strings.CutPrefix(s, "file://")
	if !found || !plainURI(s, false) || strings.Contains(s, "?") {
		return "", false
	}
	if !strings.Contains(path, "%") {
		return path, true
	}
	decoded := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			c = hexByte(path[i+1], path[i+2])
			i += 2
		}
		decoded = append(decoded, c)
	}
	return string(decoded), true
}
