package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "4096": 4096, "7B": 7, "1KiB": 1 << 10, "64KiB": 64 << 10, "1MiB": 1 << 20, "10GiB": 10 << 30, "2TiB": 2 << 40,
		"": 0, "0": 0, "MiB": 0, "1MB": 0, "1M": 0, "1 MiB": 0, "-1MiB": 0, "1.5MiB": 0, "1mib": 0, "+1": 0, "1iB": 0, "4194305TiB": 0, "0x10": 0,
	} {
		if got, err := parseSize(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"60s": time.Minute, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond, "90d": 90 * 24 * time.Hour,
		"": 0, "60": 0, "0s": 0, "-1s": 0, "d": 0, "0d": 0, "1.5d": 0, "1d12h": 0, "99999d": 0, "1y": 0,
	} {
		if got, err := parseDuration(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestSplitCommand(t *testing.T) {
	for line, want := range map[string][]string{
		"npx -y server /srv":       {"npx", "-y", "server", "/srv"},
		`  a   b  `:                {"a", "b"},
		`a "b c" 'd e' f\ g`:       {"a", "b c", "d e", "f g"},
		`a "" ''`:                  {"a", "", ""},
		`a 'b\c' "d\"e"`:           {"a", `b\c`, `d"e`},
		`a --x="b c"`:              {"a", "--x=b c"},
		"a $HOME `id` ; rm -rf * ": {"a", "$HOME", "`id`", ";", "rm", "-rf", "*"},
		"":                         nil,
		"   ":                      nil,
		`"" a`:                     nil,
		`a "b`:                     nil,
		`a b\`:                     nil,
	} {
		if got, err := splitCommand(line); !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q is split into %q, %v; want %q", line, got, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"listen", "policy", "env", "args"}
	for got, want := range map[string]string{
		"listn": "listen", "lsiten": "listen", "Listen": "listen", "polices": "policy", "evn": "env", "arg": "args",
		"store": "", "e": "", "xyz": "",
	} {
		if near := nearest(got, words); near != want {
			t.Errorf("nearest to %s is %q, want %q", got, near, want)
		}
	}
}

// What a terminal would obey is shown instead.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain é 日本\n\t":     "plain é 日本\n\t",
		"\x1b[2J":            `\u{1b}[2J`,
		"a\rb":               `a\u{d}b`,
		"abc\u202edef":       `abc\u{202e}def`,
		"zero\u200bwidth":    `zero\u{200b}width`,
		"bad \xff":           `bad ` + "\ufffd",
		"delete\x7f and C1 ": `delete\u{7f} and C1 `,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestYAMLText(t *testing.T) {
	for text, want := range map[string]string{
		"sam@example.com": "sam@example.com", "nightly-agent": "nightly-agent",
		"": `""`, "9": `"9"`, "null": `"null"`, "Yes": `"Yes"`, "a: b": `"a: b"`, "a]": `"a]"`, `a"b\`: `"a\"b\\"`, "é": `"é"`,
	} {
		if got := yamlText(text); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	}
	// Whatever is written is read back as the same text.
	for _, name := range []string{"9", "a: b", `a"b\`, "é", "- x", "null", "a, b", "#c"} {
		entry := tokenEntry{Name: name, Owner: name, SHA256: strings.Repeat("ab", 32), Groups: []string{name}, Expires: "2027-01-31"}
		c := mustLoad(t, smallest+"identity:\n  tokens:\n    - "+entry.yaml()+"\n", overrides{})
		if got := c.Identity.Tokens[0]; got.Name != name || got.Owner != name || got.Groups[0] != name {
			t.Errorf("%q is read back as %+v", name, got)
		}
	}
}
