package toolpolicy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// formatWidth is how long a line may be before what stands in braces or brackets
// is written one entry to a line, in characters.
const formatWidth = 120

// Format lays a policy, or a test file, out in the one canonical way: two spaces
// a level, one space around what is in braces, comments of neighbouring lines in
// one column, at most one empty line. Order, comments, quotes and the choice between braces
// and lines are the writer's; only braces that hold a comment or do not fit on a
// line are opened. Formatting what was formatted changes nothing.
//
// A text that breaks the rules which all files share is refused with its
// Mistakes; mistakes of the language are none here. The result is read again and compared: should a
// value or a comment be another, the error says so and there is no result.
func Format(name string, text []byte) ([]byte, error) {
	before, err := readLayout(name, text)
	if err != nil {
		return nil, err
	}
	out := before.format()
	after, err := readLayout(name, out)
	if err != nil {
		return nil, fmt.Errorf("format %s: the result cannot be read: %w", name, err)
	}
	if err := before.sameAs(after); err != nil {
		return nil, fmt.Errorf("format %s: %w", name, err)
	}
	if again := after.format(); string(again) != string(out) {
		return nil, fmt.Errorf("format %s: %w", name, errUnstable)
	}
	return out, nil
}

var errUnstable = errors.New("the layout of its comments cannot be kept: move those inside braces to lines of their own")

func readLayout(name string, text []byte) (*layout, error) {
	d := parseDocument(name, text)
	if len(d.mistakes) > 0 {
		return nil, d.mistakes.sorted([]string{name})
	}
	return &layout{document: d, comments: d.comments()}, nil
}

// layout writes a document anew. Comments go where the text before them goes.
type layout struct {
	*document
	comments []comment // in the order of the text
	told     int       // of the comments
	out      []printed
	levels   []level // of what was written last, the outermost first
}

// printed is one line of the result.
type printed struct {
	text    string
	comment string // behind the text
	source  int    // the line of the source where it ended; 0 of a comment
	raw     bool   // inside a block of text: never touched
}

// level is where a mapping or a list stands, in the source and in the result.
type level struct{ column, indent int }

// lead is what stands in a line before a node: the indentation, and the dashes of
// lists that begin there, which are levels of their own.
type lead struct {
	text  string
	lists []level
}

func (in lead) width() int { return utf8.RuneCountInString(in.text) }

// again is the lead of what follows in the same mapping or list.
func (in lead) again() lead { return lead{text: strings.Repeat(" ", in.width())} }

func (l *layout) format() []byte {
	l.block(l.root, lead{})
	l.flush(&yaml.Node{Line: len(l.lines) + 1, Column: 1}, []level{{1, 0}})
	return l.assemble()
}

// flush writes the comments that stand before a node, each at the level that is
// nearest to where it stood: one of the node's own, or of what came before.
func (l *layout) flush(n *yaml.Node, own []level) {
	levels := append(slices.Clone(l.levels), own...)
	for ; l.told < len(l.comments); l.told++ {
		c := l.comments[l.told]
		if c.line > n.Line || c.line == n.Line && c.column >= n.Column {
			return
		}
		if last := len(l.out) - 1; c.trails && last >= 0 && l.out[last].comment == "" && !l.out[last].raw && l.out[last].source == c.line {
			l.out[last].comment = c.text
			continue
		}
		at := level{0, own[len(own)-1].indent}
		for _, candidate := range levels {
			if candidate.column <= c.column && candidate.column >= at.column {
				at = candidate
			}
		}
		l.gap(c.line)
		l.out = append(l.out, printed{text: strings.Repeat(" ", at.indent) + c.text})
	}
}

// gap keeps one empty line before a line of the source that has some.
func (l *layout) gap(line int) {
	if len(l.out) > 0 && line > 1 && strings.TrimSpace(l.lines[line-2]) == "" && l.out[len(l.out)-1].text != "" {
		l.out = append(l.out, printed{})
	}
}

// line writes a line that begins with a node and ends with another.
func (l *layout) line(n, end *yaml.Node, in lead, text string) {
	own := append(slices.Clone(in.lists), level{n.Column, in.width()})
	l.flush(n, own)
	for len(l.levels) > 0 && l.levels[len(l.levels)-1].indent >= own[0].indent {
		l.levels = l.levels[:len(l.levels)-1]
	}
	l.levels = append(l.levels, own...)
	if l.startsLine(n) {
		l.gap(n.Line)
	}
	l.out = append(l.out, printed{text: in.text + text, source: last(end).Line})
}

// startsLine reports whether nothing but dashes stands before a node in its line.
func (l *layout) startsLine(n *yaml.Node) bool {
	line := []rune(l.lines[n.Line-1])
	return strings.Trim(string(line[:min(len(line), n.Column-1)]), " -") == ""
}

// block writes a node behind its lead.
func (l *layout) block(n *yaml.Node, in lead) {
	switch {
	case l.inline(n, in.width()):
		l.line(n, n, in, l.flow(n))
	case n.Kind == yaml.SequenceNode:
		for _, e := range n.Content {
			lists := append(slices.Clone(in.lists), level{n.Column, in.width()})
			l.block(e, lead{in.text + "- ", lists})
			in = in.again()
		}
	case n.Kind == yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			l.entry(n.Content[i], n.Content[i+1], in)
			in = in.again()
		}
	default: // a text in lines of its own
		l.line(n, n, in, l.header(n))
		l.lift(n, in.width()+2)
	}
}

