package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// hostilePolicy gives both callers the same rights, and lets the server ask. %s is
// the list of paths to redact.
const hostilePolicy = `version: 1
roles:
  agents:
    groups: [bench]
    redact: [secrets]
    allow:
      - {tool: bench/echo}
      - {tool: bench/ask}
      - {request: bench/elicitation}
redactions:
  secrets: {paths: [%s], replace: mask}
`

// hostileConfig leaves every limit at its default: those are what is measured.
const hostileConfig = `listen: %s
policy: policy.yaml
store: sqlite://record.db
keys: keys
upstreams:
  bench: {url: "%s"}
identity:
  tokens:
    - {name: good, owner: sam@example.com, sha256: "%s", groups: [bench], expires: 2099-12-31}
    - {name: bad, owner: fran@example.com, sha256: "%s", groups: [bench], expires: 2099-12-31}
`

// writeHostileGuard writes a configuration with two callers into dir, and returns
// their tokens.
func writeHostileGuard(dir, listen, upstreamURL string) (good, bad string, err error) {
	var tokens, digests [2]string
	for i := range tokens {
		var raw [32]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return "", "", fmt.Errorf("make a token: %w", err)
		}
		tokens[i] = hex.EncodeToString(raw[:])
		digest := sha256.Sum256([]byte(tokens[i]))
		digests[i] = hex.EncodeToString(digest[:])
	}
	for name, text := range map[string]string{
		"policy.yaml":   fmt.Sprintf(hostilePolicy, `"`+strings.Join(redactPaths[:], `", "`)+`"`),
		"mcpguard.yaml": fmt.Sprintf(hostileConfig, listen, upstreamURL+benchPath, digests[0], digests[1]),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", "", fmt.Errorf("configure mcpguard: %w", err)
		}
	}
	return tokens[0], tokens[1], nil
}
