package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"mcpguard/identity"
	"mcpguard/toolcall"
)

// chooseLocal decides whether there is a local user: the file says so, or
// nobody says anything about identity, or trust in loopback is asked for.
func (l *loader) chooseLocal() {
	const trust = "identity.local.trust_loopback"
	_, flag := l.flags.settings[trust]
	_, variable := l.env.lookup("MCPGUARD_IDENTITY_LOCAL_TRUST_LOOPBACK")
	if flag || variable || l.top.get("identity") == nil || l.file.at(l.top, "identity.local") != nil {
		l.config.local()
	}
}

// hideIdentity marks everything but the local user: people paste a token where
// its digest belongs.
func hideIdentity(f *yamlFile, n *yaml.Node, end int) {
	if n.Kind != yaml.MappingNode {
		f.hide(n, end)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "local" {
			f.hide(n.Content[i+1], end)
		}
	}
}

// identity reads identity.tokens and identity.local.groups.
func (l *loader) identity() {
	m := l.file.under(l.top, "identity")
	if m == nil {
		return
	}
	l.file.refuseUnknown(m, "identity", []string{"tokens", "local"})
	if n := m.get("local"); n != nil {
		local := l.file.mapping(n, "identity.local")
		l.file.refuseUnknown(local, "identity.local", []string{"groups", "trust_loopback", "token_file"})
		if groups := local.get("groups"); groups != nil {
			l.config.Identity.Local.Groups = l.file.texts(groups, "identity.local.groups")
			l.noteList("identity.local.groups", groups, l.config.Identity.Local.Groups)
		}
	}
	n := m.get("tokens")
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode {
		l.file.wrong(n, "identity.tokens is not a list", "[{name: ..., owner: ..., sha256: ..., expires: ...}]")
		return
	}
	for i, c := range n.Content {
		l.token(c, fmt.Sprintf("identity.tokens[%d]", i))
	}
}

// token reads one entry as `mcpguard token new` prints it.
func (l *loader) token(n *yaml.Node, what string) {
	m := l.file.mapping(n, what)
	if m == nil {
		return
	}
	l.file.refuseUnknown(m, what, []string{"name", "owner", "sha256", "groups", "expires"})
	var t identity.Token
	ok := true
	text := func(key string, into *string) {
		node := m.get(key)
		if node == nil {
			l.file.wrong(n, what+" has no "+key, "mcpguard token new prints a whole entry")
			ok = false
			return
		}
		s, good := l.file.text(node, what+"."+key)
		if good && strings.TrimSpace(s) == "" {
			l.file.wrong(node, what+"."+key+" is empty", "")
			good = false
		}
		*into, ok = s, ok && good
	}
	var digest string
	text("name", &t.Name)
	text("owner", &t.Owner)
	text("sha256", &digest)
	if node := m.get("groups"); node != nil {
		t.Groups = l.file.texts(node, what+".groups")
	}
	if node := m.get("sha256"); node != nil && digest != "" {
		var good bool
		t.SHA256, good = parseDigest(digest)
		switch {
		case strings.HasPrefix(digest, identity.TokenPrefix):
			l.file.wrong(node, what+".sha256 is the token itself, where its digest belongs", "mcpguard token new, for another token: this one is no secret any more")
			ok = false
		case !good:
			l.file.wrong(node, what+".sha256 is not 64 hexadecimal digits", "mcpguard token new prints it")
			ok = false
		}
	}
	ok = l.expiry(n, m, what, &t) && ok
	if !ok {
		return
	}
	for _, other := range l.config.Identity.Tokens {
		if other.Name == t.Name {
			l.file.wrong(m.get("name"), fmt.Sprintf("the token name %q is used twice", t.Name), "")
			return
		}
		if other.SHA256 == t.SHA256 {
			l.file.wrong(m.get("sha256"), fmt.Sprintf("the token %q has the same digest", other.Name), "one token, one name")
			return
		}
	}
	l.config.Identity.Tokens = append(l.config.Identity.Tokens, t)
	shown := fmt.Sprintf("owner %s, groups [%s], expires %s", t.Owner, strings.Join(t.Groups, ", "), t.Expires.Format(time.RFC3339))
	l.note("identity.tokens."+t.Name, shown, l.file.place(n))
}

func (l *loader) expiry(n *yaml.Node, m *mapping, what string, t *identity.Token) bool {
	node := m.get("expires")
	if node == nil {
		l.file.wrong(n, what+" has no expires", "expires: 2027-01-31")
		return false
	}
	s, ok := l.file.scalar(node, what+".expires")
	if !ok {
		return false
	}
	var err error
	if t.Expires, err = parseExpiry(s); err != nil {
		l.file.wrong(node, what+".expires: "+err.Error(), hintOf(err))
		return false
	}
	return true
}

// parseExpiry reads a moment (RFC 3339), or a day: the token is refused from
// the start of that day in UTC on.
func parseExpiry(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	return time.Time{}, hinted{"it is not a day or a moment", "2027-01-31 or 2027-01-31T12:00:00Z"}
}

func parseDigest(s string) (d toolcall.Digest, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, false
	}
	copy(d[:], b)
	return d, true
}

// lists reads the lists at the top of the file.
func (l *loader) lists() {
	if n := l.top.get("allowed_hosts"); n != nil {
		l.config.AllowedHosts = l.file.texts(n, "allowed_hosts")
		l.noteList("allowed_hosts", n, l.config.AllowedHosts)
		l.refuseWildcards(n, "allowed_hosts")
	}
	if n := l.top.get("allowed_origins"); n != nil {
		l.config.AllowedOrigins = l.file.texts(n, "allowed_origins")
		l.noteList("allowed_origins", n, l.config.AllowedOrigins)
		l.refuseWildcards(n, "allowed_origins")
		for _, c := range n.Content {
			if c.Kind == yaml.ScalarNode && !isOrigin(c.Value) {
				l.file.wrong(c, "allowed_origins has an entry that is not scheme://host[:port]", "https://app.example.com")
			}
		}
	}
}

func (l *loader) refuseWildcards(n *yaml.Node, what string) {
	for _, c := range n.Content {
		if strings.Contains(c.Value, "*") {
			l.file.wrong(c, what+" takes no patterns", "list every one")
		}
	}
}

// isOrigin reports whether s has the form of an Origin header (RFC 6454,
// section 6.2), in lower case.
func isOrigin(s string) bool {
	scheme, host, found := strings.Cut(s, "://")
	return found && scheme != "" && host != "" && !strings.ContainsAny(host, "/?#@ ") && s == strings.ToLower(s)
}

func (l *loader) noteList(key string, n *yaml.Node, values []string) {
	l.note(key, "["+strings.Join(values, ", ")+"]", l.file.place(n))
}
