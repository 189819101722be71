package redact

import (
	"fmt"
	"math"

	"mcpguard/toolcall"
)

// Surface names the sub-values of a document by what they are. All of them must
// have been read from the document; zero values are passed over, so a caller
// may list members without asking whether they are there. What the surface does
// not name is only searched for values that were removed elsewhere.
type Surface struct {
	// Roots are values that paths are rooted in: structured content, arguments,
	// the data of a log message or an error. A root that is a string is taken
	// as one of Texts.
	Roots []toolcall.JSON

	// Texts are strings read by people or models. One that looks like JSON is
	// parsed strictly and is a root itself; if it does not parse, the document
	// is withheld. A value here that is no string is taken as one of Roots.
	Texts []toolcall.JSON

	// Blobs are strings of base64. Of a textual media type they are decoded and
	// taken as one of Texts; if they cannot be decoded, the document is withheld.
	Blobs []Blob
}

// Blob is a base64 string with its media type, "" when none was given.
type Blob struct {
	Data toolcall.JSON
	MIME string
}

// Finding says what was masked, never the value.
type Finding struct {
	Profile string
	Path    string // as the profile writes it
	Surface string // where: "root", "text", "blob", or "copy" for a removed value that stood elsewhere
	Count   int    // how many values, or occurrences of a copy
}

// Withheld is the error of a document that could not be made safe. It quotes
// nothing of the document.
type Withheld struct {
	Profile string // with Path: the path that could not be applied; both are
	Path    string // empty when the document as a whole was the trouble
	Reason  string
}

func (w *Withheld) Error() string {
	if w.Path == "" {
		return "redact: withheld: " + w.Reason
	}
	return fmt.Sprintf("redact: withheld: %s, path %s: %s", w.Profile, w.Path, w.Reason)
}

// Redact returns doc with everything masked that a path leads to, and with every
// other occurrence of the strings of 8 or more characters so removed. Masking
// keeps JSON types: a string becomes "[redacted]", a number 0, a boolean false,
// null stays, and of an object or array every value in it is masked. A member
// whose name differs from the path's only by case is masked as well.
//
// A document in which nothing is masked comes back as it is. An error is a
// *Withheld, and then there is no document.
func (r *Redactor) Redact(doc toolcall.JSON, s Surface) (toolcall.JSON, []Finding, error) {
	_, out, findings, err := r.within("", doc, "", s)
	return out, findings, err
}

// within is Redact with before and after around the document in one text, which
// is empty when the document comes back as it is.
func (r *Redactor) within(before string, doc toolcall.JSON, after string, s Surface) (whole string, out toolcall.JSON, _ []Finding, err error) {
	if r.Empty() {
		return "", doc, nil, nil
	}
	if doc.Len() > math.MaxInt32 {
		return "", toolcall.JSON{}, nil, &Withheld{Reason: "the document is over 2 GiB"}
	}
	u := newRun(r)
	defer u.release()
	edits, err := u.redact(doc, s)
	switch {
	case err != nil:
		return "", toolcall.JSON{}, nil, err
	case len(edits) == 0:
		return "", doc, u.findings(), nil
	}
	whole, out, err = u.write(before, doc, after, edits)
	u.giveEdits(edits)
	if err != nil {
		return "", toolcall.JSON{}, nil, err
	}
	if u.renamed {
		if w := prove(out.Text()); w != nil {
			return "", toolcall.JSON{}, nil, w
		}
	}
	return whole, out, u.findings(), nil
}
