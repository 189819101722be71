package toolpolicy

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"mcpguard/toolcall"
)

// sqlWant is what comes of a statement, and of which part of the rule.
type sqlWant struct {
	outcome
	part sqlPart
}

// sqlWants are the names in testdata/match/sql_*.txtar.
var sqlWants = map[string]sqlWant{
	"true": {holds, noPart}, "statements": {fails, oneStatement}, "a kind": {fails, kindPart}, "a table": {fails, tablePart},
	"a function": {fails, functionPart}, "not SQL": {notSQL, noPart}, "unknown": {notPlainSQL, noPart},
	"schema?": {unclearTable, noPart}, "a column": {deniedColumn, noPart},
}

// sqlRule compiles the condition of a rule, as YAML in one line.
func sqlRule(t testing.TB, condition string) *within {
	t.Helper()
	p, err := Compile("policy.yaml", []byte(
		"version: 1\nroles: {everyone: {allow: [{tool: db/query, args: {query: {sql: "+strings.TrimSpace(condition)+"}}}]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p.rules[0].args[0].tests[0].matcher.(*within)
}

// sqlCase is a line of an archive: a rule and a statement, and what comes of it.
type sqlCase struct {
	rule, text string
	want       sqlWant
	line       string
}

func sqlCases(t testing.TB, archive string) []sqlCase {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("../testdata/match", archive))
	if err != nil {
		t.Fatal(err)
	}
	var cases []sqlCase
	rule := ""
	for _, f := range a.Files {
		if strings.HasSuffix(f.Name, ".rule") {
			rule = string(f.Data)
			continue
		}
		for line := range strings.Lines(string(f.Data)) {
			line = strings.TrimSuffix(line, "\n")
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			name, text, ok := strings.Cut(line, " |")
			want, known := sqlWants[name]
			if !ok || !known {
				t.Fatalf("%s: no case: %s", archive, line)
			}
			text = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\0`, "\x00").Replace(strings.TrimPrefix(text, " "))
			cases = append(cases, sqlCase{rule, text, want, line})
		}
	}
	if len(cases) < 50 {
		t.Fatalf("%s holds %d cases", archive, len(cases))
	}
	return cases
}

// The archives say what becomes of every trick that we know of.
func TestSQLCorpus(t *testing.T) {
	for _, archive := range []string{"sql_sqlite.txtar", "sql_postgres.txtar"} {
		t.Run(archive, func(t *testing.T) {
			rules := map[string]*within{}
			for _, c := range sqlCases(t, archive) {
				if rules[c.rule] == nil {
					rules[c.rule] = sqlRule(t, c.rule)
				}
				out, part := rules[c.rule].examine(c.text)
				if got := (sqlWant{out, part}); got != c.want {
					t.Errorf("%s\n got %q, part %d", c.line, out, part)
				}
				if judged := rules[c.rule].judge(toolcall.Quote(c.text)); judged != out {
					t.Errorf("%s\n judged %q, examined %q", c.line, judged, out)
				}
			}
		})
	}
}

// Calls queue whose rules have PostgreSQL's parser read something, wherever the
// condition stands, and no others.
func TestQueues(t *testing.T) {
	p, err := Compile("policy.yaml", []byte(`version: 1
roles:
  a:
    groups: [a]
    allow:
      - {tool: db/read, args: {q: {sql: {dialect: sqlite, statements: [select], tables: [t]}}}}
      - {tool: db/query, args: {q: {sql: {dialect: postgres, statements: [select], tables: [t]}}}}
      - {tool: db/batch, args: {q: {each: {any_of: [{equals: x}, {sql: {dialect: postgres, statements: [select], tables: [t]}}]}}}}
      - {tool: db/ping}
`))
	if err != nil {
		t.Fatal(err)
	}
	for tool, want := range map[string]bool{"read": false, "query": true, "batch": true, "ping": false, "none": false} {
		if got := p.Queues(&toolcall.Call{Kind: toolcall.Tool, Upstream: "db", Name: tool}); got != want {
			t.Errorf("%s queues: %v, want %v", tool, got, want)
		}
	}
	if (*Policy)(nil).Queues(&toolcall.Call{Kind: toolcall.Tool, Upstream: "db", Name: "query"}) {
		t.Error("a call queues without a policy")
	}
}
