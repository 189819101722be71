package toolpolicy

import (
	"strconv"
	"strings"

	"mcpguard/toolcall"
)

// equals and in: the value means the same as one of the list. Numbers compare
// by value, texts after decoding, objects in any order. A value of another
// type is unknown: "5" may count as 5 where it arrives.
type oneOf struct {
	values  []toolcall.JSON
	refused bool // not_in
	key     string
}

func (m *oneOf) judge(v toolcall.JSON) outcome {
	out := fails
	for _, want := range m.values {
		if want.Equal(v) {
			return outcomeOf(!m.refused)
		}
		if !sameType(want.Type(), v.Type()) {
			out = notSameType
		}
	}
	if out == fails && m.refused {
		return holds
	}
	return out
}

func sameType(a, b toolcall.Type) bool {
	boolean := func(t toolcall.Type) bool { return t == toolcall.True || t == toolcall.False }
	return a == b || boolean(a) && boolean(b)
}

func (m *oneOf) words() words {
	list := "[" + joinJSON(m.values) + "]"
	switch {
	case m.refused:
		return words{"not_in " + list, "in the list", "is in the refused " + list}
	case m.key == "equals":
		one := joinJSON(m.values)
		return words{"equals " + one, "different", "does not equal " + one}
	}
	return words{"in " + list, "not in the list", "is not in " + list}
}

// joinJSON writes values of the policy itself, which are no secret.
func joinJSON(values []toolcall.JSON) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.Text()
	}
	return strings.Join(texts, ", ")
}

// bound is min, max, above or below. Numbers compare as exact decimals.
type bound struct {
	key   string
	limit toolcall.Number
	text  string // of the limit, as written
}

func (m *bound) judge(v toolcall.JSON) outcome {
	n, ok := v.Number()
	switch {
	case !ok:
		return notNumber
	case !n.Comparable():
		return tooVast
	}
	c := n.Compare(m.limit)
	switch m.key {
	case "min":
		return outcomeOf(c >= 0)
	case "max":
		return outcomeOf(c <= 0)
	case "above":
		return outcomeOf(c > 0)
	case "below":
		return outcomeOf(c < 0)
	}
	return unjudged
}

func (m *bound) words() words {
	want := m.key + " " + m.text
	switch m.key {
	case "max":
		return words{want, "over", "is over " + want}
	case "min":
		return words{want, "under", "is under " + want}
	}
	return words{want, "not " + m.key, "is not " + want}
}

// integer: a number without fraction; 5.0 and 50e-1 are integers.
type integer struct{}

func (integer) judge(v toolcall.JSON) outcome {
	n, ok := v.Number()
	switch {
	case !ok:
		return notNumber
	case !n.Comparable():
		return tooVast
	}
	return outcomeOf(n.Integer())
}

func (integer) words() words { return words{"integer", "a fraction", "is not an integer"} }

// length bounds a text in characters, a list in elements, an object in members.
type length struct{ min, max int }

// noLength is a bound that is not set.
const noLength = -1

func (m *length) judge(v toolcall.JSON) outcome {
	n := 0
	switch v.Type() {
	case toolcall.StringType:
		s, _ := v.Str()
		for range s {
			n++
		}
	case toolcall.ArrayType:
		for e := v.Elements(); e.Next(); {
			n++
		}
	case toolcall.ObjectType:
		for e := v.Members(); e.Next(); {
			n++
		}
	default:
		return notSized
	}
	return outcomeOf(n >= m.min && (m.max == noLength || n <= m.max))
}

func (m *length) words() words {
	want := "len"
	if m.min == m.max {
		want += " " + strconv.Itoa(m.min)
	} else {
		if m.min != noLength {
			want += " min " + strconv.Itoa(m.min)
		}
		if m.max != noLength {
			want += " max " + strconv.Itoa(m.max)
		}
	}
	return words{want, "of another length", "does not have " + want}
}

// present asks whether the caller gave the argument at all.
type present struct{ wanted bool }

func (m present) judge(v toolcall.JSON) outcome {
	if v.Type() == toolcall.Null {
		return isNull
	}
	return outcomeOf(v.IsZero() != m.wanted)
}

func (m present) words() words {
	if m.wanted {
		return words{"present: true", "absent", "is absent"}
	}
	return words{"present: false", "present", "is given, and must not be"}
}
