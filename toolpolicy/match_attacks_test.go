package toolpolicy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// Every value of these corpora is judged as it says, under an allow and under
// a deny: what holds is allowed and denied, what fails is neither, and what is
// unknown is never allowed and always denied.
func TestAttacks(t *testing.T) {
	for _, corpus := range []struct{ file, condition string }{
		{"paths", "%s"}, {"url", "{url: %s}"}, {"cidr", "{cidr: %s}"}, {"email", "{email: %s}"},
	} {
		t.Run(corpus.file, func(t *testing.T) {
			path := "../testdata/match/" + corpus.file + ".txt"
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var judge func(toolcall.JSON) string
			counts := map[string]int{}
			for i, line := range strings.Split(string(text), "\n") {
				if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				want, rest, _ := strings.Cut(line, " ")
				if want == "rule" {
					judge = judgeOf(t, fmt.Sprintf(corpus.condition, rest))
					continue
				}
				if got := judge(parse(t, strings.TrimSpace(rest))); got != want {
					t.Errorf("%s:%d: %s is %s, want %s", path, i+1, rest, got, want)
				}
				counts[want]++
			}
			if counts["true"] < 3 || counts["false"] < 3 || counts["unknown"] < 20 {
				t.Errorf("the corpus holds too little: %v", counts)
			}
		})
	}
}

// judgeOf tells true, false or unknown of the argument v under a condition, and
// something else where a decision does not follow from it.
func judgeOf(t testing.TB, condition string) func(toolcall.JSON) string {
	t.Helper()
	allow := compile(t, "version: 1\nroles: {everyone: {allow: [{tool: t/x, args: {v: "+condition+"}}]}}\n")
	deny := allow // deny_private has no meaning under a deny
	if !strings.Contains(condition, "deny_private") {
		deny = compile(t, "version: 1\nroles: {everyone: {allow: [t/x], deny: [{tool: t/x, args: {v: "+condition+"}}]}}\n")
	}
	return func(v toolcall.JSON) string {
		c := callOf(t, parse(t, `{"tool":"t/x","args":{"v":`+v.Text()+`}}`), toolcall.JSON{})
		c.Caller = member("-")
		d := allow.Judge(c)
		_, letters, _ := strings.Cut(d.Verdicts, ":")
		verdict := "true"
		switch {
		case strings.Contains(letters, "F"):
			verdict = "false"
		case strings.Contains(letters, "U"):
			verdict = "unknown"
		}
		if allowed := d.Effect == toolcall.Allow; allowed != (verdict == "true") {
			return verdict + ", and an allow rule comes to " + d.Effect.String()
		}
		if denied := deny.Evaluate(c).Effect == toolcall.Deny; deny != allow && denied != (verdict != "false") {
			return verdict + ", and a deny rule does not go with it"
		}
		return verdict
	}
}
