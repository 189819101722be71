package toolpolicy

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// placeIn is where a character of a scalar's value, counted from 0, stands in the
// file: line and column from 1. A value and the text it is written as differ by
// quotes, escapes, indentation and folded lines, so both are walked together.
// Where they part, it is the place of the scalar.
func (d *document) placeIn(n *yaml.Node, offset int) (line, col int) {
	r := sourceReader{lines: d.lines, line: n.Line - 1, col: n.Column - 1}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		r.line, r.col = r.line+1, 0
		r.skipBlank()
		r.indent = r.col
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		r.quote = '\''
		if n.Style&yaml.DoubleQuotedStyle != 0 {
			r.quote = '"'
		}
		r.col++
	}
	for _, want := range n.Value {
		if want == ' ' || want == '\n' || want == '\t' {
			if offset == 0 {
				break
			}
			offset--
			r.space(want)
			continue
		}
		r.skipBreaks()
		if offset == 0 {
			break
		}
		offset--
		if !r.read(want) {
			return n.Line, n.Column
		}
	}
	if r.line >= len(r.lines) {
		return n.Line, n.Column
	}
	return r.line + 1, r.col + 1
}

// sourceReader walks the lines of a file behind a scalar's value.
type sourceReader struct {
	lines     []string
	line, col int  // from 0; columns in characters
	quote     rune // of a quoted scalar
	indent    int  // of every line of a block scalar
}

// rest is what is left of the line.
func (r *sourceReader) rest() []rune {
	if r.line >= len(r.lines) {
		return nil
	}
	runes := []rune(strings.TrimSuffix(r.lines[r.line], "\r"))
	return runes[min(r.col, len(runes)):]
}

// next goes to where the value goes on behind the end of a line.
func (r *sourceReader) next() {
	r.line, r.col = r.line+1, 0
	r.skipBlank()
	if r.indent > 0 {
		r.col = min(r.col, r.indent)
	}
}

// skipBlank goes to the next character that is no white space.
func (r *sourceReader) skipBlank() {
	for r.line < len(r.lines) {
		for _, c := range r.rest() {
			if c != ' ' && c != '\t' {
				return
			}
			r.col++
		}
		r.line, r.col = r.line+1, 0
	}
}

// skipBreaks goes on to the next line at the end of one: breaks that folding, or
// a backslash before them, leaves out of the value.
func (r *sourceReader) skipBreaks() {
	if rest := r.rest(); len(rest) == 0 || r.quote == '"' && len(rest) == 1 && rest[0] == '\\' {
		r.next()
	}
}

// space goes over what a space or a line break of the value stands for.
func (r *sourceReader) space(want rune) {
	rest := r.rest()
	switch {
	case r.quote == '"' && len(rest) > 1 && rest[0] == '\\':
		r.read(want)
	case strings.TrimSpace(string(rest)) == "": // the line ends here
		r.next()
	case rest[0] == want:
		r.col++
	}
}

// read goes over one character of the value; false when it is not there.
func (r *sourceReader) read(want rune) bool {
	rest := r.rest()
	switch {
	case len(rest) == 0:
		return false
	case r.quote == '\'' && want == '\'':
		r.col += 2
		return rest[0] == '\''
	case r.quote == '"' && rest[0] == '\\':
		r.col += escapeLength(rest)
		return true
	}
	r.col++
	return rest[0] == want
}

// escapeLength is how many characters an escape of YAML has.
func escapeLength(s []rune) int {
	if len(s) < 2 {
		return 1
	}
	digits := map[rune]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
	if digits > 0 && len(s) >= 2+digits {
		if _, err := strconv.ParseUint(string(s[2:2+digits]), 16, 32); err == nil {
			return 2 + digits
		}
	}
	return 2
}
