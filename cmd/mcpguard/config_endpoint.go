package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// checkURL returns what may be shown of an upstream's URL. Its errors do not
// quote it.
func checkURL(text string) (address string, err error) {
	parsed, err := url.Parse(text)
	switch {
	case err != nil || parsed.Host == "" || parsed.Opaque != "":
		return "", hinted{"it is not a URL", "http://127.0.0.1:9101/mcp"}
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return "", hinted{"it is neither http nor https", "http://127.0.0.1:9101/mcp"}
	case parsed.User != nil:
		return "", hinted{"it holds a user or password", `headers: {Authorization: "Basic ${env:X}"}`}
	case parsed.Fragment != "":
		return "", hinted{"it holds a fragment", ""}
	}
	return parsed.Scheme + "://" + parsed.Host + parsed.EscapedPath(), nil
}

// shownURL shows a URL up to its query, and references as references.
func shownURL(written, address string) string {
	path, _, query := strings.Cut(written, "?")
	switch {
	case strings.Contains(path, "${"):
		return shownReferences(written)
	case query:
		return address + "?[secret]"
	}
	return address
}

// ownHeaders are set by mcpguard itself, or belong to one connection.
var ownHeaders = []string{
	"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect",
	"host", "keep-alive", "last-event-id", "proxy-authorization", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade",
}

func checkHeader(name, value string) error {
	lower := strings.ToLower(name)
	switch {
	case !isToken(name):
		return fmt.Errorf("%q is no name of a header", name)
	case slices.Contains(ownHeaders, lower) || strings.HasPrefix(lower, "mcp-"):
		return hinted{fmt.Sprintf("the header %s is mcpguard's own to set", name), "remove it"}
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return hinted{fmt.Sprintf("the value of %s holds a control character", name), "one line of text"}
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func checkVariable(name, value string) error {
	if !isVariableName(name) {
		return fmt.Errorf("%q is no name of a variable", name)
	}
	if strings.ContainsRune(value, 0) {
		return fmt.Errorf("the value of %s holds a NUL", name)
	}
	return nil
}
