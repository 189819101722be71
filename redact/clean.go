package redact

import (
	"log/slog"

	"mcpguard/toolcall"
)

// Clean is text that is safe to keep and to show: what redaction left of a
// document, what a Scrubber left of a line, or what mcpguard wrote itself.
// Only this package makes one, so a log, a record or a page that takes a Clean
// cannot be handed anything else. The zero Clean is no text.
type Clean struct{ text string }

// String is the text.
func (c Clean) String() string { return c.text }

// Len is the length of the text in bytes.
func (c Clean) Len() int { return len(c.text) }

// IsZero reports whether there is no text.
func (c Clean) IsZero() bool { return c.text == "" }

// LogValue lets slog print the text.
func (c Clean) LogValue() slog.Value { return slog.StringValue(c.text) }

// Public is for text that mcpguard itself wrote and that holds nothing of a
// caller, an upstream or a credential: the reason of a rule, a refusal, a
// configured name. It checks nothing; everything else goes through
// Redactor.Clean or Scrubber.Line.
func Public(s string) Clean { return Clean{s} }

// Clean is Redact for records: the redacted document as text that may be kept.
// A withheld document leaves no text and a *Withheld.
func (r *Redactor) Clean(doc toolcall.JSON, s Surface) (Clean, []Finding, error) {
	out, findings, err := r.Redact(doc, s)
	return Clean{out.Text()}, findings, err
}

// Both is Redact and Clean in one pass: the redacted document to send on, and
// the same text to keep.
func (r *Redactor) Both(doc toolcall.JSON, s Surface) (toolcall.JSON, Clean, []Finding, error) {
	out, findings, err := r.Redact(doc, s)
	return out, Clean{out.Text()}, findings, err
}

// Message is Redact for a document that is sent as part of a message, and kept:
// text is before, the redacted document and after, and clean is the document in
// it. Nothing is copied twice. Of a document in which nothing is masked clean is
// the document, and text is empty: the message may go as it came.
func (r *Redactor) Message(before string, doc toolcall.JSON, after string, s Surface) (text string, clean Clean, _ []Finding, err error) {
	text, out, findings, err := r.within(before, doc, after, s)
	if err != nil {
		return "", Clean{}, nil, err
	}
	return text, Clean{out.Text()}, findings, nil
}
