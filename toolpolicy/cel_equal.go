package toolpolicy

import (
	"errors"
	"time"

	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// CEL says of values of different types that they differ. Here that would open a
// hole: "true" is not true, so `args.force == true` would not catch it, and
// ["root"] is not "root", so `args.user != "root"` would let it pass. What is of
// another type is unknown, as it is to equals and in.

// comparison is ==, != or in, planned.
type comparison struct {
	call    interpreter.InterpretableCall // what it stands for, and is charged as
	against bool                          // one side is null as written: nothing but null equals it
}

// planStrictly is a decorator of CEL's planner: it replaces comparisons, and the
// zones of times by ones that are loaded already.
func planStrictly(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	args := call.Args()
	switch call.Function() {
	case operators.Equals, operators.NotEquals, operators.In:
		if len(args) != 2 {
			return nil, errors.New("a comparison without two sides")
		}
		return &comparison{call, isNullConst(args[0]) || isNullConst(args[1])}, nil
	}
	if isTimePart(call.Function()) && len(args) == 2 {
		name, ok := args[1].(interpreter.InterpretableConst)
		if !ok {
			return nil, errors.New("a time zone that is not written out")
		}
		text, _ := name.Value().(types.String)
		zone, err := loadZone(string(text))
		if err != nil {
			return nil, err
		}
		return &timePart{call, zone}, nil
	}
	return i, nil
}

func isNullConst(i interpreter.InterpretableV2) bool {
	c, ok := i.(interpreter.InterpretableConst)
	return ok && c.Value() == types.NullValue
}

// ID is the node's in the expression.
func (n *comparison) ID() int64 { return n.call.ID() }

// Eval is Exec for those who have no frame.
func (n *comparison) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// Exec compares, and charges for it.
func (n *comparison) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	args := n.call.Args()
	l, r := args[0].Exec(frame), args[1].Exec(frame)
	out := n.compare(l, r)
	if costs := frame.CostTracker(); costs != nil {
		costs.EvalBinary(frame, n.call.ID(), n.call, l, r, out)
	}
	return out
}

func (n *comparison) compare(l, r ref.Val) ref.Val {
	switch {
	case types.IsUnknownOrError(l):
		return l
	case types.IsUnknownOrError(r):
		return r
	case n.call.Function() == operators.In:
		return among(l, r, n.against)
	}
	if !n.against && !sameFamily(l, r) {
		return errOtherType
	}
	out := same(l, r)
	if eq, ok := out.(types.Bool); ok && n.call.Function() == operators.NotEquals {
		return !eq
	}
	return out
}

// errOtherType is the error of comparing what cannot be compared. Its words are
// those that CEL has for operators.
var errOtherType = types.NoSuchOverloadErr()

// family is what values may be compared with each other.
type family uint8

const (
	noFamily family = iota
	booleanFamily
	numberFamily
	textFamily
	nullFamily
	listFamily
	mapFamily
	timeFamily
	durationFamily
)

func familyOf(v ref.Val) family {
	switch v.(type) {
	case types.Bool:
		return booleanFamily
	case types.Int, types.Uint, types.Double:
		return numberFamily
	case types.String:
		return textFamily
	case types.Null:
		return nullFamily
	case traits.Lister:
		return listFamily
	case traits.Mapper, *nested:
		return mapFamily
	case types.Timestamp:
		return timeFamily
	case types.Duration:
		return durationFamily
	}
	return noFamily
}

// sameFamily reports whether two values are of one type. No value is, of a type
// that nobody can write into an expression.
func sameFamily(l, r ref.Val) bool {
	f := familyOf(l)
	return f != noFamily && f == familyOf(r)
}

// same is deep equality; within lists and maps, values of different types differ.
// The libraries' own takes an error within a map for equality.
func same(l, r ref.Val) ref.Val {
	switch {
	case types.IsUnknownOrError(l):
		return l
	case types.IsUnknownOrError(r):
		return r
	case !sameFamily(l, r):
		return types.False
	}
	l, r = unwrapped(l), unwrapped(r)
	switch a := l.(type) {
	case traits.Lister:
		return sameLists(a, r.(traits.Lister))
	case traits.Mapper:
		return sameMaps(a, r.(traits.Mapper))
	}
	return types.Equal(l, r)
}

func sameLists(a, b traits.Lister) ref.Val {
	if a.Size() != b.Size() {
		return types.False
	}
	out := ref.Val(types.True)
	for i, j := a.Iterator(), b.Iterator(); i.HasNext() == types.True && j.HasNext() == types.True; {
		switch eq := same(i.Next(), j.Next()); {
		case eq == types.False:
			return eq
		case types.IsUnknownOrError(eq):
			out = eq // unless a later pair settles it
		}
	}
	return out
}

func sameMaps(a, b traits.Mapper) ref.Val {
	if a.Size() != b.Size() {
		return types.False
	}
	if _, ok := b.(*object); !ok {
		a, b = b, a // an object knows names that differ only by case
	}
	out := ref.Val(types.True)
	for i := a.Iterator(); i.HasNext() == types.True; {
		key := i.Next()
		v, _ := a.Find(key)
		w, found := b.Find(key)
		if !found && w == nil {
			return types.False
		}
		switch eq := same(v, w); {
		case eq == types.False:
			return eq
		case types.IsUnknownOrError(eq):
			out = eq
		}
	}
	return out
}

// among is whether v is one of a list, or of the names in a map. Where it is
// none, and some were of another type, it is unknown, as with in. So is an object
// that the caller put where a list was meant: its names would be looked through,
// and what is looked for stands among its values.
func among(v, all ref.Val, against bool) ref.Val {
	switch all := all.(type) {
	case *object:
		return all.Contains(v)
	case *nested:
		return all.object.run.fail(notComparable)
	}
	of, ok := all.(traits.Iterable)
	if f := familyOf(all); !ok || f != listFamily && f != mapFamily {
		return errOtherType
	}
	out := ref.Val(types.False)
	for i := of.Iterator(); i.HasNext() == types.True; {
		w := i.Next()
		switch eq := same(v, w); {
		case eq == types.True:
			return eq
		case types.IsUnknownOrError(eq):
			out = eq
		case !against && !sameFamily(v, w):
			out = errOtherType
		}
	}
	return out
}

// timePart is a part of a time, like its hour, in a zone.
type timePart struct {
	call interpreter.InterpretableCall
	zone *time.Location
}

// ID is the node's in the expression.
func (n *timePart) ID() int64 { return n.call.ID() }

// Eval is Exec for those who have no frame.
func (n *timePart) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// Exec moves the time into the zone and asks it for the part.
func (n *timePart) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := n.call.Args()[0].Exec(frame)
	t, ok := v.(types.Timestamp)
	switch {
	case types.IsUnknownOrError(v):
		return v
	case !ok:
		return errOtherType
	}
	out := types.Timestamp{Time: t.In(n.zone)}.Receive(n.call.Function(), "", nil)
	if costs := frame.CostTracker(); costs != nil {
		costs.EvalUnary(frame, n.call.ID(), n.call, v, out)
	}
	return out
}
