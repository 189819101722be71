package redact_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"mcpguard/toolcall"
)

// benchPaths are five paths of the shapes that policies hold.
var benchPaths = []string{"**.ssn", "rows.#.cards.#.number", "rows.#.email", "rows.#.address.street", "next.token"}

// benchResult is a tool result of about size bytes: rows of customers as
// structured content, and the same again as JSON in a text.
func benchResult(size int) string {
	var rows strings.Builder
	for i := 0; rows.Len() < size*4/9; i++ {
		if i > 0 {
			rows.WriteByte(',')
		}
		fmt.Fprintf(&rows, `{"id":%d,"name":"Customer %d","email":"c%d@example.com","ssn":"%03d-%02d-%04d",`+
			`"address":{"street":"%d Long Winding Road","city":"Springfield","zip":"%05d"},`+
			`"cards":[{"brand":"visa","number":"4111 1111 %04d %04d"}],"active":true,"balance":%d.5,`+
			`"note":"prefers to be called in the morning, \"never\" on Mondays"}`,
			i, i, i, i%900, i%99, i%10000, i, i%100000, i%10000, i/10000, i*7)
	}
	structured := `{"rows":[` + rows.String() + `],"next":{"token":"0123456789abcdef"},"total":17}`
	return `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":` +
		toolcall.Quote(structured).Text() + `}],"structuredContent":` + structured + `,"isError":false}}`
}

func benchSizes(b *testing.B, run func(b *testing.B, doc toolcall.JSON)) {
	for _, size := range []int{1 << 10, 32 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			doc := parse(b, benchResult(size))
			b.SetBytes(int64(doc.Len()))
			b.ReportAllocs()
			run(b, doc)
		})
	}
}

func BenchmarkRedact(b *testing.B) {
	benchSizes(b, func(b *testing.B, doc toolcall.JSON) {
		r := redactor(b, benchPaths...)
		surface := result(doc)
		for b.Loop() {
			if _, _, err := r.Redact(doc, surface); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRedactNothing has the same paths over rows that none of them names.
func BenchmarkRedactNothing(b *testing.B) {
	benchSizes(b, func(b *testing.B, doc toolcall.JSON) {
		r := redactor(b, "**.nothing", "rows.#.nothing", "rows.#.cards.#.nothing", "rows.#.address.nothing", "next.nothing")
		surface := result(doc)
		for b.Loop() {
			if _, _, err := r.Redact(doc, surface); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkGJSONValid is the yardstick: one check of the same bytes.
func BenchmarkGJSONValid(b *testing.B) {
	benchSizes(b, func(b *testing.B, doc toolcall.JSON) {
		for b.Loop() {
			if !gjson.Valid(doc.Text()) {
				b.Fatal("not valid")
			}
		}
	})
}

// BenchmarkStrictScan is what the proxy has paid before it comes here.
func BenchmarkStrictScan(b *testing.B) {
	benchSizes(b, func(b *testing.B, doc toolcall.JSON) {
		for b.Loop() {
			if _, err := toolcall.Parse(doc.Text(), toolcall.Limits{Bytes: doc.Len(), Depth: 128}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
