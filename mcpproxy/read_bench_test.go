package mcpproxy

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkReadAll reads bodies whose lengths are announced.
func BenchmarkReadAll(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20, 16 << 20} {
		body := strings.Repeat("x", size)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := readAll(strings.NewReader(body), int64(size), size, uncounted); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
