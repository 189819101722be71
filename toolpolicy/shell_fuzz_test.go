package toolpolicy

import (
	"strings"
	"testing"
	"unicode/utf8"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"mcpguard/toolcall"
)

// No text makes the reading of a shell command panic, and what is read is read
// again from its own words in single quotes. Each word is what the library's
// interpreter would make of it.
func FuzzShell(f *testing.F) {
	for _, s := range []string{"ls -l 'a b' \"c\\\"d\" e\\ f", "a | b && c || d; e & f\ng", "ls >/x 2>>/y </z 2>&1 >/dev/null", `ls $X ${Y} "$Z" $(a "$(b)") *.go`,
		"ls \\\n -l", "ls ~ HEAD~1", "! ls", "A=1 ls", "ls <<E\nE", "if a; then b; fi", "ls $'x'", "a|&b", "a&>b", "ls 10>/x", "é", "ls 'é'", "`x`", "${x:=y}", "a\r\nb", "cat -n /srv/a | ls >/srv/out/b", "cat /etc/x", "ls >/srv/out/../x"} {
		f.Add(s)
	}
	rule := &shell{uses: usesPipe | usesGlob, write: []string{"/srv/out"}, programs: programs{byName: map[string][]program{
		"ls":  {{anyArgs: true}},
		"cat": {{flags: []wild{compileWild("-n")}, operands: conjunction{newTest(&prefix{"/srv/"})}}},
	}}}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := readShell(text)
		if !utf8.ValidString(text) {
			return // no value of a call is
		}
		if !ok {
			if o := rule.judge(toolcall.Quote(text)); o.verdict() != toolcall.VerdictUnknown {
				t.Fatalf("%q is not read, and judged: %s", text, o)
			}
			return
		}
		checkJudgement(t, rule, text, s)
		if len(s.commands) == 0 {
			t.Fatalf("%q was read, and runs nothing", text)
		}
		literal := s.uses&expansions == 0
		var fields, again []string
		for _, c := range s.commands {
			for i, w := range c.words {
				if w.expands && literal || w.expands && w.text != "" {
					t.Fatalf("%q: the word %q expands", text, w.text)
				}
				if i == 0 {
					again = append(again, "")
				}
				again[len(again)-1] += "'" + strings.ReplaceAll(w.text, "'", `'\''`) + "' "
				fields = append(fields, w.text)
			}
		}
		if !literal {
			return
		}
		other, ok := readShell(strings.Join(again, ";"))
		if !ok {
			t.Fatalf("%q is not read from its words: %q", text, again)
		}
		for i := range s.commands {
			s.commands[i].files = nil
		}
		s.uses, other.uses = 0, 0
		if !s.same(&other) {
			t.Fatalf("%q is read otherwise from its words: %q", text, again)
		}
		var words []*syntax.Word
		file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), "")
		if err != nil {
			t.Fatal(err)
		}
		syntax.Walk(file, func(n syntax.Node) bool {
			if call, ok := n.(*syntax.CallExpr); ok {
				words = append(words, call.Args...)
			}
			return true
		})
		expanded, err := expand.Fields(&expand.Config{Env: expand.ListEnviron()}, words...)
		if err != nil || strings.Join(expanded, "\x00") != strings.Join(fields, "\x00") {
			t.Fatalf("%q has the words %q, and the library expands %q: %v", text, fields, expanded, err)
		}
	})
}

// checkJudgement says in its own words what the rule of FuzzShell allows, and
// holds a single literal command to the same as a list for argv.
func checkJudgement(t *testing.T, rule *shell, text string, s script) {
	t.Helper()
	passes := s.uses&^(usesPipe|usesGlob) == 0
	for _, c := range s.commands {
		for i, w := range c.words {
			switch {
			case i == 0:
				passes = passes && !w.expands && (w.text == "ls" || w.text == "cat")
			case c.words[0].text == "cat":
				passes = passes && !w.expands && (w.text == "-n" || strings.HasPrefix(w.text, "/srv/"))
			}
		}
		for _, f := range c.files {
			passes = passes && f.writes && (f.path.text == "/srv/out" || strings.HasPrefix(f.path.text, "/srv/out/")) && plainPath(f.path.text)
		}
	}
	got := rule.judge(toolcall.Quote(text))
	if (got == holds) != passes {
		t.Fatalf("%q is judged: %s", text, got)
	}
	if len(s.commands) > 1 || len(s.commands[0].files) > 0 || s.uses != 0 {
		return
	}
	list := []byte{'['}
	for i, w := range s.commands[0].words {
		if i > 0 {
			list = append(list, ',')
		}
		list = toolcall.AppendQuoted(list, w.text)
	}
	v, err := toolcall.Parse(string(append(list, ']')), toolcall.Limits{Bytes: 10 * maxShellText, Depth: 2})
	if err != nil {
		t.Fatal(err)
	}
	if o := (&argv{rule.programs}).judge(v); o != got {
		t.Fatalf("%q is judged %q, and as a list %q", text, got, o)
	}
}

// BenchmarkShell is what a command costs that a rule judges.
func BenchmarkShell(b *testing.B) {
	m := &shell{uses: usesPipe | usesAnd | usesQuiet, programs: programs{byName: map[string][]program{
		"ls": {{anyArgs: true}}, "wc": {{anyArgs: true}}, "git": {{first: []string{"log"}, flags: []wild{compileWild("--oneline")}}}}}}
	for name, text := range map[string]string{
		"short":   `ls -l`,
		"usual":   `git log --oneline && ls -la 'src/a b' 2>/dev/null | wc -l`,
		"longest": "ls" + strings.Repeat(" a", maxShellText/2-1),
		"pipes":   "ls" + strings.Repeat("|ls", maxShellJoints),
		"refused": `ls; (rm -rf /)`,
	} {
		v := toolcall.Quote(text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.judge(v)
			}
		})
	}
}
