package redact_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

func detector(t testing.TB, names ...string) *redact.Detector {
	t.Helper()
	d, err := redact.NewDetector(names...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What is found, and what only looks like it: testdata/detect/README.md.
func TestDetectorCorpus(t *testing.T) {
	text, err := os.ReadFile("../testdata/detect/secrets.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]map[string]int{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		fields := strings.SplitN(line, " ", 3)
		class, want, s := fields[0], fields[1], strings.NewReplacer("|", "", `\n`, "\n").Replace(fields[2])
		if seen[class] == nil {
			seen[class] = map[string]int{}
		}
		seen[class][want]++
		find, ok := detector(t, class).Find(s, 0)
		switch {
		case ok != (want != "-"):
			t.Errorf("%s: found %v", line, ok)
		case !ok:
		case find.Class != class || want == "+" && (find.Start != 0 || find.End != len(s)) || want == "~" && find.End-find.Start == len(s):
			t.Errorf("%s: found %+v of %d bytes", line, find, len(s))
		}
	}
	for _, name := range redact.DetectorNames() {
		if name != redact.Secrets && (seen[name]["+"] == 0 || seen[name]["-"] == 0) {
			t.Errorf("no examples of %s, or none of what it is not", name)
		}
	}
}

// Secrets are credentials: what only tells something about a person is not among them.
func TestDetectorSecrets(t *testing.T) {
	d := detector(t, redact.Secrets)
	for s, want := range map[string]string{
		"AKIA" + "IOSFODNN7EXAMPLE": "aws_access_key", "glpat-" + "abcdefghij0123456789": "gitlab_token",
		"sam@example.com": "", "123-45-6789": "", "4111 1111 1111 1111": "", "DE89370400440532013000": "",
	} {
		if find, _ := d.Find(s, 0); find.Class != want {
			t.Errorf("%s: found %q, want %q", s, find.Class, want)
		}
	}
}

func TestDetectorNames(t *testing.T) {
	for _, names := range [][]string{nil, {"secret"}, {"jwt", "JWT"}, {""}} {
		if d, err := redact.NewDetector(names...); err == nil || d != nil {
			t.Errorf("%q makes a detector", names)
		}
	}
	if d := detector(t, redact.DetectorNames()...); d == nil {
		t.Error("all names make none")
	}
}

// One secret after the other, each once.
func TestDetectorFindsAll(t *testing.T) {
	d := detector(t, "email", "credit_card", "us_ssn")
	const s = "a@b.com,c@d.org 4111111111111111/123-45-6789 4111 1111 1111 1111 2 e@f.net"
	var got []string
	for from := 0; ; {
		find, ok := d.Find(s, from)
		if !ok {
			break
		}
		got = append(got, s[find.Start:find.End])
		from = find.End
	}
	if want := "a@b.com|c@d.org|4111111111111111|123-45-6789|4111 1111 1111 1111|e@f.net"; strings.Join(got, "|") != want {
		t.Errorf("found %q", got)
	}
}

// Where a secret can stand in a JSON text.
func TestDetectorHolds(t *testing.T) {
	d := detector(t, "github_token", "credit_card")
	const token = "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"
	escaped := `\u0067hp_` + token[4:]
	for text, want := range map[string]bool{
		`"` + token + `"`:                                           true,
		`{"a":[{"b":"x ` + token + `"}]}`:                           true,
		`{"` + token + `":1}`:                                       true,
		`{"a":"` + escaped + `"}`:                                   true,
		`{"` + escaped + `":1}`:                                     true,
		`"{\"a\":\"` + token + `\"}"`:                               true,
		`"{\"a\":\"\\u0067hp_` + token[4:] + `\"}"`:                 true,
		`"[\"{\\\"a\\\":\\\"\\\\u0067hp_` + token[4:] + `\\\"}\"]"`: true,
		`"` + token[:20] + `"`:                                      false,
		`["` + token[:20] + `","` + token[20:] + `"]`:               false,
		`4111111111111111`:                                          true,
		`{"n":4111111111111111}`:                                    true,
		`[4111111111111112]`:                                        false,
		`[4111,1111,1111,1111]`:                                     false,
		`0.4111111111111111`:                                        false,
		`null`:                                                      false,
		`""`:                                                        false,
		`"\\"`:                                                      false,
	} {
		j, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: 8})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Holds(j); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if d.Holds(toolcall.JSON{}) {
		t.Error("nothing holds something")
	}
}

// Texts made to be slow cost no more than their length.
func TestDetectorIsLinear(t *testing.T) {
	d := detector(t, redact.DetectorNames()...)
	const n = 1 << 20
	for _, part := range []string{
		"a", "@", "a@", "a@a.", "a@b.c", "-", "-----BEGIN ", "-----BEGIN " + "PRIVATE KEY", "ghp_", "github_pat_", "eyJ", "eyJ.", "eyJa.eyJa.",
		"xoxb-1", "sk-", "sk-ant-", "sk-proj-", "AKIA", "AIza", "4", "4 ", "41-", "123-45-", "DE89", "DE89 ", "\\", "\"", "é", "\x00", ".",
	} {
		s := strings.Repeat(part, n/len(part))
		begin := time.Now()
		for from, ok := 0, true; ok; {
			var find redact.Find
			find, ok = d.Find(s, from)
			from = find.End
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%q over and over: %v for a megabyte", part, took)
		}
	}
}

// No text makes a detector panic, and what it finds is found again where it stands.
func FuzzDetector(f *testing.F) {
	text, err := os.ReadFile("../testdata/detect/secrets.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3); len(fields) == 3 {
			f.Add(strings.ReplaceAll(fields[2], "|", ""))
		}
	}
	d := detector(f, redact.DetectorNames()...)
	f.Fuzz(func(t *testing.T, s string) {
		found := false
		for from := 0; from <= len(s); {
			find, ok := d.Find(s, from)
			if !ok {
				break
			}
			found = true
			if find.Start < from || find.End <= find.Start || find.End > len(s) {
				t.Fatalf("%+v from %d in %d bytes", find, from, len(s))
			}
			from = find.End
		}
		j := toolcall.Quote(s)
		if plain, _ := j.Str(); plain == s && found && !d.Holds(j) {
			t.Fatalf("%q holds a secret, and its JSON string none", s)
		}
	})
}

func BenchmarkDetector(b *testing.B) {
	d := detector(b, redact.DetectorNames()...)
	s := strings.Repeat("The quick brown fox 42 jumps over https://example.com/a?b=c and the lazy dog; ", 1000)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if _, found := d.Find(s, 0); found {
			b.Fatal("nothing is there")
		}
	}
}
