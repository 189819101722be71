package toolcall

import (
	"errors"
	"fmt"
	"strings"
)

// JSON is a JSON text that was proved to have one reading. It is immutable.
// The zero value holds no text and answers every question with "no".
//
// A JSON cannot be compared with ==: Equal compares what two of them mean, and
// Text what they say.
type JSON struct {
	raw  hidden
	long *outline // nil, or of a text that raw is a part of
}

// proved makes a JSON of a text that needs no scan: it was cut out of proved
// text, or put together from it.
func proved(text string) JSON { return JSON{raw: hide(text)} }

// text is Text, for this package's own reading.
func (j JSON) text() string { return j.raw.reveal() }

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
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

var typeNames = [...]string{"nothing", "null", "boolean", "boolean", "number", "string", "array", "object"}

// Limits bound a text before anything else looks at it. A zero limit admits
// nothing: no byte, and no array or object.
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
// white space. The error is a *SyntaxError, or wraps ErrTooLarge. Nothing is
// copied: the JSON keeps text alive.
func Parse(text string, limits Limits) (JSON, error) {
	return parse(text, limits, false)
}

func parse(text string, limits Limits, outlined bool) (JSON, error) {
	if len(text) > limits.Bytes {
		return JSON{}, fmt.Errorf("read JSON of %d bytes, at most %d: %w", len(text), limits.Bytes, ErrTooLarge)
	}
	sc := scanners.Get().(*scanner)
	defer sc.release()
	start, end, err := sc.scan(text, limits.Depth)
	if err != nil {
		return JSON{}, err
	}
	j := proved(text[start:end])
	if outlined {
		j.long = sc.outline(text)
	}
	return j, nil
}

// Text is the JSON text as it was received. It is the only way to the content
// of a JSON as a whole: what is done with it must be safe for a secret.
func (j JSON) Text() string { return j.text() }

// Len is the length of the text in bytes.
func (j JSON) Len() int { return j.raw.size }

// IsZero reports whether j holds no text at all; the JSON null is not zero.
func (j JSON) IsZero() bool { return j.raw.size == 0 }

// Type is the type of the value.
func (j JSON) Type() Type {
	if j.IsZero() {
		return NoType
	}
	switch j.text()[0] {
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

// Str is the decoded value of a string. Without escapes it allocates nothing:
// it is a part of the text that j was read from.
func (j JSON) Str() (s string, ok bool) {
	if j.Type() != StringType {
		return "", false
	}
	return unquote(j.text()), true
}

// Number is the exact value of a number.
func (j JSON) Number() (Number, bool) {
	if j.Type() != NumberType {
		return Number{}, false
	}
	return numberOf(j.text()), true
}

// Member is the value of the named member of an object; absent, and for every
// other type, it is the zero JSON.
func (j JSON) Member(name string) JSON {
	if j.Type() != ObjectType {
		return JSON{}
	}
	l := j.leaps()
	return j.valueAt(&l, memberAt(j.text(), 0, name, &l))
}

// valueAt is the value that starts at i; zero where i is negative.
func (j JSON) valueAt(l *leaps, i int) JSON {
	if i < 0 {
		return JSON{}
	}
	return j.part(i, l.skip(j.text(), i))
}

// SpanIn is where the sub-value j stands in the text of doc that it was read
// from; ok is false when it was read from elsewhere.
func (j JSON) SpanIn(doc JSON) (start, end int, ok bool) {
	if j.IsZero() || doc.IsZero() {
		return 0, 0, false
	}
	at, base := uintptr(j.raw.start), uintptr(doc.raw.start)
	if at < base || at+uintptr(j.raw.size) > base+uintptr(doc.raw.size) {
		return 0, 0, false
	}
	start = int(at - base)
	return start, start + j.raw.size, true
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
