package main

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"mcpguard/identity"
)

// What goes into the entry is checked before a token is made.
func TestTokenEntry(t *testing.T) {
	now := testEnvironment().now()
	good := tokenEntry{Name: "nightly-agent", Owner: "sam@example.com", Groups: []string{"ci"}, Expires: "2027-01-31"}
	for _, c := range []struct {
		name   string
		change func(*tokenEntry)
		want   string
	}{
		{"as it is", func(*tokenEntry) {}, ""},
		{"no groups", func(e *tokenEntry) { e.Groups = nil }, ""},
		{"a moment", func(e *tokenEntry) { e.Expires = "2026-11-23T12:00:01Z" }, ""},
		{"this moment", func(e *tokenEntry) { e.Expires = "2026-11-23T12:00:00Z" }, "it would have expired"},
		{"today", func(e *tokenEntry) { e.Expires = "2026-11-23" }, "it would have expired"},
		{"no expiry", func(e *tokenEntry) { e.Expires = "" }, "--expires is missing"},
		{"no day", func(e *tokenEntry) { e.Expires = "2027-02-30" }, "neither a day nor a time from now"},
		{"no name", func(e *tokenEntry) { e.Name = " " }, "--name is missing"},
		{"a line break", func(e *tokenEntry) { e.Name = "a\nsha256: x" }, "characters that do not print"},
		{"an escape", func(e *tokenEntry) { e.Owner = "sam\x1b[2J" }, "characters that do not print"},
		{"an empty group", func(e *tokenEntry) { e.Groups = []string{"ci", ""} }, "a group is empty"},
	} {
		e := good
		c.change(&e)
		err := e.check(now)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", c.name, err, c.want)
		}
	}
	e := good
	e.Groups = []string{" ci", "eng "}
	if err := e.check(now); err != nil || !slices.Equal(e.Groups, []string{"ci", "eng"}) {
		t.Errorf("groups with spaces around them are %q, %v", e.Groups, err)
	}
	e = good
	e.Expires = "90d"
	if err := e.check(now); err != nil || e.Expires != "2027-02-21T12:00:00Z" {
		t.Errorf("90d from now is %s, %v", e.Expires, err)
	}
}

// The digest of the entry is the one of the token beside it.
func TestTokenNewFits(t *testing.T) {
	env := testEnvironment()
	var out bytes.Buffer
	env.stdout = &out
	if code := run(t.Context(), env, []string{"token", "new", "--name", "a", "--owner", "sam", "--expires", "1d", "-o", "json"}); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	var printed struct {
		Token string
		Entry tokenEntry
	}
	if err := json.Unmarshal(out.Bytes(), &printed); err != nil {
		t.Fatal(err)
	}
	if got := identity.NewSecret(printed.Token).Digest().String(); got != printed.Entry.SHA256 {
		t.Errorf("the entry's digest is %s, the token's %s", printed.Entry.SHA256, got)
	}
}

func TestBuildVersion(t *testing.T) {
	if v := buildVersion(nil, false); v.Version != "(unknown)" || v.Go == "" || v.Platform == "" {
		t.Errorf("without build information: %+v", v)
	}
	info := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-23T12:00:00Z"}, {Key: "vcs.modified", Value: "true"}},
	}
	v := buildVersion(info, true)
	if v.Version != "v1.2.3" || v.Revision != "abc" || v.Time != "2026-11-23T12:00:00Z" || !v.Modified {
		t.Errorf("version is %+v", v)
	}
	if v := buildVersion(&debug.BuildInfo{}, true); v.Version != "(devel)" {
		t.Errorf("from a checkout: %+v", v)
	}
}
