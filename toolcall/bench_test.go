package toolcall_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"mcpguard/toolcall"
)

// shapes are messages of about 256 KiB in the forms that tools answer in.
func shapes() map[string]string {
	const size = 256 << 10
	grow := func(open, closing string, item func(i int) string) string {
		var b strings.Builder
		b.WriteString(open)
		for i := 0; b.Len() < size; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(item(i))
		}
		return b.String() + closing
	}
	row := func(i int) string {
		return fmt.Sprintf(`{"id":%d,"name":"Customer %d","email":"customer%d@example.com","active":true,"balance":%d.25,"tags":["gold","eu"],"address":{"city":"Oslo","zip":"0%d"},"note":null}`, i, i, i, i*37, i)
	}
	rows := grow(`{"structuredContent":{"rows":[`, `]}}`, row)
	inText := func(s string) string {
		return `{"content":[{"type":"text","text":` + toolcall.Quote(s).Text() + `}]}`
	}
	return map[string]string{
		"rows": rows,
		"indented": grow("{\n  \"rows\": [\n    ", "\n  ]\n}", func(i int) string {
			return fmt.Sprintf("{\n      \"id\": %d,\n      \"name\": \"Customer %d\",\n      \"active\": true\n    }", i, i)
		}),
		"prose":   inText(strings.Repeat("The quick brown fox jumps over the lazy dog and runs away from it. ", size/67)),
		"escaped": inText(rows),
		"unicode": inText(strings.Repeat("Съешь же ещё этих мягких французских булок, да выпей чаю. 東京都は日本の首都です。", size/150)),
		"numbers": grow(`[`, `]`, func(i int) string { return fmt.Sprintf("%d.%04de-3", i*7919%100000, i%10000) }),
		"wide":    grow(`{`, `}`, func(i int) string { return fmt.Sprintf(`"member%d":%d`, i, i) }),
	}
}

func BenchmarkParse(b *testing.B) {
	for name, text := range shapes() {
		raw := []byte(text)
		limits := toolcall.Limits{Bytes: len(text), Depth: 128}
		b.Run(name+"/mcpguard", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := toolcall.Parse(text, limits); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/gjson", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if !gjson.Valid(text) {
					b.Fatal("refused")
				}
			}
		})
		b.Run(name+"/encoding-json", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if !json.Valid(raw) {
					b.Fatal("refused")
				}
			}
		})
	}
}

// What is done with a message once it is proved, on the same shapes.
func BenchmarkRead(b *testing.B) {
	texts := shapes()
	rows := parse(b, texts["rows"])
	deep := mustPath(b, "structuredContent.rows.1000.address.city")
	run := func(name string, j toolcall.JSON, f func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(j.Len()))
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	for _, shape := range []string{"rows", "prose", "escaped", "unicode", "wide"} {
		j := parse(b, texts[shape])
		run("skip/"+shape, j, func() { j.Member("absent") })
	}
	run("get", rows, func() {
		if _, found := rows.Get(deep); found != toolcall.Found {
			b.Fatal("not found")
		}
	})
	run("get/gjson", rows, func() {
		if !gjson.Get(rows.Text(), deep.String()).Exists() {
			b.Fatal("not found")
		}
	})
	buf := make([]byte, 0, 2*rows.Len())
	run("canonical/rows", rows, func() { buf = rows.AppendCanonical(buf[:0]) })
	run("folded/rows", rows, func() { rows.Folded() })
	var edits, removals []toolcall.Edit
	for row := rows.Member("structuredContent").Member("rows").Elements(); row.Next(); {
		email := row.Value().Member("email")
		edits = append(edits, toolcall.Edit{At: email, With: toolcall.Quote("[redacted]")})
		removals = append(removals, toolcall.Edit{At: email})
	}
	for name, edits := range map[string][]toolcall.Edit{"replace": edits, "take-out": removals} {
		run("splice/"+name, rows, func() {
			if _, err := toolcall.Splice(rows, edits); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// A call's usual arguments: what every request pays.
func BenchmarkSmall(b *testing.B) {
	text := `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"refund","arguments":{"amount":42.50,"currency":"EUR","customer":"c-1001","note":"late delivery"},"_meta":{"progressToken":17}}}`
	limits := toolcall.Limits{Bytes: 1 << 20, Depth: 128}
	message := parse(b, text)
	amount := mustPath(b, "params.arguments.amount")
	limit := number(b, "500")
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := toolcall.Parse(text, limits); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gjson-valid", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if !gjson.Valid(text) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("get-and-compare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v, _ := message.Get(amount)
			if n, ok := v.Number(); !ok || n.Compare(limit) != -1 {
				b.Fatal("42.50 is below 500")
			}
		}
	})
	args := message.Member("params").Member("arguments")
	b.Run("folded", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, ok := args.Folded(); ok {
				b.Fatal("folded")
			}
		}
	})
	buf := make([]byte, 0, 1024)
	b.Run("canonical", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = message.AppendCanonical(buf[:0])
		}
	})
}
