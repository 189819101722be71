package redact_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"mcpguard/toolcall"
)

// The model is redaction said slowly: decode into a tree, walk the tree once per
// path, mask, search every string for every removed value, encode. It shares
// nothing with the real one but the strict scan, and knows roots and texts.

type tree struct {
	kind    toolcall.Type
	str     string // decoded string, or text of a number
	members []member
	elems   []*tree
	text    *tree // what a text of the surface holds, when it is JSON
	surface bool  // a text of the surface

	isRoot    bool
	masked    bool // a path ends here, or above
	odd       bool // a path cannot go on here
	shapeless bool // the same behind a "**"
}

type member struct {
	name  string
	value *tree
}

func treeOf(j toolcall.JSON) *tree {
	n := &tree{kind: j.Type(), str: j.Text()}
	if s, ok := j.Str(); ok {
		n.str = s
	}
	for m := j.Members(); m.Next(); {
		n.members = append(n.members, member{m.Name(), treeOf(m.Value())})
	}
	for e := j.Elements(); e.Next(); {
		n.elems = append(n.elems, treeOf(e.Value()))
	}
	return n
}

type model struct {
	paths    [][]toolcall.Step
	secrets  []string
	withheld bool
	unsure   bool // a text may or may not look like JSON: TestTexts has the table
}

// redact masks doc, of which roots and texts are the surface.
func (m *model) redact(doc *tree, roots, texts []*tree) {
	for _, n := range append(slices.Clone(roots), texts...) {
		m.read(n, 0)
	}
	for n := range everyTree(doc) {
		m.judge(n)
	}
	m.collect(doc, false)
	names := 0
	m.search(doc, &names, 0)
}

// read takes a value of the surface for a root, or a text that may hold one.
func (m *model) read(n *tree, depth int) {
	if n.kind != toolcall.StringType {
		n.isRoot = true
		return
	}
	n.surface = true
	_, trimmed, _ := trim(n.str)
	j, err := toolcall.Parse(trimmed, toolcall.Limits{Bytes: len(trimmed), Depth: 128})
	switch {
	case err != nil && strings.HasPrefix(trimmed, "{"):
		m.withheld = true
	case err != nil && strings.HasPrefix(trimmed, "["):
		m.unsure = true
	case err == nil && depth < 4 && (j.Type() >= toolcall.StringType):
		n.text = treeOf(j)
		m.read(n.text, depth+1)
	case err == nil && j.Type() >= toolcall.StringType:
		m.withheld = true
	}
}

// trim cuts off what stands around JSON: in front whatever some reader skips,
// behind it what JSON allows.
func trim(s string) (lead, middle, tail string) {
	middle = strings.TrimLeftFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\ufeff\u200b\u2060", r) })
	lead = s[:len(s)-len(middle)]
	rest := strings.TrimRight(middle, " \t\r\n")
	return lead, rest, middle[len(rest):]
}

// everyTree goes over n and all below it, into texts too.
func everyTree(n *tree) func(func(*tree) bool) {
	return func(yield func(*tree) bool) { n.visit(yield) }
}

func (n *tree) visit(yield func(*tree) bool) bool {
	if n == nil {
		return true
	}
	if !yield(n) {
		return false
	}
	for _, m := range n.members {
		if !m.value.visit(yield) {
			return false
		}
	}
	for _, e := range n.elems {
		if !e.visit(yield) {
			return false
		}
	}
	return n.text.visit(yield)
}

// judge follows every path from a root.
func (m *model) judge(n *tree) {
	if !n.isRoot {
		return
	}
	for _, p := range m.paths {
		m.follow(n, p, 0)
	}
}

func (m *model) follow(n *tree, p []toolcall.Step, at int) {
	if at == len(p) {
		n.masked = true
		return
	}
	s := p[at]
	if s.Kind == toolcall.StepDeep {
		m.follow(n, p, at+1)
		for _, c := range n.members {
			m.follow(c.value, p, at)
		}
		for _, c := range n.elems {
			m.follow(c, p, at)
		}
		return
	}
	fits := n.kind == toolcall.ObjectType && s.Kind != toolcall.StepEach ||
		n.kind == toolcall.ArrayType && (s.Kind != toolcall.StepName || s.Index >= 0)
	if !fits {
		deep := slices.ContainsFunc(p[:at], func(s toolcall.Step) bool { return s.Kind == toolcall.StepDeep })
		switch {
		case n.kind == toolcall.Null, at > 0 && p[at-1].Kind == toolcall.StepDeep:
		case deep:
			n.shapeless = true // masked, unless it is anyway
		default:
			n.odd = true
		}
		return
	}
	for _, c := range n.members {
		if s.Kind == toolcall.StepAny || c.name == s.Name || toolcall.SameFolded(c.name, s.Name) {
			m.follow(c.value, p, at+1)
		}
	}
	for i, c := range n.elems {
		if s.Kind != toolcall.StepName || s.Index == i {
			m.follow(c, p, at+1)
		}
	}
}

