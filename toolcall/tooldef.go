package toolcall

import (
	"crypto/sha256"
	"maps"
	"slices"
)

// ToolDef is a tool as its upstream declares it (MCP, Tool). Only what a
// decision reads is decoded; Raw keeps every byte.
type ToolDef struct {
	Upstream string
	Name     string
	Raw      JSON   // the definition as the upstream sent it
	Schema   JSON   // inputSchema; zero when it is missing
	Digest   Digest // plain SHA-256 over the canonical form of Raw
	args     map[string]JSON
	names    []string             // of args, sorted
	refs     map[string]reference // of the whole schema
	shapes   map[string]*shape    // of arguments that are objects and lists
}

// NewToolDef reads one element of a tools/list result. A definition without a
// name is nil. A schema that is none declares nothing: the strict answer.
func NewToolDef(upstream string, raw JSON) *ToolDef {
	name, ok := raw.Member("name").Str()
	if !ok || name == "" {
		return nil
	}
	d := &ToolDef{
		Upstream: upstream,
		Name:     name,
		Raw:      raw,
		Schema:   raw.Member("inputSchema"),
		Digest:   sha256.Sum256(raw.AppendCanonical(nil)),
		args:     map[string]JSON{},
	}
	if d.Schema.Len() > maxSchemaText {
		return d
	}
	d.refs = referencesOf(d.Schema)
	left := readings(d.Schema)
	d.declare(d.Schema, maxSchemas, &left)
	d.names = slices.Sorted(maps.Keys(d.args))
	d.shapes = d.shapesOf()
	return d
}

// maxSchemaText bounds a schema, in bytes. A longer one declares nothing: every
// call looks into the schema of its tool, and no model reads as much.
const maxSchemaText = 1 << 20

// maxSchemas bounds how many schemas are visited through $ref and allOf, and
// with it loops; left is how many bytes of them may still be read. What lies
// beyond declares nothing.
const maxSchemas = 256

// declare collects the properties of a schema, through local references and
// allOf, and returns what is left of the budget. A reference that leads
// elsewhere declares nothing, and neither does a schema below the top that has
// an $id: its references would start from there.
func (d *ToolDef) declare(schema JSON, budget int, left *int) int {
	if budget <= 0 || schema.Type() != ObjectType {
		return budget
	}
	if *left -= schema.Len(); *left < 0 {
		return 0
	}
	if budget < maxSchemas && !schema.Member("$id").IsZero() {
		return budget
	}
	budget--
	for m := schema.Member("properties").Members(); m.Next(); {
		if name := m.Name(); d.args[name].IsZero() {
			d.args[name] = m.Value()
		}
	}
	if ref, ok := schema.Member("$ref").Str(); ok {
		budget = d.declare(d.resolve(ref), budget, left)
	}
	for e := schema.Member("allOf").Elements(); e.Next(); {
		budget = d.declare(e.Value(), budget, left)
	}
	return budget
}

// resolve is what a local reference of the schema leads to in one step; zero when
// that is nowhere.
func (d *ToolDef) resolve(ref string) JSON { return d.refs[ref].next }

// Declares reports whether the schema names the argument. A nil definition
// declares nothing.
func (d *ToolDef) Declares(arg string) bool {
	if d == nil {
		return false
	}
	_, ok := d.args[arg]
	return ok
}

// Default is the default that the schema declares for an argument at a path of
// names, indexes and "#"; zero when there is none, and for other paths. Below the
// argument itself only properties, items and references are followed.
func (d *ToolDef) Default(p Path) JSON { return d.DefaultOn(p, len(p.steps)) }

// DefaultOn is Default for the place that the first n steps of a path lead to.
func (d *ToolDef) DefaultOn(p Path, n int) JSON {
	if d == nil || n <= 0 || n > len(p.steps) || p.steps[0].Kind != StepName {
		return JSON{}
	}
	at := d.args[p.steps[0].Name]
	for i := range p.steps[1:n] {
		at = d.below(at, &p.steps[i+1])
	}
	return d.DefaultOf(at)
}

// DefaultOf is the default that a part of the tool's schema declares itself, or
// what it refers to by a local $ref; zero when there is none.
func (d *ToolDef) DefaultOf(schema JSON) JSON {
	if own := schema.Member("default"); !own.IsZero() || d == nil {
		return own
	}
	ref, _ := schema.Member("$ref").Str()
	return d.refs[ref].fallback
}

// Arguments are the names of the arguments that the schema declares, sorted; they
// must not be changed. A nil definition declares none.
func (d *ToolDef) Arguments() []string {
	if d == nil {
		return nil
	}
	return d.names
}

// Argument is the schema of a declared argument; zero where there is none.
func (d *ToolDef) Argument(name string) JSON {
	if d == nil {
		return JSON{}
	}
	return d.args[name]
}

// Resolve is a part of the tool's schema, or what it refers to by a local $ref; zero
// when that leads nowhere.
func (d *ToolDef) Resolve(schema JSON) JSON {
	if d == nil {
		return JSON{}
	}
	return d.deref(schema)
}

// below is the schema of what a step leads to from a value of the given schema.
// An index is one of a list where the schema has items and no such property.
func (d *ToolDef) below(schema JSON, s *Step) JSON {
	schema = d.deref(schema)
	switch s.Kind {
	case StepName:
		if next := schema.Member("properties").Member(s.Name); !next.IsZero() || s.Index < 0 {
			return next
		}
		return schema.Member("items")
	case StepEach:
		return schema.Member("items")
	}
	return JSON{}
}

// deref follows the $ref of a schema, and that of what it leads to.
func (d *ToolDef) deref(schema JSON) JSON {
	if ref, ok := schema.Member("$ref").Str(); ok {
		return d.refs[ref].last
	}
	return schema
}

// Told is the definition with another inputSchema, where one is given, and with
// text added to its description. The other members stay, byte for byte; Digest
// and Schema of d, which calls are judged by, are still the upstream's own.
func (d *ToolDef) Told(schema JSON, text string) JSON {
	raw := d.Raw
	if !schema.IsZero() && !d.Schema.IsZero() {
		if edited, err := Splice(raw, []Edit{{At: d.Schema, With: schema}}); err == nil {
			raw = edited
		}
	}
	if text == "" {
		return raw
	}
	old := raw.Member("description")
	said, isText := old.Str()
	switch {
	case isText && said != "":
		text = said + "\n\n" + text
	case !old.IsZero() && !isText:
		return raw // not the protocol's: nobody knows who reads it
	}
	return raw.With("description", Quote(text))
}
