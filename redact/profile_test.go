package redact_test

import (
	"errors"
	"strings"
	"testing"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

func TestCompileNamesEveryMistakeAtOnce(t *testing.T) {
	p, mistakes := redact.Compile(redact.Spec{
		Name:    "pii",
		Paths:   []string{"ok", "a.@this.b", "a|b", "", "**", "ok"},
		Require: []string{"rows.#(id=1).ssn"},
		Replace: "constant",
	})
	if p != nil {
		t.Error("a profile with mistakes compiled")
	}
	want := []string{
		`replace: "constant" is not available in this version`,
		`require[0]: bad path "rows.#(id=1).ssn"`,
		`paths[1]: bad path "a.@this.b"`,
		`paths[2]: bad path "a|b"`,
		`paths[3]: bad path ""`,
		`paths[4]: bad path "**"`,
		`paths[5]: "ok" stands here twice`,
	}
	if len(mistakes) != len(want) {
		t.Fatalf("%d mistakes, want %d: %v", len(mistakes), len(want), mistakes)
	}
	for i, m := range mistakes {
		if !strings.HasPrefix(m.Error(), `bad redaction profile "pii": `+want[i]) {
			t.Errorf("mistake %d is %q, want %q", i, m, want[i])
		}
		if !errors.Is(m, redact.ErrProfile) {
			t.Errorf("mistake %d does not wrap ErrProfile", i)
		}
	}
}

func TestZeroSpecDoesNotCompile(t *testing.T) {
	p, mistakes := redact.Compile(redact.Spec{})
	if p != nil || len(mistakes) != 2 {
		t.Errorf("the zero Spec: profile %v, mistakes %v; want none, and two: no name, no paths", p, mistakes)
	}
}

func TestCompileBoundsPaths(t *testing.T) {
	_, mistakes := redact.Compile(redact.Spec{Name: "long", Paths: []string{strings.Repeat("a.", 256) + "a"}})
	if len(mistakes) != 1 {
		t.Errorf("a path of 257 steps: mistakes %v, want one", mistakes)
	}
}

func TestRedactorOfNothingChangesNothing(t *testing.T) {
	doc := parse(t, `{"ssn": "123-45-6789", "broken": "{not json"}`)
	surface := redact.Surface{Roots: []toolcall.JSON{doc}, Texts: []toolcall.JSON{doc.Member("broken")}}
	for name, r := range map[string]*redact.Redactor{
		"nil":          nil,
		"zero":         {},
		"no profiles":  redact.New(),
		"nil profiles": redact.New(nil, nil),
	} {
		out, findings, err := r.Redact(doc, surface)
		if !r.Empty() || err != nil || findings != nil || out.Text() != doc.Text() {
			t.Errorf("%s: empty %v, error %v, findings %v, same document %v", name, r.Empty(), err, findings, out.Text() == doc.Text())
		}
	}
}

func TestProfilesUnite(t *testing.T) {
	a := profile(t, redact.Spec{Name: "a", Paths: []string{"one"}})
	b := profile(t, redact.Spec{Name: "b", Paths: []string{"two"}, Replace: "mask"})
	doc := parse(t, `{"one":1,"two":2,"three":3}`)
	out, findings, err := redact.New(a, b).Redact(doc, redact.Surface{Roots: []toolcall.JSON{doc}})
	if err != nil || out.Text() != `{"one":0,"two":0,"three":3}` {
		t.Errorf("got %s, %v", out.Text(), err)
	}
	if len(findings) != 2 || findings[0].Profile != a.Name() || findings[1].Profile != b.Name() {
		t.Errorf("findings %v, want one of each profile", findings)
	}
}
