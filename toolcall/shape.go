package toolcall

import (
	"maps"
	"slices"
)

// shape is which members the objects in an argument may have, as far as its
// schema declares any. A nil *shape is of a value of which it declares none.
type shape struct {
	members map[string]*shape // nil where no properties are declared
	items   *shape
}

// What is looked at to know shapes is bounded: so many schemas and properties for
// a tool, and for one of its arguments, and so many levels. What lies beyond
// declares nothing: there no member is declared.
const (
	maxShapeDepth    = 8
	maxShapeWork     = 1 << 14
	maxArgumentShape = 1 << 10
)

// shaper reads the shapes of one argument.
type shaper struct {
	def  *ToolDef
	left int // schemas and properties that may still be looked at
}

// shapesOf are the shapes of the arguments that have one.
func (d *ToolDef) shapesOf() map[string]*shape {
	shapes := map[string]*shape{}
	left := maxShapeWork
	for _, name := range d.names { // sorted: the same whenever it is read
		reader := shaper{d, min(left, maxArgumentShape)}
		given := reader.left
		if s := reader.shape(d.args[name], maxShapeDepth); s != nil {
			shapes[name] = s
		}
		left -= given - max(reader.left, 0)
	}
	return shapes
}

func (r *shaper) shape(schema JSON, depth int) *shape {
	if depth == 0 || r.left <= 0 {
		beyond := &shape{members: map[string]*shape{}}
		beyond.items = beyond
		return beyond
	}
	properties := map[string]JSON{}
	var items JSON
	whole := r.gather(schema, properties, &items)
	s := &shape{}
	if items.Type() == ObjectType {
		s.items = r.shape(items, depth-1)
	}
	if len(properties) == 0 && s.items == nil && whole {
		return nil
	}
	if len(properties) > 0 || !whole {
		s.members = make(map[string]*shape, len(properties))
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		s.members[name] = r.shape(properties[name], depth-1)
	}
	return s
}

// gather collects what a schema declares, through local references and allOf,
// as declare does for the arguments themselves. It reports whether that is all:
// a reference may lead elsewhere, nowhere or round.
func (r *shaper) gather(schema JSON, properties map[string]JSON, items *JSON) (whole bool) {
	if schema.Type() != ObjectType {
		return true
	}
	if r.left <= 0 || !schema.Member("$id").IsZero() {
		return false
	}
	r.left--
	for m := schema.Member("properties").Members(); m.Next(); {
		if r.left--; r.left < 0 {
			return false
		}
		if name := m.Name(); properties[name].IsZero() {
			properties[name] = m.Value()
		}
	}
	if items.IsZero() {
		*items = schema.Member("items")
	}
	whole = true
	if ref, ok := schema.Member("$ref").Str(); ok {
		target := r.def.resolve(ref)
		whole = !target.IsZero() && r.gather(target, properties, items)
	}
	for e := schema.Member("allOf").Elements(); e.Next(); {
		whole = r.gather(e.Value(), properties, items) && whole
	}
	return whole
}

// DeclaresOn reports whether the schema names all members of the objects in args
// that a path goes through below the argument itself. An object of which it
// declares no properties may hold any; so may one whose members "*" names, which
// are all judged, and everything behind "**".
func (d *ToolDef) DeclaresOn(p Path, args JSON) bool {
	if d == nil {
		return false
	}
	if len(p.steps) < 2 {
		return true
	}
	switch first := &p.steps[0]; first.Kind {
	case StepName:
		return d.shapes[first.Name].covers(args.Member(first.Name), p.steps[1:])
	case StepAny:
		for m := args.Members(); m.Next(); {
			if !d.shapes[m.Name()].covers(m.Value(), p.steps[1:]) {
				return false
			}
		}
	}
	return true
}

func (s *shape) covers(v JSON, steps []Step) bool {
	if s == nil || len(steps) == 0 {
		return true
	}
	step, rest := &steps[0], steps[1:]
	if step.Kind == StepDeep {
		return true
	}
	if v.Type() == ArrayType {
		i := 0
		for e := v.Elements(); e.Next(); i++ {
			if (step.Kind != StepName || step.Index == i) && !s.items.covers(e.Value(), rest) {
				return false
			}
		}
		return true
	}
	for m := v.Members(); s.members != nil && m.Next(); {
		next, declared := s.members[m.Name()]
		if step.Kind == StepAny {
			if !next.covers(m.Value(), rest) {
				return false
			}
			continue
		}
		if !declared || step.Kind == StepName && m.NameIs(step.Name) && !next.covers(m.Value(), rest) {
			return false
		}
	}
	return true
}
