package toolpolicy

import (
	"maps"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"mcpguard/toolcall"
)

// pathsRead are the paths below an argument that an expression reads: members of
// the objects that they go through could be read in the place of what it judged,
// as with the paths of args. What is computed (by filter and map, by ?:) has none.
func pathsRead(root ast.Expr) []toolcall.Path {
	r := pathReader{seen: map[string]bool{}}
	r.walk(root, map[string]string{})
	return r.paths
}

// pathReader walks an expression. Scopes say what the names that macros bind stand
// for: a path, or "" for what has none.
type pathReader struct {
	paths []toolcall.Path
	seen  map[string]bool
}

func (r *pathReader) walk(n ast.Expr, scope map[string]string) {
	if text, ok := pathOf(n, scope); ok && strings.Contains(text, ".") && !r.seen[text] {
		r.seen[text] = true
		if p, err := toolcall.CompilePath(text); err == nil { // no name is empty
			r.paths = append(r.paths, p)
		}
	}
	switch n.Kind() {
	case ast.SelectKind:
		r.walk(n.AsSelect().Operand(), scope)
	case ast.CallKind:
		call := n.AsCall()
		if call.IsMemberFunction() {
			r.walk(call.Target(), scope)
		}
		for _, arg := range call.Args() {
			r.walk(arg, scope)
		}
	case ast.ListKind:
		for _, e := range n.AsList().Elements() {
			r.walk(e, scope)
		}
	case ast.MapKind:
		for _, e := range n.AsMap().Entries() {
			r.walk(e.AsMapEntry().Key(), scope)
			r.walk(e.AsMapEntry().Value(), scope)
		}
	case ast.ComprehensionKind:
		r.macro(n.AsComprehension(), scope)
	case ast.IdentKind, ast.LiteralKind, ast.StructKind, ast.UnspecifiedExprKind:
	}
}

// macro walks all, exists, exists_one, filter or map: the name that it binds stands
// for every element.
func (r *pathReader) macro(c ast.ComprehensionExpr, scope map[string]string) {
	r.walk(c.IterRange(), scope)
	r.walk(c.AccuInit(), scope)
	inner := maps.Clone(scope)
	inner[c.AccuVar()] = ""
	if inner[c.IterVar()] = ""; c.IterRange().Kind() != ast.IdentKind || c.IterRange().AsIdent() != "args" {
		if text, ok := pathOf(c.IterRange(), scope); ok && text != "" {
			inner[c.IterVar()] = text + ".#"
		}
	}
	for _, part := range []ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()} {
		r.walk(part, inner)
	}
}

// pathOf is what an expression reads from the arguments, "" for all of them; ok is
// false when it is something else.
func pathOf(n ast.Expr, scope map[string]string) (text string, ok bool) {
	switch n.Kind() {
	case ast.IdentKind:
		bound, known := scope[n.AsIdent()]
		return bound, bound != "" || !known && n.AsIdent() == "args"
	case ast.SelectKind:
		if text, ok = pathOf(n.AsSelect().Operand(), scope); ok {
			return below(text, stepText(n.AsSelect().FieldName())), true
		}
	case ast.CallKind:
		call := n.AsCall()
		if call.FunctionName() != operators.Index || len(call.Args()) != 2 {
			return "", false
		}
		if text, ok = pathOf(call.Args()[0], scope); ok {
			return below(text, indexText(call.Args()[1])), true
		}
	case ast.ComprehensionKind, ast.ListKind, ast.LiteralKind, ast.MapKind, ast.StructKind, ast.UnspecifiedExprKind:
	}
	return "", false
}

func below(text, step string) string {
	if text == "" {
		return step
	}
	return text + "." + step
}

// indexText is the step that [...] takes: a name or a position that is written
// out, else any.
func indexText(n ast.Expr) string {
	if n.Kind() == ast.LiteralKind {
		switch v := n.AsLiteral().(type) {
		case types.String:
			return stepText(string(v))
		case types.Int:
			return strconv.FormatInt(int64(v), 10)
		}
	}
	return "#"
}

// stepText is a name as a path writes it: never an index, nor anything else that
// has a meaning there.
func stepText(name string) string {
	var b strings.Builder
	for _, c := range name {
		if c < 0x80 && !isNameByte(byte(c)) || b.Len() == 0 && '0' <= c && c <= '9' {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}
