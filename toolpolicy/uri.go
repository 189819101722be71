package toolpolicy

import "strings"

// plainURI reports whether a resource URI has one spelling only, so that
// comparing its text compares what it names. Everything else could be read as
// another resource by the upstream:
//
//   - dot segments and empty segments, which some readers fold away
//   - encoded slashes, backslashes, dots, percent signs and control characters,
//     and encoded characters that need no encoding (RFC 3986, 2.3 and 3.3)
//   - backslashes, raw spaces, control and non-ASCII characters
//   - userinfo, capital letters in scheme or host, a host with a final dot or
//     an empty or default port
//   - file: with a host, or with one slash
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
	if hasHost {
		host, tail, slash := strings.Cut(path, "/")
		if scheme == "file" && host != "" || !plainHost(scheme, host) {
			return false
		}
		if !slash {
			return true
		}
		path = tail
	} else if scheme == "file" && (!partial || !strings.HasPrefix("//", rest)) {
		return false
	} else {
		path = strings.TrimPrefix(path, "/")
	}
	return plainSegments(path, partial && !hasQuery)
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
	h, l := strings.IndexByte("0123456789ABCDEF", high), strings.IndexByte("0123456789ABCDEF", low)
	if h < 0 || l < 0 {
		return false
	}
	c := byte(h<<4 | l)
	return c >= 0x20 && c != 0x7F && c != '/' && c != '\\' && c != '%' && !isPchar(c)
}

// isPchar is RFC 3986's pchar without its percent-encoded form.
func isPchar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0
}

func plainHost(scheme, host string) bool {
	if strings.ContainsAny(host, "@%") || strings.ToLower(host) != host {
		return false
	}
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		if name, port = host[:i], host[i+1:]; port == "" {
			return false
		}
	}
	return !strings.HasSuffix(name, ".") &&
		!(scheme == "http" && port == "80") && !(scheme == "https" && port == "443")
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
