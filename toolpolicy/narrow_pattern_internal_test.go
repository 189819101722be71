package toolpolicy

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestPatternsWithoutCommonForm(t *testing.T) {
	for _, p := range []string{
		"(?i)abc", ".", "a.c", "[^x]", "[^x]{2}", "😀", "[😀x]", `\B`, `\pL`, "(?s).", "(?s).*", "[^😀]*", "^.?$",
	} {
		if got, ok := ecmaPattern(p); ok {
			t.Errorf("%s is written %s: it does not mean the same to all", p, got)
		}
	}
}

// patternsToTry are expressions of which most have a common form, besides random ones.
var patternsToTry = []string{
	"abc", "a|b", "(a|bc)d", "^(a|b)$", "[a-z]+", "[-a]", `[\]\\^-]`, `\d{3}-\d{2,4}`, `\w+@\w+\.com`, `\s`, `\bfoo\b`, "a*b+c?", "(ab)*", "(a*)*b", "x{2,}", "",
	"(|a)b", `\.\*\+\?\(\)\[\]\{\}\|\^\$\\/`, "[^/]*", ".*", ".+x", "[^a-c]+", "é", "[à-ü]{2}", "\u2028", `\x00\t\n`, "((?:a|b)|c)+", "(?i)[k]", "a{2}{3}", `\Aab\z`, "^a|b$", `(?U)a+`, "(a)(b)",
	"~%#&=,;:'\"!<>@`_ ", "[\\x00-\\x1f]", "\u00ad", "[\\x7f-\\xff]", "\ufeff",
}

func randomPattern(r *rand.Rand, depth int) string {
	pieces := []string{"a", "b", "-", `\.`, "[a-c]", "[^ab]", ".", `\d`, `\w`, `\s`, "é", "x", "[b-]"}
	if depth == 0 {
		return pieces[r.IntN(len(pieces))]
	}
	a, b := randomPattern(r, depth-1), randomPattern(r, depth-1)
	switch r.IntN(7) {
	case 0:
		return "(?:" + a + ")*"
	case 1:
		return "(" + a + "|" + b + ")"
	case 2:
		return "(?:" + a + "){1,2}"
	case 3:
		return "(?:" + a + ")?" + b
	case 4:
		return "(?:" + a + ")+"
	default:
		return a + b
	}
}

// Node's two ways to read a pattern, and RE2 itself, take the common form for
// what the policy wrote.
func TestPatternsMeanTheSame(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node", err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	patterns := patternsToTry
	for range 400 {
		patterns = append(patterns, randomPattern(random, 1+random.IntN(3)))
	}
	alphabet := []string{"a", "b", "c", "x", "d", "-", ".", "1", " ", "\n", "é", "😀", "k", "\u212a", "\\", "]", "foo", "\u2028", "/", "\u00a0", "\r", "@", "com"}
	texts := []string{"", "123-4567", "foo", "a foo b", "w@x.com", `.*+?()[]{}|^$\/`, "\x00\t\n", "ab", "~%#&=,;:'\"!<>@`_ ", "\u00ad", "\ufeff"}
	for range 150 {
		var b strings.Builder
		for range random.IntN(5) {
			b.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		texts = append(texts, b.String())
	}
	var common, written []string
	for _, p := range patterns {
		if text, ok := ecmaPattern(p); ok {
			common, written = append(common, text), append(written, p)
		}
	}
	if len(common) < 150 {
		t.Fatalf("only %d of %d patterns have a common form", len(common), len(patterns))
	}
	input, err := json.Marshal(map[string][]string{"patterns": common, "texts": texts})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "-e", `
		const { patterns, texts } = JSON.parse(require("fs").readFileSync(0, "utf8"));
		const row = (p, flags) => { const re = new RegExp(p, flags); return texts.map(t => re.test(t)); };
		process.stdout.write(JSON.stringify(patterns.map(p => [row(p, ""), row(p, "u")])));`)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run node: %v", err)
	}
	var read [][2][]bool
	if err := json.Unmarshal(out, &read); err != nil {
		t.Fatal(err)
	}
	matched := 0
	for i, p := range written {
		want, again := regexp.MustCompile(p), regexp.MustCompile(common[i])
		for j, text := range texts {
			w := want.MatchString(text)
			if w {
				matched++
			}
			if again.MatchString(text) != w || read[i][0][j] != w || read[i][1][j] != w {
				t.Fatalf("%q is written %q, and they disagree about %q: RE2 %v and %v, ECMA-262 %v, with u %v",
					p, common[i], text, w, again.MatchString(text), read[i][0][j], read[i][1][j])
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d matches", matched)
	}
}
