package main

import "fmt"

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

// hostileFiles configures mcpguard with two callers, the good one and the bad one.
func hostileFiles(upstreamURL string) configure {
	return func(listen string, digests [callers]string) map[string]string {
		return map[string]string{
			"policy.yaml":   fmt.Sprintf(hostilePolicy, quotedPaths()),
			"mcpguard.yaml": fmt.Sprintf(hostileConfig, listen, upstreamURL+benchPath, digests[0], digests[1]),
		}
	}
}
