package toolpolicy

import (
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// BenchmarkSQL is the whole condition: parse, read, judge.
func BenchmarkSQL(b *testing.B) {
	texts := []struct{ name, text string }{
		{"short", "SELECT id, total FROM orders WHERE customer = 7 ORDER BY id LIMIT 10"},
		{"usual", `WITH recent AS (SELECT id, customer, total FROM orders WHERE total > 100 AND note LIKE 'a%')
			SELECT r.customer, count(*) AS n, sum(r.total) AS total FROM recent r
			JOIN orders o ON o.id = r.id LEFT JOIN orders p ON p.customer = r.customer
			WHERE o.name IN ('a', 'b', 'c') AND EXISTS (SELECT 1 FROM orders q WHERE q.id = r.id)
			GROUP BY r.customer HAVING count(*) > 3 ORDER BY total DESC LIMIT 20`},
		{"list of 5000", "SELECT id FROM orders WHERE id IN (1" + strings.Repeat(",100", 5000) + ")"},
	}
	for _, dialect := range sqlDialects {
		m := sqlRule(b, "{dialect: "+dialect+", statements: [select], tables: [orders], deny_columns: [orders.ssn]}")
		for _, t := range texts {
			v := toolcall.Quote(t.text)
			b.Run(dialect+"/"+t.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(t.text)))
				for b.Loop() {
					if got := m.judge(v); got != holds {
						b.Fatalf("judged %q", got)
					}
				}
			})
		}
	}
}
