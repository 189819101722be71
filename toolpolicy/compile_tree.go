package toolpolicy

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// spot is where conditions stand.
type spot struct {
	quantifier quantifier // how several values are read there
	negated    bool       // below an odd number of nots
	open       bool       // extra: allow
	path       bool       // directly below a path, where optional belongs
	element    bool       // in each or any: there is always a value
	whole      bool       // below the path "**"
	deep       bool       // below a path with "**" and a name
}

// whole is the path of a document as a whole. It is no toolcall.Path.
const whole = "**"

// compileArgs reads the args of a rule. With open, extra members of JSON texts
// do not matter.
func (c *compiler) compileArgs(n *yaml.Node, v verb, open bool) []argument {
	out := c.compileArguments(n, "args", spot{quantifier: quantifierOf(v), open: open})
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		c.fail(n, "leave args out", "args is empty: a rule without args matches any arguments")
	}
	return out
}

// compileArguments reads a mapping of paths to conditions.
func (c *compiler) compileArguments(n *yaml.Node, what string, at spot) []argument {
	var out []argument
	for key, value := range c.members(n, what) {
		a := argument{text: key.Value, quantifier: at.quantifier}
		if !c.conditionPath(key, &a) {
			continue
		}
		switch {
		case value.Kind == yaml.MappingNode:
			a.optional = c.optional(value, at.quantifier)
			a.tests = c.compileMatchers(value, spot{
				quantifier: at.quantifier, open: at.open, path: true, whole: a.text == whole, deep: isDeep(a.path),
			})
		case value.Kind == yaml.SequenceNode:
			c.fail(value, "{in: [...]}", "a list is no condition")
		case value.Kind == yaml.AliasNode:
		case a.text == whole:
			c.fail(value, "{detect: [secrets]}", "the path ** is for what is found anywhere: it takes detect, not and any_of")
		default:
			if v, ok := c.value(value, "the value"); ok {
				a.tests = conjunction{newTest(&oneOf{values: []toolcall.JSON{v}, key: "equals"})}
			}
		}
		out = append(out, a)
	}
	return out
}

// conditionPath compiles the path of an argument, which may name many positions.
func (c *compiler) conditionPath(n *yaml.Node, a *argument) bool {
	if a.text == whole {
		return true
	}
	p, err := toolcall.CompilePath(a.text)
	if err != nil {
		c.fail(n, "", "%v", err)
		return false
	}
	deep := 0
	for _, s := range p.Steps() {
		if s.Kind == toolcall.StepDeep {
			deep++
		}
	}
	if deep > 1 {
		c.fail(n, "", "the path %q has ** twice: whoever calls could make it slow to follow", a.text)
		return false
	}
	a.path, a.many = p, !p.Single()
	if rest, found := strings.CutPrefix(a.text, whole+"."); found {
		if top, err := toolcall.CompilePath(rest); err == nil && top.Single() {
			a.top = top
		}
	}
	return true
}

func isDeep(p toolcall.Path) bool {
	for _, s := range p.Steps() {
		if s.Kind == toolcall.StepDeep {
			return true
		}
	}
	return false
}

// optional reads "optional: true" from the conditions of a path.
func (c *compiler) optional(n *yaml.Node, q quantifier) bool {
	for key, value := range c.members(n, "conditions") {
		if key.Value != "optional" {
			continue
		}
		yes, ok := c.flag(value, "optional")
		switch {
		case !ok:
		case !yes:
			c.fail(value, "optional: true, or leave it out", "optional can only be true")
		case q == some:
			c.fail(key, "leave it out", "optional has no meaning where a rule forbids: what is absent is not forbidden")
		}
		return yes
	}
	return false
}

// checkSpot notes conditions that make no sense where they stand; ok says that
// there is one to compile.
func (c *compiler) checkSpot(key, value *yaml.Node, at spot) (ok bool) {
	switch k := key.Value; {
	case k == "optional" && at.path:
		return false // read already
	case k == "optional":
		c.fail(key, "beside the other conditions of the path", "optional stands directly below a path")
		return false
	case k == "present" && at.element:
		c.fail(key, "leave it out", "present has no meaning in each and any: an element is there")
		return false
	case k == "present" && at.deep && value.Value == "false":
		c.fail(key, "a deny rule with present: true", "present: false never holds below **, which names only what is there")
		return false
	case k == "each" && at.quantifier == some:
		c.fail(key, "any", "each does not forbid: one more element that is harmless would switch it off")
		return false
	case (k == "shell" || k == "argv") && at.quantifier == some:
		// It is true of a command that does nothing else.
		c.fail(value, "", "%s does not forbid: every command that does something else as well would pass; allow what may run", k)
		return false
	case k == "sql" && at.quantifier == some:
		c.fail(value, "", "sql does not forbid: every statement that does something else as well would pass; allow what may run")
		return false
	case at.whole && k != "detect" && k != "not" && k != "any_of":
		c.fail(key, "**.name, or a path of its own", "the path ** is for what is found anywhere: it takes detect, not and any_of")
		return false
	}
	return true
}

// compileBranches reads the conditions that are made of others; ok is false for
// every other key. After a mistake the node is empty.
func (c *compiler) compileBranches(key, value *yaml.Node, at spot) (t test, ok bool) {
	at.path = false
	switch key.Value {
	case "not":
		at.quantifier, at.negated = at.quantifier.negated(), !at.negated
		inner := c.compileMatchers(value, at)
		t = test{negated: true, branches: []conjunction{inner}}
		refused := "not (" + inner.want() + ")"
		t.words = words{refused, "what is refused", "is refused by " + refused}
	case "any_of":
		var wants []string
		for _, e := range c.elements(value, "any_of") {
			branch := c.compileMatchers(e, at)
			t.branches = append(t.branches, branch)
			wants = append(wants, branch.want())
		}
		list := "(" + strings.Join(wants, "; ") + ")"
		t.words = words{"any_of " + list, "none of them", "meets none of " + list}
	case "each", "any":
		m := &elements{quantifier: every}
		switch {
		case key.Value == "any":
			m.quantifier = some
		case at.quantifier == stricter && !at.negated:
			m.quantifier = stricter // one more element that is harmless escapes no question
		}
		at.element, at.whole, at.deep = true, false, false
		m.tests = c.compileMatchers(value, at)
		t = newTest(m)
	case "json":
		m := &inside{arguments: c.compileArguments(value, "json", at)}
		if value.Kind == yaml.MappingNode && len(value.Content) == 0 {
			c.fail(value, "{amount: {max: 500}}", "json is empty: it takes paths into the text and conditions")
		}
		if at.quantifier != some && !at.open {
			m.named = newNamed(m.arguments)
		}
		t = newTest(m)
	default:
		return test{}, false
	}
	return t, true
}

// want is what would pass, in words.
func (cs conjunction) want() string {
	wants := make([]string, len(cs))
	for i := range cs {
		wants[i] = cs[i].words.want
	}
	return strings.Join(wants, " and ")
}
