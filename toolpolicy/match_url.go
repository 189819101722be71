package toolpolicy

import (
	"slices"
	"strconv"
	"strings"

	"mcpguard/toolcall"
)

// webURL: the value is a URL that every reader takes for the same, and that
// leads where the rule says. Schemes and ports that the rule does not speak of
// are unknown, but for https and the scheme's own port: so an allow does not
// allow them, and a deny for a host denies them.
type webURL struct {
	schemes       []string // empty: https, any other is unknown
	hosts         []hostPattern
	anyHost       bool  // hosts is not written
	ports         []int // empty: the scheme's own, any other is unknown
	paths         []string
	anyPath       bool // paths is not written
	refusePrivate bool
}

func (m *webURL) judge(v toolcall.JSON) outcome {
	s, ok := v.Str()
	if !ok {
		return notText
	}
	u, ok := readURL(s)
	if !ok {
		return notPlainURL
	}
	switch {
	case !m.anyHost && !u.host.isOneOf(m.hosts),
		m.refusePrivate && !u.host.isPublic(),
		!m.anyPath && !u.isBelowOneOf(m.paths),
		len(m.schemes) > 0 && !slices.Contains(m.schemes, u.scheme),
		len(m.ports) > 0 && !slices.Contains(m.ports, u.port):
		return fails
	case len(m.schemes) == 0 && u.scheme != "https", len(m.ports) == 0 && u.port != defaultPort(u.scheme):
		return unsaidURL
	}
	return holds
}

func (m *webURL) words() words {
	schemes := m.schemes
	if len(schemes) == 0 {
		schemes = []string{"https"}
	}
	want := "scheme " + strings.Join(schemes, " or ")
	if !m.anyHost {
		hosts := make([]string, len(m.hosts))
		for i, p := range m.hosts {
			hosts[i] = p.text
		}
		want += ", host " + strings.Join(hosts, " or ")
	}
	if m.refusePrivate {
		want += ", no private host"
	}
	if len(m.ports) > 0 {
		ports := make([]string, len(m.ports))
		for i, p := range m.ports {
			ports[i] = strconv.Itoa(p)
		}
		want += ", port " + strings.Join(ports, " or ")
	}
	if !m.anyPath {
		want += ", path under " + strings.Join(m.paths, " or ")
	}
	return words{"url with " + want, "elsewhere", "is no url with " + want}
}

// readableURL is a URL with one reading.
type readableURL struct {
	scheme string // http, https, ws or wss
	host   host
	port   int
	path   string // begins with a slash; percent-encoded as it stands
}

// isBelowOneOf reports whether the path is one of the prefixes or below it, by
// whole segments.
func (u *readableURL) isBelowOneOf(prefixes []string) bool {
	path := trimSlash(u.path)
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		_, below := relativeTo(prefix, path)
		return below
	})
}

// readURL reads a URL that Go's net/url, the URL standard of WHATWG and Python's
// urllib read alike: SCHEME://HOST[:PORT][/PATH[?QUERY]], in ASCII but for an
// international host. There is no userinfo and no fragment, no backslash, no
// character that some strip, no dot or empty segment, no port that is the
// scheme's own, and percent-encoding only of what needs it, in capitals. Case
// does not count in scheme and host.
func readURL(s string) (u readableURL, ok bool) {
	scheme, rest, found := strings.Cut(s, "://")
	if u.scheme = strings.ToLower(scheme); !found || !isASCII(scheme) || defaultPort(u.scheme) == 0 {
		return u, false
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, `/?#\`); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	name := authority
	u.port = defaultPort(u.scheme)
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		name = authority[:i]
		if u.port, ok = readPort(authority[i+1:]); !ok || u.port == defaultPort(u.scheme) {
			return u, false
		}
	}
	if u.host, ok = readHost(name); !ok {
		return u, false
	}
	if u.path, ok = readURLPath(tail); !ok {
		return u, false
	}
	return u, true
}

// readURLPath reads what stands behind the authority. A query needs a path in
// front of it: without one some readers look for the host's end elsewhere.
func readURLPath(tail string) (path string, ok bool) {
	if tail == "" {
		return "/", true
	}
	path, query, hasQuery := strings.Cut(tail, "?")
	if !strings.HasPrefix(path, "/") || hasQuery && query == "" || !plainCharacters(tail) {
		return "", false
	}
	return path, plainSegments(path[1:], false)
}

// defaultPort is the port of a scheme that readers of URLs agree about; 0 for
// any other scheme.
func defaultPort(scheme string) int {
	switch scheme {
	case "http", "ws":
		return 80
	case "https", "wss":
		return 443
	}
	return 0
}

// readPort reads a port as it is usually written: no sign, no leading zero.
func readPort(s string) (port int, ok bool) {
	port, err := strconv.Atoi(s)
	return port, err == nil && port > 0 && port < 1<<16 && strconv.Itoa(port) == s
}
