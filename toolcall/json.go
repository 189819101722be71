package toolcall

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unsafe"
)

// JSON is a JSON text that was proved to have one reading. It is immutable.
// The zero value holds no text and answers every question with "no".
type JSON struct{ text string }

// Type is the kind of a JSON value.
type Type uint8

// The types of RFC 8259; NoType is the type of the zero JSON.
const (
	NoType Type = iota
	Null
	False
	True
	NumberType
	StringType
	ArrayType
	ObjectType
)

func (t Type) String() string {
	return [...]string{"nothing", "null", "boolean", "boolean", "number", "string", "array", "object"}[t]
}

// Limits bound a text before anything else looks at it. A zero limit admits
// nothing.
type Limits struct {
	Bytes int // the longest text
	Depth int // the deepest nesting of arrays and objects
}

// A SyntaxError says at which byte a text stopped being strict JSON, and why.
// It never quotes the text.
type SyntaxError struct {
	Offset int // in bytes, from the start of the text
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason)
}

// ErrTooLarge is wrapped by the error of a text over a limit's bytes.
var ErrTooLarge = errors.New("too large")

// Parse scans text once and returns it as proved JSON without surrounding
// white space. The error is a *SyntaxError, or wraps ErrTooLarge.
func Parse(text string, limits Limits) (JSON, error) {
	if len(text) > limits.Bytes {
		return JSON{}, fmt.Errorf("%d bytes, at most %d: %w", len(text), limits.Bytes, ErrTooLarge)
	}
	start, end, err := scan(text, limits.Depth)
	if err != nil {
		return JSON{}, err
	}
	return JSON{text[start:end]}, nil
}

// Text is the JSON text as it was received. It is the only way to the content
// of a JSON as a whole: what is done with it must be safe for a secret.
func (j JSON) Text() string { return j.text }

// Len is the length of the text in bytes.
func (j JSON) Len() int { return len(j.text) }

// IsZero reports whether j holds no text at all; the JSON null is not zero.
func (j JSON) IsZero() bool { return j.text == "" }

// Type is the type of the value.
func (j JSON) Type() Type {
	if j.text == "" {
		return NoType
	}
	switch j.text[0] {
	case '{':
		return ObjectType
	case '[':
		return ArrayType
	case '"':
		return StringType
	case 't':
		return True
	case 'f':
		return False
	case 'n':
		return Null
	}
	return NumberType
}

// Str is the decoded value of a string.
func (j JSON) Str() (s string, ok bool) {
	if j.Type() != StringType {
		return "", false
	}
	return unquote(j.text), true
}

// Number is the exact value of a number.
func (j JSON) Number() (Number, bool) {
	if j.Type() != NumberType {
		return Number{}, false
	}
	return numberOf(j.text), true
}

// Member is the value of the named member of an object; absent, and for every
// other type, it is the zero JSON.
func (j JSON) Member(name string) JSON {
	for m := j.Members(); m.Next(); {
		if m.NameIs(name) {
			return m.Value()
		}
	}
	return JSON{}
}

// String keeps the content out of logs: it tells type and size only.
func (j JSON) String() string {
	if j.IsZero() {
		return "[no JSON]"
	}
	return fmt.Sprintf("[%s, %d bytes]", j.Type(), len(j.text))
}

// Format keeps the content out of every fmt verb.
func (j JSON) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(j.String())) }

// LogValue keeps the content out of structured logs.
func (j JSON) LogValue() slog.Value { return slog.StringValue(j.String()) }

// MarshalJSON refuses: a proved text is written with Text, deliberately.
func (j JSON) MarshalJSON() ([]byte, error) {
	return nil, errors.New("marshal toolcall.JSON: refused, it can hold a caller's data")
}

// offsetIn is where the sub-value j starts in the text of doc, or -1 when j was
// not read from doc.
func (j JSON) offsetIn(doc JSON) int {
	if len(j.text) == 0 || len(doc.text) == 0 {
		return -1
	}
	base := uintptr(unsafe.Pointer(unsafe.StringData(doc.text)))
	at := uintptr(unsafe.Pointer(unsafe.StringData(j.text)))
	if at < base || at+uintptr(len(j.text)) > base+uintptr(len(doc.text)) {
		return -1
	}
	return int(at - base)
}

// SpanIn is where the sub-value j stands in the text of doc that it was read
// from; ok is false when it was read from elsewhere.
func (j JSON) SpanIn(doc JSON) (start, end int, ok bool) {
	start = j.offsetIn(doc)
	if start < 0 {
		return 0, 0, false
	}
	return start, start + len(j.text), true
}

// unquote decodes a proved JSON string. Without escapes it allocates nothing.
func unquote(q string) string {
	s := q[1 : len(q)-1]
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	return string(appendUnescaped(make([]byte, 0, len(s)), s))
}
