package main

import (
	"fmt"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolpolicy"
)

// hasTopKey reports whether a YAML text is a mapping with a key. What cannot be
// read has none.
func hasTopKey(text []byte, key string) bool {
	var n yaml.Node
	if yaml.Load(text, &n) != nil || n.Kind != yaml.DocumentNode || len(n.Content) != 1 || n.Content[0].Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i < len(n.Content[0].Content); i += 2 {
		if n.Content[0].Content[i].Value == key {
			return true
		}
	}
	return false
}

// notAPolicy is an error where a text that is no policy is a configuration, or tests
// of a policy, so that its reader is not told of every key of it.
func notAPolicy(path string, text []byte) error {
	switch {
	case hasTopKey(text, "roles"):
		return nil
	case hasTopKey(text, "upstreams"):
		return hinted{fmt.Sprintf("%s is a configuration, not a policy", path), "the file that its key policy names, or --config " + path}
	case hasTopKey(text, "policy") && (hasTopKey(text, "tests") || hasTopKey(text, "sessions")):
		return hinted{fmt.Sprintf("%s has tests of a policy, and is none", path), "mcpguard policy test " + path}
	}
	return nil
}

// loadTests reads tests of a policy, and says so where it was given a policy.
func loadTests(path string, text []byte) (*toolpolicy.TestFile, error) {
	tests, err := toolpolicy.LoadTests(path, text)
	if err != nil && hasTopKey(text, "roles") && !hasTopKey(text, "policy") {
		return nil, fmt.Errorf("read policy tests: %w", hinted{fmt.Sprintf("%s is a policy, and has no tests", path), "mcpguard policy check " + path})
	}
	return tests, err
}

// notAConfiguration is notAPolicy the other way round.
func notAConfiguration(path string, text []byte) error {
	if !hasTopKey(text, "roles") || hasTopKey(text, "upstreams") {
		return nil
	}
	return hinted{fmt.Sprintf("%s is a policy, not a configuration", path), "a file with the line policy: " + path}
}
