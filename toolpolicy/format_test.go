package toolpolicy_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"mcpguard/toolpolicy"
)

// An archive of testdata/format holds a file as it was written, and as it is laid out.
func TestFormat(t *testing.T) {
	archives, err := filepath.Glob("../testdata/format/*.txtar")
	if err != nil || len(archives) < 3 {
		t.Fatalf("found %d archives: %v", len(archives), err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil || len(a.Files) != 2 {
				t.Fatalf("%d files: %v", len(a.Files), err)
			}
			got, err := toolpolicy.Format("policy.yaml", a.Files[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				a.Files[1].Data = got
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(a.Files[1].Data), string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkFormatted(t, a.Files[0].Data)
		})
	}
}

// checkFormatted holds for every file that can be formatted.
func checkFormatted(t *testing.T, text []byte) {
	t.Helper()
	out, err := toolpolicy.Format("policy.yaml", text)
	if err != nil {
		return
	}
	again, err := toolpolicy.Format("policy.yaml", out)
	if err != nil || !bytes.Equal(out, again) {
		t.Fatalf("formatted twice: %v (-once +twice)\n%s", err, cmp.Diff(string(out), string(again)))
	}
	before, err := toolpolicy.Compile("policy.yaml", text)
	after, errAfter := toolpolicy.Compile("policy.yaml", out)
	if (err == nil) != (errAfter == nil) {
		t.Fatalf("before: %v, after: %v\n%s", err, errAfter, out)
	}
	if err != nil {
		return
	}
	if diff := cmp.Diff(before.Meaning(), after.Meaning()); diff != "" {
		t.Fatalf("another policy (-before +after):\n%s", diff)
	}
}

// Every policy and test of the house can be formatted, and means the same then.
func TestFormatKeepsMeaning(t *testing.T) {
	formatted := 0
	for name, text := range everyYAML(t) {
		if _, err := toolpolicy.Format(name, text); err != nil {
			var mistakes toolpolicy.Mistakes
			if !errors.As(err, &mistakes) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		checkFormatted(t, text)
		formatted++
	}
	if formatted < 50 {
		t.Errorf("only %d files", formatted)
	}
}

// everyYAML are the policies and tests of testdata and of the reference.
func everyYAML(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, pattern := range []string{"../testdata/policy/*.txtar", "../testdata/script/policy_*.txtar", "../testdata/format/*.txtar"} {
		archives, err := filepath.Glob(pattern)
		if err != nil || len(archives) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range archives {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range a.Files {
				if strings.HasSuffix(f.Name, ".yaml") && f.Name != "mcpguard.yaml" {
					all[path+" "+f.Name] = f.Data
				}
			}
		}
	}
	text, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		all[fmt.Sprintf("docs/policy.md block %d", i+1)] = []byte(block + "\n")
	}
	return all
}

// A policy that compiles can be laid out, means the same then, and is left alone
// the second time. Where its comments stand where no layout keeps them, it is
// refused.
func FuzzFormat(f *testing.F) {
	for _, text := range everyYAML(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := toolpolicy.Format("policy.yaml", text)
		if _, broken := toolpolicy.Compile("policy.yaml", text); broken == nil && err != nil && !strings.Contains(err.Error(), "comments") {
			t.Fatalf("it compiles, and: %v", err)
		}
		checkFormatted(t, text)
	})
}

// What cannot be kept is refused, not lost.
func TestFormatRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML":   "version: [1",
		"an anchor": "version: &a 1",
		"two files": "version: 1\n---\nversion: 1\n",
		"two keys":  "version: 1\nversion: 1\n",
		"no UTF-8":  "version: \xff",
		"empty":     "",
		"a tag":     "version: !!str 1",
		"words that readers differ about are kept": "version: yes\n",
	} {
		out, err := toolpolicy.Format("policy.yaml", []byte(text))
		if refused := err != nil; refused == strings.HasPrefix(name, "words") {
			t.Errorf("%s: %v %q", name, err, out)
		}
	}
}
