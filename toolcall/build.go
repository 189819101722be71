package toolcall

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Quote makes the JSON string of s. Invalid UTF-8 becomes U+FFFD.
func Quote(s string) JSON { return proved(string(AppendQuoted(make([]byte, 0, len(s)+2), s))) }

// Integer makes the JSON number of n.
func Integer(n int64) JSON { return proved(strconv.FormatInt(n, 10)) }

// Bool makes the JSON boolean b.
func Bool(b bool) JSON { return proved(strconv.FormatBool(b)) }

const hexDigits = "0123456789abcdef"

// AppendQuoted appends the JSON string of s in the form of RFC 8785, section
// 3.2.2.2: the shortest escapes, and none where none is needed. Invalid UTF-8
// becomes U+FFFD.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = appendEscape(append(dst, s[from:i]...), c)
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// appendEscape appends the escape of a quote, a backslash or a control character.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '\b':
		c = 'b'
	case '\f':
		c = 'f'
	case '\n':
		c = 'n'
	case '\r':
		c = 'r'
	case '\t':
		c = 't'
	case '"', '\\':
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
	return append(dst, '\\', c)
}

// Array makes the array of the given values. A zero JSON becomes null.
func Array(values ...JSON) JSON {
	var b strings.Builder
	b.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		if v.IsZero() {
			b.WriteString("null")
		}
		b.WriteString(v.text())
	}
	b.WriteByte(']')
	return proved(b.String())
}

// With is the object with one member set: in its place where it stands already,
// else behind the others. The zero JSON counts as an object without members; of
// any other type, or without a value, it is the zero JSON.
func (j JSON) With(name string, value JSON) JSON {
	if j.IsZero() {
		j = proved("{}")
	}
	if j.Type() != ObjectType || value.IsZero() {
		return JSON{}
	}
	if old := j.Member(name); !old.IsZero() {
		edited, err := Splice(j, []Edit{{At: old, With: value}})
		if err != nil {
			return JSON{} // never: the value was just found in it
		}
		return edited
	}
	s := j.text()
	dst := make([]byte, 0, len(s)+len(name)+value.Len()+4)
	dst = append(dst, s[:len(s)-1]...)
	if m := j.Members(); m.Next() {
		dst = append(dst, ',')
	}
	dst = append(AppendQuoted(dst, name), ':')
	dst = append(dst, value.text()...)
	return proved(string(append(dst, '}')))
}
