package toolpolicy

import (
	"slices"
	"strings"

	"github.com/sqlc-dev/meyer/ast"
	"github.com/sqlc-dev/meyer/parser"
)

// sqlite reads SQL with SQLite's grammar.
type sqlite struct{}

func (sqlite) fold(name string) string { return lowerASCII(name) }

// lowerASCII folds as SQLite does: letters beyond ASCII keep their case.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func (sqlite) pure(function string) bool { return sqlitePure[function] }

// system tells SQLite's own tables and the virtual tables that exist without
// having been created, which look into the database or the machine.
func (sqlite) system(t tableName, p tablePattern) (system, named bool) {
	system = strings.HasPrefix(t.name, "sqlite_") || strings.HasPrefix(t.name, "pragma_") || sqliteVirtual[t.name]
	named = p.name.literal() && p.schema.match(t.schema)
	return system, named
}

// read never panics: a parser that does has not understood the text.
func (sqlite) read(text string) (s statement, how outcome) {
	defer func() {
		if recover() != nil {
			s, how = statement{}, notSQL
		}
	}()
	statements, err := parser.ParseString(text)
	switch {
	case err != nil || len(statements) == 0:
		return statement{}, notSQL
	case len(statements) > 1:
		return statement{}, fails
	}
	var r sqliteReader
	r.statement(statements[0])
	return r.found, holds
}

// sqliteReader gathers what a statement does.
type sqliteReader struct {
	found statement
	ctes  []string // the names of WITH that are in scope, folded
}

func (r *sqliteReader) statement(s ast.Stmt) {
	switch n := s.(type) {
	case *ast.SelectStmt:
		r.query(n)
	case *ast.InsertStmt:
		r.insert(n)
	case *ast.UpdateStmt:
		r.found.does |= updates
		r.conflict(n.OrConflict)
		r.table(n.Table)
		defer r.with(n.With)()
		r.assignments(n.Set)
		walkAll(r, n.From)
		r.walk(n.Where)
		walkAll(r, n.Returning)
		walkAll(r, n.OrderBy)
		r.limit(n.Limit)
	case *ast.DeleteStmt:
		r.found.does |= deletes
		r.table(n.Table)
		defer r.with(n.With)()
		r.walk(n.Where)
		walkAll(r, n.Returning)
		walkAll(r, n.OrderBy)
		r.limit(n.Limit)
	case *ast.ExplainStmt:
		r.found.does |= explains
		r.statement(n.Stmt)
	default:
		r.found.does |= doesOther
	}
}

func (r *sqliteReader) insert(n *ast.InsertStmt) {
	r.found.does |= inserts
	if n.Replace {
		r.found.does |= deletes
	}
	r.conflict(n.OrConflict)
	r.table(n.Table)
	defer r.with(n.With)()
	r.names(n.Columns)
	if len(n.Columns) == 0 {
		r.found.wholeRows = true
	}
	if n.Select != nil {
		r.query(n.Select)
	}
	for _, u := range n.Upserts {
		if !u.DoNothing {
			r.found.does |= updates
		}
		walkAll(r, u.Target)
		r.walk(u.TargetWhere)
		r.assignments(u.Set)
		r.walk(u.Where)
	}
	walkAll(r, n.Returning)
}

// conflict: REPLACE deletes the rows in its way, ROLLBACK undoes what others
// did in the same transaction.
func (r *sqliteReader) conflict(a ast.ConflictAction) {
	switch a {
	case ast.ConflictReplace:
		r.found.does |= deletes
	case ast.ConflictRollback:
		r.found.does |= doesOther
	}
}

func (r *sqliteReader) assignments(set []*ast.SetPair) {
	for _, pair := range set {
		r.names(pair.Columns)
		r.walk(pair.Value)
	}
}

// with brings the names of a WITH into scope, and gives back the way out. A
// query in it sees those before it, and itself after RECURSIVE. SQLite lets it
// see more; what is taken for a table here is at most refused.
func (r *sqliteReader) with(w *ast.With) (leave func()) {
	before := len(r.ctes)
	leave = func() { r.ctes = r.ctes[:before] }
	if w == nil {
		return leave
	}
	for _, c := range w.CTEs {
		name := lowerASCII(c.Name.Name)
		if w.Recursive {
			r.ctes = append(r.ctes, name)
		}
		r.query(c.Select)
		if !w.Recursive {
			r.ctes = append(r.ctes, name)
		}
	}
	return leave
}

func (r *sqliteReader) query(n *ast.SelectStmt) {
	_, values := n.Cores[0].(*ast.ValuesClause)
	if !values || len(n.Cores) > 1 || r.found.does&inserts == 0 { // the VALUES of an INSERT are part of it
		r.found.does |= selects
	}
	defer r.with(n.With)()
	walkAll(r, n.Cores)
}

func (r *sqliteReader) limit(n *ast.Limit) {
	if n != nil {
		r.walk(n)
	}
}

