package main

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"mcpguard/identity"
)

// upstreams reads the upstreams block, or takes the one that the flags name.
func (l *loader) upstreams() {
	if u := l.flags.wrapped; u != nil {
		l.given["upstreams"] = true
		u.Limits, u.Pins = l.config.Limits, l.config.Pins
		l.config.Upstreams = []Upstream{*u}
		return
	}
	if l.flags.upstream != "" || l.flags.upstreamCmd != "" {
		l.flagUpstream()
		return
	}
	n := l.top.get("upstreams")
	if n == nil {
		return
	}
	l.given["upstreams"] = true
	m := l.file.mapping(n, "upstreams")
	if m == nil {
		return
	}
	if len(m.entries) == 0 {
		l.file.wrong(n, "upstreams is empty: there is nothing to guard", "{crm: {url: http://127.0.0.1:9101/mcp}}")
	}
	for _, e := range m.entries {
		l.upstream(e)
	}
}

// hideUpstreams marks the source lines that can hold a secret: all of an
// upstream but the keys that cannot. A misspelt key may hide a token, too.
func hideUpstreams(f *yamlFile, n *yaml.Node, end int) {
	if n.Kind != yaml.MappingNode {
		f.hide(n, end)
		return
	}
	harmless := []string{"command", "cwd", "type", "transport", "share", "limits", "pins"}
	for i := 1; i < len(n.Content); i += 2 {
		up := n.Content[i]
		if up.Kind != yaml.MappingNode {
			f.hide(up, end)
			continue
		}
		for j := 0; j+1 < len(up.Content); j += 2 {
			if !slices.Contains(harmless, up.Content[j].Value) {
				f.hide(up.Content[j+1], end)
			}
		}
	}
}

// upstreamKeys are what an entry of an mcpServers block is documented to hold,
// and our limits.
var upstreamKeys = []string{"type", "url", "transport", "headers", "command", "args", "env", "cwd", "share", "limits", "pins"}

// foreignKeys are keys of agents' own configurations, with what to do instead.
var foreignKeys = map[string]string{
	"timeout":             "limits: {timeout: 60s}",
	"startup_timeout_sec": "limits: {timeout: 60s}",
	"disabled":            "remove the upstream instead",
	"enabled":             "remove the key; an upstream that is listed is used",
	"alwaysAllow":         "a rule under allow in the policy",
	"autoApprove":         "a rule under allow in the policy",
	"trust":               "a rule under allow in the policy",
	"includeTools":        "rules under allow in the policy",
	"excludeTools":        "rules under deny in the policy",
	"enabled_tools":       "rules under allow in the policy",
	"tools":               "rules under allow in the policy",
	"serverUrl":           "url",
	"httpUrl":             "url",
	"uri":                 "url",
	"envFile":             "env: {NAME: \"${file:PATH}\"}",
	"headersHelper":       "headers: {Authorization: \"Bearer ${file:PATH}\"}",
	"oauth":               "OAuth towards upstreams is not available in this version; headers are",
	"auth":                "OAuth towards upstreams is not available in this version; headers are",
}

func (l *loader) upstream(e entry) {
	name := e.key.Value
	what := "upstreams." + name
	if reason := badUpstreamName(name); reason != "" {
		l.file.wrong(e.key, fmt.Sprintf("the upstream name %q %s", name, reason), "1 to 32 of A-Z a-z 0-9 _ -, without __")
	}
	m := l.file.mapping(e.node, what)
	if m == nil {
		return
	}
	for _, k := range m.entries {
		if hint, foreign := foreignKeys[k.key.Value]; foreign {
			l.file.wrong(k.key, fmt.Sprintf("unknown key %q", k.key.Value), hint)
		}
	}
	l.file.refuseUnknown(withoutForeign(m), what, upstreamKeys)
	u := Upstream{Name: name}
	kind := l.kind(m, what)
	switch hasURL, hasCommand := m.get("url") != nil, m.get("command") != nil; {
	case hasURL && hasCommand:
		l.file.wrong(e.key, what+" has a url and a command", "one of them")
	case !hasURL && !hasCommand:
		l.file.wrong(e.key, what+" has neither a url nor a command", "{url: http://127.0.0.1:9101/mcp}")
	case hasURL:
		l.httpUpstream(&u, m, what)
		l.transport(&u, m, kind, what)
		l.misfit(m, what, kind == "stdio", "a url", "args", "env", "cwd", "share")
	default:
		l.stdioUpstream(&u, m, what)
		l.misfit(m, what, kind == "http" || kind == transportSSE, "a command", "headers", "transport")
	}
	l.upstreamLimits(&u, m, what)
	l.upstreamPins(&u, m, what)
	l.config.Upstreams = append(l.config.Upstreams, u)
}