// entry writes a key with its value.
func (l *layout) entry(key, value *yaml.Node, in lead) {
	text := l.flow(key) + ":"
	switch {
	case value.Kind == yaml.ScalarNode && scalarKind(value) == emptyScalar:
		l.line(key, key, in, text)
	case l.inline(value, in.width()+utf8.RuneCountInString(text)+1):
		l.line(key, value, in, text+" "+l.flow(value))
	case value.Kind == yaml.ScalarNode:
		l.line(key, value, in, text+" "+l.header(value))
		l.lift(value, in.width()+2)
	default:
		l.line(key, key, in, text)
		l.block(value, lead{text: strings.Repeat(" ", in.width()+2)})
	}
}

// inline reports whether a node is written in the line where it begins, at a
// column: scalars are, and what is in braces when it fits and holds no comment.
func (l *layout) inline(n *yaml.Node, column int) bool {
	if n.Kind == yaml.ScalarNode {
		return n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 || !l.liftable(n)
	}
	if len(n.Content) == 0 {
		return true
	}
	return n.Style&yaml.FlowStyle != 0 && !l.hasComment(n) && column+utf8.RuneCountInString(l.flow(n)) <= formatWidth
}

// hasComment reports whether a comment stands between the braces of a node. Its
// last entry is as near as the end of the braces is known; a comment behind it in
// the same line is behind the braces.
func (l *layout) hasComment(n *yaml.Node) bool {
	end := last(n)
	next, _ := slices.BinarySearchFunc(l.comments, n, func(c comment, n *yaml.Node) int {
		return cmp.Or(cmp.Compare(c.line, n.Line), cmp.Compare(c.column, n.Column))
	})
	if next == len(l.comments) {
		return false
	}
	c := l.comments[next]
	return c.line < end.Line || c.line == end.Line && c.column < end.Column
}

// last is the last scalar or empty collection in a node.
func last(n *yaml.Node) *yaml.Node {
	for len(n.Content) > 0 {
		n = n.Content[len(n.Content)-1]
	}
	return n
}

// flow is a node in one line.
func (l *layout) flow(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.SequenceNode:
		for _, e := range n.Content {
			parts = append(parts, l.flow(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			entry := l.flow(n.Content[i]) + ":"
			if value := l.flow(n.Content[i+1]); value != "" {
				entry += " " + value
			}
			parts = append(parts, entry)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	lines := strings.ContainsAny(n.Value, "\n\t\u0085\u2028\u2029\uFEFF")
	switch {
	case n.Style&yaml.SingleQuotedStyle != 0 && !lines:
		return "'" + strings.ReplaceAll(n.Value, "'", "''") + "'"
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 || lines:
		return yamlEscapes.Replace(string(toolcall.AppendQuoted(nil, n.Value)))
	}
	return n.Value
}

// yamlEscapes are characters that YAML reads as line breaks or not at all where
// JSON has them as they are.
var yamlEscapes = strings.NewReplacer("\u0085", `\u0085`, "\u2028", `\u2028`, "\u2029", `\u2029`, "\uFEFF", `\uFEFF`, "\u007F", `\u007F`)

// header is the line with which a text in lines of its own begins: | or > and how
// it ends.
func (l *layout) header(n *yaml.Node) string {
	rest := []rune(l.lines[n.Line-1])[n.Column-1:]
	end := slices.IndexFunc(rest, func(r rune) bool { return r != '|' && r != '>' && r != '-' && r != '+' })
	if end < 0 {
		end = len(rest)
	}
	return string(rest[:end])
}

// liftable reports whether the lines of a text can be moved as they are: one that
// says how far it is indented or keeps the empty lines behind it is written in quotes.
func (l *layout) liftable(n *yaml.Node) bool {
	from, to, indent := l.textLines(n)
	rest := strings.TrimRight(string([]rune(l.lines[n.Line-1])[n.Column-1:]), "\r")
	if strings.ContainsAny(rest, "0123456789+") || from == to || indent == 0 {
		return false
	}
	for _, line := range l.lines[from:to] {
		if strings.Contains(line, "\r") || strings.TrimSpace(line) == "" && len(line) > indent {
			return false
		}
	}
	return true
}

// textLines are the lines of a text in lines of its own, as indexes, and the
// indentation of the first.
func (d *document) textLines(n *yaml.Node) (from, to, indent int) {
	from = n.Line
	for to = from; to < len(d.lines); to++ {
		line := strings.TrimRight(d.lines[to], "\r")
		if strings.TrimLeft(line, " ") == "" {
			continue
		}
		deep := len(line) - len(strings.TrimLeft(line, " "))
		if indent == 0 {
			indent = deep
		}
		if deep < indent || indent == 0 {
			break
		}
	}
	for to > from && strings.TrimSpace(d.lines[to-1]) == "" {
		to-- // those behind the text are empty lines between entries
	}
	return from, to, indent
}

// lift writes the lines of a text at another indent.
func (l *layout) lift(n *yaml.Node, indent int) {
	from, to, old := l.textLines(n)
	for _, line := range l.lines[from:to] {
		moved := ""
		if len(line) > old {
			moved = strings.Repeat(" ", indent) + line[old:]
		}
		l.out = append(l.out, printed{text: moved, raw: true})
	}
}

// assemble joins the lines. Comments behind neighbouring lines stand in one
// column.
func (l *layout) assemble() []byte {
	var b strings.Builder
	for i := 0; i < len(l.out); i++ {
		width, end := 0, i
		for ; end < len(l.out) && l.out[end].comment != ""; end++ {
			width = max(width, utf8.RuneCountInString(l.out[end].text))
		}
		for ; i < end; i++ {
			text := l.out[i].text
			b.WriteString(text + strings.Repeat(" ", width-utf8.RuneCountInString(text)+2) + l.out[i].comment + "\n")
		}
		if i < len(l.out) {
			b.WriteString(l.out[i].text + "\n")
		}
	}
	return []byte(b.String())
}
