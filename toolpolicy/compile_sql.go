package toolpolicy

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// compileSQL reads sql: {dialect, statements, tables, ...}; nil after a mistake.
func (c *compiler) compileSQL(n *yaml.Node) matcher {
	before := len(c.mistakes)
	m := &within{functions: map[string]bool{}}
	keys := map[string]*yaml.Node{}
	for key, value := range c.members(n, "sql") {
		keys[key.Value] = value
		switch key.Value {
		case "dialect":
			m.dialect = c.sqlDialect(value)
		case "statements":
			m.statements = c.sqlStatements(value)
		case "tables", "deny_columns", "functions", "schema":
		default:
			c.unknown(key, "sql", "dialect", "statements", "tables", "deny_columns", "functions", "schema")
		}
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for _, key := range []struct{ name, hint string }{
		{"dialect", "dialect: postgres"}, {"statements", "statements: [select]"}, {"tables", `tables: [orders], or ["*"] for all`},
	} {
		if keys[key.name] == nil {
			c.fail(n, key.hint, "sql must say its %s", key.name)
		}
	}
	if m.dialect == nil {
		return nil
	}
	c.sqlNames(m, keys)
	if len(c.mistakes) > before {
		return nil
	}
	m.text = sqlText(keys)
	return m
}

// sqlNames reads the keys whose names are spelled as the dialect compares them.
func (c *compiler) sqlNames(m *within, keys map[string]*yaml.Node) {
	if n := keys["schema"]; n != nil {
		if s, ok := c.text(n, "schema"); ok && strings.ContainsAny(s, ".*") {
			c.fail(n, "public", "schema is one name")
		} else if ok {
			m.schema = m.dialect.fold(s)
		}
	}
	m.bareSchema = compileWild(m.schema)
	if n := keys["tables"]; n != nil {
		for _, e := range c.elements(n, "tables") {
			if p, ok := c.sqlName(e, "tables", 1, 2); ok {
				m.tables = append(m.tables, tablePatternOf(m.dialect.fold(p)))
			}
		}
	}
	if n := keys["deny_columns"]; n != nil {
		for _, e := range c.elements(n, "deny_columns") {
			if p, ok := c.sqlName(e, "deny_columns", 2, 3); ok {
				m.denyColumns = append(m.denyColumns, columnPatternOf(strings.ToLower(p)))
			}
		}
	}
	if n := keys["functions"]; n != nil {
		for _, f := range c.texts(n, "functions") {
			if strings.Contains(f, "*") {
				c.fail(n, "", "functions are named one by one, and %q has a star", f)
			}
			m.functions[m.dialect.fold(f)] = true
		}
	}
}

func tablePatternOf(text string) tablePattern {
	if text == "*" {
		return tablePattern{compileWild("*"), compileWild("*")}
	}
	schema, name, found := strings.Cut(text, ".")
	if !found {
		return tablePattern{compileWild(""), compileWild(text)}
	}
	return tablePattern{compileWild(schema), compileWild(name)}
}

func columnPatternOf(text string) columnPattern {
	parts := strings.Split(text, ".")
	if len(parts) == 2 {
		parts = slices.Insert(parts, 0, "*")
	}
	return columnPattern{compileWild(parts[0]), compileWild(parts[1]), compileWild(parts[2])}
}

// sqlName is a name of least to most parts with dots between them.
func (c *compiler) sqlName(n *yaml.Node, what string, least, most int) (string, bool) {
	text, ok := c.text(n, "an entry of "+what)
	if !ok {
		return "", false
	}
	parts := strings.Split(text, ".")
	hint := "schema.table, or table"
	if least == 2 {
		hint = "*." + parts[len(parts)-1]
	}
	switch {
	case len(parts) < least || len(parts) > most || slices.Contains(parts, ""):
		c.fail(n, hint, "%s takes names of %d or %d parts, and %q is none", what, least, most, text)
		return "", false
	case strings.ContainsAny(text, "\"'`[]"):
		c.fail(n, hint, "%s takes names as the database keeps them, without quotes", what)
		return "", false
	}
	return text, true
}

// sqlDialects are the dialects that a rule can name.
var sqlDialects = [...]string{"postgres", "sqlite"}

func (c *compiler) sqlDialect(n *yaml.Node) sqlDialect {
	name, ok := c.text(n, "dialect")
	switch {
	case !ok:
	case name == "sqlite":
		return sqlite{}
	case name == "postgres":
		if !startPostgres() {
			c.fail(n, "", "the parser of PostgreSQL's SQL does not start")
		}
		c.queues++
		return postgres{}
	default:
		c.fail(n, nearest(name, sqlDialects[:]), "there is no SQL dialect %q: it is one of %s", name, strings.Join(sqlDialects[:], ", "))
	}
	return nil
}

func (c *compiler) sqlStatements(n *yaml.Node) sqlKinds {
	var kinds sqlKinds
	for _, e := range c.elements(n, "statements") {
		name, ok := c.text(e, "an entry of statements")
		if !ok {
			continue
		}
		var names []string
		found := false
		for _, s := range sqlStatements {
			names = append(names, s.name)
			if s.name == name {
				kinds, found = kinds|s.kind, true
			}
		}
		if !found {
			c.fail(e, nearest(name, names), "%q is no kind of statement that sql judges: it is one of %s", name, strings.Join(names, ", "))
		}
	}
	return kinds
}

// sqlText is the condition in a line, for those whose call fails it.
func sqlText(keys map[string]*yaml.Node) string {
	list := func(key string) string {
		var texts []string
		for _, e := range keys[key].Content {
			texts = append(texts, e.Value)
		}
		return strings.Join(texts, ", ")
	}
	text := "sql (" + keys["dialect"].Value + ") " + list("statements") + " on " + list("tables")
	if keys["deny_columns"] != nil {
		text += " without " + list("deny_columns")
	}
	return text
}
