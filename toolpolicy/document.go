package toolpolicy

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// maxText is the longest file that is read, in bytes.
const maxText = 1 << 20

// maxNesting is the deepest nesting of a file: rules need six levels.
const maxNesting = 32

// document is one YAML text under the rules that every file of this package
// shares: one document, no key twice, no anchors, aliases, merge keys or tags,
// and no plain scalar that two YAML readers could take for different things.
// All mistakes go into one list, so that a reader sees them together.
type document struct {
	name     string
	lines    []string
	root     *yaml.Node // nil when the text could not be read at all
	mistakes Mistakes
}

func parseDocument(name string, text []byte) *document {
	d := &document{name: name}
	switch {
	case len(text) > maxText:
		d.failAt(0, 0, "split it into several files", "the file has %d bytes, at most %d are read", len(text), maxText)
		return d
	case !utf8.Valid(text):
		line, col := firstInvalid(text)
		d.lines = strings.Split(strings.ToValidUTF8(string(text), "\uFFFD"), "\n")
		d.failAt(line, col, "save the file as UTF-8", "the text is not UTF-8")
		return d
	}
	d.lines = strings.Split(strings.TrimPrefix(string(text), "\uFEFF"), "\n")
	var documents []yaml.Node
	if err := yaml.Load(text, &documents, yaml.WithAllDocuments()); err != nil {
		d.failSyntax(err)
		return d
	}
	if len(documents) == 0 {
		d.failAt(0, 0, "", "the file is empty")
		return d
	}
	if len(documents) > 1 {
		d.fail(&documents[1], "use one file for each", "a second document begins here")
	}
	d.root = documents[0].Content[0]
	d.checkShape(d.root, 0)
	return d
}

// firstInvalid is the place of the first byte that is not UTF-8.
func firstInvalid(text []byte) (line, col int) {
	line, col = 1, 1
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			break
		}
		if col++; r == '\n' {
			line, col = line+1, 1
		}
		text = text[n:]
	}
	return line, col
}

func (d *document) failSyntax(err error) {
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		d.failAt(0, 0, "", "the text is no YAML: %v", err)
		return
	}
	where := ""
	if at.ContextMsg != "" && at.ContextMark.Line > 0 && at.ContextMark != at.Mark {
		where = fmt.Sprintf(" %s that begins in line %d, column %d", at.ContextMsg, at.ContextMark.Line, at.ContextMark.Column)
	}
	hint := ""
	switch {
	case d.tabIndents(at.Mark.Line):
		hint = "spaces where the line begins: YAML takes no tabs there"
	case d.starAt(at.Mark.Line, at.Mark.Column):
		hint = "the text in quotes: to YAML a * that begins it is an alias"
	}
	d.failAt(at.Mark.Line, at.Mark.Column, hint, "the text is no YAML: %s%s", at.Message, where)
}

// starAt reports whether a * stands at a line and column, each counted from 1.
func (d *document) starAt(line, column int) bool {
	if line < 1 || line > len(d.lines) {
		return false
	}
	text := []rune(d.lines[line-1])
	return column >= 1 && column <= len(text) && text[column-1] == '*'
}

// tabIndents reports whether a line, counted from 1, is indented by a tab.
func (d *document) tabIndents(line int) bool {
	if line < 1 || line > len(d.lines) {
		return false
	}
	text := d.lines[line-1]
	return strings.Contains(text[:len(text)-len(strings.TrimLeft(text, " \t"))], "\t")
}

// fail notes a mistake at a node. The hint may be empty.
func (d *document) fail(n *yaml.Node, hint, format string, args ...any) {
	d.failAt(n.Line, n.Column, hint, format, args...)
}

func (d *document) failAt(line, col int, hint, format string, args ...any) {
	source := ""
	if line > 0 && line <= len(d.lines) {
		source = strings.TrimSuffix(d.lines[line-1], "\r")
	}
	d.mistakes = append(d.mistakes, Mistake{
		File: d.name, Line: line, Col: col,
		Message: fmt.Sprintf(format, args...), Hint: hint, Source: source,
	})
}

// checkShape notes what no node of a file may be.
func (d *document) checkShape(n *yaml.Node, depth int) {
	switch {
	case depth > maxNesting:
		d.fail(n, "", "nested more than %d levels deep", maxNesting)
		return
	case n.Kind == yaml.AliasNode:
		d.fail(n, "write the value out", "aliases are not supported: a rule must be readable where it stands")
		return
	case n.Anchor != "":
		d.fail(n, "write the value out where it is needed", "anchors are not supported: a rule must be readable where it stands")
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(n, "quote the value to make it a text", "tags like !!str are not supported")
	}
	if n.Kind == yaml.MappingNode {
		d.checkKeys(n)
	}
	for _, child := range n.Content {
		d.checkShape(child, depth+1)
	}
}

