package toolpolicy

import (
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// Narrow is the definition of a tool as the caller's list shows it: with the
// limits of policy in its inputSchema and its description, so that a model reads
// them before it calls. It is def.Raw, byte for byte, unless every allow and
// approve rule about the tool has the level "limits" and some limit can be told.
//
// A narrowed schema accepts every call that the schema accepts and policy could
// allow. Where one rule is about the tool and JSON Schema can say all of its
// conditions, it accepts no others; what it cannot say is told in the
// description. No combinator is put at the top of the schema, where some model
// providers refuse one.
func (p *Policy) Narrow(c toolcall.Caller, def *toolcall.ToolDef) toolcall.JSON {
	if p == nil || def == nil {
		return toolcall.JSON{}
	}
	limits := p.limitsOf(&c, def)
	if len(limits) == 0 {
		return def.Raw
	}
	schema, told := narrowSchema(def, limits)
	text := describeLimits(limits, told)
	if schema.IsZero() && text == "" {
		return def.Raw
	}
	return def.Told(schema, text)
}

// limitsOf are the rules that could allow some call of the tool; none where one
// of them allows any arguments without asking, or must not be told.
func (p *Policy) limitsOf(c *toolcall.Caller, def *toolcall.ToolDef) []*rule {
	v := view{call: &toolcall.Call{Caller: *c, Upstream: def.Upstream, Kind: toolcall.Tool, Name: def.Name, Def: def}}
	set := p.roles.of(c)
	var limits []*rule
	about := p.index.about(toolcall.Tool, def.Upstream, def.Name)
	for i, ok := about.next(); ok; i, ok = about.next() {
		r := &p.rules[i]
		if !set.has(r.role) || r.observe || r.verb == denies || r.selector.judge(&v) != toolcall.VerdictTrue {
			continue
		}
		if r.explain != toolcall.ExplainLimits || r.verb == allows && !r.namesArguments() {
			return nil
		}
		limits = append(limits, r)
	}
	return limits
}

// describeLimits is what the description says besides: every rule, where there
// are several or one asks a person; else what the schema could not say.
func describeLimits(limits []*rule, told map[*test]bool) string {
	if len(limits) == 1 && limits[0].verb == allows {
		said := conditions(limits[0], func(t *test) bool { return !told[t] })
		if said == "" {
			return ""
		}
		return "Policy allows this call only with: " + said + "."
	}
	var all []string
	for _, r := range limits {
		said := conditions(r, func(*test) bool { return true })
		if said == "" {
			said = "any arguments"
		}
		if r.verb == approves {
			said += " (a person is asked first)"
		}
		if !slices.Contains(all, said) {
			all = append(all, said)
		}
	}
	return "Policy allows this call only with: " + strings.Join(all, "; or: ") + "."
}

// conditions are the conditions of a rule in words.
func conditions(r *rule, which func(*test) bool) string {
	var said []string
	for i := range r.args {
		a := &r.args[i]
		for j := range a.tests {
			if t := &a.tests[j]; which(t) {
				said = append(said, a.text+" "+t.words.want+ifGiven(a))
			}
		}
	}
	if r.when != nil {
		said = append(said, r.when.words.want)
	}
	return strings.Join(said, ", ")
}

func ifGiven(a *argument) string {
	if a.optional {
		return " if it is given"
	}
	return ""
}
