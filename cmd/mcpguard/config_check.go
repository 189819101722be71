package main

import (
	"crypto/tls"
	"fmt"
	"os"

	"go.yaml.in/yaml/v4"
)

// check refuses what is wrong between values that are right alone, and what
// they point to that is not there.
func (l *loader) check() {
	c := l.config
	if l.file != nil && (l.file.root == nil || l.file.root.Kind != yaml.MappingNode) {
		return // nothing can be read: nothing more is known
	}
	if at, set := l.origins["policy"]; set {
		if _, err := os.Stat(c.Policy); err != nil {
			l.mistake(at, fmt.Sprintf("policy: %v", err), "the path of a file or a folder; one in mcpguard.yaml starts from that file's folder")
		}
	} else if !l.given["policy"] {
		l.mistake(l.wholeFile(), "policy is missing: nothing would be allowed", l.orFlag("policy: policy.yaml", "--policy policy.yaml"))
	}
	if !l.given["upstreams"] {
		l.mistake(l.wholeFile(), "upstreams is missing: there is nothing to guard",
			l.orFlag("upstreams: {crm: {url: http://127.0.0.1:9101/mcp}}", "--upstream URL"))
	}
	l.checkTLS()
	l.checkReach()
	l.checkMemory()
	l.checkPins()
}

// orFlag is what to try where something is missing: a line of the file or, where there
// is none, the file or a flag.
func (l *loader) orFlag(line, flag string) string {
	if l.file == nil {
		return "--config FILE, or a " + defaultConfig + " here with the line " + line + "; serve and config show also take " + flag
	}
	return line
}

// wholeFile is where something is missing.
func (l *loader) wholeFile() origin {
	if l.file == nil {
		return origin{name: "no configuration file"}
	}
	return origin{name: l.file.name}
}

// checkMemory refuses a budget in which the largest result has no room beside
// others.
func (l *loader) checkMemory() {
	c := l.config
	largest := c.Limits.Result
	for i := range c.Upstreams {
		largest = max(largest, c.Upstreams[i].Limits.Result)
	}
	if c.Limits.Memory/2 >= largest {
		return
	}
	at, ok := l.origins["limits.memory"]
	if !ok {
		at = l.wholeFile()
	}
	l.mistake(at, "limits.memory is less than twice the largest limits.result", "limits: {memory: 256MiB, result: 32MiB}")
}

// checkTLS refuses half a tls block, an empty one, and one that does not load:
// who writes it does not want plain HTTP.
func (l *loader) checkTLS() {
	t := l.config.TLS
	if t == nil && !l.given["tls"] {
		return
	}
	at, ok := l.origins["tls.cert"]
	if !ok {
		at, ok = l.origins["tls.key"]
	}
	if !ok {
		at = origin{name: l.wholeFile().name}
		if n := l.file.at(l.top, "tls"); n != nil {
			at = l.file.place(n)
		}
	}
	if t == nil || t.Cert == "" || t.Key == "" {
		l.mistake(at, "tls needs both cert and key", "tls: {cert: cert.pem, key: key.pem}")
		return
	}
	if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
		l.mistake(at, fmt.Sprintf("tls: %v", err), "a certificate chain and its key, both in PEM")
	}
}

// checkReach refuses a listener that others can reach unless they must show a
// token, and the token is protected on its way.
func (l *loader) checkReach() {
	c := l.config
	trust := c.Identity.Local != nil && c.Identity.Local.TrustLoopback
	if trust && c.BehindTLSProxy {
		l.mistake(l.origins["identity.local.trust_loopback"],
			"trust_loopback with behind_tls_proxy: every request of the proxy comes over loopback",
			"one of them")
	}
	l.checkListener("listen", c.Listen)
	if c.Admin != nil {
		l.checkListener("admin.listen", c.Admin.Listen)
	}
}

func (l *loader) checkListener(key, address string) {
	c := l.config
	at, ok := l.origins[key]
	if !ok || onLoopback(address) {
		return
	}
	if len(c.Identity.Tokens) == 0 {
		l.mistake(at, address+" can be reached from other machines, and there are no identity.tokens",
			key+": 127.0.0.1:8437, or mcpguard token new")
	}
	if c.TLS == nil && !c.BehindTLSProxy {
		l.mistake(at, address+" can be reached from other machines without TLS",
			"tls: {cert: ..., key: ...}, or behind_tls_proxy: true where somebody else ends TLS")
	}
}
