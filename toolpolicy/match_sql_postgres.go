package toolpolicy

import (
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// postgres reads SQL with PostgreSQL's own grammar.
type postgres struct{}

func (postgres) fold(name string) string { return name } // as the tables keep it

func (postgres) pure(function string) bool { return pgPure[function] }

// system tells the schemas of PostgreSQL itself. pg_catalog comes before the
// search path, and only names that begin with pg_ are in it.
func (postgres) system(t tableName, p tablePattern) (system, named bool) {
	schema := t.schema
	if schema == "" && strings.HasPrefix(t.name, "pg_") {
		schema = "pg_catalog"
	}
	system = strings.HasPrefix(schema, "pg_") || schema == "information_schema"
	return system, p.schema.literal() && p.schema.match(schema)
}

func (postgres) read(text string) (statement, outcome) {
	tree, how := parsePostgres(text)
	if how != holds {
		return statement{}, how
	}
	statements := tree.Member("stmts").Elements()
	if !statements.Next() {
		return statement{}, notSQL
	}
	first := statements.Value()
	if statements.Next() {
		return statement{}, fails
	}
	r := pgReader{rows: map[string]bool{"excluded": true}}
	r.statement(first.Member("stmt"))
	r.found.wholeRows = r.found.wholeRows || slices.ContainsFunc(r.found.columns, func(c string) bool { return r.rows[c] })
	return r.found, holds
}

// pgReader gathers what a statement does.
type pgReader struct {
	found statement
	ctes  []string        // the names of WITH that are in scope
	rows  map[string]bool // names that stand for whole rows: of tables and aliases
}

// pgStatements are the nodes that are statements, and what they do.
var pgStatements = map[string]sqlKinds{
	"SelectStmt": selects, "InsertStmt": inserts, "UpdateStmt": updates, "DeleteStmt": deletes, "ExplainStmt": explains,
}

// statement reads what stands where a statement may stand: alone, in a WITH,
// behind EXPLAIN.
func (r *pgReader) statement(node toolcall.JSON) {
	m := node.Members()
	m.Next()
	kind, known := pgStatements[m.Name()]
	switch {
	case !known:
		r.found.does |= doesOther
	case kind == explains:
		r.explain(m.Value())
	default:
		r.fields(m.Name(), m.Value())
	}
}

func (r *pgReader) explain(fields toolcall.JSON) {
	r.found.does |= explains
	for m := fields.Members(); m.Next(); {
		switch m.Name() {
		case "query":
			r.statement(m.Value())
		case "options": // how the plan is told; ANALYZE runs what was judged as if it ran
		default:
			r.found.unclear = true
		}
	}
}

// node reads a node, {"Kind": {fields}}, or a list of nodes. An empty node is
// one that is not there.
func (r *pgReader) node(v toolcall.JSON) {
	switch v.Type() {
	case toolcall.ArrayType:
		for e := v.Elements(); e.Next(); {
			r.node(e.Value())
		}
	case toolcall.ObjectType:
		for m := v.Members(); m.Next(); {
			r.fields(m.Name(), m.Value())
		}
	default:
		r.found.unclear = true
	}
}

// fields reads the fields of a node that is known.
func (r *pgReader) fields(kind string, v toolcall.JSON) {
	known, ok := pgNodes[kind]
	if !ok || v.Type() != toolcall.ObjectType {
		r.found.unclear = true
		return
	}
	if does, ok := pgStatements[kind]; ok {
		if v.Member("valuesLists").IsZero() || r.found.does&inserts == 0 { // the VALUES of an INSERT are part of it
			r.found.does |= does
		}
		defer r.with(v.Member("withClause"))()
	}
	switch kind {
	case "RangeVar":
		r.table(v, false)
	case "ColumnRef":
		r.column(v.Member("fields"))
	case "FuncCall":
		r.function(v.Member("funcname"))
	case "SQLValueFunction":
		op, _ := v.Member("op").Str()
		r.found.functions = append(r.found.functions, tableName{name: valueFunction(op)})
	case "TypeName":
		r.typeName(v.Member("names"))
	case "InsertStmt":
		if v.Member("cols").IsZero() && !v.Member("selectStmt").IsZero() {
			r.found.wholeRows = true
		}
	case "OnConflictClause":
		if action, _ := v.Member("action").Str(); action != "ONCONFLICT_NOTHING" {
			r.found.does |= updates
		}
	}
	for m := v.Members(); m.Next(); {
		how, ok := known[m.Name()]
		if !ok {
			r.found.unclear = true
			continue
		}
		r.field(how, m.Value())
	}
}

func (r *pgReader) field(how pgField, v toolcall.JSON) {
	switch how {
	case ignored:
	case nodes:
		r.node(v)
	case operator:
		if name, ok := qualifiedName(v); !ok || name.schema != "" || !pgOperators[name.name] {
			r.found.unclear = true
		}
	case relation:
		r.table(v, true)
		r.fieldsOfTable(v)
	case written:
		r.written(v)
	case using:
		names, _ := texts(v)
		r.found.columns = append(r.found.columns, names...)
	case indexColumn:
		name, _ := v.Str()
		r.found.columns = append(r.found.columns, name)
	case subscripts:
		r.subscripts(v)
	case alias:
		r.alias(v)
	case joinAlias:
		r.found.wholeRows = r.found.wholeRows || !v.Member("colnames").IsZero()
		r.alias(v)
	case aSelect:
		r.fields("SelectStmt", v)
	case aWindow:
		r.fields("WindowDef", v)
	case aType:
		r.fields("TypeName", v)
	case aConflict:
		r.fields("OnConflictClause", v)
	case anInference:
		r.fields("InferClause", v)
	case natural:
		r.found.wholeRows = true
	case into:
		r.found.does |= doesOther
	case locking:
		r.found.does |= updates
		r.node(v)
	default:
		r.found.unclear = true
	}
}

// with brings the names of a WITH into scope, and gives back the way out. A
// query in it sees those before it, and after RECURSIVE all of them.
func (r *pgReader) with(clause toolcall.JSON) (leave func()) {
	before := len(r.ctes)
	leave = func() { r.ctes = r.ctes[:before] }
	if clause.IsZero() {
		return leave
	}
	recursive := clause.Member("recursive").Type() == toolcall.True
	if recursive {
		for e := clause.Member("ctes").Elements(); e.Next(); {
			name, _ := e.Value().Member("CommonTableExpr").Member("ctename").Str()
			r.ctes = append(r.ctes, name)
		}
	}
	for e := clause.Member("ctes").Elements(); e.Next(); {
		r.cte(e.Value().Member("CommonTableExpr"), recursive)
	}
	return leave
}

func (r *pgReader) cte(v toolcall.JSON, inScope bool) {
	name := ""
	for m := v.Members(); m.Next(); {
		switch m.Name() {
		case "ctename":
			name, _ = m.Value().Str()
			r.rows[name] = true
		case "ctequery":
			r.statement(m.Value())
		case "aliascolnames", "ctematerialized", "location", "cterecursive", "cterefcount":
		default: // SEARCH and CYCLE add columns
			r.found.unclear = true
		}
	}
	if name == "" {
		r.found.unclear = true
	} else if !inScope {
		r.ctes = append(r.ctes, name)
	}
}

// table notes a table. What is written is never a name of a WITH.
func (r *pgReader) table(v toolcall.JSON, isWritten bool) {
	name, ok := v.Member("relname").Str()
	schema, _ := v.Member("schemaname").Str()
	if persistence, _ := v.Member("relpersistence").Str(); !ok || persistence != "p" {
		r.found.unclear = true
	}
	r.rows[name] = true
	if isWritten || schema != "" || !slices.Contains(r.ctes, name) {
		r.found.tables = append(r.found.tables, tableName{schema, name})
	}
}

// fieldsOfTable reads what else there is about a table that is written.
func (r *pgReader) fieldsOfTable(v toolcall.JSON) {
	for m := v.Members(); m.Next(); {
		how, ok := pgNodes["RangeVar"][m.Name()]
		if !ok {
			r.found.unclear = true
			continue
		}
		r.field(how, m.Value())
	}
}

func (r *pgReader) alias(v toolcall.JSON) {
	if name, ok := v.Member("aliasname").Str(); ok {
		r.rows[name] = true
	}
}

// column reads a, t.a, s.t.a, and the same with * at the end. t.a may also be
// a function that takes the row, where the table has no such column.
func (r *pgReader) column(fields toolcall.JSON) {
	names, plain := texts(fields)
	if !plain {
		r.found.wholeRows = true
	}
	if len(names) == 0 {
		return
	}
	last := names[len(names)-1]
	r.found.columns = append(r.found.columns, last)
	if len(names) > 1 && pgRowFunctions[last] {
		r.found.wholeRows = true
	}
}

// function reads the name of a function; pg_catalog stands for PostgreSQL's own.
func (r *pgReader) function(names toolcall.JSON) {
	name, ok := qualifiedName(names)
	if !ok {
		r.found.unclear = true
	}
	r.found.functions = append(r.found.functions, name)
}

func (r *pgReader) typeName(names toolcall.JSON) {
	if name, ok := qualifiedName(names); !ok || name.schema != "" || !pgTypes[name.name] {
		r.found.unclear = true
	}
}

// written reads the columns of an INSERT or the assignments of an UPDATE.
func (r *pgReader) written(list toolcall.JSON) {
	for e := list.Elements(); e.Next(); {
		if name, ok := e.Value().Member("ResTarget").Member("name").Str(); ok {
			r.found.columns = append(r.found.columns, name)
		} else {
			r.found.unclear = true
		}
	}
	r.node(list)
}

// subscripts: (x).f may be a function f that takes x, with whatever effect.
func (r *pgReader) subscripts(list toolcall.JSON) {
	for e := list.Elements(); e.Next(); {
		if indices := e.Value().Member("A_Indices"); !indices.IsZero() {
			r.fields("A_Indices", indices)
		} else {
			r.found.unclear = true
		}
	}
}

// texts are the names of a list of String nodes; plain is false where there is
// something else, like *.
func texts(list toolcall.JSON) (names []string, plain bool) {
	plain = true
	for e := list.Elements(); e.Next(); {
		if s, ok := e.Value().Member("String").Member("sval").Str(); ok {
			names = append(names, s)
		} else {
			plain = false
		}
	}
	return names, plain
}

// qualifiedName is a name of one or two parts; PostgreSQL's own schema is left out.
func qualifiedName(list toolcall.JSON) (tableName, bool) {
	names, plain := texts(list)
	switch {
	case !plain || len(names) == 0 || len(names) > 2:
		return tableName{}, false
	case len(names) == 1:
		return tableName{name: names[0]}, true
	case names[0] == "pg_catalog":
		return tableName{name: names[1]}, true
	}
	return tableName{names[0], names[1]}, true
}

// valueFunction is the keyword behind SVFOP_CURRENT_DATE and its like, which
// PostgreSQL calls without brackets.
func valueFunction(op string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimPrefix(op, "SVFOP_")), "_n")
}
