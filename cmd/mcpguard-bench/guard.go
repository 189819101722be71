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

// The durability modes of mcpguard; a contender each.
var durabilities = []string{"strict", "overlapped", "relaxed"}

// guardPolicy has twenty rules, most with patterns on arguments, and five paths
// to redact. The echo tool's allow is marked reads, so that the modes other than
// strict apply to it. %s is the list of paths.
const guardPolicy = `version: 1

roles:
  everyone:
    deny:
      - {tool: "*/delete_*", id: no-deletes}
      - {tool: "*/drop_*", id: no-drops}
      - {tool: "*/admin_*", id: no-admin}
      - {tool: bench/echo, id: no-passwords, args: {path: {glob: "/etc/**"}}}
      - {tool: bench/echo, id: no-keys, args: {path: {search: "\\.(pem|key|p12)$"}}}
      - {tool: bench/echo, id: no-dumps, args: {query: {search: "(?i)select\\s+\\*"}}}
      - {tool: bench/echo, id: no-unions, args: {query: {search: "(?i)union\\s+all"}}}
      - {tool: bench/echo, id: not-there, args: {region: {in: [cn-north, ru-central]}}}
  agents:
    groups: [bench]
    redact: [secrets]
    allow:
      - tool: bench/echo
        id: orders
        reads: true
        args:
          marker: {matches: "m-[0-9]+-[0-9]+"}
          bytes: {min: 0, max: 67108864, integer: true}
          path: {under: /srv/orders}
          query: {matches: "[a-z ]{1,80}"}
          region: {in: [eu-west, eu-north]}
      - {tool: "bench/search_*", id: b1, args: {query: {matches: "[a-z ]+"}}}
      - {tool: "bench/read_*", id: b2, args: {path: {under: /srv}}}
      - {tool: "bench/count_*", id: b3, args: {table: {in: [orders, customers]}}}
      - {tool: "bench/write_*", id: b4, args: {path: {under: /srv/tmp}}}
      - {tool: "bench/mail_*", id: b5, args: {to: {matches: "[a-z.]+@example\\.com"}}}
      - {tool: "bench/pay_*", id: b6, args: {amount: {above: 0, max: 500}}}
      - {tool: "big/search_*", id: g1}
      - {tool: "big/read_*", id: g2, args: {path: {under: /srv}}}
      - {tool: "big/count_*", id: g3, args: {table: {in: [orders, customers]}}}
      - {tool: "big/pay_*", id: g4, args: {amount: {above: 0, max: 500}}}
      - {tool: "big/mail_*", id: g5, args: {to: {matches: "[a-z.]+@example\\.com"}}}

redactions:
  secrets: {paths: [%s], replace: mask}
`

const guardConfig = `listen: %s
policy: policy.yaml
store: sqlite://record.db
keys: keys
upstreams:
  bench: {url: "%s"}
  big: {url: "%s"}
identity:
  tokens:
    - {name: bench-agent, owner: sam@example.com, sha256: "%s", groups: [bench], expires: 2099-12-31}
record: {arguments: redacted, results: redacted, durability: %s}
limits: {result: 64MiB, sessions: 10000, sessions_total: 20000}
`

// guardFiles configures mcpguard in one durability mode, with one caller.
func guardFiles(upstreamURL, durability string) configure {
	return func(listen string, digests [callers]string) map[string]string {
		return map[string]string{
			"policy.yaml":   fmt.Sprintf(guardPolicy, quotedPaths()),
			"mcpguard.yaml": fmt.Sprintf(guardConfig, listen, upstreamURL+benchPath, upstreamURL+bigPath, digests[0], durability),
		}
	}
}

// quotedPaths are the paths to redact, as a policy lists them.
func quotedPaths() string { return `"` + strings.Join(redactPaths[:], `", "`) + `"` }

// callers is how many callers a guard can be configured for.
const callers = 2

// configure makes the files of a guard, by their names, of the address that it is
// to listen at and the digests of its callers' tokens.
type configure func(listen string, digests [callers]string) map[string]string

// guard starts the mcpguard at program in dir, and returns where it listens and its
// callers' tokens.
func (r *processes) guard(program, dir, name string, files configure) (p *process, listen string, tokens [callers]string, err error) {
	var digests [callers]string
	for i := range tokens {
		var raw [32]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return nil, "", tokens, fmt.Errorf("make a token: %w", err)
		}
		tokens[i] = hex.EncodeToString(raw[:])
		digest := sha256.Sum256([]byte(tokens[i]))
		digests[i] = hex.EncodeToString(digest[:])
	}
	if listen, err = freeAddress(); err != nil {
		return nil, "", tokens, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", tokens, fmt.Errorf("make a folder: %w", err)
	}
	for file, text := range files(listen, digests) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return nil, "", tokens, fmt.Errorf("configure mcpguard: %w", err)
		}
	}
	p, err = r.launch(name, dir, listen, program, "serve", "--config", "mcpguard.yaml")
	return p, listen, tokens, err
}
