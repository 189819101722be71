package toolcall

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// What holds for everything here: fmt (every verb and flag, %#v, %p and verbs that
// do not fit included), slog, text/template, encoding/json, gob and xml never show
// the text of a JSON or the digits of a Number: by value, by pointer, embedded, in
// a field of any struct, exported or not, or in a type defined over them. The type
// hidden sees to that, and the methods below only make the output of use.
//
// The names in a Call (caller, resource URI) are held back by these methods alone.
// So they do show where methods are not asked: in unexported fields of other
// structs, under %p and %w, and in xml. Nothing of its arguments does.

// String keeps the content out of logs: it tells type and size only.
func (j JSON) String() string {
	if j.IsZero() {
		return "[no JSON]"
	}
	return fmt.Sprintf("[%s, %d bytes]", j.Type(), j.Len())
}

// Format keeps the content out of every fmt verb.
func (j JSON) Format(f fmt.State, _ rune) { writeState(f, j.String()) }

// LogValue keeps the content out of structured logs.
func (j JSON) LogValue() slog.Value { return slog.StringValue(j.String()) }

// MarshalJSON refuses: a proved text is written with Text, deliberately.
func (j JSON) MarshalJSON() ([]byte, error) {
	return nil, errors.New("marshal toolcall.JSON: refused, it can hold a caller's data")
}

// String tells that there is a number, not which.
func (n Number) String() string { return "[number]" }

// Format keeps the digits out of every fmt verb.
func (n Number) Format(f fmt.State, _ rune) { writeState(f, n.String()) }

// LogValue keeps the digits out of structured logs.
func (n Number) LogValue() slog.Value { return slog.StringValue(n.String()) }

// String names the call by its id: names and addresses are the caller's words
// as much as arguments are.
func (c Call) String() string { return fmt.Sprintf("[%s call %s]", c.Kind, c.ID) }

// Format keeps everything but the id out of every fmt verb.
func (c Call) Format(f fmt.State, _ rune) { writeState(f, c.String()) }

// LogValue tells which call it is, and how large.
func (c Call) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", c.ID.String()),
		slog.String("kind", c.Kind.String()),
		slog.String("upstream", c.Upstream),
		slog.Any("args", c.Args),
	)
}

// MarshalJSON refuses: what is kept of a call, package audit says.
func (c Call) MarshalJSON() ([]byte, error) {
	return nil, errors.New("marshal toolcall.Call: refused, it can hold a caller's data")
}

// writeState hands s to fmt, whose states take every write.
func writeState(f fmt.State, s string) { _, _ = io.WriteString(f, s) }
