package toolpolicy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// defaultWithin is how long a question waits, in seconds, where the rule does
// not say.
const defaultWithin = 10 * 60

// maxWithin bounds it: nobody remembers what was asked a month ago.
const maxWithin = 30 * 24 * 3600

func (c *compiler) compileRules(role string, number int, v verb, n *yaml.Node) {
	for i, e := range c.elements(n, v.String()) {
		queues := c.queues
		r := rule{
			id:   fmt.Sprintf("%s/%s/%d", role, v, i+1),
			role: number, verb: v, file: c.name, line: e.Line,
		}
		switch {
		case e.Kind == yaml.AliasNode:
			continue
		case e.Kind == yaml.ScalarNode && v == approves:
			c.fail(e, "{tool: "+e.Value+", by: [...]}", "an approve rule must say who answers: by")
		case e.Kind == yaml.ScalarNode:
			r.selector, _ = c.selectorText(e, "a rule")
			r.selector.kind = toolcall.Tool
		default:
			c.compileRule(&r, role, e)
		}
		if v == denies && r.because == "" {
			r.because = "forbidden by " + r.id
		}
		r.queues = c.queues > queues
		c.rules = append(c.rules, r)
	}
}

// ruleKeys are keys of a rule that only make sense together with others.
type ruleKeys struct{ selected, extra, hide, when, limit *yaml.Node }

// compileRule reads a rule that is a mapping.
func (c *compiler) compileRule(r *rule, role string, n *yaml.Node) {
	ask := &toolcall.Ask{Within: defaultWithin}
	var keys ruleKeys
	for key, value := range c.members(n, "a rule") {
		switch key.Value {
		case "tool", "resource", "prompt", "request", "method":
			if keys.selected != nil {
				c.fail(key, "write two rules", "a rule has one selector, and this one has %s already", keys.selected.Value)
				continue
			}
			keys.selected = key
			r.selector = c.compileSelector(key, value)
		case "id":
			if id, ok := c.text(value, "id"); ok && c.checkName(value, "rule", id) && c.define(value, "rule", role+"/"+id) {
				r.id = role + "/" + id
			}
		case "because":
			r.because, _ = c.text(value, "because")
		case "args":
			_, open := mappingValue(n, "extra")
			r.args = c.compileArgs(value, r.verb, open)
		case "explain":
			r.explain, r.explains = c.explain(value)
		case "if":
			keys.when = value
		case "observe":
			r.observe, _ = c.flag(value, "observe")
		case "extra":
			keys.extra = key
			if s, ok := c.text(value, "extra"); ok && s != "allow" {
				c.fail(value, "extra: allow", "extra can only be allow")
			}
			r.extra = true
		default:
			switch key.Value {
			case "hide":
				keys.hide = key
			case "limit":
				keys.limit = value
			}
			c.compileVerbKey(r, ask, key, value)
		}
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	if keys.when != nil {
		r.when = c.compileExpression(r, keys.when)
	}
	if keys.limit != nil && r.verb != denies { // the other keys say what it may be
		r.limits = c.compileLimits(keys.limit, r.id, r)
	}
	c.checkRule(r, n, keys)
	if r.verb == approves {
		if _, has := mappingValue(n, "by"); !has {
			c.fail(n, "by: [...]", "an approve rule must say who answers: by")
		}
		ask.Rule = r.id
		r.asks = []*toolcall.Ask{ask}
	}
}

// compileVerbKey reads the keys that only some verbs take.
func (c *compiler) compileVerbKey(r *rule, ask *toolcall.Ask, key, value *yaml.Node) {
	var takes []verb
	switch key.Value {
	case "hide":
		takes = []verb{denies}
	case "reads":
		takes = []verb{allows}
	case "redact", "limit":
		takes = []verb{allows, approves}
	case "by", "within", "show":
		takes = []verb{approves}
	default:
		c.unknown(key, "a rule", "tool", "resource", "prompt", "request", "method", "id", "args", "if", "extra",
			"because", "observe", "explain", "redact", "reads", "hide", "by", "within", "show", "limit")
		return
	}
	if !slices.Contains(takes, r.verb) {
		c.fail(key, "", "%s has no meaning in this kind of rule: it belongs to %s", key.Value, takes[0])
		return
	}
	switch key.Value {
	case "hide":
		hidden, ok := c.flag(value, "hide")
		r.shown = ok && !hidden
	case "reads":
		r.reads, _ = c.flag(value, "reads")
	case "redact":
		r.redact = c.profileSet(value)
	case "by":
		ask.By = c.texts(value, "by")
	case "within":
		ask.Within = c.span(value, "within")
	case "show":
		for _, e := range c.elements(value, "show") {
			text, ok := c.text(e, "an entry of show")
			if !ok {
				continue
			}
			if p, ok := c.argumentPath(e, text); ok {
				ask.Show = append(ask.Show, p)
			}
		}
	}
}

// checkRule notes what is wrong with the keys of a rule taken together.
func (c *compiler) checkRule(r *rule, n *yaml.Node, keys ruleKeys) {
	switch {
	case keys.selected == nil:
		c.fail(n, "tool: upstream/name", "the rule does not say what it is about: tool, resource, prompt, request or method")
	case len(r.args) > 0 && r.selector.kind != toolcall.Tool && r.selector.kind != toolcall.Request:
		c.fail(keys.selected, "", "this version judges arguments of tools and requests only")
	}
	switch {
	case keys.extra == nil:
	case r.verb == denies:
		c.fail(keys.extra, "", "extra has no meaning in a deny rule: undeclared arguments never keep it from matching")
	case !r.namesArguments():
		c.fail(keys.extra, "", "extra has no meaning without args: such a rule matches any arguments")
	case r.selector.kind == toolcall.Request:
		c.fail(keys.extra, "", "extra has no meaning for a request: the protocol says what it may hold")
	}
	switch {
	case keys.hide == nil:
	case len(r.args) > 0:
		c.fail(keys.hide, "", "hide has no meaning with args: such a rule never hides")
	case r.when != nil && !r.when.listable():
		c.fail(keys.hide, "", "hide has no meaning with an if that reads more than caller and tool: such a rule never hides")
	}
}

// span reads a time like 30s, 15m, 2h or 7d, in seconds.
func (c *compiler) span(n *yaml.Node, what string) int64 {
	s, ok := c.text(n, what)
	if !ok {
		return 0
	}
	units := map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 24 * 3600}
	count, err := strconv.ParseInt(s[:len(s)-1], 10, 32)
	unit := units[s[len(s)-1]]
	if err != nil || unit == 0 || count <= 0 || count*unit > maxWithin {
		c.fail(n, "15m", "%s must be a time of at most 30 days, like 30s, 15m, 2h or 7d", what)
		return 0
	}
	return count * unit
}

