package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v4"

	"mcpguard/identity"
	"mcpguard/toolpolicy"
)

// yamlFile is a parsed file that collects what is wrong with it. Its methods
// work on a nil file, which has nothing in it.
type yamlFile struct {
	name     string
	lines    []string
	root     *yaml.Node   // nil when the file has none or does not parse
	hidden   map[int]bool // lines that may hold a secret
	mistakes toolpolicy.Mistakes
}

// parseYAML reads exactly one document. The mistakes of a text that does not
// parse show no source: where its values begin is not known, and one of them
// could be a secret.
func parseYAML(name string, text []byte) *yamlFile {
	f := &yamlFile{name: name, lines: strings.Split(string(text), "\n"), hidden: map[int]bool{}}
	l, err := yaml.NewLoader(bytes.NewReader(text))
	var doc, second yaml.Node
	if err == nil {
		err = l.Load(&doc)
	}
	if err == nil {
		if err = l.Load(&second); err == nil {
			f.mistake(second.Line, second.Column, "a second document", "one file holds one configuration")
		}
	}
	var at *yaml.LoadError
	switch {
	case errors.Is(err, io.EOF) || err == nil:
	case errors.As(err, &at):
		hint := ""
		if n := at.Mark.Line; n > 0 && n <= len(f.lines) && strings.HasPrefix(strings.TrimLeft(f.lines[n-1], " "), "\t") {
			hint = "spaces where the line begins: YAML takes no tabs there"
		}
		f.lines = nil
		f.mistake(at.Mark.Line, at.Mark.Column, "it is not YAML: "+at.Message, hint)
		return f
	default:
		f.mistake(0, 0, "it is not YAML: "+err.Error(), "")
		return f
	}
	if len(doc.Content) == 0 {
		f.mistake(0, 0, "the file is empty", "")
		return f
	}
	f.root = doc.Content[0]
	return f
}

func (f *yamlFile) mistake(line, col int, message, hint string) {
	m := toolpolicy.Mistake{File: f.name, Line: line, Col: col, Message: message, Hint: hint}
	if line > 0 {
		m.Source = f.source(line)
	}
	f.mistakes = append(f.mistakes, m)
}

// place is where a value stands.
func (f *yamlFile) place(n *yaml.Node) origin { return origin{f.name, n.Line, n.Column} }

func (f *yamlFile) wrong(n *yaml.Node, message, hint string) {
	f.mistake(n.Line, n.Column, message, hint)
}

// source is the line of a mistake as it may be shown: nothing of one that can
// hold a secret.
func (f *yamlFile) source(line int) string {
	switch {
	case f.lines == nil || f.hidden[line]:
		return notShown
	case line > len(f.lines):
		return ""
	case credential.MatchString(f.lines[line-1]):
		return notShown
	}
	return strings.TrimSuffix(f.lines[line-1], "\r")
}

// notShown stands in the place of what could be a secret.
const notShown = "[not shown]"

// credential finds what is a secret wherever it was pasted: tokens of ours, and
// the user of a URL, with everything between.
var credential = regexp.MustCompile(identity.TokenPrefix + `[\w-]*|://\S*@`)

// hide marks the lines of n and of everything below it, which end before the
// line end at the latest. It must come before the mistakes that it is about.
func (f *yamlFile) hide(n *yaml.Node, end int) {
	last := f.lastLine(n, end)
	for line := n.Line; line <= last; line++ {
		f.hidden[line] = true
	}
}

// lastLine is the last line that n can stand on.
func (f *yamlFile) lastLine(n *yaml.Node, end int) int {
	last := n.Line
	if n.Kind == yaml.ScalarNode && !f.onOneLine(n) {
		last = end - 1 // where it ends is not known
	}
	for _, c := range n.Content {
		last = max(last, f.lastLine(c, end))
	}
	return last
}

// onOneLine reports whether a scalar stands in the text as it is read.
func (f *yamlFile) onOneLine(n *yaml.Node) bool {
	return n.Line <= len(f.lines) && strings.Contains(f.lines[n.Line-1], n.Value)
}

// mapping is a YAML mapping whose keys are known to be plain and unique.
type mapping struct {
	entries []entry // in the order of the file
	byKey   map[string]*yaml.Node
}

type entry struct {
	key  *yaml.Node
	node *yaml.Node
}

// get is the value of a key, or nil. A nil mapping has none.
func (m *mapping) get(key string) *yaml.Node {
	if m == nil {
		return nil
	}
	return m.byKey[key]
}

func (m *mapping) add(e entry) {
	m.entries = append(m.entries, e)
	m.byKey[e.key.Value] = e.node
}

