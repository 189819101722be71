package toolcall

import (
	"crypto/sha256"
	"strings"
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
}

// NewToolDef reads one element of a tools/list result. A definition without a
// name is nil.
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
	d.declare(d.Schema, maxRefs)
	return d
}

// maxRefs bounds the $ref and allOf steps that one schema may take.
const maxRefs = 64

// declare collects the properties of a schema, through local references and
// allOf. A reference that leads elsewhere declares nothing.
func (d *ToolDef) declare(schema JSON, budget int) int {
	if budget <= 0 {
		return 0
	}
	budget--
	for m := schema.Member("properties").Members(); m.Next(); {
		if name := m.Name(); d.args[name].IsZero() {
			d.args[name] = m.Value()
		}
	}
	if ref, ok := schema.Member("$ref").Str(); ok {
		budget = d.declare(d.resolve(ref), budget)
	}
	for e := schema.Member("allOf").Elements(); e.Next(); {
		budget = d.declare(e.Value(), budget)
	}
	return budget
}

// resolve follows a local JSON pointer (RFC 6901) within the schema.
func (d *ToolDef) resolve(ref string) JSON {
	pointer, local := strings.CutPrefix(ref, "#/")
	if !local {
		return JSON{}
	}
	at := d.Schema
	for part := range strings.SplitSeq(pointer, "/") {
		at = at.Member(strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return at
}

// Declares reports whether the schema names the argument. A nil definition
// declares nothing.
func (d *ToolDef) Declares(arg string) bool {
	if d == nil {
		return false
	}
	_, ok := d.args[arg]
	return ok
}

// Default is the default that the schema declares for an argument at a Single
// path; zero when there is none.
func (d *ToolDef) Default(p Path) JSON {
	if d == nil || !p.Single() || p.IsZero() {
		return JSON{}
	}
	at := d.args[p.steps[0].Name]
	for _, s := range p.steps[1:] {
		if ref, ok := at.Member("$ref").Str(); ok {
			at = d.resolve(ref)
		}
		at = at.Member("properties").Member(s.Name)
	}
	if ref, ok := at.Member("$ref").Str(); ok && at.Member("default").IsZero() {
		at = d.resolve(ref)
	}
	return at.Member("default")
}
