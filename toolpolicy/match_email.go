package toolpolicy

import (
	"strings"

	"mcpguard/toolcall"
)

// email: the value is one mail address, at one of the domains.
type email struct{ domains []hostPattern }

func (m *email) judge(v toolcall.JSON) outcome {
	s, ok := v.Str()
	if !ok {
		return notText
	}
	domain, ok := readMailDomain(s)
	if !ok {
		return notPlainEmail
	}
	return outcomeOf(domain.isOneOf(m.domains))
}

func (m *email) words() words {
	texts := make([]string, len(m.domains))
	for i, p := range m.domains {
		texts[i] = p.text
	}
	list := strings.Join(texts, " or ")
	return words{"email at " + list, "at another domain", "is not an address at " + list}
}

// readMailDomain is the domain of an address that every mail reader takes for
// the same one: LOCAL@DOMAIN (RFC 5321, 4.1.2) where LOCAL is a dot-string of
// letters, digits and "_+-", which begins with a letter or digit, and DOMAIN a
// name. There are no display names, comments, quotes, lists, routes ("%", "!",
// a second "@"), folds, address literals or international local parts.
func readMailDomain(s string) (host, bool) {
	local, domain, found := strings.Cut(s, "@")
	if !found || len(s) > 254 || !plainLocalPart(local) {
		return host{}, false
	}
	name := hostName(domain)
	return host{name: name}, name != ""
}

func plainLocalPart(s string) bool {
	if s == "" || len(s) > 64 || strings.Contains(s, "..") || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !alphanumeric && (i == 0 || strings.IndexByte("._+-", c) < 0) {
			return false
		}
	}
	return true
}
