package toolcall_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// stretch is what a test masks: text from the first to the last byte of part,
// with a scalar where one is given.
type stretch struct{ part, text, scalar string }

func mask(t testing.TB, doc toolcall.JSON, stretches ...stretch) (string, toolcall.JSON, error) {
	t.Helper()
	m := toolcall.NewMasker("<", doc, 2)
	at := 0
	for _, s := range stretches {
		found := strings.Index(doc.Text()[at:], s.part)
		if found < 0 {
			t.Fatalf("no %s behind byte %d of %s", s.part, at, doc.Text())
		}
		start := at + found
		at = start + len(s.part)
		if s.scalar != "" {
			m.Scalar(start, at, parse(t, s.scalar))
		} else {
			m.Text(start, at, s.text)
		}
	}
	return m.Done(">")
}

// The manual of masks: parts of strings and whole scalars, at any depth of
// escapes; all else keeps its bytes.
func TestMask(t *testing.T) {
	for _, c := range []struct {
		doc       string
		stretches []stretch
		want      string
	}{
		{`{"a":1}`, nil, `{"a":1}`},
		{`{"a":"secret"}`, []stretch{{part: "secret", text: "[x]"}}, `{"a":"[x]"}`},
		{`{ "a" : "a secret here" }`, []stretch{{part: "secret", text: "[x]"}}, `{ "a" : "a [x] here" }`},
		{`{"a":"secret"}`, []stretch{{part: "secret"}}, `{"a":""}`},
		{`["","b"]`, []stretch{{part: `b`, text: "y"}}, `["","y"]`},
		{`[1,2.5e3 ,true,"1"]`, []stretch{{part: "2.5e3", scalar: "0"}, {part: "true", scalar: "false"}}, `[1,0 ,false,"1"]`},
		{`12`, []stretch{{part: "12", scalar: "0"}}, `0`},
		{`"12"`, []stretch{{part: "12", text: "0"}}, `"0"`},
		{`"\u00412\n"`, []stretch{{part: `\u0041`, text: "-"}, {part: "2", text: "-"}}, `"--\n"`},
		{`"\\\\secret\\"`, []stretch{{part: "secret", text: "-"}}, `"\\\\-\\"`},
		{`"{\"ssn\":\"123\",\"n\":7}"`, []stretch{{part: "123", text: "x"}, {part: "7", text: "0"}}, `"{\"ssn\":\"x\",\"n\":0}"`},
		{`"é\u00e9\ud83d\ude00é"`, []stretch{{part: `\u00e9\ud83d\ude00`, text: "-"}}, `"é-é"`},
		{`{"secret":1}`, []stretch{{part: "secret", text: "name"}}, `{"name":1}`},
	} {
		doc := parse(t, c.doc)
		whole, got, err := mask(t, doc, c.stretches...)
		if err != nil || got.Text() != c.want || whole != "<"+c.want+">" || doc.Text() != c.doc {
			t.Errorf("%s: got %s in %s, %v; want %s", c.doc, got.Text(), whole, err, c.want)
		}
	}
}

