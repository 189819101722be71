package toolpolicy

import "strings"

// wild is a pattern in which * stands for any text, the empty one and "/"
// included. Everything else stands for itself, and case counts.
type wild struct {
	text  string
	parts []string // what stands between the stars; one part when there is none
}

func compileWild(text string) wild {
	for strings.Contains(text, "**") {
		text = strings.ReplaceAll(text, "**", "*") // two stars say no more than one
	}
	return wild{text: text, parts: strings.Split(text, "*")}
}

// literal reports whether the pattern has no star.
func (w wild) literal() bool { return len(w.parts) == 1 }

// everything reports whether the pattern matches every text.
func (w wild) everything() bool { return w.text == "*" }

// match reports whether the pattern stands for s. It takes time linear in s
// for each star, and never backtracks.
func (w wild) match(s string) bool {
	if w.literal() {
		return s == w.text
	}
	first, last := w.parts[0], w.parts[len(w.parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range w.parts[1 : len(w.parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// canBegin reports whether the pattern stands for some text that begins with
// prefix.
func (w wild) canBegin(prefix string) bool {
	first := w.parts[0]
	if len(prefix) <= len(first) {
		return strings.HasPrefix(first, prefix)
	}
	return !w.literal() && strings.HasPrefix(prefix, first)
}

// coversAll reports whether the pattern stands for every text that begins with
// prefix.
func (w wild) coversAll(prefix string) bool {
	return !w.literal() && w.parts[len(w.parts)-1] == "" && w.match(prefix)
}
