package toolpolicy

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"mcpguard/toolcall"
)

// deepSQL are texts that nest in all the ways that cost the parser stack.
var deepSQL = map[string]func(n int) string{
	"not":     func(n int) string { return "select " + strings.Repeat("not ", n) + "true" },
	"minus":   func(n int) string { return "select " + strings.Repeat("- ", n) + "a" },
	"plus":    func(n int) string { return "select 1" + strings.Repeat("+1", n) },
	"and-or":  func(n int) string { return "select a" + strings.Repeat(" and (b or c", n) + strings.Repeat(")", n) },
	"cast":    func(n int) string { return "select 1" + strings.Repeat("::int", n) },
	"is":      func(n int) string { return "select 1" + strings.Repeat(" is null", n) },
	"collate": func(n int) string { return "select 1" + strings.Repeat(` collate "C"`, n) },
	"parens":  func(n int) string { return "select " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n) },
	"call":    func(n int) string { return "select " + strings.Repeat("abs(", n) + "1" + strings.Repeat(")", n) },
	"over": func(n int) string {
		return "select " + strings.Repeat("rank() over (order by ", n) + "1" + strings.Repeat(")", n)
	},
	"row":   func(n int) string { return "select " + strings.Repeat("row(", n) + "1" + strings.Repeat(")", n) },
	"array": func(n int) string { return "select " + strings.Repeat("array[", n) + "1" + strings.Repeat("]", n) },
	"index": func(n int) string { return "select " + strings.Repeat("a.b[", n) + "1" + strings.Repeat("]", n) },
	"query": func(n int) string { return "select " + strings.Repeat("(select ", n) + "1" + strings.Repeat(")", n) },
	"in": func(n int) string {
		return "select " + strings.Repeat("1 in (select ", n) + "1" + strings.Repeat(")", n)
	},
	"exists": func(n int) string {
		return "select " + strings.Repeat("exists(select 1 where ", n) + "true" + strings.Repeat(")", n)
	},
	"from": func(n int) string {
		return "select 1 from " + strings.Repeat("(select 1 from ", n) + "a" + strings.Repeat(") x", n)
	},
	"join": func(n int) string { return "select 1 from a" + strings.Repeat(" join a on true", n) },
	"joins": func(n int) string {
		return "select 1 from " + strings.Repeat("(a join ", n) + "b" + strings.Repeat(" on true)", n)
	},
	"union": func(n int) string { return "select 1, 2" + strings.Repeat(" union select 1, 2", n) },
	"with": func(n int) string {
		return strings.Repeat("with a as (", n) + "select 1" + strings.Repeat(") select 1", n)
	},
	"case": func(n int) string {
		return "select " + strings.Repeat("case when true and ", n) + "true" + strings.Repeat(" then 1 end", n)
	},
	"between": func(n int) string {
		return "select " + strings.Repeat("1 between 0 and (", n) + "1" + strings.Repeat(")", n)
	},
}

// The parser has a small stack and runs over it in silence. What pgDepth lets
// through stays far from that: everything that nests is read up to the bound,
// refused beyond it, and the parser works on.
func TestPostgresDepthIsBounded(t *testing.T) {
	for name, text := range deepSQL {
		deepest := 0
		for n := 1; n < 400; n += 1 + n/10 {
			tree, how := parsePostgres(text(n))
			if how == notPlainSQL {
				break
			}
			if how != holds || tree.IsZero() {
				t.Fatalf("%s of depth %d is %q", name, n, how)
			}
			deepest = n
		}
		if deepest < 12 || deepest > 250 {
			t.Errorf("%s is read up to depth %d", name, deepest)
		}
		for _, n := range []int{500, 3000} {
			if _, how := parsePostgres(text(n)); how != notPlainSQL {
				t.Errorf("%s of depth %d is %q", name, n, how)
			}
		}
	}
	if _, how := parsePostgres("select 1"); how != holds {
		t.Fatalf("the parser has stopped: %q", how)
	}
}

// Long texts that do not nest are read, and what they cost is bounded.
func TestPostgresReadsLongTexts(t *testing.T) {
	m := sqlRule(t, "{dialect: postgres, statements: [select], tables: [orders]}")
	for _, text := range []string{
		"SELECT id FROM orders WHERE id IN (1" + strings.Repeat(",1", 10_000) + ")",
		"SELECT id FROM orders WHERE a = 1" + strings.Repeat(" AND b = 2", 2000),
		"SELECT id FROM orders WHERE a = 1" + strings.Repeat(" OR b = 2", 2000),
		"SELECT '" + strings.Repeat("x", 30_000) + "'",
		"SELECT 1 --" + strings.Repeat("-", 30_000),
	} {
		if got := m.judge(toolcall.Quote(text)); got != holds {
			t.Errorf("%.40s... of %d bytes is %q", text, len(text), got)
		}
	}
	for _, text := range []string{
		"SELECT '" + strings.Repeat("x", maxSQL) + "'",
		"SELECT " + strings.Repeat("/*", 10_000) + strings.Repeat("*/", 1000) + " 1",
		"SELECT 1" + strings.Repeat(")", 1000),
		strings.Repeat("(", 1000),
	} {
		if got := m.judge(toolcall.Quote(text)); got.verdict() != toolcall.VerdictUnknown {
			t.Errorf("%.40s... of %d bytes is %q", text, len(text), got)
		}
	}
}

// Callers at the same time share one instance of the parser: another would cost
// a quarter of a gigabyte.
func TestPostgresParsesOneAtATime(t *testing.T) {
	m := sqlRule(t, "{dialect: postgres, statements: [select], tables: [orders]}")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got := m.judge(toolcall.Quote("SELECT id FROM orders")); got != holds {
					t.Errorf("judged %q", got)
				}
				if got := m.judge(toolcall.Quote("SELECT id FROM people")); got != fails {
					t.Errorf("judged %q", got)
				}
			}
		})
	}
	wg.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapAlloc > before.HeapAlloc+20<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before.HeapAlloc, after.HeapAlloc)
	}
}

// A parser that trapped is not asked again: nobody knows what is in its memory.
func TestPostgresStopsAfterATrap(t *testing.T) {
	stopped := pgGate{stopped: true}
	if tree, how := stopped.parse("SELECT 1"); how != parserStopped || tree != "" {
		t.Errorf("judged %q", how)
	}
	if parserStopped.verdict() != toolcall.VerdictUnknown {
		t.Error("what is not judged is not unknown")
	}
}

// A ScanResult that is cut or wrong is no reason to parse.
func TestPostgresTokensMayBeWrong(t *testing.T) {
	for _, b := range [][]byte{{0x80}, {0x08}, {0x12, 0x05, 0x08}, {0x12, 0x02, 0x10, 0x09}, {0x0d, 1}, {0x12, 0x04, 0x08, 3, 0x10, 2}} {
		if _, ok := pgDepth("abc", b); ok {
			t.Errorf("% x is read", b)
		}
	}
	if depth, ok := pgDepth("a,(b)", []byte{0x12, 2, 0x10, 1}); !ok || depth != 2 {
		t.Errorf("depth %d, %v", depth, ok)
	}
}
