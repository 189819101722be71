package toolpolicy

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"mcpguard/toolcall"
)

// lintExpression holds the i-th rule to the tools that there are: what its "if" reads
// of the arguments must be in the input schema of each tool that the rule is about,
// and fit the type that it has there.
func (l *linter) lintExpression(i int) {
	r := &l.policy.rules[i]
	if !r.when.readsArguments() {
		return
	}
	var found Mistakes
	for _, def := range l.about[i] {
		found = append(found, r.when.checkAgainst(def, r.extra)...)
	}
	for n, m := range found {
		if !slices.Contains(found[:n], m) { // several tools may lack the same
			l.found = append(l.found, Warning{Name: "wrong-expression", Rule: r.id, Mistake: m})
		}
	}
}

// checkAgainst notes what of an expression does not fit the schema of a tool. Where
// arguments are used as a whole, only their names are checked.
func (e *expression) checkAgainst(def *toolcall.ToolDef, extra bool) Mistakes {
	s := schemaCheck{expression: e, def: def, extra: extra, local: locals(e.checked.NativeRep().Expr())}
	d := *e.origin.document // its mistakes are those of loading: these are others
	d.mistakes = nil
	s.origin = origin{&d, e.origin.node}
	s.walk(e.checked.NativeRep().Expr())
	if len(d.mistakes) == 0 && !s.whole {
		s.types()
	}
	return d.mistakes
}

// schemaCheck is one expression held to one tool.
type schemaCheck struct {
	*expression
	origin origin // with mistakes of its own
	def    *toolcall.ToolDef
	extra  bool
	local  map[int64]bool
	whole  bool // args is used otherwise than by args.name
}

func (s *schemaCheck) offset(n ast.Expr) int {
	l := s.checked.NativeRep().SourceInfo().GetStartLocation(n.ID())
	return offsetOf(s.origin.node.Value, l.Line(), l.Column())
}

// walk looks for args.name and what is read below it.
func (s *schemaCheck) walk(root ast.Expr) {
	inner := map[int64]bool{} // parts of longer chains, and of what was looked at
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(n ast.Expr) {
		switch n.Kind() {
		case ast.SelectKind:
			if inner[n.ID()] {
				return
			}
			names, from := chain(n, inner)
			if from.Kind() == ast.IdentKind && from.AsIdent() == "args" && !s.local[from.ID()] {
				inner[from.ID()] = true
				s.checkNames(n, names)
			}
		case ast.IdentKind:
			if n.AsIdent() == "args" && !s.local[n.ID()] && !inner[n.ID()] {
				s.whole = true
			}
		case ast.UnspecifiedExprKind, ast.CallKind, ast.ComprehensionKind, ast.ListKind, ast.LiteralKind, ast.MapKind, ast.StructKind:
		}
	}))
}

// chain takes a.b.c apart: the names, and what they are read from.
func chain(n ast.Expr, inner map[int64]bool) (names []string, from ast.Expr) {
	for n.Kind() == ast.SelectKind {
		inner[n.ID()] = true
		names = append(names, n.AsSelect().FieldName())
		n = n.AsSelect().Operand()
	}
	slices.Reverse(names)
	return names, n
}

// checkNames notes the first name of a chain that the schema does not declare.
func (s *schemaCheck) checkNames(n ast.Expr, names []string) {
	if !s.def.Declares(names[0]) {
		if !s.extra {
			s.origin.fail(s.offset(n), nearest(names[0], s.def.Arguments()), "the tool %s/%s declares no argument %q",
				s.def.Upstream, s.def.Name, names[0])
		}
		return
	}
	at := s.def.Argument(names[0])
	for i, name := range names[1:] {
		at = s.def.Resolve(at)
		if !closed(at) {
			return
		}
		next := at.Member("properties").Member(name)
		if next.IsZero() {
			s.origin.fail(s.offset(n), nearest(name, memberNames(at.Member("properties"))), "of the tool %s/%s, %s has no %q",
				s.def.Upstream, s.def.Name, strings.Join(names[:i+1], "."), name)
			return
		}
		at = next
	}
}

// closed reports whether all that an object may hold is in its properties, as far
// as a schema says so.
func closed(schema toolcall.JSON) bool {
	for _, other := range [...]string{"allOf", "anyOf", "oneOf", "if", "patternProperties"} {
		if !schema.Member(other).IsZero() {
			return false
		}
	}
	return schema.Member("additionalProperties").Type() == toolcall.False
}

func memberNames(j toolcall.JSON) []string {
	var names []string
	for m := j.Members(); m.Next(); {
		names = append(names, m.Name())
	}
	return names
}

// types checks the expression once more, with the types that the schema declares.
func (s *schemaCheck) types() {
	fields := map[string]*types.Type{}
	for _, name := range s.def.Arguments() {
		fields[name] = s.typeOf(s.def.Argument(name))
	}
	env, err := newEnvironment(fields)
	if err != nil {
		s.origin.fail(0, "", "%v", err)
		return
	}
	text := s.origin.node.Value
	_, issues := env.Compile(text)
	if issues == nil {
		return
	}
	for _, e := range issues.Errors() {
		if !strings.HasPrefix(e.Message, "undefined field") { // one that extra: allow lets pass
			s.origin.report(text, e)
		}
	}
}

// typeOf is the type of CEL for a schema; what it leaves open is dyn. So are its
// numbers: whether one is an int or a double is known when it is there.
func (s *schemaCheck) typeOf(schema toolcall.JSON) *types.Type {
	schema = s.def.Resolve(schema)
	kind, _ := schema.Member("type").Str()
	switch kind {
	case "string":
		return types.StringType
	case "boolean":
		return types.BoolType
	case "integer":
		return types.IntType
	case "array":
		return types.NewListType(types.DynType)
	case "object":
		return types.NewMapType(types.StringType, types.DynType)
	}
	return types.DynType
}
