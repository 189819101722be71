package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestInteropTasks runs calls as tasks between a client and a server of the
// protocol's authors, with a question in the middle, direct and through mcpguard.
func TestInteropTasks(t *testing.T) {
	binary := buildGuard(t)
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "testdata", "peers", "tasks.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	upstream := startNPMEverything(t)
	endpoint := startGuard(t, binary, allowAll, "--upstream", upstream)
	ids := regexp.MustCompile(`"taskId":"[^"]*"`)
	run := func(url string) string {
		t.Helper()
		out, err := runNode(t, string(text), nil, "--input-type=module", "-", url)
		if err != nil {
			t.Fatal(err)
		}
		return ids.ReplaceAllString(out, `"taskId":"…"`)
	}
	want, got := run(upstream), run(endpoint)
	if got != want {
		t.Errorf("direct\n%s\nthrough mcpguard\n%s", want, got)
	}
	for _, sign := range []string{"snake", "taskCreated result", "listed true", "cancelled cancelled", "unknown -32602"} {
		if !strings.Contains(want, sign) {
			t.Errorf("%q is not in what came direct:\n%s", sign, want)
		}
	}
}
