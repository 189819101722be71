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
	var wide strings.Builder
	return map[string]string{
		"rows": rows,
		"indented": grow("{\n  \"rows\": [\n    ", "\n  ]\n}", func(i int) string {
			return fmt.Sprintf("{\n      \"id\": %d,\n      \"name\": \"Customer %d\",\n      \"active\": true\n    }", i, i)
		}),
		"prose":   inText(strings.Repeat("The quick brown fox jumps over the lazy dog and runs away from it. ", size/67)),
		"escaped": inText(rows),
		"unicode": inText(strings.Repeat("Съешь же ещё этих мягких французских булок, да выпей чаю. 東京都は日本の首都です。", size/150)),
		"numbers": grow(`[`, `]`, func(i int) string { return fmt.Sprintf("%d.%04de-3", i*7919%100000, i%10000) }),
		"wide":    grow(`{`, `}`, func(i int) string { wide.Reset(); return fmt.Sprintf(`"member%d":%d`, i, i) }),
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