func withoutForeign(m *mapping) *mapping {
	kept := &mapping{byKey: map[string]*yaml.Node{}}
	for _, e := range m.entries {
		if _, foreign := foreignKeys[e.key.Value]; !foreign {
			kept.add(e)
		}
	}
	return kept
}

func badUpstreamName(s string) string {
	switch {
	case s == "" || len(s) > 32:
		return "is not 1 to 32 characters long"
	case strings.Contains(s, "__"):
		return "holds __, which parts upstream and tool"
	}
	for i := range len(s) {
		c := s[i]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "holds other characters than letters, digits, _ and -"
		}
	}
	return ""
}

// kind reads the type that mcpServers blocks carry: "http", "sse", "stdio" or "".
func (l *loader) kind(m *mapping, what string) string {
	n := m.get("type")
	if n == nil {
		return ""
	}
	s, ok := l.file.text(n, what+".type")
	switch {
	case !ok:
	case s == "http" || s == "streamable-http" || s == "streamableHttp" || s == "streamable_http":
		return "http"
	case s == "stdio" || s == "local":
		return "stdio"
	case s == transportSSE:
		return transportSSE
	default:
		l.file.wrong(n, fmt.Sprintf("%s.type: there is no type %q", what, s), "http, sse or stdio")
	}
	return ""
}

// transport reads how an upstream is spoken to; its type may say so, too.
func (l *loader) transport(u *Upstream, m *mapping, kind, what string) {
	u.Transport = transportAuto
	if kind == transportSSE {
		u.Transport = transportSSE
	}
	n := m.get("transport")
	if n == nil {
		return
	}
	text, ok := l.file.text(n, what+".transport")
	if !ok {
		return
	}
	err := oneOf(text, transportAuto, transportStreamable, transportSSE)
	switch {
	case err != nil:
		l.file.wrong(n, what+".transport: "+err.Error(), "")
	case kind == transportSSE && text != transportSSE:
		l.file.wrong(n, what+".transport contradicts the type sse", "remove one of them")
	default:
		u.Transport = text
		l.noteUpstream(what+".transport", text, n)
	}
}

// misfit notes keys, and a type, that belong to the other kind of upstream.
func (l *loader) misfit(m *mapping, what string, wrongType bool, has string, keys ...string) {
	if wrongType {
		l.file.wrong(m.get("type"), what+".type does not fit "+has, "remove it")
	}
	for _, key := range keys {
		if n := m.get(key); n != nil {
			l.file.wrong(n, what+"."+key+" does not fit "+has, "remove it")
		}
	}
}

func (l *loader) httpUpstream(u *Upstream, m *mapping, what string) {
	n := m.get("url")
	if text, ok := l.secret(n, what+".url"); ok {
		address, err := checkURL(text)
		if err != nil {
			l.file.wrong(n, what+".url: "+err.Error(), hintOf(err))
		} else {
			u.URL, u.Address = identity.NewSecret(text), address
			if _, query, ok := strings.Cut(text, "?"); ok {
				u.secrets = append(u.secrets, query)
			}
			l.noteUpstream(what+".url", shownURL(n.Value, address), n)
		}
	}
	u.Headers = l.pairs(m.get("headers"), what+".headers", checkHeader)
}

func (l *loader) stdioUpstream(u *Upstream, m *mapping, what string) {
	n := m.get("command")
	if text, ok := l.secret(n, what+".command"); ok {
		if strings.TrimSpace(text) == "" || strings.ContainsRune(text, 0) {
			l.file.wrong(n, what+".command is empty", "")
		}
		u.Command = text
		l.noteUpstream(what+".command", n.Value, n)
	}
	if n := m.get("args"); n != nil {
		l.args(u, n, what+".args")
	}
	u.Env = l.pairs(m.get("env"), what+".env", checkVariable)
	if n := m.get("cwd"); n != nil {
		l.cwd(u, n, what+".cwd")
	}
	u.Share = shareSession
	if n := m.get("share"); n != nil {
		l.share(u, n, what+".share")
	}
}

