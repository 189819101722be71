package toolpolicy

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"mcpguard/toolcall"
)

// pattern is matches (the whole text) or search (anywhere in it), in RE2.
type pattern struct {
	key     string
	text    string
	re      *regexp.Regexp
	longest int // bytes of a text that it is tried on
}

// maxPatternWork bounds what one text costs: RE2 takes up to the product of its
// length and the pattern's instructions, here some 0.3 s. Counted repetitions make
// many: [0-9A-Z]{20,200} is 200 of them.
const maxPatternWork = 1 << 24

// compilePattern refuses (?m): under it ^ and $ stand at every line, so that
// "safe\nrm -rf /" would pass ^safe$.
func compilePattern(key, text string) (m *pattern, why string) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err.Error()
	}
	if hasLineAnchor(tree) {
		return nil, "(?m) makes ^ and $ match at every line of the value, not at its ends"
	}
	wrapped := text
	if key == "matches" {
		wrapped = `\A(?:` + text + `)\z`
	}
	re, err := regexp.Compile(wrapped)
	if err != nil {
		return nil, err.Error()
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err.Error()
	}
	return &pattern{key, text, re, maxPatternWork / len(program.Inst)}, ""
}

func hasLineAnchor(re *syntax.Regexp) bool {
	if re.Op == syntax.OpBeginLine || re.Op == syntax.OpEndLine {
		return true
	}
	for _, sub := range re.Sub {
		if hasLineAnchor(sub) {
			return true
		}
	}
	return false
}

func (m *pattern) judge(v toolcall.JSON) outcome {
	s, ok := v.Str()
	if !ok {
		return notText
	}
	if len(s) > m.longest {
		return tooLaborious
	}
	return outcomeOf(m.re.MatchString(s))
}

func (m *pattern) words() words {
	want := m.key + " " + m.text
	if m.key == "matches" {
		return words{want, "no match", "does not match " + m.text}
	}
	return words{want, "not found", "holds nothing that matches " + m.text}
}

// prefix is a text that begins with exactly these characters.
type prefix struct{ text string }

func (m *prefix) judge(v toolcall.JSON) outcome {
	s, ok := v.Str()
	if !ok {
		return notText
	}
	return outcomeOf(strings.HasPrefix(s, m.text))
}

func (m *prefix) words() words {
	return words{"prefix " + m.text, "with another beginning", "does not begin with " + m.text}
}

// textGlob is a glob over the whole text. What a path reader would fold away
// or take for a separator is unknown, so that docs/** does not stand for
// docs/../etc.
type textGlob struct{ glob glob }

func (m *textGlob) judge(v toolcall.JSON) outcome {
	s, ok := v.Str()
	if !ok {
		return notText
	}
	if !plainText(s) {
		return notPlainText
	}
	return outcomeOf(m.glob.match(s))
}

func (m *textGlob) words() words {
	return words{"glob " + m.glob.text, "no match", "does not match the glob " + m.glob.text}
}

// plainText reports whether s has no dot segments (encoded ones neither), no
// backslashes and no control characters.
func plainText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20 || c == 0x7F || c == '\\':
			return false
		case c == '%' && i+2 < len(s) && encodesPathByte(s[i+1], s[i+2]):
			return false
		}
	}
	for rest, more := s, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// encodesPathByte reports whether %XY is a dot, a slash, a backslash, a
// percent sign or a control character.
func encodesPathByte(x, y byte) bool {
	switch x {
	case '0', '1':
		return true
	case '2':
		return y == 'e' || y == 'E' || y == 'f' || y == 'F' || y == '5'
	case '5':
		return y == 'c' || y == 'C'
	}
	return false
}
