package redact

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"mcpguard/toolcall"
)

var spellings = []string{
	``, `plain`, `\n\t\b\f\r\"\\\/`, `\u0041\u00e9\u20AC`, `\ud83d\ude00 and \uD83D\uDE00`, `ééé\u0000`,
	`seven b\"`, `eight by\"`, `nine byte\"`, `\"\"\"\"\"\"\"\"\"`, `12345678\u0038`, `a\\u0041`, `\\\\\\`,
}

func TestUnescapeReadsLikeEncodingJSON(t *testing.T) {
	for _, s := range spellings {
		checkUnescape(t, s)
	}
}

func FuzzUnescape(f *testing.F) {
	for _, s := range spellings {
		f.Add(s)
	}
	f.Add(`\u12 \x \`)
	f.Add(`\ud800 \udc00\ud800`)
	f.Fuzz(func(t *testing.T, s string) {
		if j, err := toolcall.Parse(`"`+s+`"`, toolcall.Limits{Bytes: len(s) + 2}); err == nil && j.Len() == len(s)+2 {
			checkUnescape(t, s)
		}
		checkMapper(t, s)
	})
}

func checkUnescape(t *testing.T, s string) {
	t.Helper()
	var want string
	if err := json.Unmarshal([]byte(`"`+s+`"`), &want); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", s, err)
	}
	if got := unescape(s); got != want {
		t.Errorf("unescape(%q) = %q, want %q", s, got, want)
	}
}

// checkMapper decodes prefix by prefix: where a decoded length can end, the raw
// text before that place decodes to just that much.
func checkMapper(t *testing.T, raw string) {
	t.Helper()
	decoded := unescape(raw)
	m := mapper{raw: raw}
	for n := range len(decoded) + 1 {
		at := m.to(n)
		got := unescape(raw[:at])
		if len(got) < n || !strings.HasPrefix(decoded, got) && utf8.ValidString(raw) {
			t.Fatalf("of %q the first %d decoded bytes end at %d, which decodes to %q of %q", raw, n, at, got, decoded)
		}
	}
	if m.to(len(decoded)) != len(raw) {
		t.Fatalf("the decoded end of %q is not its end", raw)
	}
}

func TestTokensEndWhereTheyEnd(t *testing.T) {
	for _, s := range spellings {
		for _, tail := range []string{"", ",", `:"next"`, strings.Repeat(" ", 20)} {
			text := `"` + s + `"`
			if got := toolcall.StringEnd(text+tail, 0); got != len(text) {
				t.Errorf("StringEnd(%s) = %d, want %d", text+tail, got, len(text))
			}
			end, odd := nameEnd(text+tail, 0)
			wantOdd := strings.ContainsFunc(s, func(r rune) bool { return r == '\\' || r >= utf8.RuneSelf })
			if end != len(text) || odd != wantOdd {
				t.Errorf("nameEnd(%s) = %d, %v, want %d, %v", text+tail, end, odd, len(text), wantOdd)
			}
		}
	}
	for _, n := range []string{"0", "-1.5e+10", "123456789012345678901234567890"} {
		for _, tail := range []string{"", ",1", "]", "}", " "} {
			if got := numberEnd(n+tail, 0); got != len(n) {
				t.Errorf("numberEnd(%s) = %d, want %d", n+tail, got, len(n))
			}
		}
	}
}

// What only looks like an escape stands for itself.
func TestLooseEscapes(t *testing.T) {
	for raw, want := range map[string]string{
		`C:\dir\new`:     "C:\\dir\new",
		`\u12`:           `\u12`,
		`\u12g4`:         `\u12g4`,
		`\ud800x`:        "\uFFFDx",
		`\ud800\u0041`:   "\uFFFDA",
		`end\`:           `end\`,
		`\ud83d\ude00\x`: "😀\\x",
	} {
		if got := unescape(raw); got != want {
			t.Errorf("unescape(%q) = %q, want %q", raw, got, want)
		}
		checkMapper(t, raw)
	}
}