func (l *loader) share(u *Upstream, n *yaml.Node, what string) {
	text, ok := l.file.text(n, what)
	if !ok {
		return
	}
	if err := oneOf(text, shareSession, shareCaller, shareAll); err != nil {
		l.file.wrong(n, what+": "+err.Error(), "")
		return
	}
	u.Share = text
	l.noteUpstream(what, text, n)
}

func (l *loader) args(u *Upstream, n *yaml.Node, what string) {
	if n.Kind != yaml.SequenceNode {
		l.file.wrong(n, what+" is not a list", `[-y, "@modelcontextprotocol/server-filesystem", /srv]`)
		return
	}
	var written []string
	for _, c := range n.Content {
		text, ok := l.secret(c, what)
		if !ok {
			continue
		}
		if strings.ContainsRune(text, 0) {
			l.file.wrong(c, what+" holds a NUL", "")
		}
		u.Args = append(u.Args, identity.NewSecret(text))
		if text != c.Value { // it came by a reference
			u.secrets = append(u.secrets, text)
		}
		written = append(written, c.Value)
	}
	l.noteUpstream(what, "["+strings.Join(shownArgs(written), ", ")+"]", n)
}

func (l *loader) cwd(u *Upstream, n *yaml.Node, what string) {
	text, ok := l.secret(n, what)
	if !ok {
		return
	}
	full, err := absolute(l.config.dir(), text)
	if err != nil || text == "" {
		l.file.wrong(n, what+" is not a folder", "")
		return
	}
	u.Cwd = full
	l.noteUpstream(what, n.Value, n)
}

// secret reads a text value with its references resolved. Nothing that it
// notes quotes the value.
func (l *loader) secret(n *yaml.Node, what string) (string, bool) {
	text, ok := l.file.text(n, what)
	if !ok {
		return "", false
	}
	resolved, err := resolve(text, l.config.dir(), l.env, mcpServersReferences)
	if err != nil {
		l.file.wrong(n, what+": "+err.Error(), hintOf(err))
		return "", false
	}
	return resolved, true
}

// pairs reads headers or variables; check says what is wrong with one.
func (l *loader) pairs(n *yaml.Node, what string, check func(name, value string) error) []SecretPair {
	if n == nil {
		return nil
	}
	m := l.file.mapping(n, what)
	if m == nil {
		return nil
	}
	var pairs []SecretPair
	for _, e := range m.entries {
		name := e.key.Value
		value, ok := l.secret(e.node, what+"."+name)
		if !ok {
			continue
		}
		if err := check(name, value); err != nil {
			l.file.wrong(e.key, what+": "+err.Error(), hintOf(err))
			continue
		}
		if slices.ContainsFunc(pairs, func(p SecretPair) bool { return strings.EqualFold(p.Name, name) }) {
			l.file.wrong(e.key, fmt.Sprintf("%s has %s twice, in another case", what, name), "")
			continue
		}
		pairs = append(pairs, SecretPair{name, identity.NewSecret(value)})
		l.noteUpstream(what+"."+name, shownReferences(e.node.Value), e.node)
	}
	return pairs
}

// upstreamLimits gives an upstream the general limits and then its own.
func (l *loader) upstreamLimits(u *Upstream, m *mapping, what string) {
	u.Limits = l.config.Limits
	n := m.get("limits")
	if n == nil {
		return
	}
	own := l.file.mapping(n, what+".limits")
	l.file.refuseUnknown(own, what+".limits", upstreamLimits)
	for _, name := range upstreamLimits {
		node := own.get(name)
		if node == nil {
			continue
		}
		text, ok := l.file.scalar(node, what+".limits."+name)
		if !ok {
			continue
		}
		if err := u.Limits.assign(name, text); err != nil {
			l.file.wrong(node, what+".limits."+name+": "+err.Error(), hintOf(err))
			continue
		}
		l.noteUpstream(what+".limits."+name, text, node)
	}
}

func (l *loader) noteUpstream(key, shown string, n *yaml.Node) {
	l.note(key, shown, l.file.place(n))
}

// namesOf are the names of upstreams, in the order of the file.
func namesOf(upstreams []Upstream) []string {
	names := make([]string, len(upstreams))
	for i := range upstreams {
		names[i] = upstreams[i].Name
	}
	return names
}
