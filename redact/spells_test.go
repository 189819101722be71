package redact

import (
	"testing"

	"mcpguard/toolcall"
)

// Law 1: a text counts as said again only when it decodes to the very same bytes.
func FuzzSpells(f *testing.F) {
	for _, c := range [][2]string{
		{`abc`, "abc"}, {`abc`, "abd"}, {`abc`, "ab"}, {`ab`, "abc"}, {``, ""}, {`\"\\\/\n`, "\"\\/\n"}, {`\u00e9`, "é"}, {`é`, "é"},
		{`\ud83d\ude00`, "😀"}, {`\ufffd`, "\ufffd"}, {`\ufffd`, "\xff"}, {`\u0000`, "\x00"}, {`\u0000`, ""}, {`01234567\"`, `01234567"`}, {`0123456\"789`, `0123456"788`},
	} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, raw, s string) {
		j, err := toolcall.Parse(`"`+raw+`"`, toolcall.Limits{Bytes: len(raw) + 2, Depth: 1})
		if err != nil {
			return
		}
		decoded, _ := j.Str()
		for _, s := range []string{s, decoded, decoded + s, s + decoded} {
			if spells(raw, s) != (decoded == s) {
				t.Errorf("%q spells %q: %v", raw, s, spells(raw, s))
			}
		}
	})
}
