package toolpolicy

import (
	"errors"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"mcpguard/toolcall"
)

// Whatever plainPath accepts, cleaning does not change: there is nothing in it
// that a reader of paths folds away, so comparing text compares places.
func FuzzPlainPath(f *testing.F) {
	for _, s := range []string{"/", "/srv/projects/a", "/srv/../etc", "/a//b", "/a/.", "/ü/日本", "/u\u0308", "/a%2e", `/a\b`, "/a.", "/.env", "/\uff0e\uff0e/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !plainPath(s) {
			return
		}
		if filepath.Clean(s) != s || path.Clean(s) != s || !strings.HasPrefix(s, "/") {
			t.Fatalf("%q is plain, and cleans to %q", s, filepath.Clean(s))
		}
		for root := s; root != "/"; root = path.Dir(root) {
			if _, below := relativeTo(root, s); !below {
				t.Fatalf("%q is not below %q", s, root)
			}
			if _, below := relativeTo(root+"x", s); below {
				t.Fatalf("%q is below %q", s, root+"x")
			}
		}
	})
}

// Whatever plainURI accepts, net/url reads without losing or changing anything.
func FuzzPlainURI(f *testing.F) {
	for _, s := range []string{"file:///srv/a%20b", "https://h/a?b=c", "urn:x:y", "file:///a/../b", "x://H/", "x://u@h/", "x:/%2e", "mem:note", "https://h:443/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !plainURI(s, false) {
			return
		}
		if !plainURI(s, true) {
			t.Fatalf("%q is plain, and not the beginning of a plain URI", s)
		}
		u, err := url.Parse(s)
		if err != nil {
			return // what net/url refuses, a reader in Go does not serve
		}
		if u.String() != s || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q is plain, and is read as %q", s, u.String())
		}
		if p := u.EscapedPath(); p != "" && p != "/" && path.Clean(p) != strings.TrimSuffix(p, "/") {
			t.Fatalf("the path of %q cleans to %q", s, path.Clean(p))
		}
	})
}

// A glob means what the regular expression made of it means.
func FuzzGlob(f *testing.F) {
	f.Add("**/.env*", "a/.env.local", false)
	f.Add("a/**/b", "a/b", true)
	f.Add("**", "", false)
	f.Add("a?c/*", "aéc/x/y", true)
	f.Add("**/A/**/K*", "x/a/y/\u212a", true)
	f.Fuzz(func(t *testing.T, pattern, s string, fold bool) {
		if len(pattern) > 40 || len(s) > 60 || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			return
		}
		g, why := compileGlob(pattern)
		if why != "" {
			return
		}
		flags := "s"
		if fold {
			g, flags = g.folded(), "si"
		}
		var exact, above strings.Builder
		for i, segment := range strings.Split(pattern, "/") {
			last := i == strings.Count(pattern, "/")
			switch {
			case segment == "**" && last && i == 0:
				exact.WriteString(`.*`)
			case segment == "**" && last:
				exact.WriteString(`(/.*)?`)
			case segment == "**" && i == 0:
				exact.WriteString(`(.*/)?`)
			case segment == "**":
				exact.WriteString(`(/.*)?/`)
			default:
				if text := exact.String(); i > 0 && !strings.HasSuffix(text, `/`) && !strings.HasSuffix(text, `/)?`) {
					exact.WriteString(`/`)
				}
				q := regexp.QuoteMeta(segment)
				exact.WriteString(strings.NewReplacer(`\*`, `[^/]*`, `\?`, `[^/]`).Replace(q))
			}
		}
		above.WriteString(exact.String() + `(/.*)?`)
		// Full case folding, which regular expressions do not have, only adds.
		more := fold && !(isASCII(pattern) && isASCII(s))
		re := regexp.MustCompile(`(?` + flags + `)\A(?:` + exact.String() + `)\z`)
		if g.match(s) != re.MatchString(s) && !(more && g.match(s)) {
			t.Fatalf("%q over %q: %v, and %s says otherwise", pattern, s, g.match(s), re)
		}
		re = regexp.MustCompile(`(?` + flags + `)\A(?:` + above.String() + `)\z`)
		if g.matchAbove(s) != re.MatchString(s) && !(more && g.matchAbove(s)) {
			t.Fatalf("%q at or above %q: %v, and %s says otherwise", pattern, s, g.matchAbove(s), re)
		}
	})
}

