package identity

import (
	"net/http"
	"net/url"
	"strings"
)

// maxHeader bounds the Authorization header, in bytes.
const maxHeader = 16 << 10

// bearer reads the one token of a request. Without an Authorization header ok
// is false and err nil; every other form than "Bearer b64token" (RFC 6750,
// section 2.1; the scheme in any case) is an error.
//
// A token in the query is refused, never read: URLs end up in logs, and a
// request that carries a credential must not pass as one that carries none.
func bearer(r *http.Request) (token Secret, ok bool, err error) {
	if r.URL != nil && r.URL.RawQuery != "" {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || query.Has("access_token") {
			return Secret{}, false, malformed("a query that holds a token or cannot be read; a token belongs in the Authorization header")
		}
	}
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return Secret{}, false, nil
	}
	if len(values) > 1 {
		return Secret{}, false, malformed("more than one Authorization header")
	}
	raw, err := parseBearer(values[0])
	if err != nil {
		return Secret{}, false, err
	}
	return NewSecret(raw), true, nil
}

func parseBearer(header string) (string, error) {
	if len(header) > maxHeader {
		return "", malformed("an Authorization header of more than 16 KiB")
	}
	scheme, token, found := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return "", otherScheme()
	}
	if !found || !isToken68(token) {
		return "", malformed(`an Authorization header that is not "Bearer" and one token`)
	}
	return token, nil
}

// isToken68 reports whether s is 1*(ALPHA / DIGIT / "-._~+/") *"=", the form of
// tokens in RFC 6750 and RFC 9110.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" {
		return false
	}
	for i := range len(body) {
		c := body[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return true
}
