package redact_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"mcpguard/redact"
)

// The fixtures are put together so that no scanner of repositories takes this
// file for a leak.
var (
	someWord = strings.Repeat("aB3", 12)
	fakeJWT  = "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "c2lnbmF0dXJl"
)

// The manual of what a line loses.
func TestScrubbedLines(t *testing.T) {
	s := redact.NewScrubber([]string{"hunter2-hunter2", "s/e\"c r+e&t", "käse-größe", "tiny"})
	for _, c := range []struct{ why, line, want string }{
		{"nothing", "listening on 127.0.0.1:9101", "listening on 127.0.0.1:9101"},
		{"a known secret, each time", "hunter2-hunter2 and hunter2-hunter2!", "[redacted] and [redacted]!"},
		{"a known secret in JSON", `{"p":"s\/e\"c r+e\u0026t"}`, `{"p":"[redacted]"}`},
		{"a known secret in a URL", "/x?q=" + url.QueryEscape("käse-größe") + "&z=1", "/x?q=[redacted]&z=1"},
		{"a known secret in a path, lower-case hex", "/x/s%2fe%22c%20r+e%26t/y", "/x/[redacted]/y"},
		{"a known secret too short to mask", "a tiny thing", "a tiny thing"},
		{"a known secret cut by colours", "hunter2-\x1b[31mhunter2\x1b[0m", "[redacted]"},
		{"colours, titles, bells", "\x1b[1;32mok\x1b[0m \x1b]0;title\x07done\a\u009b2J", "ok done"},
		{"an operating system command without an end", "ok\x1b]0;and all that follows", "ok"},
		{"line ends and tabs", "a\r\nb\tc\u2028d", "ab cd"},
		{"text that runs backwards", "a\u202egnp.exe\u200b", "agnp.exe"},
		{"broken UTF-8", "a\xffb", "a\uFFFDb"},
		{"a percent sign", "100% of 5%5 %zz", "100% of 5%5 %zz"},

		{"a private key in one line", `key: "-----BEGIN RSA PRIVATE KEY-----\nMIIE` + someWord + `\n-----END RSA PRIVATE KEY-----" end`, `key: "[redacted]" end`},
		{"a private key that broke off", "-----BEGIN PRIVATE KEY-----" + someWord, "[redacted]"},
		{"the inside of a private key", strings.Repeat("Ab1+", 16), "[redacted]"},
		{"an authorization header", "> Authorization: Bearer abc", "> Authorization: [redacted]"},
		{"an authorization header in JSON", `{"authorization":"Basic dXNlcjpwYXNz"}`, `{"authorization":"[redacted]"}`},
		{"a bearer token", "sent bearer " + someWord, "sent bearer [redacted]"},
		{"not a bearer token", "bearer authentication is required", "bearer authentication is required"},
		{"a password in a URL", "postgres://app:pa$$@w0rd@db:5432/x", "postgres://app:[redacted]@db:5432/x"},
		{"no password in a URL", "http://127.0.0.1:80/a@b", "http://127.0.0.1:80/a@b"},
		{"an assignment", `DB_PASSWORD=correct-horse API_KEY: "abcdefghij"`, `DB_PASSWORD=[redacted] API_KEY: "[redacted]"`},
		{"a JWT", "got " + fakeJWT + ".", "got [redacted]."},
		{"AWS", "id AKI" + "A234567ABCDEFGHIJ", "id [redacted]"},
		{"GitHub", "ghp" + "_" + someWord + ", github" + "_pat_" + someWord, "[redacted], [redacted]"},
		{"GitLab", "glpat" + "-" + someWord, "[redacted]"},
		{"Slack", "xoxb" + "-1234567890-abc https://hooks.slack.com/services/T0/B0/abc", "[redacted] https://hooks.slack.com/services/[redacted]"},
		{"Stripe", "sk" + "_live_" + someWord + " rk" + "_test_" + someWord, "[redacted] [redacted]"},
		{"OpenAI, Anthropic", "sk" + "-proj-" + someWord + " sk" + "-ant-api03-" + someWord, "[redacted] [redacted]"},
		{"Google", "AIz" + "a" + someWord[:35] + " ya29" + "." + someWord, "[redacted] [redacted]"},
		{"words that only begin alike", "ghost glue-gun skeleton sk-8 Asia", "ghost glue-gun skeleton sk-8 Asia"},
	} {
		t.Run(c.why, func(t *testing.T) {
			got := s.Line(c.line).String()
			if got != c.want {
				t.Errorf("%q\n got %q\nwant %q", c.line, got, c.want)
			}
			if again := s.Line(got).String(); again != got {
				t.Errorf("a second time: %q", again)
			}
		})
	}
}