func TestMaskRefuses(t *testing.T) {
	for _, c := range []struct {
		why, doc string
		stretch  stretch
	}{
		{"a mask with a quote", `["ab"]`, stretch{part: "ab", text: `"`}},
		{"a mask with a backslash", `["ab"]`, stretch{part: "ab", text: `\n`}},
		{"a mask with a control character", `["ab"]`, stretch{part: "ab", text: "\n"}},
		{"a mask beyond ASCII", `["ab"]`, stretch{part: "ab", text: "é"}},
		{"the end of a string", `["ab","cd"]`, stretch{part: `b","c`, text: "x"}},
		{"a quote", `["ab"]`, stretch{part: `b"`, text: "x"}},
		{"half of an escape, the front", `["a\nb"]`, stretch{part: `a\`, text: "x"}},
		{"half of an escape, the back", `["a\nb"]`, stretch{part: `nb`, text: "x"}},
		{"half of a \\u escape", `["\u0041b"]`, stretch{part: `41b`, text: "x"}},
		{"its last digit", `["\u0041b"]`, stretch{part: `1b`, text: "x"}},
		{"a half of a surrogate pair", `["\ud83d\ude00b"]`, stretch{part: `\ude00b`, text: "x"}},
		{"the other half", `["b\ud83d\ude00"]`, stretch{part: `b\ud83d`, text: "x"}},
		{"half of a character", `["é"]`, stretch{part: "\xa9", text: "x"}},
		{"half of a number", `[123]`, stretch{part: "12", scalar: "0"}},
		{"the rest of a number", `[123]`, stretch{part: "23", scalar: "0"}},
		{"a number by a string", `[123]`, stretch{part: "123", scalar: `"x"`}},
		{"a number by an array", `[123]`, stretch{part: "123", scalar: `[]`}},
		{"a string by a number", `["1"]`, stretch{part: `"1"`, scalar: `0`}},
		{"a string's digits by a number", `["a1"]`, stretch{part: `1`, scalar: `0`}},
		{"null", `[null]`, stretch{part: `null`, scalar: `0`}},
		{"a stretch past the end", `[1]`, stretch{part: `]`, text: `0`}},
	} {
		whole, got, err := mask(t, parse(t, c.doc), c.stretch)
		if !errors.Is(err, toolcall.ErrMask) || whole != "" || !got.IsZero() {
			t.Errorf("%s: got %s, %v", c.why, whole, err)
		}
	}
	m := toolcall.NewMasker("", parse(t, `["abcdef"]`), 0)
	m.Text(4, 6, "x")
	m.Text(5, 7, "x")
	if _, _, err := m.Done(""); !errors.Is(err, toolcall.ErrMask) {
		t.Errorf("an overlap: %v", err)
	}
	m = toolcall.NewMasker("", parse(t, `["abcdef"]`), 0)
	m.Text(6, 4, "x")
	if _, _, err := m.Done(""); !errors.Is(err, toolcall.ErrMask) {
		t.Errorf("a stretch that ends before it starts: %v", err)
	}
}

// stringsOf is where the insides of the strings of a proved text stand.
func stringsOf(text string) (spans [][2]int) {
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		start := i + 1
		for i = start; text[i] != '"'; i++ {
			if text[i] == '\\' {
				i++
			}
		}
		spans = append(spans, [2]int{start, i})
	}
	return spans
}

// shape is a tree without its leaves and names: what masks must not change.
func shape(j toolcall.JSON) any {
	switch j.Type() {
	case toolcall.ArrayType:
		list := []any{}
		for e := j.Elements(); e.Next(); {
			list = append(list, shape(e.Value()))
		}
		return list
	case toolcall.ObjectType:
		list := []any{"object"}
		for m := j.Members(); m.Next(); {
			list = append(list, shape(m.Value()))
		}
		return list
	}
	return j.Type().String()
}

// Law 1: what leaves the Masker reads as the strict scan would have it, whatever
// stretches it is given, as long as those of Text begin inside of a string. Names
// may become equal; that is the promise of whoever masks them.
func FuzzMask(f *testing.F) {
	for _, c := range readAmbiguous(f) {
		f.Add(c.text, uint64(1))
	}
	for i, doc := range []string{`{"a":"xéy\u00e9\ud83d\ude00\n\\","b":[1,-2.5e7,true,false,null,""]}`, `"{\"a\":\"\\u0041\\\"\"}"`, `[[{}],12]`} {
		f.Add(doc, uint64(i))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		doc, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: fuzzDepth})
		if err != nil {
			return
		}
		r := rand.New(rand.NewPCG(seed, 0))
		inside := stringsOf(doc.Text())
		for range 8 {
			m := toolcall.NewMasker("", doc, 0)
			if len(inside) > 0 && r.IntN(2) == 0 {
				span := inside[r.IntN(len(inside))]
				start := span[0] + r.IntN(span[1]-span[0]+1)
				m.Text(start, start+r.IntN(len(doc.Text())-start+1), [...]string{"", "x", "[redacted]"}[r.IntN(3)])
			} else {
				start := r.IntN(doc.Len())
				m.Scalar(start, start+r.IntN(min(6, doc.Len()-start)+1), [...]toolcall.JSON{toolcall.Integer(0), toolcall.Bool(false)}[r.IntN(2)])
			}
			whole, masked, err := m.Done("")
			if err != nil {
				continue
			}
			again, err := toolcall.Parse(whole, toolcall.Limits{Bytes: len(whole), Depth: fuzzDepth})
			if err != nil {
				if strings.Contains(err.Error(), "already has") {
					continue
				}
				t.Fatalf("%s became %s: %v", doc.Text(), whole, err)
			}
			if again.Text() != masked.Text() || sameShape(again, doc) != "" {
				t.Fatalf("%s became %s: %s", doc.Text(), whole, sameShape(again, doc))
			}
		}
	})
}

// sameShape tells where a and b differ in more than names and scalars: a number
// and a boolean may stand for each other, a string stays a string.
func sameShape(a, b toolcall.JSON) string {
	scalar := strings.NewReplacer("number", "scalar", "boolean", "scalar")
	var normal func(v any) any
	normal = func(v any) any {
		switch v := v.(type) {
		case []any:
			out := []any{}
			for _, e := range v {
				out = append(out, normal(e))
			}
			return out
		case string:
			return scalar.Replace(v)
		}
		return v
	}
	if !reflect.DeepEqual(normal(shape(a)), normal(shape(b))) {
		return "another shape"
	}
	return ""
}
