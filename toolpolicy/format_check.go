package toolpolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// comment is one comment of a file.
type comment struct {
	line, column int    // 1-based, in characters
	text         string // from the # on, without white space at its end
	trails       bool   // something stands before it in its line
}

// comments finds the comments of a document that YAML could read. A # begins one
// where white space or nothing stands before it, outside of quotes and of texts
// in lines of their own (YAML 1.2.2, section 6.6).
func (d *document) comments() []comment {
	skipLines := map[int]bool{}
	quotes := map[[2]int]rune{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		switch {
		case n.Kind != yaml.ScalarNode:
		case n.Style&yaml.DoubleQuotedStyle != 0:
			quotes[[2]int{n.Line, n.Column}] = '"'
		case n.Style&yaml.SingleQuotedStyle != 0:
			quotes[[2]int{n.Line, n.Column}] = '\''
		case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
			from, to, _ := d.textLines(n)
			for i := from; i < to; i++ {
				skipLines[i] = true
			}
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	walk(d.root)
	var out []comment
	var quote rune
	for i, line := range d.lines {
		if skipLines[i] {
			continue
		}
		text := []rune(line)
		for at := 0; at < len(text); at++ {
			r := text[at]
			switch {
			case quote == '"' && r == '\\':
				at++
			case quote == '\'' && r == quote && at+1 < len(text) && text[at+1] == quote:
				at++
			case quote != 0:
				if r == quote {
					quote = 0
				}
			case quotes[[2]int{i + 1, at + 1}] != 0:
				quote = r
			case r == '#' && (at == 0 || text[at-1] == ' ' || text[at-1] == '\t'):
				before := strings.TrimSpace(string(text[:at]))
				out = append(out, comment{i + 1, at + 1, strings.TrimRight(string(text[at:]), " \t\r"), before != ""})
				at = len(text)
			}
		}
	}
	return out
}

// sameAs reports what another layout of the same document changed: nothing that
// the compiler reads, and no comment.
func (l *layout) sameAs(other *layout) error {
	if err := sameNodes(l.root, other.root); err != nil {
		return err
	}
	text := func(c comment) string { return c.text }
	if !slices.EqualFunc(l.comments, other.comments, func(a, b comment) bool { return text(a) == text(b) }) {
		return errUnstable
	}
	return nil
}

var errChanged = errors.New("the result would mean something else")

func sameNodes(a, b *yaml.Node) error {
	same := a.Kind == b.Kind && a.Value == b.Value && len(a.Content) == len(b.Content)
	if same && a.Kind == yaml.ScalarNode {
		same = scalarKind(a) == scalarKind(b)
	}
	if !same {
		return fmt.Errorf("line %d: %w", a.Line, errChanged)
	}
	for i := range a.Content {
		if err := sameNodes(a.Content[i], b.Content[i]); err != nil {
			return err
		}
	}
	return nil
}