// table is what a statement writes: never a name of a WITH.
func (r *sqliteReader) table(n *ast.QualifiedName) {
	r.found.tables = append(r.found.tables, qualified(n))
}

// source is a name in FROM or IN: a table, a name of a WITH, or with arguments
// a function that gives rows.
func (r *sqliteReader) source(n *ast.QualifiedName, call bool) {
	name := qualified(n)
	switch {
	case call:
		r.found.functions = append(r.found.functions, name)
	case name.schema == "" && slices.Contains(r.ctes, name.name):
	default:
		r.found.tables = append(r.found.tables, name)
	}
}

func qualified(n *ast.QualifiedName) tableName {
	t := tableName{name: lowerASCII(n.Name.Name)}
	if n.Schema != nil {
		t.schema = lowerASCII(n.Schema.Name)
	}
	return t
}

func (r *sqliteReader) names(columns []*ast.Ident) {
	for _, c := range columns {
		r.column(c)
	}
}

// column notes the name of a column. The three names of the row's number stand
// for the table's INTEGER PRIMARY KEY, whatever it is called.
func (r *sqliteReader) column(c *ast.Ident) {
	name := lowerASCII(c.Name)
	switch name {
	case "rowid", "oid", "_rowid_":
		r.found.wholeRows = true
	}
	r.found.columns = append(r.found.columns, name)
}

func (r *sqliteReader) function(name string) {
	r.found.functions = append(r.found.functions, tableName{name: lowerASCII(name)})
}

func walkAll[N ast.Node](r *sqliteReader, nodes []N) {
	for _, n := range nodes {
		r.walk(n)
	}
}

// walk looks into a node of a query. What is not listed is not known to this
// version.
func (r *sqliteReader) walk(node ast.Node) {
	switch n := node.(type) {
	case nil:
	case *ast.Literal, *ast.BindParam:
	case *ast.Ident:
		r.column(n)
	case *ast.QualifiedRef:
		r.names(n.Parts[len(n.Parts)-1:])
	case *ast.Star:
		r.found.wholeRows = true
	case *ast.ResultColumn: // its alias names nothing that is there
		r.walk(n.Expr)
	case *ast.SubqueryExpr:
		r.query(n.Select)
	case *ast.ExistsExpr:
		r.query(n.Select)
	case *ast.TableRef:
		r.tableRef(n)
	case *ast.InExpr:
		r.in(n)
	case *ast.FuncCall:
		r.function(n.Name.Name)
		walkAll(r, n.Args)
		walkAll(r, n.OrderBy)
		r.walk(n.Filter)
		r.window(n.Over)
	case *ast.WindowDef:
		r.window(n)
	case *ast.LikeExpr: // REGEXP and MATCH call functions that applications bring
		r.function(n.Op.Name)
		r.walk(n.X)
		r.walk(n.Y)
		r.walk(n.Escape)
	case *ast.CollateExpr:
		switch lowerASCII(n.Name.Name) {
		case "binary", "nocase", "rtrim":
		default:
			r.found.unclear = true
		}
		r.walk(n.X)
	case *ast.CastExpr:
		r.walk(n.X)
	case *ast.SelectQuery, *ast.ValuesClause, *ast.OrderingTerm, *ast.Limit, *ast.FrameBound,
		*ast.BinaryExpr, *ast.UnaryExpr, *ast.ParenExpr, *ast.IsExpr, *ast.NullCheckExpr, *ast.BetweenExpr,
		*ast.CaseExpr, *ast.CaseWhen, *ast.VectorExpr:
		walkAll(r, n.Children())
	default:
		r.found.unclear = true
	}
}

func (r *sqliteReader) tableRef(n *ast.TableRef) {
	if n.Join != nil && n.Join.Type&ast.JoinNatural != 0 {
		r.found.wholeRows = true // it compares columns without naming them
	}
	if n.Name != nil {
		r.source(n.Name, n.HasArgs)
	}
	walkAll(r, n.Args)
	if n.Select != nil {
		r.query(n.Select)
	}
	walkAll(r, n.List)
	r.walk(n.On)
	r.names(n.Using)
}

func (r *sqliteReader) in(n *ast.InExpr) {
	r.walk(n.X)
	walkAll(r, n.List)
	if n.Select != nil {
		r.query(n.Select)
	}
	if n.Table != nil { // x IN t reads the columns of t without naming them
		r.found.wholeRows = true
		r.source(n.Table, n.HasArgs)
	}
	walkAll(r, n.Args)
}

func (r *sqliteReader) window(n *ast.WindowDef) {
	if n == nil {
		return
	}
	walkAll(r, n.Partition)
	walkAll(r, n.OrderBy)
	for _, bound := range []*ast.FrameBound{n.StartBound, n.EndBound} {
		if bound != nil {
			r.walk(bound)
		}
	}
}
