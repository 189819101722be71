package toolpolicy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// origin is where an expression is written.
type origin struct {
	document *document
	node     *yaml.Node
}

// fail notes a mistake at a character of the expression, from 0.
func (o origin) fail(offset int, hint, format string, args ...any) {
	line, col := o.document.placeIn(o.node, offset)
	o.document.failAt(line, col, hint, "if: "+format, args...)
}

// compileExpression reads the "if" of a rule; nil after a mistake.
func (c *compiler) compileExpression(r *rule, n *yaml.Node) *expression {
	text, ok := c.text(n, "if")
	if !ok {
		return nil
	}
	if c.cel == nil {
		env, err := newEnvironment(nil)
		if err != nil {
			c.fail(n, "", "if: %v", err)
			return nil
		}
		c.cel = env
	}
	before := len(c.mistakes)
	o := origin{c.document, n}
	checked, issues := c.cel.Compile(text)
	if issues != nil {
		for _, e := range issues.Errors() {
			o.report(text, e)
		}
	}
	if len(c.mistakes) > before {
		return nil
	}
	e := &expression{checked: checked, origin: o}
	e.check(text, r.selector.kind)
	if len(c.mistakes) > before {
		return nil
	}
	switch most, err := price(c.cel, checked); {
	case err != nil:
		c.fail(n, "", "if: %v", err)
		return nil
	case most > maxExpressionCost:
		o.fail(0, "", "the expression could cost %s for texts and lists of %d, at most %d are spent on one",
			costText(most), usualSize, maxExpressionCost)
		return nil
	}
	program, err := plan(c.cel, checked)
	if err != nil {
		o.fail(0, "", "%v", err)
		return nil
	}
	e.program = program
	e.paths = pathsRead(checked.NativeRep().Expr())
	line := strings.Join(strings.Fields(text), " ")
	if runes := []rune(line); len(runes) > maxTold {
		line = string(runes[:maxTold]) + "..."
	}
	e.words = words{"if " + line, "not so", "the call does not fulfil: " + line}
	return e
}

// maxTold is how much of an expression a denial tells, in characters.
const maxTold = 300

func costText(units uint64) string {
	if units >= 1<<40 {
		return "any amount"
	}
	return fmt.Sprint(units)
}

// report notes what CEL says is wrong with an expression.
func (o origin) report(text string, e *cel.Error) {
	message := strings.ReplaceAll(e.Message, " (in container '')", "")
	message, _, _ = strings.Cut(message, "\n")
	message, _, _ = strings.Cut(message, " (did you mean")
	offset := offsetOf(text, e.Location.Line(), e.Location.Column())
	o.fail(offset, hintFor(message), "%s", message)
}

// offsetOf is the character at a line, from 1, and column, from 0.
func offsetOf(text string, line, column int) int {
	offset := 0
	for l := range strings.Lines(text) {
		if line--; line <= 0 {
			break
		}
		offset += len([]rune(l))
	}
	return offset + max(column, 0)
}

// quoted is a name in a message of CEL.
var quoted = regexp.MustCompile(`^(undeclared reference to|undefined field) '([^']*)'`)

// hintFor is the name that was most likely meant.
func hintFor(message string) string {
	m := quoted.FindStringSubmatch(message)
	switch {
	case m == nil:
		return ""
	case m[1] == "undefined field":
		var all []string
		for _, record := range [...]string{"caller", "tool", "session"} {
			all = append(all, fieldNames(record)...)
		}
		return nearest(m[2], all)
	}
	names := []string{"args", "caller", "tool", "session", "now"}
	if hint := nearest(m[2], slices.Concat(names, functions[:])); hint != "" {
		return hint
	}
	return strings.Join(names, ", ")
}

// functions are those that an expression may call, operators and what macros
// stand for apart. What is not here is refused, so that a new version of the
// library brings none that nobody looked at. Left out are dyn and type, which
// would evade the check of types, and what makes long texts of short ones.
var functions = [...]string{
	"size", "contains", "startsWith", "endsWith", "matches", "charAt", "indexOf", "lastIndexOf", "lowerAscii", "upperAscii",
	"substring", "trim", "split", "int", "double", "string", "timestamp", "duration", "getFullYear", "getMonth", "getDate", "getDayOfMonth",
	"getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds",
}

// isTimePart tells the functions of a time that take a zone.
func isTimePart(function string) bool { return strings.HasPrefix(function, "get") }

