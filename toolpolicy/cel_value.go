package toolpolicy

import (
	"math"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"mcpguard/toolcall"
)

// What an expression may look at. Beyond it a value is unknown, so that the work
// on one is bounded whatever a caller sends: CEL charges for a function when it
// has run.
const (
	maxExpressionText   = 64 << 10 // the longest text, in bytes of JSON
	maxExpressionNumber = 1100     // the longest number; no double needs more digits
	maxExpressionItems  = 10_000   // the most elements of a list or members of an object
)

// arguments are the arguments of the call as an object; none are an empty one.
func (r *run) arguments() ref.Val {
	if t := r.call.Args.Type(); t != toolcall.ObjectType && t != toolcall.NoType {
		return r.fail(notComparable)
	}
	return r.object(r.call.Args, scope{def: r.call.Def, top: true})
}

// value is what a JSON value is to CEL. Numbers are those that a double holds
// exactly: integers are int, whatever their spelling, all others double.
func (r *run) value(j toolcall.JSON, s scope) ref.Val {
	switch j.Type() {
	case toolcall.Null:
		return types.NullValue
	case toolcall.False, toolcall.True:
		return types.Bool(j.Type() == toolcall.True)
	case toolcall.NumberType:
		return r.number(j)
	case toolcall.StringType:
		if j.Len() > maxExpressionText {
			return r.fail(tooLong)
		}
		if !r.spend(1 + j.Len()/100) {
			return r.fail(tooCostly)
		}
		text, _ := j.Str()
		return types.String(text)
	case toolcall.ArrayType:
		return r.list(j)
	case toolcall.ObjectType:
		return r.nested(j, s)
	}
	return r.fail(unjudged)
}

func (r *run) number(j toolcall.JSON) ref.Val {
	// Up to 15 digits every integer is a double.
	if text := j.Text(); len(text) <= 15 {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return types.Int(i)
		}
	}
	switch {
	case j.Len() > maxExpressionNumber:
		return r.fail(tooLong)
	case !r.spend(40 + j.Len()/10): // a proof that a double is exact takes microseconds
		return r.fail(tooCostly)
	}
	n, _ := j.Number()
	if !n.Comparable() {
		return r.fail(tooVast)
	}
	f, exact := n.Float64()
	switch {
	case !exact:
		return r.fail(notExact)
	case n.Integer() && f >= math.MinInt64 && f < math.MaxInt64: // the latter is 2^63 as a double
		return types.Int(int64(f))
	}
	return types.Double(f)
}

// scope is where in the tool's schema a value stands, for defaults.
type scope struct {
	def    *toolcall.ToolDef
	schema toolcall.JSON
	top    bool // all arguments together
}

// below is the scope of a member.
func (s scope) below(name string) scope {
	switch {
	case s.def == nil:
		return scope{}
	case s.top:
		return scope{def: s.def, schema: s.def.Argument(name)}
	}
	return scope{def: s.def, schema: s.def.Resolve(s.schema).Member("properties").Member(name)}
}

// fallbacks walks the members that the schema declares a default for. It returns
// false as soon as visit does, which is called for every member that is declared:
// with the zero JSON where there is no default.
func (s scope) fallbacks(visit func(name string, value toolcall.JSON) bool) bool {
	switch {
	case s.def == nil:
	case s.top:
		for _, name := range s.def.Arguments() {
			if !visit(name, s.def.DefaultOf(s.def.Argument(name))) {
				return false
			}
		}
	default:
		for m := s.def.Resolve(s.schema).Member("properties").Members(); m.Next(); {
			if !visit(m.Name(), s.def.DefaultOf(m.Value())) {
				return false
			}
		}
	}
	return true
}
