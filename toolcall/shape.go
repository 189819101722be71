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

// shaper reads the shapes of the arguments. A schema that several places refer to
// is read once, and one that refers to itself has a shape that holds itself.
type shaper struct {
	def  *ToolDef
	left int            // bytes that may still be read
	done map[int]*shape // by where a schema begins
}

// shapesOf are the shapes of the arguments that have one.
func (d *ToolDef) shapesOf() map[string]*shape {
	r := shaper{d, readings(d.Schema), map[int]*shape{}}
	shapes := map[string]*shape{}
	for _, name := range d.names { // sorted: the same whenever it is read
		if s := r.shape(d.args[name]); s != nil {
			shapes[name] = s
		}
	}
	return shapes
}

func (r *shaper) shape(schema JSON) *shape {
	at, _, _ := schema.SpanIn(r.def.Schema)
	if s, known := r.done[at]; known {
		return s
	}
	properties := map[string]JSON{}
	var items JSON
	whole := r.gather(schema, properties, &items, map[int]bool{})
	if len(properties) == 0 && items.Type() != ObjectType && whole {
		r.done[at] = nil
		return nil
	}
	s := &shape{}
	r.done[at] = s
	switch {
	case items.Type() == ObjectType:
		s.items = r.shape(items)
	case !whole: // nobody knows what elements may have
		s.items = &shape{members: map[string]*shape{}}
		s.items.items = s.items
	}
	if len(properties) > 0 || !whole {
		s.members = make(map[string]*shape, len(properties))
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		s.members[name] = r.shape(properties[name])
	}
	return s
}

// gather collects what a schema declares, through local references and allOf,
// as declare does for the arguments themselves. It reports whether that is all:
// a reference may lead elsewhere, nowhere or round, and what is read is bounded.
// What was seen answers as it did; while it is still read, it leads round.
func (r *shaper) gather(schema JSON, properties map[string]JSON, items *JSON, seen map[int]bool) (whole bool) {
	if schema.Type() != ObjectType {
		return true
	}
	at, _, _ := schema.SpanIn(r.def.Schema)
	if answer, known := seen[at]; known {
		return answer
	}
	seen[at] = false
	if r.left -= schema.Len(); r.left < 0 || !schema.Member("$id").IsZero() {
		return false
	}
	for m := schema.Member("properties").Members(); m.Next(); {
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
		whole = !target.IsZero() && r.gather(target, properties, items, seen)
	}
	for e := schema.Member("allOf").Elements(); e.Next(); {
		whole = r.gather(e.Value(), properties, items, seen) && whole
	}
	seen[at] = whole
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