func FuzzWild(f *testing.F) {
	f.Add("a*b*c", "aXbXc")
	f.Add("ab*ba", "aba")
	f.Add("**", "")
	f.Add("x", "x/y")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 40 || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			return
		}
		w := compileWild(pattern)
		re := regexp.MustCompile(`(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `\z`)
		if w.match(s) != re.MatchString(s) {
			t.Fatalf("%q over %q: %v", pattern, s, w.match(s))
		}
		for i := range len(s) + 1 {
			if w.match(s) && !w.canBegin(s[:i]) {
				t.Fatalf("%q matches %q, and nothing that begins with %q", pattern, s, s[:i])
			}
			if w.coversAll(s[:i]) && !w.match(s) {
				t.Fatalf("%q covers all that begins with %q, but not %q", pattern, s[:i], s)
			}
		}
	})
}

// No text makes Compile, LoadTests or an evaluation panic, and every mistake
// has a place in its file.
func FuzzCompile(f *testing.F) {
	f.Add("version: 1\nroles: {r: {groups: [g], allow: [t/x, {tool: t/y, args: {a: {under: /srv, not_glob: [x]}}}]}}\n")
	f.Add("version: 1\nroles: {everyone: {deny: [{tool: '*/*', args: {a: {len: {min: 1}}, b: {in: [1, null]}}}]}}\n")
	f.Add("version: 1\nroles: {everyone: {allow: [{tool: t/y, args: {a: {shell: {programs: [ls, {name: git, first: [log], flags: [-n], operands: {prefix: a}}], allow: [pipe], read_under: /srv}}, b: {argv: {programs: [ls]}}}}]}}\n")
	f.Add("policy: p\ncallers: {sam: {groups: [g]}}\ntests: [{name: a, as: sam, call: t/x, expect: allow}]\n")
	f.Add("a: &x [1]\nb: *x\n---\n")
	args, err := toolcall.Parse(`{"a":"/srv/x","b":1}`, toolcall.Limits{Bytes: 100, Depth: 5})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(":\r00")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Compile("policy.yaml", []byte(text))
		if (p == nil) == (err == nil) {
			t.Fatalf("a policy %v with the error %v", p != nil, err)
		}
		checkPlaces(t, text, err)
		c := &toolcall.Call{Caller: toolcall.Caller{Subject: "s", Issuer: "i", Groups: []string{"g"}},
			Kind: toolcall.Tool, Upstream: "t", Name: "y", Args: args}
		if d := p.Evaluate(c); d.Effect != toolcall.Deny && d.Rule == "" {
			t.Fatalf("%s by no rule", d.Effect)
		}
		p.Judge(c)
		tests, err := LoadTests("policy_test.yaml", []byte(text))
		if (tests == nil) == (err == nil) {
			t.Fatalf("tests %v with the error %v", tests != nil, err)
		}
		checkPlaces(t, text, err)
	})
}

func checkPlaces(t *testing.T, text string, err error) {
	if err == nil {
		return
	}
	var mistakes Mistakes
	if !errors.As(err, &mistakes) || len(mistakes) == 0 {
		t.Fatalf("an error that is no Mistakes: %v", err)
	}
	ends := 0 // of lines, as YAML counts them
	for _, end := range [...]string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		ends += strings.Count(text, end)
	}
	for _, m := range mistakes {
		if m.Line < 0 || m.Line > ends+2 || m.Message == "" {
			t.Fatalf("no place of the file: %+v", m)
		}
	}
	if mistakes.Render() == "" || mistakes.Error() == "" {
		t.Fatal("mistakes without a text")
	}
}

// No text makes a dialect panic, trap or stop, and what is read as one
// statement says what it does.
func FuzzSQL(f *testing.F) {
	postgresRule := sqlRule(f, `{dialect: postgres, statements: [select], tables: ["*"], deny_columns: ["*.ssn"]}`)
	sqliteRule := sqlRule(f, `{dialect: sqlite, statements: [select], tables: ["*"], deny_columns: ["*.ssn"]}`)
	for _, archive := range []string{"sql_postgres.txtar", "sql_sqlite.txtar"} {
		for _, c := range sqlCases(f, archive) {
			f.Add(c.text)
		}
	}
	for _, deep := range deepSQL {
		f.Add(deep(20))
		f.Add(deep(200))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return // no JSON text holds it
		}
		for _, m := range []*within{postgresRule, sqliteRule} {
			how := m.judge(toolcall.Quote(text))
			if how == parserStopped {
				t.Fatal("the parser has stopped")
			}
			if s, read := m.dialect.read(text); read == holds && s.does == 0 {
				t.Fatalf("%T reads a statement that does nothing", m.dialect)
			}
		}
	})
}
