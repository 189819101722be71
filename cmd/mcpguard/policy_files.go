package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mcpguard/toolpolicy"
)

// maxPolicyFile bounds one file of a policy, in bytes.
const maxPolicyFile = 1 << 20

// loadPolicy reads and compiles a policy: a file, or a folder of .yaml files.
// Files are known to the policy by their base name, so that its digest does
// not depend on where it lies; the Mistakes of the error name whole paths.
func loadPolicy(path string) (*toolpolicy.Policy, error) {
	paths, err := policyPaths(path)
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	files := make([]toolpolicy.File, len(paths))
	whole := make(map[string]string, len(paths))
	for i, p := range paths {
		text, err := readBounded(p, maxPolicyFile)
		if err != nil {
			return nil, fmt.Errorf("read the policy: %w", err)
		}
		files[i] = toolpolicy.File{Name: filepath.Base(p), Text: text}
		whole[files[i].Name] = p
	}
	policy, err := toolpolicy.CompileFiles(files)
	if err != nil {
		for _, f := range files {
			if confused := notAPolicy(whole[f.Name], f.Text); confused != nil {
				return nil, fmt.Errorf("read the policy: %w", confused)
			}
		}
	}
	return policy, withPaths(err, whole)
}

// withPaths gives Mistakes the paths that a person can open.
func withPaths(err error, whole map[string]string) error {
	var mistakes toolpolicy.Mistakes
	if !errors.As(err, &mistakes) {
		return err
	}
	located := make(toolpolicy.Mistakes, len(mistakes))
	for i, m := range mistakes {
		if path, ok := whole[m.File]; ok {
			m.File = path
		}
		located[i] = m
	}
	return located
}

// policyPaths are the files of a policy, sorted. Of a folder these are its
// .yaml and .yml files but the tests; a folder without one, or with a folder
// below it whose rules nobody would read, is refused. Hidden entries are left
// out: Kubernetes keeps the versions of a mounted folder in them.
func policyPaths(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		full := filepath.Join(path, name)
		info, err := os.Stat(full)
		switch {
		case err != nil:
			return nil, err
		case info.IsDir():
			return nil, fmt.Errorf("%s is a folder inside a policy folder: its rules would not be read", full)
		case isYAML(name) && !isPolicyTest(name):
			paths = append(paths, full)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s holds no .yaml file", path)
	}
	return paths, nil
}

func isYAML(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// isPolicyTest reports whether a file has tests of a policy, by its name.
func isPolicyTest(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, filepath.Ext(name)), "_test") && isYAML(name)
}

// errNoTests says that a folder has no tests of a policy.
var errNoTests = errors.New("holds no *_test.yaml")

// policyTestPaths are the test files that an argument means: a file itself, or
// those of a folder.
func policyTestPaths(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if isPolicyTest(e.Name()) {
			paths = append(paths, filepath.Join(path, e.Name()))
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s %w", path, errNoTests)
	}
	return paths, nil
}
