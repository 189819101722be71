package redact_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

func TestCleanIsWhatRedactLeaves(t *testing.T) {
	doc := parse(t, `{"ssn":"123-45-6789","n":1}`)
	clean, findings, err := redactor(t, "ssn").Clean(doc, redact.Surface{Roots: []toolcall.JSON{doc}})
	if err != nil || clean.String() != `{"ssn":"[redacted]","n":1}` || clean.Len() != len(clean.String()) {
		t.Errorf("got %s of %d bytes, %v", clean, clean.Len(), err)
	}
	if len(findings) != 1 || findings[0].Count != 1 {
		t.Errorf("findings %v", findings)
	}
}

func TestBothAreTheSameText(t *testing.T) {
	doc := parse(t, `{"ssn":"123-45-6789","n":1}`)
	out, clean, findings, err := redactor(t, "ssn").Both(doc, redact.Surface{Roots: []toolcall.JSON{doc}})
	if err != nil || out.Text() != `{"ssn":"[redacted]","n":1}` || clean.String() != out.Text() || len(findings) != 1 {
		t.Errorf("got %s and %s, %v, %v", out.Text(), clean, findings, err)
	}
	out, clean, findings, err = redactor(t, "ssn.x").Both(doc, redact.Surface{Roots: []toolcall.JSON{doc}})
	if err == nil || !out.IsZero() || !clean.IsZero() || findings != nil {
		t.Errorf("of a withheld document: %s and %s, %v, %v", out.Text(), clean, findings, err)
	}
}

// A message holds the redacted document, and the record the same bytes.
func TestMessageIsWrittenOnce(t *testing.T) {
	const before, after = `{"id":7,"result":`, `}`
	doc := parse(t, `{"ssn":"123-45-6789","n":1}`)
	surface := redact.Surface{Roots: []toolcall.JSON{doc}}
	text, clean, findings, err := redactor(t, "ssn").Message(before, doc, after, surface)
	if err != nil || text != `{"id":7,"result":{"ssn":"[redacted]","n":1}}` || before+clean.String()+after != text || len(findings) != 1 {
		t.Errorf("got %s and %s, %v, %v", text, clean, findings, err)
	}
	text, clean, findings, err = redactor(t, "other").Message(before, doc, after, surface)
	if err != nil || text != "" || clean.String() != doc.Text() || findings != nil {
		t.Errorf("of an untouched document: %q and %s, %v, %v", text, clean, findings, err)
	}
	text, clean, _, err = redactor(t, "ssn.x").Message(before, doc, after, surface)
	if err == nil || text != "" || !clean.IsZero() {
		t.Errorf("of a withheld document: %q and %s, %v", text, clean, err)
	}
}

func TestCleanOfAWithheldDocumentIsNothing(t *testing.T) {
	doc := parse(t, `{"ssn":"123-45-6789","cards":"4111"}`)
	clean, findings, err := redactor(t, "ssn", "cards.#.number").Clean(doc, redact.Surface{Roots: []toolcall.JSON{doc}})
	if err == nil || !clean.IsZero() || clean.String() != "" || findings != nil {
		t.Errorf("got %q, %v, %v", clean, findings, err)
	}
}

func TestCleanPrints(t *testing.T) {
	clean := redact.Public("denied by support/small-refund")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "why", clean)
	if !strings.Contains(log.String(), `"why":"denied by support/small-refund"`) || fmt.Sprint(clean) != clean.String() {
		t.Errorf("log %s, print %v", log.String(), clean)
	}
	if !(redact.Clean{}).IsZero() || clean.IsZero() {
		t.Error("IsZero is true for no text only")
	}
}