// collect masks, and keeps what was removed.
func (m *model) collect(n *tree, inside bool) {
	inside = inside || n.masked
	m.withheld = m.withheld || n.odd && !inside
	inside = inside || n.shapeless
	n.masked = inside
	if inside {
		n.text = nil
		switch n.kind {
		case toolcall.StringType:
			if utf8.RuneCountInString(n.str) >= 8 && n.str != "[redacted]" {
				m.secrets = append(m.secrets, n.str)
			}
			n.str = "[redacted]"
		case toolcall.NumberType:
			n.str = "0"
		case toolcall.True:
			n.kind, n.str = toolcall.False, "false"
		}
	}
	for _, c := range n.members {
		m.collect(c.value, inside)
	}
	for _, c := range n.elems {
		m.collect(c, inside)
	}
	if n.text != nil {
		m.collect(n.text, inside)
	}
}

// search masks removed values in everything that no path masked.
func (m *model) search(n *tree, names *int, depth int) {
	for i := range n.members {
		c := &n.members[i]
		if covered := m.cover(c.name, 4); slices.Contains(covered, true) {
			*names++
			mask := "[redacted]"
			if *names > 1 {
				mask = fmt.Sprintf("[redacted %d]", *names)
			}
			c.name = maskCovered(c.name, covered, mask)
		}
		for _, d := range n.members[:i] {
			m.withheld = m.withheld || d.name == c.name
		}
		m.search(c.value, names, depth)
	}
	for _, c := range n.elems {
		m.search(c, names, depth)
	}
	if n.masked {
		return
	}
	switch {
	case n.kind == toolcall.NumberType && slices.Contains(m.cover(n.str, 9), true):
		n.str = "0"
	case n.kind != toolcall.StringType:
	case n.text != nil:
		inner := 0
		m.search(n.text, &inner, depth+1)
		lead, _, tail := trim(n.str)
		n.str = lead + n.text.encode() + tail
	default:
		m.searchString(n, depth+1)
	}
}

func (m *model) searchString(n *tree, depth int) {
	lead, trimmed, tail := trim(n.str)
	if !n.surface && depth <= 4 && trimmed != "" && strings.ContainsAny(trimmed[:1], "[{") {
		if j, err := toolcall.Parse(trimmed, toolcall.Limits{Bytes: len(trimmed), Depth: 128}); err == nil {
			inner, before := treeOf(j), treeOf(j)
			names := 0
			m.search(inner, &names, depth)
			if encoded := inner.encode(); encoded != before.encode() {
				n.str = lead + encoded + tail
			}
			return
		}
	}
	from := depth
	if n.surface {
		from = 1
	}
	n.str = maskCovered(n.str, m.cover(n.str, from), "[redacted]")
}

// cover tells of every byte of s whether it is part of a removed value, at any
// level of escapes.
func (m *model) cover(s string, depth int) []bool {
	covered := make([]bool, len(s))
	for _, secret := range m.secrets {
		for i := range s {
			if strings.HasPrefix(s[i:], secret) {
				for k := range len(secret) {
					covered[i+k] = true
				}
			}
		}
	}
	if depth > 4 {
		return covered
	}
	var decoded []byte
	var from, to []int // of every decoded byte, the bytes of s it stands for
	for i := 0; i < len(s); {
		n, text := unescapeOne(s[i:])
		for range len(text) {
			from, to = append(from, i), append(to, i+n)
		}
		decoded = append(decoded, text...)
		i += n
	}
	if len(decoded) == len(s) {
		return covered
	}
	for k, c := range m.cover(string(decoded), depth+1) {
		for i := from[k]; c && i < to[k]; i++ {
			covered[i] = true
		}
	}
	return covered
}

// unescapeOne reads one character or escape with the help of encoding/json.
func unescapeOne(s string) (n int, text string) {
	if s[0] == '\\' {
		for _, n := range []int{12, 6, 2} {
			if n > len(s) || n == 12 && s[6:8] != `\u` {
				continue
			}
			var out string
			if err := json.Unmarshal([]byte(`"`+s[:n]+`"`), &out); err == nil && utf8.RuneCountInString(out) == 1 {
				return n, out
			}
		}
	}
	return 1, s[:1]
}

func maskCovered(s string, covered []bool, first string) string {
	var b strings.Builder
	mask := first
	for i := range len(s) {
		switch {
		case !covered[i]:
			b.WriteByte(s[i])
		case i == 0 || !covered[i-1]:
			b.WriteString(mask)
			mask = "[redacted]"
		}
	}
	return b.String()
}

// encode is the compact text of a tree.
func (n *tree) encode() string {
	var parts []string
	switch n.kind {
	case toolcall.StringType:
		return toolcall.Quote(n.str).Text()
	case toolcall.ArrayType:
		for _, c := range n.elems {
			parts = append(parts, c.encode())
		}
		return "[" + strings.Join(parts, ",") + "]"
	case toolcall.ObjectType:
		for _, c := range n.members {
			parts = append(parts, toolcall.Quote(c.name).Text()+":"+c.value.encode())
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	return n.str
}

// plain is the tree of j with every string that is JSON replaced by that JSON's
// own plain form, so that two spellings of the same compare equal.
func plain(j toolcall.JSON) string {
	n := treeOf(j)
	for c := range everyTree(n) {
		if c.kind != toolcall.StringType {
			continue
		}
		lead, s, tail := trim(c.str)
		if in, err := toolcall.Parse(s, toolcall.Limits{Bytes: len(s), Depth: 128}); err == nil && in.Type() >= toolcall.StringType {
			c.str = lead + "JSON:" + strconv.Quote(plain(in)) + tail
		}
	}
	return n.encode()
}