// loadZone finds a zone as CEL names it: a name of the IANA database, UTC, or an
// offset like +02:00.
func loadZone(name string) (*time.Location, error) {
	if t, err := time.Parse("-07:00", name); err == nil {
		_, seconds := t.Zone()
		return time.FixedZone(name, seconds), nil
	}
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("the time zone %q is none", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("the time zone %q is not known here", name)
	}
	return zone, nil
}

// check notes what an expression must not do, and what it reads.
func (e *expression) check(text string, kind toolcall.Kind) {
	tree := e.checked.NativeRep()
	at := func(n ast.Expr) int {
		l := tree.SourceInfo().GetStartLocation(n.ID())
		return offsetOf(text, l.Line(), l.Column())
	}
	local := locals(tree.Expr())
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(n ast.Expr) {
		switch n.Kind() {
		case ast.IdentKind:
			if !local[n.ID()] {
				e.readName(n.AsIdent(), at(n), kind)
			}
		case ast.CallKind:
			e.checkCall(n.AsCall(), at(n), at)
		case ast.StructKind:
			e.origin.fail(at(n), "", "messages are not supported")
		case ast.UnspecifiedExprKind, ast.ComprehensionKind, ast.ListKind, ast.LiteralKind, ast.MapKind, ast.SelectKind:
		}
	}))
	switch out := e.checked.OutputType(); {
	case out.IsExactType(types.DynType):
		e.origin.fail(0, "args.flag == true", "the expression could be of any type, and must be true or false")
	case !out.IsExactType(types.BoolType):
		e.origin.fail(0, "args.flag == true", "the expression is of the type %s, and must be true or false", cel.FormatCELType(out))
	case e.reads == 0:
		e.origin.fail(0, "leave the key out, or the rule", "the expression reads nothing of the call")
	}
}

// readName notes that a variable is read.
func (e *expression) readName(name string, offset int, kind toolcall.Kind) {
	switch name {
	case "args":
		e.reads |= readsArgs
		if kind != toolcall.Tool && kind != toolcall.Request {
			e.origin.fail(offset, "", "this version judges arguments of tools and requests only")
		}
	case "caller":
		e.reads |= readsCaller
	case "tool":
		e.reads |= readsTool
		if kind != toolcall.Tool {
			e.origin.fail(offset, "", "a rule about a %s has no tool", kind)
		}
	case "session":
		e.reads |= readsSession
	case "now":
		e.reads |= readsTime
	}
}

func (e *expression) checkCall(call ast.CallExpr, offset int, at func(ast.Expr) int) {
	name, args := call.FunctionName(), call.Args()
	if !isOperator(name) && !slices.Contains(functions[:], name) {
		e.origin.fail(offset, nearest(name, functions[:]), "the function %s is not supported", name)
		return
	}
	// What is behind a method call is its only argument; matches(a, b) has two.
	last := len(args) - 1
	switch {
	case name == "matches" && last >= 0:
		pattern, ok := literalText(args[last])
		if !ok {
			e.origin.fail(at(args[last]), "", "a pattern must be written out: what a caller sends is never a pattern")
			return
		}
		if _, why := compilePattern("search", pattern); why != "" {
			e.origin.fail(at(args[last]), "", "%s", why)
		}
	case isTimePart(name) && last >= 0:
		zone, ok := literalText(args[last])
		if !ok {
			e.origin.fail(at(args[last]), `"Europe/Berlin"`, "a time zone must be written out")
			return
		}
		if _, err := loadZone(zone); err != nil {
			e.origin.fail(at(args[last]), `"Europe/Berlin", "UTC" or "+02:00"`, "%v", err)
		}
	}
}

func literalText(n ast.Expr) (string, bool) {
	if n.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := n.AsLiteral().(types.String)
	return string(s), ok
}

// isOperator tells operators, and what macros are made of, from functions.
func isOperator(name string) bool {
	switch name {
	case operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Equals,
		operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
		operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate,
		operators.Index, operators.In, operators.NotStrictlyFalse:
		return true
	}
	return false
}

// locals are the names in an expression that a macro binds: x in all(x, ...), even
// where it is called like something of the call.
func locals(root ast.Expr) map[int64]bool {
	bound := map[int64]bool{}
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(n ast.Expr) {
		if n.Kind() != ast.ComprehensionKind {
			return
		}
		c := n.AsComprehension()
		mark := ast.NewExprVisitor(func(n ast.Expr) {
			if n.Kind() == ast.IdentKind && (n.AsIdent() == c.IterVar() || n.AsIdent() == c.AccuVar()) {
				bound[n.ID()] = true
			}
		})
		for _, part := range []ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()} {
			ast.PreOrderVisit(part, mark)
		}
	}))
	return bound
}
