package toolpolicy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// block is a fenced block of a Markdown text.
type block struct {
	kind string // yaml, json; of a text: calls, lists or mistakes
	line int    // of the fence, 1-based
	text string
}

func readBlocks(t *testing.T, text string) []block {
	t.Helper()
	var blocks []block
	open := false
	for i, line := range strings.Split(text, "\n") {
		switch kind, fence := strings.CutPrefix(line, "```"); {
		case fence && !open:
			blocks, open = append(blocks, block{kind: kind, line: i + 1}), true
		case fence:
			open = false
		case open:
			blocks[len(blocks)-1].text += line + "\n"
		}
	}
	if open {
		t.Fatal("a block is not closed")
	}
	for i := range blocks {
		if blocks[i].kind == "text" {
			blocks[i].kind = kindOfText(blocks[i].text)
		}
	}
	return blocks
}

func kindOfText(text string) string {
	for line := range lines(text) {
		_, want, arrow := cutLast(line, " => ")
		switch {
		case want == "listed" || want == "hidden":
			return "lists"
		case strings.HasPrefix(line, "shown "):
			return "shown"
		case arrow:
			return "calls"
		case strings.HasPrefix(line, "policy.yaml:"):
			return "mistakes"
		}
		break
	}
	return "text"
}

// Every example of the reference is run: a policy, then what is to become of it.
func TestReference(t *testing.T) {
	text, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var (
		policy    *toolpolicy.Policy
		failure   error
		catalogue toolcall.JSON
		unchecked = 0 // line of a policy that nothing was checked against
		policies  = 0
	)
	for _, b := range readBlocks(t, string(text)) {
		t.Logf("line %d: %s", b.line, b.kind)
		switch {
		case b.kind == "yaml" && strings.HasPrefix(b.text, "version:"):
			if unchecked != 0 {
				t.Errorf("line %d: a policy without calls", unchecked)
			}
			policy, failure = toolpolicy.Compile("policy.yaml", []byte(b.text))
			catalogue, unchecked = toolcall.JSON{}, b.line
			policies++
			continue
		case b.kind == "yaml":
			runReferenceTests(t, b, policy, catalogue)
		case b.kind == "json":
			catalogue = parse(t, b.text)
			continue
		case b.kind == "mistakes":
			if diff := cmp.Diff(b.text, mistakesOf(t, failure).Render()); diff != "" {
				t.Errorf("line %d (-want +got):\n%s", b.line, diff)
			}
			failure = nil
		case b.kind == "calls":
			for line := range lines(b.text) {
				checkCall(t, policy, catalogue, line)
			}
		case b.kind == "lists":
			for line := range lines(b.text) {
				checkList(t, policy, line)
			}
		case b.kind == "shown":
			checkShown(t, policy, catalogue, b.text)
		default:
			t.Errorf("line %d: a block of the kind %q, which no test runs", b.line, b.kind)
		}
		if failure != nil {
			t.Errorf("line %d: %v", b.line, failure)
		}
		unchecked = 0
	}
	if unchecked != 0 || policies < 15 {
		t.Errorf("%d policies, that of line %d without calls", policies, unchecked)
	}
}

// checkShown compares a definition as a list shows it: "shown GROUPS
// UPSTREAM/TOOL", and the definition below.
func checkShown(t *testing.T, p *toolpolicy.Policy, catalogue toolcall.JSON, text string) {
	t.Helper()
	first, want, _ := strings.Cut(text, "\n")
	var groups, target string
	if _, err := fmt.Sscanf(first, "shown %s %s", &groups, &target); err != nil {
		t.Fatalf("read %q: %v", first, err)
	}
	c := callOf(t, toolcall.JSON{}.With("tool", toolcall.Quote(target)), catalogue)
	if got := p.Narrow(member(groups), c.Def); !got.Equal(parse(t, strings.TrimSpace(want))) {
		t.Errorf("%s\n got %s", first, got.Text())
	}
}

func runReferenceTests(t *testing.T, b block, p *toolpolicy.Policy, catalogue toolcall.JSON) {
	t.Helper()
	tests, err := toolpolicy.LoadTests("policy_test.yaml", []byte(b.text))
	if err != nil {
		t.Fatalf("line %d: %v", b.line, err)
	}
	if tests.ToolsPath() != "" {
		tests.UseTools(readCatalogue(t, catalogue.Text()))
	}
	results := tests.Run(func(string) (*toolpolicy.Policy, error) { return p, nil })
	for _, r := range results {
		if !r.OK() {
			t.Errorf("line %d: %s: %v", b.line+r.Line, r.Name, r.Failures)
		}
	}
	if len(results) == 0 {
		t.Errorf("line %d: no tests", b.line)
	}
}

// The reference has an example of every matcher and every key of a rule.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := ""
	for _, b := range readBlocks(t, string(text)) {
		if b.kind == "yaml" {
			examples += b.text
		}
	}
	for _, key := range []string{
		"equals", "in", "not_in", "min", "max", "above", "below", "integer", "matches", "search", "prefix", "glob", "under",
		"root", "relative_to", "file_url", "url", "hosts", "schemes", "ports", "deny_private", "cidr", "email", "domains",
		"sql", "dialect", "statements", "deny_columns", "functions", "schema",
		"not_glob", "len", "present", "not", "any_of", "optional", "each", "any", "json", "detect", "shell", "argv", "programs", "first", "flags", "operands", "write_under", "tool", "resource", "prompt", "request", "method", "id", "args", "if", "extra", "because",
		"observe", "redact", "explain", "reads", "hide", "by", "within", "show", "groups", "subjects", "clients", "paths", "require", "tools",
		"limit", "calls", "at_once", "sum", "distinct", "max", "every", "per", "burst", "errors", "after", "repeat",
		"policy", "callers", "tests", "as", "call", "expect", "rule", "list", "result", "result_lacks", "result_has",
	} {
		if !strings.Contains(examples, key+":") {
			t.Errorf("no example of %s", key)
		}
	}
}
