package redact_test

import (
	"fmt"
	"github.com/tidwall/gjson"
	"mcpguard/toolcall"
	"testing"
	"time"
)

func TestMin(t *testing.T) {
	for _, size := range []int{1 << 10, 32 << 10, 256 << 10, 1 << 20} {
		doc := parse(t, benchResult(size))
		s := result(doc)
		r := redactor(t, benchPaths...)
		r2 := redactor(t, "**.nothing", "rows.#.nothing", "rows.#.cards.#.nothing", "rows.#.address.nothing", "next.nothing")
		m := func(f func()) float64 {
			best := time.Hour
			n := 1
			if size < 100000 {
				n = 20
			}
			for k := 0; k < 150; k++ {
				t0 := time.Now()
				for q := 0; q < n; q++ {
					f()
				}
				if d := time.Since(t0) / time.Duration(n); d < best {
					best = d
				}
			}
			return float64(doc.Len()) / best.Seconds() / 1e6
		}
		fmt.Printf("%8d redact %.0f nothing %.0f gjson %.0f scan %.0f MB/s\n", doc.Len(),
			m(func() { r.Redact(doc, s) }), m(func() { r2.Redact(doc, s) }), m(func() { gjson.Valid(doc.Text()) }), m(func() { toolcall.Parse(doc.Text(), toolcall.Limits{Bytes: doc.Len(), Depth: 128}) }))
	}
}
