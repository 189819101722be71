package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcpguard/toolpolicy"
)

// secretive is a configuration whose every "hunter" is a secret: in a URL, a
// header, arguments, variables; literal, and by reference.
const secretive = `policy: policy.yaml
upstreams:
  crm:
    url: https://h/mcp?key=hunter1
    headers: {Authorization: "Bearer hunter2", X-Key: "${env:KEY}"}
  fs:
    command: server
    args: [--root, /srv, --api-key, hunter3, --token=hunter4, "hunter5-hunter5-hunter5", "${KEY}", "postgres://u:hunter6@h/db"]
    env:
      A: hunter7
      B: "${file:fs.secret}"
      C: "hunter8
        hunter8"
`

// Law 5: nothing that shows a configuration shows its secrets.
func TestConfigDoesNotPrintSecrets(t *testing.T) {
	dir := folder(t, map[string]string{"mcpguard.yaml": secretive, "fs.secret": "hunter9"})
	path := filepath.Join(dir, "mcpguard.yaml")
	var printed bytes.Buffer
	env := testEnvironment("KEY=hunter0")
	env.stdout = &printed
	c, err := LoadConfig(path, overrides{}, env)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		for _, v := range []any{c.Upstreams[0].URL, c.Upstreams[0].Headers, c.Upstreams[1].Args, c.Upstreams[1].Env} {
			fmt.Fprintf(&printed, verb+"\n", v)
		}
	}
	slog.New(slog.NewJSONHandler(&printed, nil)).Info("upstream", "env", c.Upstreams[1].Env)
	for _, form := range []string{outputTable, outputJSON, outputJSONL} {
		env.output = form
		if err := showSettings(env, c.settings, true); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(printed.String(), "hunter") {
		t.Errorf("printed a secret:\n%s", printed.String())
	}
	for _, want := range []string{"https://h/mcp?[secret]", "${env:KEY}", "${file:fs.secret}", "/srv", "--token=[secret]"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("config show does not say %s", want)
		}
	}
	logged := c.Upstreams[1].Secrets()
	for _, want := range []string{"hunter0", "hunter7", "hunter9"} {
		if !slices.Contains(logged, want) {
			t.Errorf("the secrets to be kept out of the log lack one that came by variable, value or file: %d of them", len(logged))
		}
	}
}

// Whatever is wrong with a configuration, its mistakes show no secret: every
// way to break one line of it is tried.
func TestMistakesDoNotPrintSecrets(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(secretive, "\n"), "\n")
	breaks := map[string]func(string) string{
		"left out":     func(string) string { return "" },
		"a tab":        func(l string) string { return "\t" + l },
		"no colon":     func(l string) string { return strings.Replace(l, ":", "", 1) },
		"two colons":   func(l string) string { return strings.Replace(l, ":", ": x:", 1) },
		"other key":    func(l string) string { return strings.Replace(l, ":", "x:", 1) },
		"an anchor":    func(l string) string { return strings.Replace(l, ": ", ": &a ", 1) },
		"open bracket": func(l string) string { return strings.Replace(l, ": ", ": [", 1) },
		"open quote":   func(l string) string { return l + `"` },
		"a tag":        func(l string) string { return strings.Replace(l, ": ", ": !!binary ", 1) },
		"twice":        func(l string) string { return l + "\n" + l },
		"at the top":   strings.TrimSpace,
		"a NUL":        func(l string) string { return l + `"\0"` },
		"bad escape":   func(l string) string { return strings.Replace(l, `"`, `"\q`, 1) },
		"no reference": func(l string) string { return strings.ReplaceAll(l, "${", "${input:") },
	}
	broken := 0
	for name, change := range breaks {
		for i := range lines {
			changed := slices.Clone(lines)
			changed[i] = change(lines[i])
			_, err := loadText(t, strings.Join(changed, "\n"), overrides{}, "KEY=hunter0")
			var mistakes toolpolicy.Mistakes
			if !errors.As(err, &mistakes) {
				continue
			}
			broken++
			var printed bytes.Buffer
			report(&printed, err)
			if printed.Len() == 0 || strings.Contains(printed.String(), "hunter") {
				t.Errorf("%s in line %d:\n%s", name, i+1, printed.String())
			}
		}
	}
	if broken < 100 {
		t.Errorf("%d changes broke the configuration: too few to say anything", broken)
	}
}

