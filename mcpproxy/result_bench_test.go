package mcpproxy

import (
	"fmt"
	"strings"
	"testing"

	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// benchPaths are five paths as policies have them.
var benchPaths = []string{"**.email", "**.ssn", "**.card", "**.token", "**.pin"}

// benchAnswer is a response of about size bytes to tools/call: rows with a
// value under each of benchPaths as structured content, and the same again as
// JSON in a text, as the specification recommends (MCP 2025-06-18, Tools,
// "Structured Content").
func benchAnswer(size int) string {
	var rows strings.Builder
	for i := 0; rows.Len() < size*4/9; i++ {
		if i > 0 {
			rows.WriteByte(',')
		}
		fmt.Fprintf(&rows, `{"order":%06d,"customer":{"name":"Customer %06d","email":"c%06d@private.example","ssn":"078-05-%06d",`+
			`"card":"4000-0000-%06d"},"session":{"token":"tok-s3cret-%06d","pin":"pin-s3cret-%06d"},"city":"%s","total":%d.25,"paid":true}`,
			100000+i, i, i, i, i, i, i, [...]string{"Porto", "Lagos", "Turku"}[i%3], 100+i%900)
	}
	data := `{"marker":"m-1-1","orders":[` + rows.String() + `],"note":""}`
	return `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":` +
		toolcall.Quote(data).Text() + `}],"structuredContent":` + data + `}}`
}

// BenchmarkAnswer is all that is done with the bytes of a result between the
// upstream and the client, but for the record: read strictly, surveyed,
// redacted, written.
func BenchmarkAnswer(b *testing.B) {
	profile, mistakes := redact.Compile(redact.Spec{Name: "secrets", Paths: benchPaths})
	if mistakes != nil {
		b.Fatal(mistakes)
	}
	r, keys := redact.New(profile), keyring.NewEphemeral()
	for _, size := range []int{1 << 10, 32 << 10, 1 << 20} {
		text := benchAnswer(size)
		limits := toolcall.Limits{Bytes: len(text), Depth: maxDepth}
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				f, err := parseInbound("bench", text, limits)
				if err != nil {
					b.Fatal(err)
				}
				keys.MAC(digestResult, bytesOf(f.result.Text()))
				out, _, _, err := r.Message(`{"jsonrpc":"2.0","id":`+f.id.Text()+`,"result":`, f.result, "}", f.where)
				if err != nil || out == "" {
					b.Fatal("nothing was redacted", err)
				}
			}
		})
	}
}
