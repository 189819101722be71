package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcpguard/toolpolicy"
)

// A folder is its .yaml files but tests and hidden ones, in the order of names.
func TestPolicyPaths(t *testing.T) {
	dir := folder(t, map[string]string{
		"b.yml": "", "a.yaml": "", "a_test.yaml": "", "b_test.yml": "", "_test.yaml": "", "test.yaml": "", ".hidden.yaml": "",
		"README.md": "", "tools.lock.json": "", ".data/c.yaml": "",
	})
	paths, err := policyPaths(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	if want := []string{"a.yaml", "b.yml", "policy.yaml", "test.yaml"}; !slices.Equal(paths, want) {
		t.Errorf("the files are %v, want %v", paths, want)
	}
	tests, err := policyTestPaths(dir)
	if err != nil || len(tests) != 3 {
		t.Errorf("the tests are %v, %v; want the three *_test files", tests, err)
	}
}

// Law 12: a folder of which a file cannot be read is no policy.
func TestPolicyWithAMissingFile(t *testing.T) {
	dir := folder(t, nil)
	if err := os.Symlink("nowhere.yaml", filepath.Join(dir, "lost.yaml")); err != nil {
		t.Fatal(err)
	}
	if p, err := loadPolicy(dir); err == nil || p != nil {
		t.Errorf("loaded %v, %v", p, err)
	}
	if p, err := loadPolicy(filepath.Join(dir, "lost.yaml")); err == nil || p != nil {
		t.Errorf("loaded %v, %v", p, err)
	}
}

// The digest names the rules, not the place where they lie; the mistakes name
// the place, so that a person can open it.
func TestPolicyIsKnownByItsBaseName(t *testing.T) {
	one, two := folder(t, nil), folder(t, nil)
	first, err := loadPolicy(filepath.Join(one, "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := loadPolicy(two)
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest() != second.Digest() {
		t.Errorf("the same text has the digests %s and %s", first.Digest(), second.Digest())
	}
	broken := folder(t, map[string]string{"policy.yaml": "version: 1\nrolls: {}\n"})
	_, err = loadPolicy(broken)
	var mistakes toolpolicy.Mistakes
	if !errors.As(err, &mistakes) || mistakes[0].File != filepath.Join(broken, "policy.yaml") {
		t.Errorf("error is %v, want Mistakes with the whole path", err)
	}
}

func TestPolicyTooLarge(t *testing.T) {
	dir := folder(t, map[string]string{"policy.yaml": strings.Repeat("# much\n", maxPolicyFile/7+1)})
	if _, err := loadPolicy(dir); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error is %v", err)
	}
}