// Mistakes beside a secret that runs over several lines, and below a key that
// is misspelt itself.
func TestMistakesBesideSecrets(t *testing.T) {
	for name, text := range map[string]string{
		"two lines":        "policy: policy.yaml\nupstreams:\n  fs: {command: x, env: {A: \"hunter1\n    hunter2\", 9B: hunter3}}\n",
		"three lines":      "policy: policy.yaml\nupstreams:\n  fs: {command: x, env: {A: \"hunter1\\\n    hunter2\\\n    hunter3\", 9B: x}}\n",
		"a block":          "policy: policy.yaml\nupstreams:\n  fs:\n    command: x\n    env:\n      9A: |\n        hunter1\n        hunter2\n      9B: hunter3\n",
		"a misspelt block": smallest + "upstream: {fs: {env: {A: hunter1}}}\n",
		"all in one line":  "{policy: policy.yaml, upstreams: {fs: {command: x, env: {9A: hunter1}}}, listn: x}\n",
	} {
		_, err := loadText(t, text, overrides{})
		var printed bytes.Buffer
		report(&printed, err)
		if !strings.Contains(printed.String(), "[not shown]") || strings.Contains(printed.String(), "hunter") {
			t.Errorf("%s:\n%s", name, printed.String())
		}
	}
}

// A credential in a place that is not made for one is not quoted, neither with
// the line nor with what is said about it.
func TestMistakesDoNotQuoteCredentials(t *testing.T) {
	identity := func(s string) string { return smallest + "identity: " + s + "\n" }
	for name, text := range map[string]string{
		"a token for its digest":   identity(`{tokens: [{name: a, owner: b, sha256: "mcpg_hunter", expires: 2027-01-31}]}`),
		"a digest cut short":       identity("{tokens: [{name: a, owner: b, sha256: hunter, expires: 2027-01-31}]}"),
		"a token's own key":        identity(`{tokens: [{name: a, owner: b, token: "mcpg_hunter", expires: 2027-01-31}]}`),
		"a token for an entry":     identity("{tokens: [mcpg_hunter]}"),
		"a token below a name":     identity("{tokens: {a: mcpg_hunter}}"),
		"a token for a name":       identity("{tokens: [{mcpg_hunter: a}]}"),
		"tokens over lines":        identity("\n  tokens:\n    - name: a\n      sha256: >-\n        mcpg_\n        hunter"),
		"a token for tokens":       identity("{tokens: hunter}"),
		"a misspelt key":           identity("{tokns: hunter}"),
		"a token for an identity":  identity("hunter"),
		"a token for a listener":   smallest + "listen: localhost:mcpg_hunter\n",
		"a token for a policy":     "policy: mcpg_hunter\nupstreams: {crm: {url: http://h/}}\n",
		"a token in a key":         smallest + "mcpg_hunter: x\n",
		"a URL for upstreams":      "policy: policy.yaml\nupstreams: \"http://user:hunter2@host/\"\n",
		"a text for upstreams":     "policy: policy.yaml\nupstreams: hunter\n",
		"a list for upstreams":     "policy: policy.yaml\nupstreams:\n  - hunter\n",
		"a URL for an upstream":    "policy: policy.yaml\nupstreams: {\"http://user:hunter2@host/\": {command: x}}\n",
		"a URL for another policy": "policy: http://user:hunter2@host/\nupstreams: {crm: {url: http://h/}}\n",
		"a password with a slash":  smallest + "listen: \"http://user:hun/ter@hunter2@host/\"\n",
	} {
		_, err := loadText(t, text, overrides{})
		var printed bytes.Buffer
		report(&printed, err)
		if !strings.Contains(printed.String(), " | [not shown]\n") || strings.Contains(printed.String(), "hunter") {
			t.Errorf("%s:\n%s", name, printed.String())
		}
	}
}

