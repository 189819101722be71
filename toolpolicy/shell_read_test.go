package toolpolicy

import (
	"strings"
	"testing"
)

// The scan alone refuses what shells take apart differently, whatever a parser
// says to it.
func TestPlainShell(t *testing.T) {
	for _, text := range []string{"ls", " ls\n", `a\ b 'c d' "e\"f"`, "a|b||c&&d;e&f", "a >/x 2>>/y </z 2>&1", "$a ${a_1} $(b) \"$(c \"d\")\"", "a=b x#y HEAD~1", "a \\\n b", "[a] *?"} {
		if !plainShell(text) {
			t.Errorf("%q is not plain", text)
		}
	}
	for _, text := range []string{
		"a|&b", "a&>b", "a&|b", "a&!b", "a;;b", "a;&b", "a&<b", "a<>b", "a>|b", "a>&b", "a>&3", "a>&12", "a<&1", "a<<b", "a<<<b", "a<(b)", "a>(b)", "a >b", "a <b", "a<1-5>",
		"#a", "a #b", "a;#b", "$(#a)", "=a", "a =b", "~", "a ~b", "a=~", "a:~", "''~", "a[1]", "{a", "a}", "(a)", "a)", "$(a", "a$(b))", "!a", "a!", `"!"`, `"\!"`, "`a`", "\"`a`\"",
		"$", "a$", `"$"`, "$1", "$?", "$'a'", `$"a"`, "$((1))", "$[1]", "${a", "${a:-b}", "${#a}", "${1}", "$a[1]", "$a:h", "'a", `"a`, `a\`, "a\\\nb", "\"a\\\nb\"",
		"a\tb", "a\rb", "a\x00b", "'a\x00'", "\"a\x1b\"", "a\x7f", "\u00e9", "a\u00a0b", "a\u2028b", "\\\u00e9",
	} {
		if plainShell(text) {
			t.Errorf("%q is plain", text)
		}
	}
}

// Where the languages of the parser differ, nothing is read, though the scan
// lets it through.
func TestShellLanguagesAgree(t *testing.T) {
	for _, text := range []string{"time ls", "let a", "declare a", "export a=b", "[[ a ]]", "coproc ls", "select a"} {
		if _, ok := readShell(text); ok || !plainShell(text) {
			t.Errorf("%q: read is %v, plain is %v", text, ok, plainShell(text))
		}
	}
	for _, text := range []string{"ls &>/x", "ls |& cat", "ls @(a|b)", "ls <(cat)", "a[0]=b ls", "ls 10>/x", "ls # a", "# a", "! ls", "ls {fd}>/x"} {
		if _, ok := parseShell(text); ok {
			t.Errorf("%q is read", text)
		}
	}
}

// What costs much to parse is not parsed.
func TestShellLimits(t *testing.T) {
	for _, c := range []struct {
		name, text string
		read       bool
	}{
		{"the longest", "ls " + strings.Repeat("a", maxShellText-3), true},
		{"a byte longer", "ls " + strings.Repeat("a", maxShellText-2), false},
		{"as many pipes as may be", "ls" + strings.Repeat("|ls", maxShellJoints), true},
		{"a pipe more", "ls" + strings.Repeat("|ls", maxShellJoints+1), false},
		{"a line more", "ls" + strings.Repeat("\nls", maxShellJoints+1), false},
		{"lines in quotes", "ls '" + strings.Repeat("\n", maxShellJoints+1) + "'", true},
		{"a variable more", "ls " + strings.Repeat("$a", maxShellJoints+1), false},
		{"as deep as may be", "ls " + strings.Repeat("$(ls ", maxSubstitutions) + strings.Repeat(")", maxSubstitutions), true},
		{"deeper", "ls " + strings.Repeat("$(ls ", maxSubstitutions+1) + strings.Repeat(")", maxSubstitutions+1), false},
		{"very deep", "ls " + strings.Repeat(`"$(`, maxShellText/4), false},
	} {
		if _, read := readShell(c.text); read != c.read {
			t.Errorf("%s: read is %v", c.name, read)
		}
	}
}

// What runs programs is known under the names that it has elsewhere, too.
func TestProgramsThatRunPrograms(t *testing.T) {
	for _, name := range []string{"find", "gfind", "gxargs", "/usr/bin/genv", "python3.13", "setarch", "ifne"} {
		if !runsPrograms(name) {
			t.Errorf("%s may have any arguments", name)
		}
	}
	for _, name := range []string{"ls", "grep", "g", "cat", "gzip"} {
		if runsPrograms(name) {
			t.Errorf("%s is said to run programs", name)
		}
	}
}
