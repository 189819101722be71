package toolpolicy

import (
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// keyword is a member of a JSON Schema (2020-12, Validation) with its value.
type keyword struct {
	name  string
	value toolcall.JSON
}

func (k keyword) same(other keyword) bool { return k.name == other.name && k.value.Equal(other.value) }

// narrowing is what limits say of one place in a schema.
type narrowing struct {
	said   [][]keyword // for each rule; nothing where it says nothing of this place
	needed []bool      // for each rule: a call without it fails
	names  []string    // of the properties below, in the order of the policy
	below  map[string]*narrowing
}

func newNarrowing(rules int) *narrowing {
	return &narrowing{said: make([][]keyword, rules), needed: make([]bool, rules), below: map[string]*narrowing{}}
}

// at is the place of a property below, made where it is not there yet.
func (n *narrowing) at(name string) *narrowing {
	child := n.below[name]
	if child == nil {
		child = newNarrowing(len(n.said))
		n.below[name] = child
		n.names = append(n.names, name)
	}
	return child
}

// narrowSchema is the tool's inputSchema with the limits in it, and the conditions
// that it says in full; the zero JSON where nothing can be said there.
func narrowSchema(def *toolcall.ToolDef, limits []*rule) (toolcall.JSON, map[*test]bool) {
	told := map[*test]bool{}
	if s := def.Schema; s.Type() != toolcall.ObjectType || oldDialect(s) {
		return toolcall.JSON{}, told
	}
	top := newNarrowing(len(limits))
	closed := true
	for i, r := range limits {
		closed = closed && r.namesArguments() && !r.extra
		for j := range r.args {
			top.say(def, i, &r.args[j], told)
		}
	}
	schema := top.apply(def.Schema)
	if closed {
		schema = closeSchema(schema)
	}
	if schema.Text() == def.Schema.Text() {
		return toolcall.JSON{}, told
	}
	return schema, told
}

// oldDialect reports whether a schema is of a draft in which exclusive bounds
// were booleans and 5.0 was no integer.
func oldDialect(schema toolcall.JSON) bool {
	dialect, _ := schema.Member("$schema").Str()
	return strings.Contains(dialect, "draft-04") || strings.Contains(dialect, "draft-03")
}

// closeSchema refuses undeclared arguments, where the declared ones all stand in
// this one place.
func closeSchema(schema toolcall.JSON) toolcall.JSON {
	for _, elsewhere := range [...]string{"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "patternProperties", "unevaluatedProperties"} {
		if !schema.Member(elsewhere).IsZero() {
			return schema
		}
	}
	if more := schema.Member("additionalProperties"); !more.IsZero() && more.Type() != toolcall.True {
		return schema
	}
	return schema.With("additionalProperties", toolcall.Bool(false))
}

// say notes the conditions of the i-th rule on one argument, where the schema
// declares it in plain sight.
func (n *narrowing) say(def *toolcall.ToolDef, i int, a *argument, told map[*test]bool) {
	if a.path.IsZero() {
		return // the arguments as a whole
	}
	schema := def.Schema
	var way []*narrowing
	for _, step := range a.path.Steps() {
		if step.Kind != toolcall.StepName || step.Index >= 0 {
			return // many places, or perhaps an element of a list
		}
		schema = schema.Member("properties").Member(step.Name)
		if t := schema.Type(); t != toolcall.ObjectType && t != toolcall.True {
			return
		}
		n = n.at(step.Name)
		way = append(way, n)
	}
	for _, place := range way[:len(way)-1] {
		place.said[i] = append(place.said[i], keyword{"type", toolcall.Quote("object")})
	}
	// What is left out is judged by its default, and need not be given where that
	// passes.
	in := lookup{call: &toolcall.Call{Kind: toolcall.Tool, Def: def}}
	for step, place := range way {
		left := in.missing(a.path, step)
		for j := range a.tests {
			t := &a.tests[j]
			if !(a.optional && left.nowhere()) && t.outcome(left, nil) != holds {
				place.needed[i] = true
			}
		}
	}
	for j := range a.tests {
		t := &a.tests[j]
		if p, ok := t.matcher.(present); ok {
			told[t] = p.wanted
		} else if words, ok := keywordsOf(t.matcher, schema); ok {
			n.said[i] = append(n.said[i], words...)
			told[t] = true
		}
	}
}

// keywordsOf says in JSON Schema that a value meets a condition, exactly; false
// where it cannot be said.
func keywordsOf(m matcher, schema toolcall.JSON) ([]keyword, bool) {
	typed := func(name string, rest ...keyword) ([]keyword, bool) {
		return append([]keyword{{"type", toolcall.Quote(name)}}, rest...), true
	}
	switch m := m.(type) {
	case *oneOf:
		return m.keywords()
	case *bound:
		names := map[string]string{"min": "minimum", "max": "maximum", "above": "exclusiveMinimum", "below": "exclusiveMaximum"}
		value, err := toolcall.Parse(m.text, toolcall.Limits{Bytes: len(m.text), Depth: 1})
		if err != nil {
			return nil, false
		}
		return typed("number", keyword{names[m.key], value})
	case integer:
		return typed("integer")
	case *length:
		return m.keywords(schema)
	case *pattern:
		if text, ok := ecmaPattern(m.text); ok {
			if m.key == "matches" {
				text = "^(?:" + text + ")$"
			}
			return typed("string", keyword{"pattern", toolcall.Quote(text)})
		}
	case *prefix:
		var b strings.Builder
		b.WriteByte('^')
		for _, r := range m.text {
			if !oneUnit(r) {
				return nil, false
			}
			writeUnit(&b, r)
		}
		return typed("string", keyword{"pattern", toolcall.Quote(b.String())})
	}
	return nil, false
}

func (m *oneOf) keywords() ([]keyword, bool) {
	switch {
	case !m.refused && len(m.values) == 1:
		return []keyword{{"const", m.values[0]}}, true
	case !m.refused:
		return []keyword{{"enum", toolcall.Array(m.values...)}}, true
	}
	for _, v := range m.values[1:] {
		if !sameType(v.Type(), m.values[0].Type()) {
			return nil, false // every value is of another type than one of them
		}
	}
	return []keyword{
		{"type", toolcall.Quote(m.values[0].Type().String())},
		{"not", toolcall.JSON{}.With("enum", toolcall.Array(m.values...))},
	}, true
}

// keywords of a length hang on what the value is, which the schema must say.
func (m *length) keywords(schema toolcall.JSON) ([]keyword, bool) {
	declared, _ := schema.Member("type").Str()
	what := map[string]string{"string": "Length", "array": "Items", "object": "Properties"}[declared]
	if what == "" {
		return nil, false
	}
	var out []keyword
	if m.min != noLength {
		out = append(out, keyword{"min" + what, toolcall.Integer(int64(m.min))})
	}
	if m.max != noLength {
		out = append(out, keyword{"max" + what, toolcall.Integer(int64(m.max))})
	}
	return out, true
}

// apply puts what is said into a schema.
func (n *narrowing) apply(schema toolcall.JSON) toolcall.JSON {
	if schema.Type() == toolcall.True {
		schema = toolcall.JSON{} // the same: anything
	}
	properties := schema.Member("properties")
	var required []string
	for _, name := range n.names {
		child := n.below[name]
		if narrowed := child.apply(properties.Member(name)); !narrowed.IsZero() {
			properties = properties.With(name, narrowed)
		}
		if !slices.Contains(child.needed, false) {
			required = append(required, name)
		}
	}
	if len(n.names) > 0 {
		schema = schema.With("properties", properties)
	}
	schema = require(schema, required)
	return insert(schema, n.union())
}

// require adds names to what must be given.
func require(schema toolcall.JSON, names []string) toolcall.JSON {
	var all []toolcall.JSON
	have := map[string]bool{}
	for e := schema.Member("required").Elements(); e.Next(); {
		name, _ := e.Value().Str()
		have[name] = true
		all = append(all, e.Value())
	}
	before := len(all)
	for _, name := range names {
		if !have[name] {
			all = append(all, toolcall.Quote(name))
		}
	}
	if len(all) == before {
		return schema
	}
	return schema.With("required", toolcall.Array(all...))
}

// union is what holds for every value that some rule accepts here.
func (n *narrowing) union() []keyword {
	var common []keyword
	for _, k := range n.said[0] {
		if !slices.ContainsFunc(n.said[1:], func(other []keyword) bool { return !slices.ContainsFunc(other, k.same) }) {
			common = append(common, k)
		}
	}
	var choices []toolcall.JSON
	var values []toolcall.JSON // of choices that only list values
	for _, said := range n.said {
		var choice toolcall.JSON
		rest := 0
		for _, k := range said {
			if !slices.ContainsFunc(common, k.same) {
				choice = addKeyword(choice, k)
				rest++
			}
		}
		switch {
		case rest == 0:
			return common
		case rest == 1 && !choice.Member("const").IsZero():
			values = appendNew(values, choice.Member("const"))
		case rest == 1 && !choice.Member("enum").IsZero():
			for e := choice.Member("enum").Elements(); e.Next(); {
				values = appendNew(values, e.Value())
			}
		default:
			values = append(values, toolcall.JSON{}) // no list
		}
		choices = appendNew(choices, choice)
	}
	switch {
	case !slices.ContainsFunc(values, toolcall.JSON.IsZero):
		return append(common, keyword{"enum", toolcall.Array(values...)})
	default:
		return append(common, keyword{"anyOf", toolcall.Array(choices...)})
	}
}

func appendNew(list []toolcall.JSON, v toolcall.JSON) []toolcall.JSON {
	if slices.ContainsFunc(list, v.Equal) {
		return list
	}
	return append(list, v)
}

// insert adds keywords to a schema that is an object.
func insert(schema toolcall.JSON, words []keyword) toolcall.JSON {
	for _, k := range words {
		schema = addKeyword(schema, k)
	}
	return schema
}

// addKeyword says one thing more. What the schema says already under that name
// stays in force: both then stand in allOf. Beside a $ref older readers see
// nothing, so there too.
func addKeyword(schema toolcall.JSON, k keyword) toolcall.JSON {
	old := schema.Member(k.name)
	switch {
	case old.Equal(k.value):
		return schema
	case old.IsZero() && schema.Member("$ref").IsZero():
		return schema.With(k.name, k.value)
	case k.name == "type" && !old.IsZero():
		if a, _ := old.Str(); a == "integer" && k.value.Equal(toolcall.Quote("number")) {
			return schema
		}
	}
	more := toolcall.JSON{}.With(k.name, k.value)
	if all := schema.Member("allOf"); schema.Member("$ref").IsZero() && all.Type() == toolcall.ArrayType {
		var list []toolcall.JSON
		for e := all.Elements(); e.Next(); {
			list = append(list, e.Value())
		}
		return schema.With("allOf", toolcall.Array(append(list, more)...))
	}
	if schema.Member("$ref").IsZero() && schema.Member("allOf").IsZero() {
		return schema.With("allOf", toolcall.Array(more))
	}
	return toolcall.JSON{}.With("allOf", toolcall.Array(schema, more))
}
