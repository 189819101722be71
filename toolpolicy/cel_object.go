package toolpolicy

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"mcpguard/toolcall"
)

// object is a JSON object as a map of CEL: its members, and the defaults that the
// schema declares for absent ones. A name that differs from a member's only by
// case is neither there nor absent.
type object struct {
	run     *run
	scope   scope
	size    int // of the text in bytes
	members []member
	byName  map[string]int // of many members; else nil
	folded  map[string]int // by their folded names
}

type member struct {
	name  string
	json  toolcall.JSON
	value ref.Val // made when it is first read
	given bool
}

// fewMembers is up to how many are looked through without a map.
const fewMembers = 16

func (r *run) object(j toolcall.JSON, s scope) ref.Val {
	if !r.spend(2 + j.Len()/1000) {
		return r.fail(tooCostly)
	}
	o := &object{run: r, scope: s, size: j.Len()}
	for m := j.Members(); m.Next(); {
		if len(o.members) == maxExpressionItems {
			return r.fail(tooLong)
		}
		name := m.Name()
		if !r.spend(2 + len(name)/50) {
			return r.fail(tooCostly)
		}
		o.members = append(o.members, member{name: name, json: m.Value(), given: true})
	}
	given := len(o.members)
	if given > fewMembers {
		o.byName, o.folded = make(map[string]int, given), make(map[string]int, given)
		for i := range o.members {
			o.byName[o.members[i].name] = i
			o.folded[toolcall.FoldKey(o.members[i].name)] = i
		}
	}
	if !s.fallbacks(func(name string, value toolcall.JSON) bool {
		if value.IsZero() {
			return r.spend(1)
		}
		if i, variant := o.index(name); i < 0 && !variant {
			if o.byName != nil {
				o.byName[name] = len(o.members)
			}
			o.members = append(o.members, member{name: name, json: value})
		}
		return r.spend(2)
	}) {
		return r.fail(tooCostly) // the upstream wrote the schema
	}
	return o
}

// index is where a member stands, negative when nowhere; and whether the call
// gives one whose name differs only by case.
func (o *object) index(name string) (i int, variant bool) {
	if o.byName != nil {
		i, ok := o.byName[name]
		if !ok {
			i = -1
		}
		other, folds := o.folded[toolcall.FoldKey(name)]
		return i, folds && o.members[other].name != name
	}
	i = -1
	for k := range o.members {
		m := &o.members[k]
		if m.name == name {
			i = k
		} else if m.given && toolcall.SameFolded(m.name, name) {
			variant = true
		}
	}
	return i, variant
}

func (o *object) at(i int) ref.Val {
	m := &o.members[i]
	if m.value == nil {
		m.value = o.run.value(m.json, o.scope.below(m.name))
	}
	return m.value
}

// Find is the member of a name; or an error where nobody knows what is meant.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return o.run.fail(notComparable), false
	}
	i, otherCase := o.index(string(name))
	switch {
	case otherCase:
		return o.run.fail(variant), false
	case i < 0:
		return nil, false
	}
	v := o.at(i)
	return v, !types.IsError(v)
}

// Get is the member of a name, or an error.
func (o *object) Get(key ref.Val) ref.Val {
	v, found := o.Find(key)
	if !found && v == nil {
		return o.run.fail(lacking)
	}
	return v
}

// Contains is whether there is a member of the name.
func (o *object) Contains(key ref.Val) ref.Val {
	v, found := o.Find(key)
	if v != nil && types.IsError(v) {
		return v
	}
	return types.Bool(found)
}

// Size is the number of members.
func (o *object) Size() ref.Val { return types.Int(len(o.members)) }

// AggregateSize is what work on the whole object is charged by.
func (o *object) AggregateSize(types.AggregateSizer) uint32 { return sizeOf(o.size) }

func sizeOf(bytes int) uint32 { return uint32(min(max(bytes, 1), math.MaxUint32)) } //nolint:gosec // bounded above

// Iterator walks the names.
func (o *object) Iterator() traits.Iterator {
	return &walk{len(o.members), 0, func(i int) ref.Val { return types.String(o.members[i].name) }}
}

// Equal compares by meaning.
func (o *object) Equal(other ref.Val) ref.Val { return same(o, other) }

// ConvertToNative is refused: arguments leave the bytes for CEL alone.
func (o *object) ConvertToNative(reflect.Type) (any, error) { return nil, errNative }

// ConvertToType knows the type itself and its name.
func (o *object) ConvertToType(to ref.Type) ref.Val { return convert(o, o.run, to) }

// Type is CEL's map.
func (o *object) Type() ref.Type { return types.MapType }

// Value is the object.
func (o *object) Value() any { return o }

// Format keeps the names out of every fmt verb.
func (o *object) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[object]") }

var errNative = errors.New("arguments have no native form")

func convert(v ref.Val, r *run, to ref.Type) ref.Val {
	switch to {
	case types.TypeType:
		return v.Type().(ref.Val)
	case v.Type():
		return v
	}
	return r.fail(notComparable)
}

// nested is an object within the arguments. Its members are read by name, and it is
// never walked: all and exists are written about the elements of a list, and somebody
// who sends an object instead would have its names judged in place of its values.
type nested struct{ object *object }

func (r *run) nested(j toolcall.JSON, s scope) ref.Val {
	v := r.object(j, s)
	if o, ok := v.(*object); ok {
		return &nested{o}
	}
	return v
}

// nestedType is a type that is no map to CEL, so that it is not walked.
func nestedType() *types.Type {
	return types.NewObjectType("mcpguard.object", traits.ContainerType, traits.FieldTesterType, traits.IndexerType, traits.SizerType)
}

// Get is the member of a name, or an error.
func (n *nested) Get(key ref.Val) ref.Val { return n.object.Get(key) }

// IsSet is whether there is a member of the name.
func (n *nested) IsSet(key ref.Val) ref.Val { return n.object.Contains(key) }

// Contains is IsSet.
func (n *nested) Contains(key ref.Val) ref.Val { return n.object.Contains(key) }

// Size is the number of members.
func (n *nested) Size() ref.Val { return n.object.Size() }

// AggregateSize is what work on the whole object is charged by.
func (n *nested) AggregateSize(types.AggregateSizer) uint32 { return sizeOf(n.object.size) }

// Equal compares by meaning.
func (n *nested) Equal(other ref.Val) ref.Val { return same(n, other) }

// ConvertToNative is refused.
func (n *nested) ConvertToNative(reflect.Type) (any, error) { return nil, errNative }

// ConvertToType is refused.
func (n *nested) ConvertToType(ref.Type) ref.Val { return n.object.run.fail(notComparable) }

// Type is a type of its own.
func (n *nested) Type() ref.Type { return nestedType() }

// Value is the object.
func (n *nested) Value() any { return n }

// Format keeps the names out of every fmt verb.
func (n *nested) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[object]") }

// unwrapped is an object as a map, for comparing.
func unwrapped(v ref.Val) ref.Val {
	if n, ok := v.(*nested); ok {
		return n.object
	}
	return v
}
