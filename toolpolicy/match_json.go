package toolpolicy

import (
	"strconv"
	"strings"

	"mcpguard/toolcall"
)

// json: a text that holds JSON, and conditions on paths into it. The text is
// read as strictly as a message; one that two parsers could read differently is
// unknown. Nothing in it is declared, so in a rule that grants, a member that no
// path names makes it unknown.
type inside struct {
	arguments []argument
	named     *named // nil where other members do not matter
}

// maxInside is the deepest nesting that is read in such a text.
const maxInside = 128

func (m *inside) judge(v toolcall.JSON) outcome {
	s, ok := v.Str()
	if !ok {
		return notText
	}
	doc, err := toolcall.ParseLong(s, toolcall.Limits{Bytes: len(s), Depth: maxInside})
	if err != nil {
		return notJSON
	}
	in := lookup{root: doc}
	out := holds
	for i := range m.arguments {
		out = lesser(out, m.arguments[i].outcome(in, nil))
	}
	if !m.named.covers(doc) {
		out = lesser(out, unnamed)
	}
	return out
}

func (m *inside) words() words {
	parts := make([]string, len(m.arguments))
	for i := range m.arguments {
		parts[i] = m.arguments[i].text + " " + m.arguments[i].tests.want()
	}
	want := "json (" + strings.Join(parts, ", ") + ")"
	return words{want, "other JSON", "does not hold " + want}
}

// named are the members that paths lead through or to, level by level. A nil
// *named is of a level where everything is named.
type named struct {
	members  map[string]*named
	elements *named // of every element, by "#"
	each     bool   // there is a "#"
}

func newNamed(arguments []argument) *named {
	top := &named{members: map[string]*named{}}
	for i := range arguments {
		steps := arguments[i].path.Steps()
		if len(steps) == 0 {
			return nil // the whole document
		}
		top = top.with(steps)
	}
	return top
}

// with adds a path. What it ends at is judged as a whole, and "*" and "**" name
// everything.
func (n *named) with(steps []toolcall.Step) *named {
	if n == nil || len(steps) == 0 {
		return nil
	}
	switch step, rest := &steps[0], steps[1:]; step.Kind {
	case toolcall.StepName:
		next, known := n.members[step.Name]
		if !known {
			next = &named{members: map[string]*named{}}
		}
		n.members[step.Name] = next.with(rest)
	case toolcall.StepEach:
		if !n.each {
			n.each, n.elements = true, &named{members: map[string]*named{}}
		}
		n.elements = n.elements.with(rest)
	default:
		return nil
	}
	return n
}

// covers reports whether everything in a value is named.
func (n *named) covers(v toolcall.JSON) bool {
	if n == nil {
		return true
	}
	for m := v.Members(); m.Next(); {
		if next, known := n.members[m.Name()]; !known || !next.covers(m.Value()) {
			return false
		}
	}
	i := 0
	for e := v.Elements(); e.Next(); i++ {
		next, known := n.elements, n.each
		if !known {
			next, known = n.members[strconv.Itoa(i)]
		}
		if !known || !next.covers(e.Value()) {
			return false
		}
	}
	return true
}
