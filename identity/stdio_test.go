package identity

import (
	"net/http"
	"slices"
	"testing"
)

// Only what came over stdio is the local user's: the same authenticator behind a
// listener lets nobody in, loopback included.
func TestStdioIsTheLocalUserAndNobodyElse(t *testing.T) {
	s, err := NewStdio(Local{Username: "sam", Groups: []string{"eng"}})
	if err != nil {
		t.Fatal(err)
	}
	caller, err := s.Authenticate(&http.Request{RemoteAddr: StdioAddr})
	if err != nil || caller.Subject != "sam" || caller.Issuer != "local" || caller.Client != StdioClient || !slices.Equal(caller.Groups, []string{"eng"}) {
		t.Errorf("over stdio: %+v, %v", caller, err)
	}
	for _, from := range []string{"", "127.0.0.1:1234", "[::1]:1", "stdio:1", "@", "pipe"} {
		if caller, err := s.Authenticate(&http.Request{RemoteAddr: from}); err == nil {
			t.Errorf("from %q: let in as %+v", from, caller)
		}
	}
}

func TestStdioWithoutAUserRefuses(t *testing.T) {
	if _, err := NewStdio(Local{Groups: []string{"eng"}}); err == nil {
		t.Error("a user without a name is accepted")
	}
	for name, s := range map[string]*Stdio{"nil": nil, "zero": {}} {
		if caller, err := s.Authenticate(&http.Request{RemoteAddr: StdioAddr}); err == nil || !caller.IsZero() {
			t.Errorf("%s: let in as %+v", name, caller)
		}
	}
}
