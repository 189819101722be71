package identity

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// bearerForm is the grammar of RFC 6750, section 2.1, as a second opinion.
var bearerForm = regexp.MustCompile(`^[Bb][Ee][Aa][Rr][Ee][Rr] ([A-Za-z0-9\-._~+/]+=*)$`)

func FuzzBearer(f *testing.F) {
	for _, seed := range []string{
		"Bearer " + samsToken, "bearer a", "BEARER a==", "Bearer", "Bearer ", "Bearer  a", " Bearer a", "Bearer a ", "Bearer =",
		"Bearer a=b", "Bearer a,b", "Bearer a\x00", "Bearer é", "Basic a", "Be\u212aarer a", "Bearer\ta", strings.Repeat("Bearer a", 4000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		want := ""
		if m := bearerForm.FindStringSubmatch(header); m != nil && len(header) <= maxHeader {
			want = m[1]
		}
		token, ok, err := bearer(&http.Request{Header: http.Header{"Authorization": {header}}})
		if (err == nil) != (want != "") || ok != (err == nil) || token.Reveal() != want {
			t.Errorf("%q is read as %q, %v; want %q", header, token.Reveal(), err, want)
		}
		if _, ok, err := bearer(&http.Request{Header: http.Header{"Authorization": {header, header}}}); ok || err == nil {
			t.Errorf("%q twice is read", header)
		}
	})
}
