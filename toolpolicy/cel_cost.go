package toolpolicy

import (
	"math"

	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

const (
	// maxExpressionCost is what one evaluation may cost, in CEL's units: a step is
	// about one, and a unit takes some 100 ns at most. At it an evaluation ends,
	// unknown.
	maxExpressionCost = 100_000
	// maxExpressionDecoding is what one evaluation may spend on reading the call's
	// JSON, in the same units. CEL does not see that work.
	maxExpressionDecoding = 100_000
	// usualSize is how long texts and lists of a call are taken to be when an
	// expression is priced at load. One that would then cost too much is refused.
	usualSize = 256
)

// spend counts work on the call's JSON; false when there was too much.
func (r *run) spend(units int) bool {
	r.spent += units
	return r.spent <= maxExpressionDecoding
}

// usual estimates that everything of a call has the usual size.
type usual struct{}

// EstimateSize is the size of what is read; what is written out has its own.
func (usual) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if len(n.Path()) == 0 {
		return nil
	}
	one := cost.RangedSizeEstimate(0, usualSize)
	all := cost.MapSizeEstimate(one, one, one)
	return &all
}

// EstimateCallCost leaves the price of functions to the library.
func (usual) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// charges is what functions cost when they have run. CEL's own charges leave out
// most of those of texts, and every function whose types are not known at load.
type charges struct{}

// CallCost charges for what a function reads and makes.
func (charges) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	units := uint64(1)
	switch function {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional, operators.NotStrictlyFalse:
	case operators.In:
		units += searching(args)
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		if len(args) == 2 {
			units += min(weight(args[0]), weight(args[1])) / 10
		}
	case operators.Add: // lists are linked, not copied
		if s, ok := result.(types.String); ok {
			units += uint64(len(s)) / 10
		}
	case "matches": // RE2: text times pattern
		if len(args) == 2 {
			units += weight(args[0]) * (weight(args[1]) + 1) / 40
		}
	case "contains", "indexOf", "lastIndexOf":
		units += weight(args[0]) / 5
		for _, a := range args[1:] {
			units += weight(a) * weight(args[0]) / 100
		}
	case "size":
		if s, ok := args[0].(types.String); ok {
			units += uint64(len(s)) / 10
		}
	default:
		for _, a := range args {
			units += weight(a) / 10
		}
		units += weight(result) / 10
		if l, ok := result.(traits.Lister); ok {
			units += lengthOf(l)
		}
	}
	return &units
}

// searching is what it costs to find the first of args in the second.
func searching(args []ref.Val) uint64 {
	if len(args) != 2 {
		return 0
	}
	all, ok := args[1].(traits.Lister)
	if !ok {
		return weight(args[0]) / 10
	}
	n := lengthOf(all)
	switch args[0].(type) {
	case types.Bool, types.Int, types.Uint, types.Double, types.Null:
		return n
	}
	return n + min(n*weight(args[0]), weight(all))/10
}

func lengthOf(l traits.Lister) uint64 {
	n, ok := l.Size().(types.Int)
	if !ok || n < 0 {
		return math.MaxUint32
	}
	return uint64(n)
}

// weight is how large a value is: the bytes of a text, or of the JSON of a value of
// the call, and the same of what an expression makes of them.
func weight(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case types.Bool, types.Int, types.Uint, types.Double, types.Null, types.Timestamp, types.Duration, *types.Err:
		return 1
	}
	return uint64(types.NewSizeCalculator(types.SizeCalculatorStringUnitLength(1)).AggregateSize(v))
}
