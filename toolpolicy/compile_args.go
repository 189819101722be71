package toolpolicy

import (
	"strconv"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// matcherKeys are the conditions of this version.
var matcherKeys = [...]string{
	"equals", "in", "not_in", "min", "max", "above", "below", "integer", "matches", "search",
	"prefix", "glob", "under", "not_glob", "url", "cidr", "email", "len", "present", "shell", "argv", "sql",
	"each", "any", "json", "detect", "not", "any_of", "optional",
}

// compileMatchers reads the conditions on one value; all must hold.
func (c *compiler) compileMatchers(n *yaml.Node, at spot) conjunction {
	values := map[string]*yaml.Node{}
	for key, value := range c.members(n, "conditions") {
		values[key.Value] = value
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	if len(values) == 0 || len(values) == 1 && values["optional"] != nil {
		c.fail(n, "{present: true}", "no condition is written")
	}
	var where pathScope // not_glob needs it as well
	if value := values["under"]; value != nil {
		where = c.pathScope(value)
	}
	var out conjunction
	for key, value := range c.members(n, "conditions") {
		if !c.checkSpot(key, value, at) {
			continue
		}
		if t, ok := c.compileBranches(key, value, at); ok {
			out = append(out, t)
		} else if m := c.compileMatcher(key, value, where); m != nil {
			c.checkPublicOnly(value, m, at)
			out = append(out, newTest(m))
		}
		if key.Value == "not_glob" && values["under"] == nil {
			c.fail(key, "under: /, not_glob: [...]", "not_glob stands with under, which says where paths may lie")
		}
	}
	c.checkBounds(values)
	switch p := values["present"]; {
	case p == nil:
	case values["optional"] != nil:
		c.fail(values["optional"], "leave one of them out", "optional has no meaning beside present")
	case p.Value == "false" && len(values) > 1:
		c.fail(p, "present: false alone", "what must be absent has no value for the other conditions")
	}
	return out
}

// compileMatcher reads one condition; nil after a mistake.
func (c *compiler) compileMatcher(key, value *yaml.Node, where pathScope) matcher {
	switch key.Value {
	case "equals":
		if v, ok := c.value(value, "equals"); ok {
			return &oneOf{values: []toolcall.JSON{v}, key: "equals"}
		}
	case "in", "not_in":
		if values, ok := c.values(value, key.Value); ok {
			return &oneOf{values: values, refused: key.Value == "not_in", key: key.Value}
		}
	case "min", "max", "above", "below":
		if number, text, ok := c.number(value, key.Value); ok {
			return &bound{key.Value, number, text}
		}
	case "integer":
		if yes, ok := c.flag(value, "integer"); ok && !yes {
			c.fail(value, "integer: true, or leave it out", "integer can only be true")
		} else if ok {
			return integer{}
		}
	case "matches", "search":
		if text, ok := c.text(value, key.Value); ok {
			m, why := compilePattern(key.Value, text)
			if why == "" {
				return m
			}
			c.fail(value, "", "%s: %s", key.Value, why)
		}
	case "prefix":
		if text, ok := c.text(value, "prefix"); ok {
			return &prefix{text}
		}
	case "glob":
		if text, ok := c.text(value, "glob"); ok {
			g, why := compileGlob(text)
			if why == "" {
				return &textGlob{g}
			}
			c.fail(value, "", "glob %q: %s", text, why)
		}
	case "under":
		return &under{where}
	case "not_glob":
		return c.compileNotGlob(value, where)
	case "url":
		return c.compileURL(value)
	case "cidr":
		return c.compileCIDR(value)
	case "email":
		return c.compileEmail(value)
	case "len":
		return c.compileLength(value)
	case "shell":
		return c.compileShell(value)
	case "argv":
		return c.compileArgv(value)
	case "detect":
		return c.compileDetect(value)
	case "sql":
		return c.compileSQL(value)
	case "present":
		if wanted, ok := c.flag(value, "present"); ok {
			return present{wanted}
		}
	default:
		c.unknown(key, "a condition", matcherKeys[:]...)
	}
	return nil
}

func (c *compiler) values(n *yaml.Node, what string) ([]toolcall.JSON, bool) {
	var out []toolcall.JSON
	for _, e := range c.elements(n, what) {
		v, ok := c.value(e, "an entry of "+what)
		if !ok {
			return nil, false
		}
		out = append(out, v)
	}
	return out, len(out) > 0
}

func (c *compiler) number(n *yaml.Node, what string) (toolcall.Number, string, bool) {
	if n.Kind != yaml.ScalarNode || scalarKind(n) != numberScalar {
		c.fail(n, "500", "%s must be a number as JSON writes it", what)
		return toolcall.Number{}, "", false
	}
	number, err := toolcall.ParseNumber(n.Value)
	if err != nil || !number.Comparable() {
		c.fail(n, "", "%s: a number beyond comparison", what)
		return toolcall.Number{}, "", false
	}
	return number, n.Value, true
}

// checkBounds refuses bounds between which no number lies.
func (c *compiler) checkBounds(values map[string]*yaml.Node) {
	for _, low := range []string{"min", "above"} {
		for _, high := range []string{"max", "below"} {
			l, h := values[low], values[high]
			if l == nil || h == nil {
				continue
			}
			a, errA := toolcall.ParseNumber(l.Value)
			b, errB := toolcall.ParseNumber(h.Value)
			if errA != nil || errB != nil || !a.Comparable() || !b.Comparable() {
				continue // noted where it stands
			}
			order := a.Compare(b)
			if order > 0 || order == 0 && (low == "above" || high == "below") {
				c.fail(h, "", "no number lies between %s %s and %s %s", low, l.Value, high, h.Value)
			}
		}
	}
}

// oneOrMore are the items of a list, or the one that stands there without.
func (c *compiler) oneOrMore(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind == yaml.SequenceNode {
		return c.elements(n, what)
	}
	return []*yaml.Node{n}
}

// compileLength reads len: 5, or len: {min: 1, max: 5}.
func (c *compiler) compileLength(n *yaml.Node) matcher {
	before := len(c.mistakes)
	m := &length{noLength, noLength}
	if n.Kind != yaml.MappingNode {
		m.min = c.count(n)
		m.max = m.min
	} else {
		for key, value := range c.members(n, "len") {
			switch key.Value {
			case "min":
				m.min = c.count(value)
			case "max":
				m.max = c.count(value)
			default:
				c.unknown(key, "len", "min", "max")
			}
		}
		if len(n.Content) == 0 {
			c.fail(n, "{min: 1, max: 100}", "len is empty")
		}
	}
	if m.max != noLength && m.min > m.max {
		c.fail(n, "", "no length lies between %d and %d", m.min, m.max)
	}
	if len(c.mistakes) > before {
		return nil
	}
	return m
}

func (c *compiler) count(n *yaml.Node) int {
	if n.Kind == yaml.ScalarNode && scalarKind(n) == numberScalar {
		if i, err := strconv.Atoi(n.Value); err == nil && i >= 0 && i < 1<<31 {
			return i
		}
	}
	c.fail(n, "100", "len takes a whole number from 0 upwards")
	return noLength
}
