package toolpolicy

import (
	"net/netip"
	"strings"
)

// plainURI reports whether a resource URI has one spelling only, so that
// comparing its text compares what it names. Everything else could be read as
// another resource by the upstream:
//
//   - dot segments and empty segments, which some readers fold away
//   - encoded slashes, backslashes, dots, percent signs and control characters,
//     and encoded characters that need no encoding (RFC 3986, 2.3 and 3.3)
//   - backslashes, raw spaces, control and non-ASCII characters
//   - userinfo, capital letters in scheme or host, a host with a final dot or
//     an empty or default port, an address in other than its usual form
//   - file: with a host, or with one slash; http: and its relatives without a
//     host, where browsers take what follows for one
//   - a fragment, and an empty query
//
// A partial URI is the beginning of one, before the first {part} of a template
// (RFC 6570): its last segment is not complete yet.
func plainURI(s string, partial bool) bool {
	scheme, rest, found := strings.Cut(s, ":")
	if !found {
		return partial && (s == "" || lowerScheme(s))
	}
	if !lowerScheme(scheme) || !plainCharacters(rest) {
		return false
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	if hasQuery && query == "" && !partial {
		return false
	}
	path, hasHost := strings.CutPrefix(rest, "//")
	switch {
	case !hasHost && partial && strings.HasPrefix("//", rest):
		return true
	case !hasHost && (scheme == "file" || isWeb(scheme)):
		return false
	case !hasHost:
		path = strings.TrimPrefix(path, "/")
	default:
		host, tail, slash := strings.Cut(path, "/")
		if partial && !slash && !hasQuery {
			return !strings.ContainsAny(host, "@%") && strings.ToLower(host) == host
		}
		if !plainHost(scheme, host) || host == "" && !slash {
			return false
		}
		path = tail
	}
	return plainSegments(path, partial && !hasQuery)
}

// isWeb tells the schemes that browsers read by their own rules (WHATWG URL,
// "special" schemes).
func isWeb(scheme string) bool {
	switch scheme {
	case "http", "https", "ws", "wss", "ftp":
		return true
	}
	return false
}

func lowerScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.') {
			continue
		}
		return false
	}
	return s != ""
}

// plainCharacters looks at every character behind the scheme.
func plainCharacters(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) || !mustBeEncoded(s[i+1], s[i+2]) {
				return false
			}
			i += 2
		case c == '/' || c == '?' || c == '[' || c == ']' || isPchar(c):
		default:
			return false
		}
	}
	return true
}

// mustBeEncoded reports whether the two hexadecimal digits, in capitals, stand
// for a byte that has no other spelling in a URI and separates nothing.
func mustBeEncoded(high, low byte) bool {
	if strings.IndexByte(hexDigits, high) < 0 || strings.IndexByte(hexDigits, low) < 0 {
		return false
	}
	c := hexByte(high, low)
	return c >= 0x20 && c != 0x7F && c != '/' && c != '\\' && c != '%' && !isPchar(c)
}

// hexDigits are those of a percent-encoding (RFC 3986, 2.1: capitals).
const hexDigits = "0123456789ABCDEF"

// hexByte is the byte that two hexDigits stand for.
func hexByte(high, low byte) byte {
	return byte(strings.IndexByte(hexDigits, high)<<4 | strings.IndexByte(hexDigits, low))
}

// isPchar is RFC 3986's pchar without its percent-encoded form.
func isPchar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0
}

func plainHost(scheme, host string) bool {
	if host == "" {
		return !isWeb(scheme)
	}
	if scheme == "file" || strings.ContainsAny(host, "@%") || strings.ToLower(host) != host {
		return false
	}
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		if name, port = host[:i], host[i+1:]; port == "" {
			return false
		}
	}
	switch {
	case port == "80" && (scheme == "http" || scheme == "ws"), port == "443" && (scheme == "https" || scheme == "wss"):
		return false
	}
	return plainName(name)
}

// plainName refuses addresses in forms that some resolvers know and others do
// not: 127.1, 0x7f.1, 2130706433 are all 127.0.0.1.
func plainName(name string) bool {
	if inner, bracketed := strings.CutPrefix(name, "["); bracketed {
		inner, closed := strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return closed && err == nil && address.String() == inner
	}
	if strings.ContainsAny(name, "[]:") {
		return false
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "" || '0' <= last[0] && last[0] <= '9' {
		address, err := netip.ParseAddr(name)
		return err == nil && address.String() == name
	}
	return true
}

// plainSegments looks at the path behind its leading slash; a final slash is
// no empty segment.
func plainSegments(path string, partial bool) bool {
	for path != "" {
		segment, tail, more := strings.Cut(path, "/")
		if partial && !more {
			return true
		}
		// Some servers drop what stands behind a semicolon: "..;x" is "..".
		name, _, _ := strings.Cut(segment, ";")
		if name == "" || name == "." || name == ".." {
			return false
		}
		path = tail
	}
	return true
}
