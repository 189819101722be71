package toolcall

import "strings"

// Members walks the members of an object in order.
//
//	for m := j.Members(); m.Next(); {
//		use(m.Name(), m.Value())
//	}
type Members struct {
	text  string
	at    int // behind the last member, or behind the opening brace
	name  string
	value JSON
}

// Members starts a walk over the members of an object; over every other type
// the walk is empty.
func (j JSON) Members() Members {
	if j.Type() != ObjectType {
		return Members{}
	}
	return Members{text: j.text, at: 1}
}

// Next goes to the next member and reports whether there is one.
func (m *Members) Next() bool {
	if m.text == "" {
		return false
	}
	i := separator(m.text, m.at)
	if m.text[i] == '}' {
		m.text = ""
		return false
	}
	end := skipString(m.text, i)
	m.name = m.text[i:end]
	i = separator(m.text, end)
	m.at = skipValue(m.text, i)
	m.value = JSON{m.text[i:m.at]}
	return true
}

// Name is the decoded name of the member.
func (m *Members) Name() string { return unquote(m.name) }

// RawName is the name as it stands in the text, with its quotes, as a string
// value of its own.
func (m *Members) RawName() JSON { return JSON{m.name} }

// NameIs reports whether the decoded name is want; it does not allocate for
// names without escapes.
func (m *Members) NameIs(want string) bool {
	inner := m.name[1 : len(m.name)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner == want
	}
	return unquote(m.name) == want
}

// Value is the value of the member.
func (m *Members) Value() JSON { return m.value }

// Elements walks the elements of an array in order.
type Elements struct {
	text  string
	at    int
	value JSON
}

// Elements starts a walk over the elements of an array; over every other type
// the walk is empty.
func (j JSON) Elements() Elements {
	if j.Type() != ArrayType {
		return Elements{}
	}
	return Elements{text: j.text, at: 1}
}

// Next goes to the next element and reports whether there is one.
func (e *Elements) Next() bool {
	if e.text == "" {
		return false
	}
	i := separator(e.text, e.at)
	if e.text[i] == ']' {
		e.text = ""
		return false
	}
	e.at = skipValue(e.text, i)
	e.value = JSON{e.text[i:e.at]}
	return true
}

// Value is the element.
func (e *Elements) Value() JSON { return e.value }

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

// skipString returns where the string that starts at i ends.
func skipString(s string, i int) int {
	i++
	for {
		n := strings.IndexByte(s[i:], '"')
		i += n
		slashes := 0
		for s[i-1-slashes] == '\\' {
			slashes++
		}
		i++
		if slashes%2 == 0 {
			return i
		}
	}
}

// skipValue returns where the proved value that starts at i ends.
func skipValue(s string, i int) int {
	switch s[i] {
	case '"':
		return skipString(s, i)
	case '{', '[':
		depth := 0
		for {
			switch s[i] {
			case '"':
				i = skipString(s, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
				if depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(s) {
		switch s[i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return i
		}
		i++
	}
	return i
}
