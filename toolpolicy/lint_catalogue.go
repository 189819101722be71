package toolpolicy

import (
	"iter"
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// lintNames warns of names that no upstream has.
func (l *linter) lintNames(i int) {
	r := &l.policy.rules[i]
	s := &r.selector
	if len(l.upstreams) == 0 {
		return
	}
	if !slices.ContainsFunc(l.upstreams, s.upstream.match) {
		_, name, _ := strings.Cut(s.text, "/")
		hint := nearest(s.upstream.text, l.upstreams)
		if hint != "" {
			hint += "/" + name
		}
		l.warn(i, l.selectorNode(i), "unknown-upstream", hint, "no upstream is called %s: the rule is about nothing", s.upstream.text)
		return
	}
	var names []string
	for _, upstream := range l.upstreams {
		if !s.upstream.match(upstream) {
			continue
		}
		o := l.offerOf(upstream)
		switch {
		case o == nil:
			return // nobody knows what it defines
		case s.kind == toolcall.Tool:
			names = append(names, o.names...)
		case s.kind == toolcall.Prompt && o.prompts != nil:
			names = append(names, o.prompts...)
		default:
			return
		}
	}
	if slices.ContainsFunc(names, s.name.match) {
		return
	}
	hint := nearest(s.name.text, names)
	if hint != "" {
		hint = s.upstream.text + "/" + hint
	}
	l.warn(i, l.selectorNode(i), "unknown-"+s.kind.String(), hint, "no %s is called %s: the rule is about nothing", s.kind, s.text)
}

func (l *linter) offerOf(upstream string) *offer {
	if l.catalogue == nil {
		return nil
	}
	return l.catalogue.upstreams[upstream]
}

// lintArguments warns of conditions that no call could meet, by the schemas of the
// tools that the rule is about.
func (l *linter) lintArguments(i int) {
	r := &l.policy.rules[i]
	for j := range r.args {
		a := &r.args[j]
		if a.path.IsZero() || a.path.Steps()[0].Kind != toolcall.StepName {
			continue // the arguments as a whole, or a name at any depth
		}
		places, missing, near := l.places(i, a)
		if len(places) == 0 && missing != "" {
			l.warn(i, l.argumentNode(i, a, ""), "unknown-argument", near, "no tool that the rule is about declares %s", missing)
			continue
		}
		for t, negated := range leaves(a.tests, false) {
			l.lintCondition(i, a, t, negated, places)
		}
	}
}

// leaves are the conditions of a tree on one value, each with whether it stands below
// an odd number of "not".
func leaves(tests conjunction, negated bool) iter.Seq2[*test, bool] {
	return func(yield func(*test, bool) bool) {
		for i := range tests {
			t := &tests[i]
			if t.matcher != nil && !yield(t, negated) {
				return
			}
			for _, branch := range t.branches {
				for leaf, not := range leaves(branch, negated != t.negated) {
					if !yield(leaf, not) {
						return
					}
				}
			}
		}
	}
}

// schemaPlace is the schema of an argument of one tool.
type schemaPlace struct {
	def    *toolcall.ToolDef
	schema toolcall.JSON
}

// places are the schemas that the path of an argument leads to. Without any, missing
// is the part of the path that every tool lacks, and near what it may mean.
func (l *linter) places(i int, a *argument) (places []schemaPlace, missing, near string) {
	for _, def := range l.about[i] {
		schema, lacks, of := schemaAt(def, a.path)
		if lacks == "" {
			places = append(places, schemaPlace{def, schema})
		} else if near == "" {
			missing, near = lacks, nearest(lacks, of)
		}
	}
	return places, missing, near
}

// schemaAt is the schema of the place that a path leads to in a tool's arguments; zero
// where the schema does not tell. Where it has no such place, lacks is the name that is
// not among those of its properties there.
func schemaAt(def *toolcall.ToolDef, path toolcall.Path) (schema toolcall.JSON, lacks string, of []string) {
	first := path.Steps()[0].Name
	if !def.Declares(first) {
		return toolcall.JSON{}, first, def.Arguments()
	}
	at := def.Resolve(def.Argument(first))
	for _, step := range path.Steps()[1:] {
		properties := at.Member("properties")
		switch {
		case step.Kind == toolcall.StepEach, step.Kind == toolcall.StepName && step.Index >= 0 && properties.IsZero():
			at = at.Member("items")
		case step.Kind == toolcall.StepName && !properties.Member(step.Name).IsZero():
			at = properties.Member(step.Name)
		case step.Kind == toolcall.StepName && !properties.IsZero():
			for m := properties.Members(); m.Next(); {
				of = append(of, m.Name())
			}
			return toolcall.JSON{}, step.Name, of
		default:
			return toolcall.JSON{}, "", nil
		}
		at = def.Resolve(at)
	}
	return at, "", nil
}

// judged are the types of JSON that a condition can be true of; conditions that are
// not here are of any type, or of those of the values that they name.
func judged(condition string) []string {
	switch condition {
	case "min", "max", "above", "below", "integer":
		return []string{"number"}
	case "matches", "search", "prefix", "glob", "under", "not_glob", "shell", "url", "cidr", "email", "sql", "json":
		return []string{"string"}
	case "argv", "each", "any":
		return []string{"array"}
	case "len":
		return []string{"string", "array", "object"}
	}
	return nil
}

// lintCondition warns of the first tool whose schema leaves a condition nothing.
func (l *linter) lintCondition(i int, a *argument, t *test, negated bool, places []schemaPlace) {
	key := keyOf(t)
	takes := judged(key)
	values, _ := t.matcher.(*oneOf)
	if values != nil {
		for _, v := range values.values {
			takes = append(takes, typeName(v))
		}
	}
	for _, at := range places {
		declared := declaredTypes(at.schema)
		target := at.def.Upstream + "/" + at.def.Name
		if len(takes) > 0 && len(declared) > 0 && !slices.ContainsFunc(takes, func(t string) bool { return slices.Contains(declared, t) }) {
			so := "the condition is never true"
			if l.policy.rules[i].verb == denies {
				so = "what cannot be judged is denied"
			}
			l.warn(i, l.argumentNode(i, a, key), "wrong-type", "", "%s of %s has the type %s, and %s takes %s: %s",
				a.path, target, strings.Join(declared, " or "), key, strings.Join(slices.Compact(takes), " or "), so)
			return
		}
		if values != nil && !values.refused && !negated {
			if never := outsideEnum(values, at.schema.Member("enum")); len(never) > 0 {
				l.warn(i, l.argumentNode(i, a, key), "impossible-value", "", "%s of %s is never %s", a.path, target, joinJSON(never))
				return
			}
		}
		if b, ok := t.matcher.(*bound); ok && !negated {
			if limit := b.beyond(at.schema); limit != "" {
				l.warn(i, l.argumentNode(i, a, key), "impossible-value", "", "no number meets %s %s: %s of %s has %s", b.key, b.text, a.path, target, limit)
				return
			}
		}
	}
}

func typeName(v toolcall.JSON) string {
	switch v.Type() {
	case toolcall.StringType:
		return "string"
	case toolcall.NumberType:
		return "number"
	case toolcall.True, toolcall.False:
		return "boolean"
	case toolcall.ArrayType:
		return "array"
	case toolcall.ObjectType:
		return "object"
	}
	return "null"
}

// declaredTypes are the types that a schema allows, with integer as the number that
// it is; none where it does not say (JSON Schema 2020-12, Validation, 6.1.1).
func declaredTypes(schema toolcall.JSON) []string {
	var types []string
	add := func(v toolcall.JSON) {
		if name, ok := v.Str(); ok && name == "integer" {
			types = append(types, "number")
		} else if ok {
			types = append(types, name)
		}
	}
	of := schema.Member("type")
	add(of)
	for e := of.Elements(); e.Next(); {
		add(e.Value())
	}
	return types
}

// outsideEnum are the values that an enum does not have; none without an enum.
func outsideEnum(m *oneOf, enum toolcall.JSON) (never []toolcall.JSON) {
	if enum.Type() != toolcall.ArrayType {
		return nil
	}
	for _, v := range m.values {
		found := false
		for e := enum.Elements(); !found && e.Next(); {
			found = v.Equal(e.Value())
		}
		if !found {
			never = append(never, v)
		}
	}
	return never
}

// beyond is the bound of a schema that leaves a condition nothing; "" when there is
// none (JSON Schema 2020-12, Validation, 6.2).
func (m *bound) beyond(schema toolcall.JSON) string {
	for _, keyword := range [...]string{"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"} {
		v := schema.Member(keyword)
		n, ok := v.Number()
		if !ok || !n.Comparable() {
			continue
		}
		order := m.limit.Compare(n)
		open := strings.HasPrefix(keyword, "exclusive")
		low := strings.HasSuffix(strings.ToLower(keyword), "minimum")
		switch m.key {
		case "max", "below":
			if low && (order < 0 || order == 0 && (open || m.key == "below")) {
				return keyword + " " + v.Text()
			}
		default:
			if !low && (order > 0 || order == 0 && (open || m.key == "above")) {
				return keyword + " " + v.Text()
			}
		}
	}
	return ""
}
