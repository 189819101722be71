package redact_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// twice is a result whose text says its structured content again, spelled as spell
// does, with before and after around it.
func twice(structured string, spell func(string) string) string {
	return `{"content":[{"type":"text","text":` + spell(structured) + `}],"structuredContent":` + structured + `}`
}

// What is masked in structured content is masked alike where a text says the same,
// and where it nearly does.
func TestATextThatSaysTheStructuredContent(t *testing.T) {
	const structured = `{"ssn":"123-45-6789","n":7,"ok":true,"é\/":["see 123-45-6789",1234567,{"ssn":null}]}`
	const masked = `{"ssn":"[redacted]","n":7,"ok":false,"é\/":["see [redacted]",1234567,{"ssn":null}]}`
	quote := func(s string) string { return toolcall.Quote(s).Text() }
	for name, spell := range map[string]func(string) string{
		"as it is":              quote,
		"every character a \\u": func(s string) string { return generator{}.escapeAll(s) },
		"with a space behind":   func(s string) string { return quote(s + " ") },
		"with a space before":   func(s string) string { return quote(" " + s) },
		"with another value":    func(s string) string { return quote(strings.Replace(s, "7,", "8,", 1)) },
	} {
		for _, order := range []string{"text first", "text last"} {
			doc, want := twice(structured, spell), twice(masked, spell)
			if order == "text last" {
				doc, want = turned(structured, spell), turned(masked, spell)
			}
			j := parse(t, doc)
			out, findings, err := redactor(t, "**.ssn", "**.ok.x").Redact(j, result(j))
			if err != nil || plain(out) != plain(parse(t, want)) {
				t.Errorf("%s, %s: got %s, %v\nwant %s", name, order, out.Text(), err, want)
			}
			want = "[{pii **.ssn root 1} {pii **.ssn text 1} {pii **.ssn copy 2} {pii **.ok.x root 1} {pii **.ok.x text 1}]"
			if got := fmt.Sprint(findings); got != want {
				t.Errorf("%s, %s: findings %s, want %s", name, order, got, want)
			}
		}
	}
}

func turned(structured string, spell func(string) string) string {
	return `{"structuredContent":` + structured + `,"content":[{"type":"text","text":` + spell(structured) + `},{"type":"text","text":"1"}]}`
}

// escapeAll spells every character as an escape.
func (g generator) escapeAll(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return `"` + b.String() + `"`
}

// Whether a text says exactly what the structured content says, or the same with a
// space behind it, is no difference to what is masked: the text is read as a whole
// in one case, and lifted in the other.
func TestLiftedIsWhatIsRead(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(11, 12))}
	lifted := 0
	for range 5000 {
		structured := g.value(4)
		if !strings.HasPrefix(structured, "{") && !strings.HasPrefix(structured, "[") {
			continue
		}
		paths := pathSets[g.IntN(len(pathSets))]
		redacted := func(behind string) (toolcall.JSON, []redact.Finding, error) {
			doc := parse(t, twice(structured, func(s string) string { return toolcall.Quote(s + behind).Text() }))
			return redactor(t, paths...).Redact(doc, result(doc))
		}
		got, findings, err := redacted("")
		want, wanted, wantErr := redacted(" ")
		if (err == nil) != (wantErr == nil) || got.Text() != strings.Replace(want.Text(), ` "}],"structuredContent"`, `"}],"structuredContent"`, 1) {
			t.Fatalf("%v in %s\n got %s, %v\nwant %s, %v", paths, structured, got.Text(), err, want.Text(), wantErr)
		}
		if fmt.Sprint(findings) != fmt.Sprint(wanted) {
			t.Fatalf("%v in %s\n found %v\nwant %v", paths, structured, findings, wanted)
		}
		if len(findings) > 0 {
			lifted++
		}
	}
	if lifted < 500 {
		t.Errorf("only %d documents had anything to mask", lifted)
	}
}

// Nothing of one document is left for the next one: no document stays none.
func TestADocumentLeavesNothingBehind(t *testing.T) {
	r := redactor(t, "**.ssn")
	quote := func(s string) string { return toolcall.Quote(s).Text() }
	for range 100 {
		doc := parse(t, twice(`{"ssn":"123-45-6789"}`, quote))
		if _, _, err := r.Redact(doc, result(doc)); err != nil {
			t.Fatal(err)
		}
		out, findings, err := r.Redact(toolcall.JSON{}, redact.Surface{})
		if err != nil || !out.IsZero() || len(findings) != 0 {
			t.Fatalf("got %q, %v, %v", out.Text(), findings, err)
		}
	}
}