func (d *document) checkKeys(n *yaml.Node) {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.fail(key, "", "a key must be a text")
			continue
		case key.Tag == "!!merge":
			d.fail(key, "write the keys out", "merge keys are not supported: a rule must be readable where it stands")
			continue
		case scalarKind(key) != textScalar:
			d.fail(key, `"`+key.Value+`"`, "the key %s could be read as something other than text: quote it", key.Value)
		}
		if first, dup := seen[key.Value]; dup {
			d.fail(key, "", "the key %q stands here twice, first in line %d", key.Value, first)
			continue
		}
		seen[key.Value] = key.Line
	}
}

// scalar says what a scalar means.
type scalar uint8

const (
	ambiguousScalar scalar = iota // readers of YAML disagree about it
	emptyScalar                   // nothing is written
	textScalar
	numberScalar // exactly the numbers of JSON
	booleanScalar
	nullScalar
)

// yamlWords are texts that YAML 1.1 reads as booleans, null or numbers.
var yamlWords = regexp.MustCompile(`^(?i:yes|no|on|off|true|false|null|~|[-+]?\.inf|\.nan)$`)

// nearNumbers look like numbers to some reader: octal, hexadecimal, with
// underscores, base 60, with a leading point or sign.
var nearNumbers = regexp.MustCompile(`^[-+]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)$`)

func scalarKind(n *yaml.Node) scalar {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	switch {
	case n.Style&quoted != 0:
		return textScalar
	case n.Value == "":
		return emptyScalar
	case n.Value == "true" || n.Value == "false":
		return booleanScalar
	case n.Value == "null":
		return nullScalar
	}
	if _, err := toolcall.ParseNumber(n.Value); err == nil {
		return numberScalar
	}
	if n.Tag != "!!str" || yamlWords.MatchString(n.Value) || nearNumbers.MatchString(n.Value) {
		return ambiguousScalar
	}
	return textScalar
}

// exampleOf is how a mapping is written of which something else is often put, or "".
func exampleOf(what string) string {
	switch what {
	case "roles":
		return "{support: {groups: [support], allow: [...]}}"
	case "args":
		return "{amount: {max: 500}}"
	case "url":
		return "{hosts: [api.example.com]}"
	case "shell", "argv":
		return "{programs: [ls]}"
	case "redactions":
		return `{pii: {paths: ["**.ssn"]}}`
	}
	return ""
}

// members walks a mapping in its order; what is said of n when it is none.
// A key that stands twice is seen once.
func (d *document) members(n *yaml.Node, what string) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(*yaml.Node, *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			if n.Kind != yaml.AliasNode { // noted already
				d.fail(n, exampleOf(what), "%s must be a mapping of keys to values", what)
			}
			return
		}
		seen := make(map[string]bool, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || seen[key.Value] {
				continue
			}
			seen[key.Value] = true
			if !yield(key, n.Content[i+1]) {
				return
			}
		}
	}
}

// mappingValue is the value of a key of a mapping.
func mappingValue(n *yaml.Node, key string) (*yaml.Node, bool) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1], true
		}
	}
	return nil, false
}

// elements are the items of a list that is not empty; otherwise a mistake is
// noted and there are none.
func (d *document) elements(n *yaml.Node, what string) []*yaml.Node {
	switch {
	case n.Kind == yaml.AliasNode:
		return nil
	case n.Kind != yaml.SequenceNode:
		d.fail(n, "[...]", "%s must be a list", what)
		return nil
	case len(n.Content) == 0:
		d.fail(n, "leave the key out, or fill the list", "%s is empty", what)
	}
	return n.Content
}

// text is a string that is not empty; ok is false after a mistake.
func (d *document) text(n *yaml.Node, what string) (s string, ok bool) {
	switch {
	case n.Kind == yaml.AliasNode:
		return "", false
	case n.Kind != yaml.ScalarNode:
		d.fail(n, "", "%s must be a text", what)
		return "", false
	}
	switch scalarKind(n) {
	case textScalar:
		if n.Value == "" {
			d.fail(n, "", "%s is empty", what)
		}
		return n.Value, n.Value != ""
	case emptyScalar:
		d.fail(n, "", "%s is missing", what)
	default:
		d.fail(n, `"`+n.Value+`"`, "%s must be a text, and %s could be read as something else: quote it", what, n.Value)
	}
	return "", false
}

