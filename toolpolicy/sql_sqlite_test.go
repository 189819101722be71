package toolpolicy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	driver "modernc.org/sqlite"
)

// realSQLite compiles statements and tells what SQLite asked for while it did:
// every table and column it reads, every function, every kind of change.
type realSQLite struct {
	conn  *sql.Conn
	asked []asked
}

type asked struct {
	action               driver.AuthorizerActionCode
	arg1, arg2, database string
}

func openRealSQLite(t *testing.T) *realSQLite {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	s := &realSQLite{}
	if s.conn, err = db.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	for _, text := range []string{
		"ATTACH ':memory:' AS crm",
		"CREATE TABLE orders(id INTEGER PRIMARY KEY, total, note, name, doc, at, a, b, x, y, ssn)",
		"CREATE TABLE people(id INTEGER PRIMARY KEY, name, ssn)",
		"CREATE TABLE log(id INTEGER PRIMARY KEY, note, secret UNIQUE)",
		"CREATE TABLE crm.accounts(id INTEGER PRIMARY KEY, password, ssn)",
		"CREATE TABLE crm.users(id INTEGER PRIMARY KEY, password)",
		"CREATE TABLE lone(ssn)",
		"CREATE TABLE anything(a)",
		"CREATE TABLE bare(id)",
	} {
		if _, err := s.conn.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	err = s.conn.Raw(func(c any) error {
		registerer, ok := c.(driver.AuthorizerRegisterer)
		if !ok {
			return errors.New("the driver has no authorizer")
		}
		return registerer.RegisterAuthorizer(func(action driver.AuthorizerActionCode, arg1, arg2, database, _ string) driver.AuthorizerReturnCode {
			s.asked = append(s.asked, asked{action, lowerASCII(arg1), lowerASCII(arg2), lowerASCII(database)})
			return driver.AuthorizerOK
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// compiles reports whether SQLite takes the text, and fills asked. Nothing runs:
// EXPLAIN stops where running would begin.
func (s *realSQLite) compiles(ctx context.Context, text string) (taken bool) {
	s.asked = s.asked[:0]
	if !strings.HasPrefix(lowerASCII(strings.TrimSpace(text)), "explain") {
		text = "EXPLAIN " + text
	}
	rows, err := s.conn.QueryContext(ctx, text, 1, 2, 3, 4)
	if err != nil {
		return false
	}
	defer func() { taken = rows.Close() == nil && taken }()
	return rows.Err() == nil
}

// outside is what SQLite would do and the reading does not tell of.
func (s *realSQLite) outside(read *statement) error {
	has := func(names []tableName, name string) bool {
		return slices.ContainsFunc(names, func(t tableName) bool { return t.name == name })
	}
	if read.does&doesOther != 0 {
		return nil // no rule can name it
	}
	for _, a := range s.asked {
		switch a.action {
		case driver.AuthSelect, driver.AuthRecursive:
		case driver.AuthRead:
			table := a.arg1
			if a.database == "" && a.arg2 == "" {
				continue // a query in FROM or a WITH, of which no column is used
			}
			if strings.HasPrefix(table, "sqlite_") && (has(read.tables, "sqlite_schema") || has(read.tables, "sqlite_master")) {
				continue
			}
			if !has(read.tables, table) && !has(read.functions, table) {
				return fmt.Errorf("it reads the table %s", table)
			}
			if a.arg2 != "" && !read.wholeRows && !slices.Contains(read.columns, a.arg2) && !has(read.functions, table) {
				return fmt.Errorf("it reads the column %s.%s", table, a.arg2)
			}
		case driver.AuthFunction:
			if a.arg2 != "->" && a.arg2 != "->>" && !has(read.functions, a.arg2) {
				return fmt.Errorf("it calls %s", a.arg2)
			}
		case driver.AuthInsert, driver.AuthUpdate, driver.AuthDelete:
			kind := map[driver.AuthorizerActionCode]sqlKinds{
				driver.AuthInsert: inserts, driver.AuthUpdate: updates, driver.AuthDelete: deletes}[a.action]
			if read.does&kind == 0 || !has(read.tables, a.arg1) {
				return fmt.Errorf("it changes %s by %d", a.arg1, a.action)
			}
			if kind == updates && !slices.Contains(read.columns, a.arg2) {
				return fmt.Errorf("it changes the column %s", a.arg2)
			}
		default:
			return fmt.Errorf("it does %d (%s, %s)", a.action, a.arg1, a.arg2)
		}
	}
	return nil
}

// sqlToken cuts a text into pieces that a statement can be put together from.
var sqlToken = regexp.MustCompile(`(?s)'(?:[^']|'')*'|"[^"]*"|\[[^\]]*\]|` + "`[^`]*`" + `|--[^\n]*|/\*.*?\*/|\w+|\s+|.`)

// Whatever is read as one statement, SQLite itself compiles to something that
// does no more than was read: no other table or column, no other function, no
// other kind of change. The texts are the corpus and a crowd of its mutants.
func TestSQLiteReadsTheSame(t *testing.T) {
	s := openRealSQLite(t)
	rounds := 40_000
	if testing.Short() {
		rounds = 4_000
	}
	var texts, pieces []string
	for _, c := range sqlCases(t, "sql_sqlite.txtar") {
		texts = append(texts, c.text)
		pieces = append(pieces, sqlToken.FindAllString(c.text, -1)...)
	}
	corpus := len(texts)
	random := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		texts = append(texts, mutant(random, texts[random.IntN(corpus)], pieces))
	}
	agreed, rejected := 0, 0
	for _, text := range texts {
		if strings.IndexByte(text, 0) >= 0 {
			continue
		}
		read, how := sqlite{}.read(text)
		if how != holds {
			continue
		}
		if !s.compiles(t.Context(), text) {
			rejected++
			continue
		}
		if err := s.outside(&read); err != nil && !read.unclear {
			t.Errorf("%s\n read %+v, but %v", text, read, err)
		}
		agreed++
	}
	t.Logf("%d statements agreed, %d were no statements to SQLite", agreed, rejected)
	if agreed < rounds/40 {
		t.Errorf("only %d of %d texts were compiled: the test tests too little", agreed, len(texts))
	}
}

// SQLite tells of what nobody read: else the test above would pass for nothing.
func TestSQLiteToldApart(t *testing.T) {
	s := openRealSQLite(t)
	for text, read := range map[string]statement{
		"SELECT id FROM people":              {does: selects, columns: []string{"id"}},
		"SELECT ssn FROM people":             {does: selects, tables: []tableName{{"", "people"}}},
		"SELECT upper(1)":                    {does: selects},
		"DELETE FROM people":                 {does: selects, tables: []tableName{{"", "people"}}},
		"UPDATE people SET ssn = 1":          {does: updates, tables: []tableName{{"", "people"}}},
		"PRAGMA user_version = 1":            {does: selects},
		"INSERT INTO people(ssn) VALUES (1)": {does: inserts},
	} {
		if !s.compiles(t.Context(), text) {
			t.Fatalf("SQLite does not take %s", text)
		}
		if s.outside(&read) == nil {
			t.Errorf("%s passes as %+v", text, read)
		}
	}
}
