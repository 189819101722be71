package main

import (
	"fmt"

	"go.yaml.in/yaml/v4"
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

// notAPolicy is an error where a text that is no policy is a configuration, so
// that its reader is not told of every key of it.
func notAPolicy(path string, text []byte) error {
	if !hasTopKey(text, "upstreams") || hasTopKey(text, "roles") {
		return nil
	}
	return hinted{fmt.Sprintf("%s is a configuration, not a policy", path), "the file that its key policy names, or --config " + path}
}

// notAConfiguration is the same the other way round.
func notAConfiguration(path string, text []byte) error {
	if !hasTopKey(text, "roles") || hasTopKey(text, "upstreams") {
		return nil
	}
	return hinted{fmt.Sprintf("%s is a policy, not a configuration", path), "a file with the line policy: " + path}
}
