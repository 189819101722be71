package toolpolicy

import (
	"slices"

	"mcpguard/toolcall"
)

// lintOpen warns of rules that let through what nobody thought of.
func (l *linter) lintOpen(i int) {
	r := &l.policy.rules[i]
	if r.observe {
		return
	}
	l.lintDenyLists(i)
	switch r.verb {
	case denies:
		if !r.unconditional() {
			l.lintBroadAllow(i)
		}
		return
	case approves:
		return // a person sees what nobody thought of
	}
	s := &r.selector
	switch {
	case s.upstream.everything() && s.kind == toolcall.Tool:
		l.warn(i, l.selectorNode(i), "open-upstream", "name the upstream", "the rule allows these tools of every upstream, also of those that are added later")
	case s.kind == toolcall.Resource && s.name.everything():
		l.warn(i, l.selectorNode(i), "open-resource", s.upstream.text+"/file:///srv/projects/**", "the rule allows every resource that the upstream can read")
	}
	if r.extra {
		if target := l.first(i, destructive); target != "" {
			l.warn(i, l.selectorNode(i), "open-extra", "leave extra out", "extra: allow lets arguments through that nobody judges, and %s may destroy", target)
		}
	}
	if l.policy.roles.names[r.role] == everyone {
		if target := l.first(i, func(def *toolcall.ToolDef) bool { return !hints(def, "readOnlyHint", false) }); target != "" {
			l.warn(i, l.selectorNode(i), "open-everyone", "a role with groups", "everyone may call %s, which does not say that it only reads", target)
		}
	}
}

// first names the first tool of the i-th rule that is so; "" without one.
func (l *linter) first(i int, so func(*toolcall.ToolDef) bool) string {
	j := slices.IndexFunc(l.about[i], so)
	if j < 0 {
		return ""
	}
	return l.about[i][j].Upstream + "/" + l.about[i][j].Name
}

// hints is a hint that a tool gives of itself (MCP, ToolAnnotations), with what
// holds where it gives none. A server may lie: a hint can only make things worse.
func hints(def *toolcall.ToolDef, name string, otherwise bool) bool {
	switch def.Raw.Member("annotations").Member(name).Type() {
	case toolcall.True:
		return true
	case toolcall.False:
		return false
	}
	return otherwise
}

// destructive reports whether a tool may destroy, as far as it says (MCP: where it
// says nothing, it may).
func destructive(def *toolcall.ToolDef) bool {
	return !hints(def, "readOnlyHint", false) && hints(def, "destructiveHint", true)
}

// lintDenyLists warns of conditions that name bad texts where a text may be anything:
// another spelling of the same passes.
func (l *linter) lintDenyLists(i int) {
	r := &l.policy.rules[i]
	for j := range r.args {
		a := &r.args[j]
		if a.path.IsZero() || a.path.Steps()[0].Kind != toolcall.StepName {
			continue
		}
		places, _, _ := l.places(i, a)
		for t, negated := range leaves(a.tests, false) {
			key := keyOf(t)
			if !listsBad(r.verb, key, negated) {
				continue
			}
			at := slices.IndexFunc(places, func(p schemaPlace) bool { return freeText(p.schema) })
			if at < 0 {
				continue
			}
			l.warn(i, l.argumentNode(i, a, key), "open-deny", "allow what is known to be good, or a condition that parses",
				"%s names texts that are bad, and %s of %s/%s can be any text: another spelling passes", key, a.path, places[at].def.Upstream, places[at].def.Name)
		}
	}
}

// listsBad reports whether a condition, under a verb and perhaps a "not", names texts
// that do not pass.
func listsBad(v verb, condition string, negated bool) bool {
	switch condition {
	case "equals", "in", "matches", "search", "prefix", "glob":
		return (v == denies) != negated
	case "not_in":
		return (v == denies) == negated
	}
	return false
}

// freeText reports whether a schema takes any text.
func freeText(schema toolcall.JSON) bool {
	return slices.Contains(declaredTypes(schema), "string") && schema.Member("enum").IsZero() && schema.Member("const").IsZero()
}

// lintBroadAllow warns of a deny with conditions where an allow by wildcard lets
// every call through that the conditions miss.
func (l *linter) lintBroadAllow(i int) {
	r := &l.policy.rules[i]
	for j := range l.policy.rules {
		o := &l.policy.rules[j]
		if o.verb == allows && !o.observe && o.unconditional() && !o.selector.name.literal() && o.selector.covers(&r.selector) {
			l.warn(i, l.selectorNode(i), "open-by-default", "conditions in an allow rule", "what these conditions miss is allowed: %s allows all else", l.place(j))
			return
		}
	}
}