func TestReferences(t *testing.T) {
	dir := folder(t, map[string]string{"one": "from a file\n", "two": "two\nlines\r\n", "empty": "\n", "binary": "a\x00b"})
	env := testEnvironment("A=value", "EMPTY=", "NESTED=${A}", "A2=first", "A2=second")
	for _, c := range []struct {
		text string
		form referenceForm
		want string
		err  string
	}{
		{"plain", strictReferences, "plain", ""},
		{"${env:A}", strictReferences, "value", ""},
		{"x${env:A}y${env:A}z", strictReferences, "xvalueyvaluez", ""},
		{"${file:one}", strictReferences, "from a file", ""},
		{"${file:two}", strictReferences, "two\nlines", ""},
		{"${file:" + filepath.Join(dir, "one") + "}", strictReferences, "from a file", ""},
		{"${env:NESTED}", strictReferences, "${A}", ""},
		{"${env:A2}", strictReferences, "second", ""},
		{"$${env:A}", strictReferences, "${env:A}", ""},
		{"$A and $", strictReferences, "$A and $", ""},
		{"${A}", mcpServersReferences, "value", ""},
		{"${NONE:-other}", mcpServersReferences, "other", ""},
		{"${EMPTY:-other}", mcpServersReferences, "other", ""},
		{"${A:-other}", mcpServersReferences, "value", ""},
		{"${A}", strictReferences, "", "${A} says not where its value is"},
		{"${A:-other}", strictReferences, "", "says not where its value is"},
		{"${env:NONE}", strictReferences, "", "the variable NONE is not set"},
		{"${env:EMPTY}", strictReferences, "", "the variable EMPTY is not set"},
		{"${NONE}", mcpServersReferences, "", "the variable NONE is not set"},
		{"${}", mcpServersReferences, "", `"" is no name of a variable`},
		{"${A B:-x}", mcpServersReferences, "", `"A B" is no name of a variable`},
		{"${env:A", strictReferences, "", "without its closing brace"},
		{"${vault:x}", mcpServersReferences, "", "there is no reference ${vault:x}"},
		{"${file:}", strictReferences, "", "names no file"},
		{"${file:none}", strictReferences, "", "resolve ${file:none}: open"},
		{"${file:empty}", strictReferences, "", "the file is empty"},
		{"${file:binary}", strictReferences, "", "the file does not hold text"},
		{"${file:.}", strictReferences, "", "resolve ${file:.}"},
	} {
		got, err := resolve(c.text, dir, env, c.form)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s becomes %q, %v; want %q, %q", c.text, got, err, c.want, c.err)
		}
	}
}

func TestShownReferences(t *testing.T) {
	for text, want := range map[string]string{
		"hunter2":                   "[secret]",
		"${A}":                      "${A}",
		"Bearer ${env:A}":           "[secret]${env:A}",
		"${A:-hunter2}":             "${A:-[secret]}",
		"a${A}b${file:/c}":          "[secret]${A}[secret]${file:/c}",
		"$${hunter2}":               "[secret]",
		"${hunter2 without its end": "[secret]",
	} {
		if got := shownReferences(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func TestShownArgs(t *testing.T) {
	for _, c := range []struct{ args, want []string }{
		{[]string{"-y", "@scope/server", "/srv/projects"}, []string{"-y", "@scope/server", "/srv/projects"}},
		{[]string{"--token", "abc", "--verbose", "on"}, []string{"--token", "[secret]", "--verbose", "on"}},
		{[]string{"-H", "X: y"}, []string{"-H", "[secret]"}},
		{[]string{"--api-key=abc", "--root=/srv"}, []string{"--api-key=[secret]", "--root=/srv"}},
		{[]string{"--root=sk-ant-0123456789abcdef"}, []string{"--root=[secret]"}},
		{[]string{"sk-ant-0123456789abcdef"}, []string{"[secret]"}},
		{[]string{"https://h/?k=v"}, []string{"[secret]"}},
		{[]string{"--token", "--verbose"}, []string{"--token", "--verbose"}},
	} {
		if got := shownArgs(c.args); !slices.Equal(got, c.want) {
			t.Errorf("%q are shown as %q, want %q", c.args, got, c.want)
		}
	}
}
