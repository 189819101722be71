package toolpolicy

import (
	"strings"

	"mcpguard/toolcall"
)

// maxSQL is the longest text that is read as SQL, in bytes.
const maxSQL = 32 << 10

// within is sql: the text is one statement that stays within what the rule
// names. Everything in it counts, wherever it stands: a DELETE in a WITH, a
// table in a subquery, a function in an ORDER BY. What views, triggers and the
// database's own functions do beneath is the database's business.
type within struct {
	dialect     sqlDialect
	statements  sqlKinds
	tables      []tablePattern
	denyColumns []columnPattern
	functions   map[string]bool // beside those of the dialect that do nothing but compute
	schema      string          // of names without one; "" leaves it to the database's search path
	bareSchema  wild            // the same, of patterns without one
	text        string
}

// sqlDialect reads one kind of SQL with the grammar of its database.
type sqlDialect interface {
	// read tells what the one statement of a text does. The outcome is holds;
	// fails where there are more; or says why that cannot be told. It is safe
	// for concurrent use.
	read(text string) (statement, outcome)
	// fold is the spelling under which the database compares names.
	fold(name string) string
	// pure reports whether a function of the database itself computes from its
	// arguments alone and changes nothing.
	pure(function string) bool
	// system reports whether a table belongs to the database itself, and
	// whether the pattern names it as such: a star never does.
	system(t tableName, p tablePattern) (system, named bool)
}

// sqlKinds is a set of what statements do.
type sqlKinds uint8

const (
	selects sqlKinds = 1 << iota
	inserts
	updates
	deletes
	explains
	doesOther // anything else: no rule can name it
)

// sqlStatements are the kinds that a rule can name.
var sqlStatements = [...]struct {
	name string
	kind sqlKinds
}{{"select", selects}, {"insert", inserts}, {"update", updates}, {"delete", deletes}, {"explain", explains}}

// statement is what a text of SQL does, as far as its words tell. Names are
// folded. It says too much rather than too little.
type statement struct {
	does      sqlKinds
	tables    []tableName
	functions []tableName // by schema and name, as tables
	columns   []string    // every name that may be a column's, wherever it stands
	wholeRows bool        // something stands for columns that are not named: *, t.*, a row
	unclear   bool        // something in it is not known to this version
}

// tableName is a name as the statement gives it; the schema may be empty.
type tableName struct{ schema, name string }

// tablePattern is schema.name, or name alone. A single * is any table.
type tablePattern struct{ schema, name wild }

// bare reports whether the pattern names no schema.
func (p tablePattern) bare() bool { return p.schema.text == "" }

// columnPattern is [schema.]table.column. It is lower case, as is what it is
// compared with: what is kept out must not come back in capitals.
type columnPattern struct{ schema, table, column wild }

func (m *within) judge(v toolcall.JSON) outcome {
	text, ok := v.Str()
	if !ok {
		return notText
	}
	out, _ := m.examine(text)
	return out
}

// sqlPart is the part of a rule that a statement certainly does not stay within.
type sqlPart uint8

const (
	noPart sqlPart = iota
	oneStatement
	kindPart
	tablePart
	functionPart
)

// examine is judge, with the part of the rule where it is false.
func (m *within) examine(text string) (outcome, sqlPart) {
	if len(text) > maxSQL || strings.IndexByte(text, 0) >= 0 {
		return notSQL, noPart
	}
	s, how := m.dialect.read(text)
	switch how {
	case holds:
		return m.examineStatement(&s)
	case fails:
		return fails, oneStatement
	}
	return how, noPart
}

// examineStatement is false for what the rule certainly does not name, before it
// is unknown for what it may not.
func (m *within) examineStatement(s *statement) (outcome, sqlPart) {
	if s.does&^m.statements != 0 {
		return fails, kindPart
	}
	out := holds
	if s.unclear {
		out = notPlainSQL
	}
	for _, t := range s.tables {
		switch how := m.judgeTable(t); {
		case how == fails:
			return fails, tablePart
		case out == holds:
			out = how
		}
	}
	for _, f := range s.functions {
		if !m.allowsFunction(f) {
			return fails, functionPart
		}
	}
	if out == holds && m.mayReadDenied(s) {
		out = deniedColumn
	}
	return out, noPart
}

// judgeTable is unknown where only the database's search path could tell
// whether a name without a schema and one with it are the same table.
func (m *within) judgeTable(t tableName) outcome {
	out := fails
	for _, p := range m.tables {
		if system, named := m.dialect.system(t, p); system {
			if named && p.name.match(t.name) {
				return holds
			}
			continue
		}
		if !p.name.match(t.name) {
			continue
		}
		if p.bare() {
			p.schema = m.bareSchema
		}
		schema := t.schema
		if schema == "" {
			schema = m.schema
		}
		switch {
		case p.schema.match(schema):
			return holds
		case schema == "" || p.bare():
			out = unclearTable
		}
	}
	return out
}

func (m *within) allowsFunction(f tableName) bool {
	if f.schema == "" && m.dialect.pure(f.name) {
		return true
	}
	if f.schema != "" {
		return m.functions[f.schema+"."+f.name]
	}
	return m.functions[f.name]
}

// mayReadDenied reports whether a column to keep out could be among what the
// statement touches. Without the database's schema it cannot be told which
// table a column belongs to, so one of that name anywhere is enough.
func (m *within) mayReadDenied(s *statement) bool {
	for _, d := range m.denyColumns {
		if !s.uses(d, m.schema) {
			continue
		}
		if s.wholeRows {
			return true
		}
		for _, c := range s.columns {
			if d.column.match(strings.ToLower(c)) {
				return true
			}
		}
	}
	return false
}

// uses reports whether a table that the pattern is about is in the statement.
func (s *statement) uses(d columnPattern, schema string) bool {
	for _, t := range s.tables {
		if t.schema == "" {
			t.schema = schema
		}
		if d.table.match(strings.ToLower(t.name)) && (t.schema == "" || d.schema.match(strings.ToLower(t.schema))) {
			return true
		}
	}
	return false
}

func (m *within) words() words {
	return words{m.text, "outside", "is not within " + m.text}
}
