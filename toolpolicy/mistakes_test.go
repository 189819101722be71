package toolpolicy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mcpguard/toolpolicy"
)

func mistakesOf(t *testing.T, err error) toolpolicy.Mistakes {
	t.Helper()
	var ms toolpolicy.Mistakes
	if !errors.As(err, &ms) || len(ms) == 0 {
		t.Fatalf("no mistakes: %v", err)
	}
	return ms
}

// What cannot be written into an archive of testdata.
func TestTextsThatAreNoPolicy(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"too long":          {"version: 1\n#" + strings.Repeat("x", 1<<20), "p.yaml: the file has 1048588 bytes, at most 1048576 are read"},
		"empty":             {"", "p.yaml: the file is empty"},
		"only a comment":    {"# nothing\n", "p.yaml: the file is empty"},
		"not UTF-8":         {"version: 1\nroles: \xff\n", "p.yaml:2:8: the text is not UTF-8"},
		"a list":            {"- version\n", "p.yaml:1:1: a policy must be a mapping of keys to values"},
		"a key of a list":   {"version: 1\n? [a]\n: b\n", "p.yaml:2:3: a key must be a text"},
		"too deep":          {"version: 1\nroles: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "p.yaml:2:40: nested more than 32 levels deep\np.yaml:2:8: roles must be a mapping of keys to values"},
		"version as a text": {"version: '1'\n", "p.yaml:1:10: this version of the policy language is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := toolpolicy.Compile("p.yaml", []byte(c.text))
			got := strings.Split(mistakesOf(t, err).Error(), "\n")
			want := strings.Split(c.want, "\n")
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
	if _, err := toolpolicy.CompileFiles(nil); mistakesOf(t, err)[0].Message == "" {
		t.Error("no file, and nothing is said")
	}
	_, err := toolpolicy.CompileFiles([]toolpolicy.File{{Name: "a", Text: []byte("version: 1\n")}, {Name: "a", Text: []byte("version: 1\n")}})
	if got := mistakesOf(t, err).Error(); got != "a: two files have this name" {
		t.Errorf("got %q", got)
	}
}

// A byte order mark is no mistake, and shifts no column.
func TestByteOrderMark(t *testing.T) {
	_, err := toolpolicy.Compile("p.yaml", []byte("\uFEFFverzion: 1\n"))
	ms := mistakesOf(t, err)
	if ms[0].Line != 1 || ms[0].Col != 1 || ms[0].Source != "verzion: 1" || ms[0].Hint != "version" {
		t.Errorf("got %+v", ms[0])
	}
}

// A tab where a line begins looks like spaces, so the mistake says what it is.
func TestTabsThatIndent(t *testing.T) {
	for text, want := range map[string]string{
		"version: 1\nroles:\n\ta: {groups: [a]}\n":   "spaces where the line begins: YAML takes no tabs there",
		"version: 1\nroles:\n  \ta: {groups: [a]}\n": "spaces where the line begins: YAML takes no tabs there",
		"version: 1\nroles:\n  a: {groups: @a}\t\n":  "",
	} {
		_, err := toolpolicy.Compile("p.yaml", []byte(text))
		if ms := mistakesOf(t, err); ms[0].Line != 3 || ms[0].Hint != want {
			t.Errorf("%q: got %+v, want the hint %q", text, ms[0], want)
		}
	}
}

// The caret stands below the place, also behind tabs and wide letters.
func TestRender(t *testing.T) {
	ms := toolpolicy.Mistakes{
		{File: "p", Line: 3, Col: 3, Message: "wrong", Source: "\té: x", Hint: "right"},
		{File: "p", Line: 4, Message: "no column", Source: "line"},
		{File: "p", Message: "no line"},
	}
	const want = "p:3:3: wrong\n    3 | \té: x\n      | \t ^\n  try: right\np:4: no column\n    4 | line\np: no line\n"
	if got := ms.Render(); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// Every key of later versions is refused wherever it is written.
func TestLaterKeysAreRefused(t *testing.T) {
	for _, key := range []string{"grants", "quorum", "confirm", "pins"} {
		for place, text := range map[string]string{
			"a policy":  "version: 1\n" + key + ": x\n",
			"a role":    "version: 1\nroles: {everyone: {" + key + ": x}}\n",
			"a rule":    "version: 1\nroles: {everyone: {allow: [{tool: a/b, " + key + ": x}]}}\n",
			"a matcher": "version: 1\nroles: {everyone: {allow: [{tool: a/b, args: {x: {" + key + ": x}}}]}}\n",
			"a profile": "version: 1\nredactions: {p: {paths: [x], " + key + ": x}}\n",
		} {
			_, err := toolpolicy.Compile("p.yaml", []byte(text))
			if ms := mistakesOf(t, err); len(ms) != 1 || !strings.Contains(ms[0].Message, "not supported by this version") {
				t.Errorf("%s in %s: %v", key, place, ms)
			}
		}
	}
}

// What other languages call by another name is answered with ours.
func TestKeysOfOtherLanguages(t *testing.T) {
	for text, want := range map[string]string{
		"{tool: a/b, args: {n: {gt: 5}}}":           "above",
		"{tool: a/b, args: {n: {minimum: 5}}}":      "min",
		"{tool: a/b, args: {n: {lt: 5}}}":           "below",
		"{tool: a/b, args: {n: {Maximum: 5}}}":      "max",
		"{tool: a/b, args: {n: {const: 5}}}":        "equals",
		"{tool: a/b, args: {n: {enum: [5]}}}":       "in",
		"{tool: a/b, args: {n: {ne: 5}}}":           "not_in",
		"{tool: a/b, args: {n: {pattern: x}}}":      "matches",
		"{tool: a/b, args: {n: {contains: x}}}":     "search",
		"{tool: a/b, args: {n: {startsWith: x}}}":   "prefix",
		"{tool: a/b, args: {n: {maxLength: 5}}}":    "len",
		"{tool: a/b, args: {n: {required: true}}}":  "present",
		"{tool: a/b, message: no}":                  "because",
		"{tool: a/b, when: x}":                      "if",
		"{tool: a/b, name: x}":                      "id",
		"{tool: a/b, params: {n: 5}}":               "args",
		"{tool: a/b, args: {n: {url: {exists: 5}}}": "", // no key that url has
	} {
		_, err := toolpolicy.Compile("p.yaml", []byte("version: 1\nroles:\n  a:\n    groups: [a]\n    deny: ["+text+"]\n"))
		ms := mistakesOf(t, err)
		if want != "" && ms[0].Hint != want || want == "" && ms[0].Hint == "present" {
			t.Errorf("%s: got %+v, want the hint %q", text, ms[0], want)
		}
	}
	_, err := toolpolicy.Compile("p.yaml", []byte("version: 1\nroles: {a: {users: [sam]}}\n"))
	if ms := mistakesOf(t, err); ms[0].Hint != "subjects" && ms[len(ms)-1].Hint != "subjects" {
		t.Errorf("users: got %+v, want the hint subjects", ms)
	}
}

// A mistake that many make first is answered with how it is written.
func TestFirstMistakes(t *testing.T) {
	for rule, want := range map[string]string{
		"allow: [*/x]":                                "the text in quotes: to YAML a * that begins it is an alias",
		"allow: [{tool: */x}]":                        "the text in quotes: to YAML a * that begins it is an alias",
		"allow: [{tool: a/b, args: [n]}]":             "{amount: {max: 500}}",
		"allow: [{tool: a/b, args: {n: {url: x}}}]":   "{hosts: [api.example.com]}",
		"allow: [{tool: a/b, args: {n: {shell: x}}}]": "{programs: [ls]}",
		"redact: [pii]":                               `redactions: {pii: {paths: ["**.ssn"]}}, beside roles`,
	} {
		_, err := toolpolicy.Compile("p.yaml", []byte("version: 1\nroles:\n  a:\n    groups: [a]\n    "+rule+"\n"))
		if ms := mistakesOf(t, err); ms[0].Hint != want {
			t.Errorf("%s: got %+v, want the hint %q", rule, ms[0], want)
		}
	}
	_, err := toolpolicy.LoadTests("t.yaml", []byte("policy: p.yaml\ncallers: {sam: {}, fran: {}}\ntests: [{name: a, as: bob, call: a/b, expect: deny}]\n"))
	if ms := mistakesOf(t, err); ms[0].Hint != "fran, sam" {
		t.Errorf("an unknown caller: got %+v", ms[0])
	}
}
