package toolpolicy_test

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// The table of files in doc.go names each, and none that is not there.
func TestDocNamesEveryFile(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "# Where to read")
	unused := map[string]bool{}
	for line := range strings.Lines(table) {
		row, ok := strings.CutPrefix(line, "//\t")
		if !ok {
			continue
		}
		names, _, _ := strings.Cut(row, "  ")
		for _, name := range strings.Split(names, ", ") {
			unused[name] = true
		}
	}
	patterns := []string{}
	for p := range unused {
		patterns = append(patterns, p)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, isGo := strings.CutSuffix(e.Name(), ".go")
		if !isGo || strings.HasSuffix(name, "_test") || name == "doc" {
			continue
		}
		i := slices.IndexFunc(patterns, func(p string) bool {
			ok, err := path.Match(p, name)
			return ok && err == nil
		})
		if i < 0 {
			t.Errorf("doc.go does not say what is in %s", e.Name())
			continue
		}
		delete(unused, patterns[i])
	}
	for p := range unused {
		t.Errorf("doc.go tells of %s, and there is no such file", p)
	}
}