// texts is a list of strings without repetition.
func (d *document) texts(n *yaml.Node, what string) []string {
	var out []string
	seen := map[string]bool{}
	for _, e := range d.elements(n, what) {
		s, ok := d.text(e, "an entry of "+what)
		if !ok {
			continue
		}
		if seen[s] {
			d.fail(e, "", "%q stands twice in %s", s, what)
			continue
		}
		seen[s] = true
		out = append(out, s)
	}
	return out
}

// flag is true or false, and nothing that only looks like it.
func (d *document) flag(n *yaml.Node, what string) (value, ok bool) {
	if n.Kind == yaml.ScalarNode && scalarKind(n) == booleanScalar {
		return n.Value == "true", true
	}
	d.fail(n, "true or false", "%s must be true or false", what)
	return false, false
}

// value is any YAML value as JSON; ok is false after a mistake.
func (d *document) value(n *yaml.Node, what string) (toolcall.JSON, bool) {
	before := len(d.mistakes)
	text := d.appendJSON(nil, n, what)
	if len(d.mistakes) > before || n.Kind == yaml.AliasNode {
		return toolcall.JSON{}, false
	}
	j, err := toolcall.Parse(string(text), toolcall.Limits{Bytes: len(text), Depth: maxNesting})
	if err != nil {
		d.fail(n, "", "%s is no JSON value: %v", what, err)
		return toolcall.JSON{}, false
	}
	return j, true
}

func (d *document) appendJSON(dst []byte, n *yaml.Node, what string) []byte {
	switch n.Kind {
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, e := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = d.appendJSON(dst, e, what)
		}
		return append(dst, ']')
	case yaml.MappingNode:
		dst = append(dst, '{')
		for key, value := range d.members(n, what) {
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(toolcall.AppendQuoted(dst, key.Value), ':')
			dst = d.appendJSON(dst, value, what)
		}
		return append(dst, '}')
	}
	switch scalarKind(n) {
	case textScalar:
		return toolcall.AppendQuoted(dst, n.Value)
	case numberScalar, booleanScalar, nullScalar:
		return append(dst, n.Value...)
	case emptyScalar:
		d.fail(n, `null, or ""`, "%s is missing", what)
	case ambiguousScalar:
		if n.Kind != yaml.AliasNode {
			d.fail(n, `"`+n.Value+`" for the text, or a number as JSON writes it`,
				"%s: readers of YAML disagree about %s", what, n.Value)
		}
	}
	return append(dst, "null"...)
}

// unknown notes a key that is not known here.
func (d *document) unknown(key *yaml.Node, what string, known ...string) {
	if isLaterKey(key.Value) {
		d.fail(key, "", "%q is not supported by this version; it is refused rather than ignored", key.Value)
		return
	}
	hint := nearest(key.Value, known)
	if ours := otherwiseCalled(key.Value); slices.Contains(known, ours) {
		hint = ours
	}
	if hint == "" {
		hint = strings.Join(known, ", ")
	}
	d.fail(key, hint, "%s has no key %q", what, key.Value)
}

// otherwiseCalled is the key for what JSON Schema and other languages call by another
// name, or "".
func otherwiseCalled(key string) string {
	switch strings.ToLower(key) {
	case "gt", "exclusiveminimum":
		return "above"
	case "gte", "ge", "minimum":
		return "min"
	case "lt", "exclusivemaximum":
		return "below"
	case "lte", "le", "maximum":
		return "max"
	case "eq", "const", "value", "is":
		return "equals"
	case "enum", "one_of", "oneof":
		return "in"
	case "ne", "neq", "not_equals":
		return "not_in"
	case "regex", "regexp", "pattern":
		return "matches"
	case "contains":
		return "search"
	case "starts_with", "startswith":
		return "prefix"
	case "length", "size", "maxlength", "minlength":
		return "len"
	case "exists", "required":
		return "present"
	case "reason", "message", "description":
		return "because"
	case "when", "condition":
		return "if"
	case "name":
		return "id"
	case "arguments", "params":
		return "args"
	case "users", "principals":
		return "subjects"
	}
	return ""
}

// isLaterKey tells keys that belong to the language and are not built yet. They
// are never ignored: a limit that is not kept would be worse than none.
func isLaterKey(key string) bool {
	switch key {
	case "detect", "grants", "quorum", "confirm", "pins":
		return true
	}
	return false
}