func TestSecretOfSeveralLinesIsKnownLineByLine(t *testing.T) {
	s := redact.NewScrubber([]string{"first line\nsecond line\r\n"})
	for _, line := range []string{"first line", "second line"} {
		if got := s.Line("<" + line + ">").String(); got != "<[redacted]>" {
			t.Errorf("%q became %q", line, got)
		}
	}
}

// Overlapping secrets leave nothing of either.
func TestOverlappingSecrets(t *testing.T) {
	s := redact.NewScrubber([]string{"abcdef", "defghi", "xyxyxy"})
	if got := s.Line("-abcdefghi-xyxyxyxy-").String(); got != "-[redacted]-[redacted]-" {
		t.Errorf("got %q", got)
	}
}

// The end of a long line is dropped where no half of a secret can be left.
func TestLongLinesAreCut(t *testing.T) {
	secret := "k3y-" + strings.Repeat("x", 56)
	s := redact.NewScrubber([]string{secret})
	for name, line := range map[string]string{
		"words":                              strings.Repeat("word ", 2000),
		"umlauts":                            strings.Repeat("ä", 5000),
		"a secret at the place of the cut":   strings.Repeat(secret, 1092) + secret[:16] + secret[16:] + "x",
		"a secret that is cut with the rest": strings.Repeat(" ", 64<<10-30) + secret,
	} {
		got := s.Line(line).String()
		if len(got) > 4<<10+len(" [cut]") || !strings.HasSuffix(got, " [cut]") {
			t.Errorf("%s: %d bytes, ends in %q", name, len(got), got[max(0, len(got)-20):])
		}
		if strings.Contains(got, "k3y-x") || strings.Contains(got, "\uFFFD") {
			t.Errorf("%s: a half of something is left in %q", name, got[max(0, len(got)-40):])
		}
	}
}

func TestZeroScrubbers(t *testing.T) {
	var none *redact.Scrubber
	for _, s := range []*redact.Scrubber{none, {}, redact.NewScrubber(nil), redact.NewScrubber([]string{""})} {
		if got := s.Line("token: " + someWord + "\x1b[0m").String(); got != "token: [redacted]" {
			t.Errorf("%v: got %q", s, got)
		}
	}
}

func TestScrubberDoesNotPrint(t *testing.T) {
	s := redact.NewScrubber([]string{"hunter2-hunter2"})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s)
	all := fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, struct{ S *redact.Scrubber }{s}) + log.String()
	if strings.Contains(all, "hunter2") || strings.Contains(all, "68756e746572") {
		t.Errorf("it prints: %s", all)
	}
	if !strings.Contains(log.String(), "[scrubber of 1 secrets]") {
		t.Errorf("the log says %s", log.String())
	}
	if none := fmt.Sprint((*redact.Scrubber)(nil)); none != "[no scrubber]" {
		t.Errorf("none prints as %s", none)
	}
}

// Whatever a program writes, a line comes out that a terminal can show, without
// the secret in it.
func FuzzLine(f *testing.F) {
	s := redact.NewScrubber([]string{"hunter2-hunter2"})
	f.Add("hunter2-\x1b[31mhunter2")
	f.Add(`hunter2\u002dhunter2 hunter2%2Dhunter2`)
	f.Add("hunter2-\u009dhunter2-hunter2")
	f.Fuzz(func(t *testing.T, line string) {
		got := s.Line(line).String()
		if strings.Contains(got, "hunter2-hunter2") {
			t.Errorf("%q: the secret is left in %q", line, got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }); i >= 0 {
			t.Errorf("%q: a control character is left in %q", line, got)
		}
		if len(got) > 4<<10+len(" [cut]") {
			t.Errorf("%d bytes came out", len(got))
		}
	})
}

func BenchmarkLine(b *testing.B) {
	s := redact.NewScrubber([]string{"hunter2-hunter2", "another-secret"})
	for name, line := range map[string]string{
		"plain":   strings.Repeat("2026-11-24 10:00:00 INFO served a page in 12 ms; ", 4),
		"secrets": "token=" + someWord + " " + fakeJWT + " hunter2-hunter2 postgres://app:pass@db/x " + strings.Repeat("x ", 60),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				if s.Line(line).IsZero() {
					b.Fatal("nothing came out")
				}
			}
		})
	}
}