// mapping reads a mapping; what is wrong with its keys is noted. It returns
// nil for everything that is no mapping. Each node is read once.
func (f *yamlFile) mapping(n *yaml.Node, what string) *mapping {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		f.wrong(n, what+" uses an anchor or alias", "write the value where it is used")
		return nil
	}
	if n.Kind != yaml.MappingNode {
		f.wrong(n, what+" is not a mapping", "key: value")
		return nil
	}
	m := &mapping{byKey: make(map[string]*yaml.Node, len(n.Content)/2)}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || key.Anchor != "":
			f.wrong(key, "a key that is not plain text", "")
		case m.get(key.Value) != nil:
			f.wrong(key, fmt.Sprintf("the key %q stands here twice", key.Value), "")
		default:
			m.add(entry{key, value})
		}
	}
	return m
}

// scalar reads a single value as it is written.
func (f *yamlFile) scalar(n *yaml.Node, what string) (string, bool) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		f.wrong(n, what+" uses an anchor or alias", "write the value where it is used")
	case n.Kind != yaml.ScalarNode:
		f.wrong(n, what+" is not a single value", "")
	case n.Tag == "!!null":
		f.wrong(n, what+" has no value", "")
	default:
		return n.Value, true
	}
	return "", false
}

// text reads a value that must be text: a number or a date needs quotes, so
// that 0123 and 1e3 cannot mean something else than they show.
func (f *yamlFile) text(n *yaml.Node, what string) (string, bool) {
	s, ok := f.scalar(n, what)
	if ok && n.Tag != "!!str" {
		f.wrong(n, what+" is not text", "put it in quotes")
		return "", false
	}
	return s, ok
}

// texts reads a list of texts.
func (f *yamlFile) texts(n *yaml.Node, what string) []string {
	if n.Kind != yaml.SequenceNode || n.Anchor != "" {
		f.wrong(n, what+" is not a list", "["+"a, b"+"]")
		return nil
	}
	var list []string
	for _, c := range n.Content {
		s, ok := f.text(c, what)
		if ok && s == "" {
			f.wrong(c, what+" has an empty entry", "")
		} else if ok && slices.Contains(list, s) {
			f.wrong(c, what+" has an entry twice", "")
		} else if ok {
			list = append(list, s)
		}
	}
	return list
}

// refuseUnknown notes the keys of m that are not in known: those that another
// version has by that name, and the others with the nearest known one.
func (f *yamlFile) refuseUnknown(m *mapping, group string, known []string) {
	if m == nil {
		return
	}
	for _, e := range m.entries {
		key := e.key.Value
		if slices.Contains(known, key) {
			continue
		}
		full := strings.TrimPrefix(group+"."+key, ".")
		if later, ok := laterKeys[full]; ok {
			f.wrong(e.key, full+": "+later.what+" is not available in this version", later.hint)
			continue
		}
		hint := nearest(key, known)
		if hint == "" {
			hint = misplaced[full]
		}
		if hint == "" {
			hint = "one of " + strings.Join(known, ", ")
		}
		f.wrong(e.key, fmt.Sprintf("unknown key %q", key), hint)
	}
}

// laterKeys belong to the configuration, but this version cannot honour them.
var laterKeys = map[string]struct{ what, hint string }{
	"identity.oidc":    {"OIDC", "identity.tokens or identity.local"},
	"identity.mtls":    {"mutual TLS", "identity.tokens or identity.local"},
	"approvals":        {"approving calls", "remove it; rules under approve deny until then"},
	"notify":           {"notification", "remove it"},
	"limits.questions": {"a limit of open questions", "remove it"},
	"record.witness":   {"a witness", "remove it"},
	"record.seal":      {"sealing the record", "record.results: digest"},
}

// misplaced are keys that people bring along from elsewhere.
var misplaced = map[string]string{
	"mcpServers": "upstreams, with the same block below it",
	"servers":    "upstreams, with the same block below it",
	"tokens":     "identity: {tokens: [...]}",
	"local":      "identity: {local: {}}",
}

// under reads the mapping at a dotted key below root; nil when it is absent.
// Its entries are read again by at, which then finds no new mistake.
func (f *yamlFile) under(root *mapping, group string) *mapping {
	n := f.at(root, group)
	if n == nil {
		return nil
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		f.wrong(n, group+" has no value", "")
		return nil
	}
	return f.mapping(n, group)
}

// at finds the node at a dotted key below root, or nil. It notes nothing.
func (f *yamlFile) at(root *mapping, key string) *yaml.Node {
	if f == nil || root == nil {
		return nil
	}
	first, rest, nested := strings.Cut(key, ".")
	n := root.get(first)
	for nested && n != nil {
		if n.Kind != yaml.MappingNode {
			return nil
		}
		first, rest, nested = strings.Cut(rest, ".")
		var below *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == first {
				below = n.Content[i+1]
				break
			}
		}
		n = below
	}
	return n
}

// maxPipeWait is how long the writer of a pipe may be silent. In a folder where
// somebody puts one in the place of a file, nothing waits for ever.
const maxPipeWait = 30 * time.Second

// readBounded reads a file of at most limit bytes. It may be a pipe, as shells make
// them for the output of another command; one that nobody writes is empty.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		err = f.SetReadDeadline(time.Now().Add(maxPipeWait))
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return text, err
}
