package redact

import "mcpguard/toolcall"

// Both is Redact and Clean in one pass: the redacted document to send on, and
// the same text to keep.
func (r *Redactor) Both(doc toolcall.JSON, s Surface) (toolcall.JSON, Clean, []Finding, error) {
	out, findings, err := r.Redact(doc, s)
	if err != nil {
		return toolcall.JSON{}, Clean{}, nil, err
	}
	return out, Clean{out.Text()}, findings, nil
}