// explain reads how much a caller is told.
func (c *compiler) explain(n *yaml.Node) (toolcall.Explain, bool) {
	name, ok := c.text(n, "explain")
	if !ok {
		return toolcall.ExplainNothing, false
	}
	level, ok := toolcall.ParseExplain(name)
	if !ok {
		c.fail(n, nearest(name, toolcall.ExplainLevels()), "explain is nothing, rule, argument or limits, not %q", name)
	}
	return level, ok
}

// requestKinds are what a server may ask of a client.
var requestKinds = [...]string{"sampling", "elicitation", "roots"}

func (c *compiler) compileSelector(key, value *yaml.Node) selector {
	s, ok := c.selectorText(value, key.Value)
	s.kind = kindOf(key.Value)
	if ok && s.kind == toolcall.Request && !slices.ContainsFunc(requestKinds[:], s.name.match) {
		c.fail(value, nearest(s.name.text, requestKinds[:]), "a request is sampling, elicitation or roots, not %q", s.name.text)
	}
	return s
}

// selectorText reads "upstream/name", split at the first slash.
func (c *compiler) selectorText(n *yaml.Node, what string) (selector, bool) {
	text, ok := c.text(n, what)
	if !ok {
		return selector{}, false
	}
	upstream, name, found := strings.Cut(text, "/")
	switch {
	case !found:
		c.fail(n, "upstream/"+text, "%s must be written upstream/name, and %q has no slash", what, text)
		return selector{}, false
	case upstream == "" || name == "":
		c.fail(n, "*/"+name, "%s must be written upstream/name, and a part of %q is empty", what, text)
		return selector{}, false
	case strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7F }):
		c.fail(n, "", "%s holds a control character", what)
		return selector{}, false
	}
	return selector{text: text, upstream: compileWild(upstream), name: compileWild(name)}, true
}

// argumentPath compiles a path that names one position in the arguments.
func (c *compiler) argumentPath(n *yaml.Node, text string) (toolcall.Path, bool) {
	p, err := toolcall.CompilePath(text)
	switch {
	case err != nil:
		c.fail(n, "", "%v", err)
		return p, false
	case !p.Single():
		c.fail(n, "", "the path %q names many positions; an approver is shown one value for each", text)
		return p, false
	}
	return p, true
}
