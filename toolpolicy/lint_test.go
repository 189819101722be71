package toolpolicy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"mcpguard/toolpolicy"
)

// Every archive of testdata/lint holds a policy, perhaps a catalogue and the names of
// configured upstreams, and the warnings: name and rule, then the place with its caret.
func TestLint(t *testing.T) {
	archives, err := filepath.Glob("../testdata/lint/*.txtar")
	if err != nil || len(archives) < 6 {
		t.Fatalf("found %d archives: %v", len(archives), err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lintArchive(t, path, a)
		})
	}
}

func lintArchive(t *testing.T, path string, a *txtar.Archive) {
	var files []toolpolicy.File
	var known toolpolicy.Known
	var want *txtar.File
	for i, f := range a.Files {
		switch f.Name {
		case "tools.json":
			c, err := toolpolicy.ReadCatalogue(f.Name, f.Data)
			if err != nil {
				t.Fatal(err)
			}
			known.Catalogue = c
		case "upstreams":
			known.Upstreams = strings.Fields(string(f.Data))
		case "warnings":
			want = &a.Files[i]
		default:
			files = append(files, toolpolicy.File{Name: f.Name, Text: f.Data})
		}
	}
	p, err := toolpolicy.CompileFiles(files)
	if err != nil || want == nil {
		t.Fatalf("the archive has no warnings, or no policy: %v", err)
	}
	got := rendered(p.Lint(known))
	if got == string(want.Data) {
		return
	}
	if !*update {
		t.Fatalf("warnings (-want +got):\n%s", cmp.Diff(string(want.Data), got))
	}
	want.Data = []byte(got)
	if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

func rendered(warnings []toolpolicy.Warning) string {
	var b strings.Builder
	for _, w := range warnings {
		b.WriteString("[" + w.Name + "] " + w.Rule + "\n" + toolpolicy.Mistakes{w.Mistake}.Render())
	}
	return b.String()
}

// A warning about a rule stands where the rule is written, whatever the files hold:
// every rule of every policy of the corpus is found at its line.
func TestLintFindsEveryRule(t *testing.T) {
	archives, err := filepath.Glob("../testdata/policy/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range archives {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var files []toolpolicy.File
		for _, f := range a.Files {
			if strings.HasSuffix(f.Name, ".yaml") {
				files = append(files, toolpolicy.File{Name: f.Name, Text: f.Data})
			}
		}
		p, err := toolpolicy.CompileFiles(files)
		if err != nil {
			continue // it is there for its mistakes
		}
		// With an upstream that no rule names, every rule is warned of.
		lines := map[string]int{}
		for _, w := range p.Lint(toolpolicy.Known{Upstreams: []string{"\x01"}}) {
			if w.Name == "unknown-upstream" && w.Rule != "" {
				lines[w.Rule] = w.Line
			}
		}
		for _, g := range p.Grants() {
			if line, ok := lines[g.Rule]; ok {
				found++
				if line < g.Line || line > g.Line+3 {
					t.Errorf("%s: %s stands in line %d, and the warning in %d", path, g.Rule, g.Line, line)
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d rules were found", found)
	}
}

// What is not there has no warnings.
func TestLintOfNothing(t *testing.T) {
	var none *toolpolicy.Policy
	if ws := none.Lint(toolpolicy.Known{}); ws != nil {
		t.Errorf("no policy has warnings: %v", ws)
	}
	p := compile(t, "version: 1\n")
	if ws := p.Lint(toolpolicy.Known{Upstreams: []string{"crm"}}); len(ws) != 0 {
		t.Errorf("a policy without rules has warnings: %v", ws)
	}
}

// Every warning has an example in testdata/lint, and a row in the reference.
func TestLintIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/policy-tools.md")
	if err != nil {
		t.Fatal(err)
	}
	archives, err := filepath.Glob("../testdata/lint/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	warned := map[string]bool{}
	for _, path := range archives {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			for line := range lines(string(f.Data)) {
				if name, bracket := strings.CutPrefix(line, "["); bracket && f.Name == "warnings" {
					name, _, _ = strings.Cut(name, "]")
					warned[name] = true
				}
			}
		}
	}
	documented := map[string]bool{}
	for line := range lines(string(page)) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			documented[name] = true
			if !warned[name] {
				t.Errorf("the reference has the warning %s, and testdata/lint no example", name)
			}
		}
	}
	for name := range warned {
		if !documented[name] {
			t.Errorf("the reference has no row for %s", name)
		}
	}
	if len(documented) < 17 {
		t.Errorf("only %d warnings are documented", len(documented))
	}
}
