package toolpolicy

import (
	"fmt"
	"math"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"
)

const (
	// maxExpression is the longest expression, in characters.
	maxExpression = 2000
	// maxExpressionNodes is how many operators, names and values one may have.
	maxExpressionNodes = 500
	// maxExpressionNesting is how deep they may stand in each other.
	maxExpressionNesting = 40
	// maxPattern is the largest program of a pattern, in RE2's instructions.
	maxPattern = 1000
)

// newEnvironment says what an expression can read. It is made for the first
// expression of a policy. With args it is for checking alone, against the types
// that a tool's arguments have; nil leaves them open.
func newEnvironment(args map[string]*types.Type) (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("make the types of expressions: %w", err)
	}
	argsType := cel.MapType(cel.StringType, cel.DynType)
	if args != nil {
		argsType = recordType("args")
	}
	env, err := cel.NewEnv(
		cel.CustomTypeProvider(recordTypes{registry, args}),
		cel.Variable("args", argsType),
		cel.Variable("caller", recordType("caller")),
		cel.Variable("tool", recordType("tool")),
		cel.Variable("session", recordType("session")),
		cel.Variable("now", cel.TimestampType),
		ext.Strings(ext.StringsVersion(2)),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EnableErrorOnBadPresenceTest(true), // has() of a text is unknown, not false
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(maxExpressionNesting),
		cel.ParserErrorRecoveryLimit(1),
		cel.ExpressionNodeLimit(maxExpressionNodes),
		cel.ExpressionNestingDepthLimit(maxExpressionNesting),
		cel.RegexProgramSizeLimit(maxPattern),
		cel.CostSizingStrategy(cost.AggregateSizingStrategy()),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(),
			cel.ValidateTimestampLiterals(),
			cel.ValidateComprehensionNestingLimit(2),
		),
	)
	if err != nil {
		return nil, fmt.Errorf("make the environment of expressions: %w", err)
	}
	return env, nil
}

// plan makes a checked expression ready to be judged.
func plan(env *cel.Env, checked *cel.Ast) (cel.Program, error) {
	program, err := env.Program(checked,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostTracking(charges{}),
		cel.CostLimit(maxExpressionCost),
		cel.CustomDecoratorV2(planStrictly),
		cel.OptimizeRegex(interpreter.MatchesRegexOptimization),
	)
	if err != nil {
		return nil, fmt.Errorf("plan an expression: %w", err)
	}
	return program, nil
}

// price is the most that a checked expression costs for a call whose texts and
// lists have the usual size.
func price(env *cel.Env, checked *cel.Ast) (uint64, error) {
	estimate, err := env.EstimateCost(checked, usual{}, cost.WithSizingStrategy(cost.DefaultSizingStrategy()))
	if err != nil {
		return math.MaxUint64, fmt.Errorf("price an expression: %w", err)
	}
	return estimate.Max, nil
}
