package toolcall

import (
	"math/bits"
	"strings"
)

// Members walks the members of an object in order.
//
//	for m := j.Members(); m.Next(); {
//		use(m.Name(), m.Value())
//	}
//
// Every step skips the whole value of a member. A walk that also goes down into
// every value therefore reads a text as often as it is nested deep.
type Members struct {
	doc   JSON
	long  leaps
	at    int // behind the last member, or behind the opening brace
	name  JSON
	value JSON
}

// Members starts a walk over the members of an object; over every other type
// the walk is empty.
func (j JSON) Members() Members {
	if j.Type() != ObjectType {
		return Members{}
	}
	return Members{doc: j, long: j.leaps(), at: 1}
}

// Next goes to the next member and reports whether there is one.
func (m *Members) Next() bool {
	s := m.doc.text()
	if s == "" {
		return false
	}
	i := separator(s, m.at)
	if s[i] == '}' {
		*m = Members{}
		return false
	}
	end := skipString(s, i)
	m.name = proved(s[i:end])
	i = separator(s, end)
	m.at = m.long.skip(s, i)
	m.value = m.doc.part(i, m.at)
	return true
}

// Name is the decoded name of the member.
func (m *Members) Name() string {
	if m.name.IsZero() {
		return ""
	}
	return unquote(m.name.text())
}

// RawName is the name as it stands in the text, with its quotes, as a string
// value of its own.
func (m *Members) RawName() JSON { return m.name }

// NameIs reports whether the decoded name is want; it does not allocate for
// names without escapes.
func (m *Members) NameIs(want string) bool {
	return !m.name.IsZero() && nameIs(m.name.text(), want)
}

// nameIs reports whether the quoted name q decodes to want.
func nameIs(q, want string) bool {
	switch inner := q[1 : len(q)-1]; {
	case len(inner) < len(want): // decoding never makes a name longer
		return false
	case strings.IndexByte(inner, '\\') < 0:
		return inner == want
	}
	return unquote(q) == want
}

// Value is the value of the member.
func (m *Members) Value() JSON { return m.value }

// Elements walks the elements of an array in order.
type Elements struct {
	doc   JSON
	long  leaps
	at    int // behind the last element, or behind the opening bracket
	value JSON
}

// Elements starts a walk over the elements of an array; over every other type
// the walk is empty.
func (j JSON) Elements() Elements {
	if j.Type() != ArrayType {
		return Elements{}
	}
	return Elements{doc: j, long: j.leaps(), at: 1}
}

// Next goes to the next element and reports whether there is one.
func (e *Elements) Next() bool {
	s := e.doc.text()
	if s == "" {
		return false
	}
	i := separator(s, e.at)
	if s[i] == ']' {
		*e = Elements{}
		return false
	}
	e.at = e.long.skip(s, i)
	e.value = e.doc.part(i, e.at)
	return true
}

// Value is the element.
func (e *Elements) Value() JSON { return e.value }

// memberAt returns where the value of the named member of the object at i
// starts, or -1.
func memberAt(s string, i int, name string, l *leaps) int {
	for i = separator(s, i+1); s[i] != '}'; i = separator(s, l.skip(s, i)) {
		end := skipString(s, i)
		found := nameIs(s[i:end], name)
		if i = separator(s, end); found {
			return i
		}
	}
	return -1
}

// elementAt returns where the element of the array at i with the given index
// starts, or -1.
func elementAt(s string, i, index int, l *leaps) int {
	for i = separator(s, i+1); s[i] != ']'; i = separator(s, l.skip(s, i)) {
		if index == 0 {
			return i
		}
		index--
	}
	return -1
}

// separator skips white space, one comma or colon, and white space again.
func separator(s string, i int) int {
	for {
		switch s[i] {
		case ' ', '\t', '\n', '\r', ',', ':':
			i++
		default:
			return i
		}
	}
}

// StringEnd returns where a string ends, behind its closing quote. It opens at
// byte i of a proved text; anywhere else the answer means nothing, or there is a
// panic.
func StringEnd(s string, i int) int { return skipString(s, i) }

// skipString returns where the proved string that starts at i ends.
func skipString(s string, i int) int {
	i++
	for {
		for i+8 <= len(s) {
			w := load(s, i)
			quote, slash := w^lows*'"', w^lows*'\\'
			if m := ((quote - lows) | (slash - lows)) &^ w & highs; m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			i += 2
		default: // near the end of the text
			i++
		}
	}
}

// skipValue returns where the proved value that starts at i ends.
func skipValue(s string, i int) int {
	switch s[i] {
	case '"':
		return skipString(s, i)
	case '{', '[':
		return skipContainer(s, i)
	}
	for i < len(s) && !ends[s[i]] {
		i++
	}
	return i
}

// ends are the characters behind a number or a literal.
var ends = [256]bool{',': true, '}': true, ']': true, ' ': true, '\t': true, '\n': true, '\r': true}

// skipContainer returns where the proved array or object that starts at i ends.
// Strings apart, only its brackets count.
func skipContainer(s string, i int) int {
	depth := 0
	for {
		switch s[i] {
		case '"':
			i = skipString(s, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
}
