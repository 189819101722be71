package redact_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Runs lend their memory to each other: what one removed must not show up in,
// or be searched for in, another document.
func TestRunsDoNotMix(t *testing.T) {
	r := redactor(t, "**.ssn", "rows.#.x")
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for round := range 200 {
				secret := fmt.Sprintf("secret-%02d-%04d", worker, round)
				others := fmt.Sprintf("secret-%02d-%04d secret-%02d-%04d", worker, round+1000, worker+8, round)
				text := `{"content":[{"text":"{\"ssn\":\"` + secret + `\",\"o\":\"` + others + `\"}"}],"structuredContent":{"rows":[` +
					strings.Repeat(`{"x":1},`, round) + `{"x":2}],"note":"` + secret + ` ` + others + `"}}`
				want := strings.NewReplacer(secret+`"`, `[redacted]"`, secret+`\`, `[redacted]\`, secret+" ", "[redacted] ", `"x":1`, `"x":0`, `"x":2`, `"x":0`).Replace(text)
				doc := parse(t, text)
				out, _, err := r.Redact(doc, result(doc))
				if err != nil || out.Text() != want {
					t.Errorf("got %s, %v\nwant %s", out.Text(), err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}
