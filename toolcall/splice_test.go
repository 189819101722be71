package toolcall_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"mcpguard/toolcall"
)

// at is the value at a path that a test is sure of.
func at(t testing.TB, doc toolcall.JSON, path string) toolcall.JSON {
	t.Helper()
	p, err := toolcall.CompilePath(path)
	if err != nil {
		t.Fatal(err)
	}
	v, found := doc.Get(p)
	if found != toolcall.Found {
		t.Fatalf("nothing at %s", path)
	}
	return v
}

// Law 10: what no edit touches keeps its bytes. "-" takes out.
func TestSplice(t *testing.T) {
	for _, c := range []struct {
		doc   string
		edits map[string]string // path -> text, or "-" to take out
		want  string
	}{
		{`{"a":1,"b":2}`, nil, `{"a":1,"b":2}`},
		{`{ "a" : 1 , "b":2}`, map[string]string{"a": `"x"`}, `{ "a" : "x" , "b":2}`},
		{`{"a":"\u0041","n":1.50}`, map[string]string{"n": "2"}, `{"a":"\u0041","n":2}`},
		{`{"a":1,"b":2}`, map[string]string{"b": `{"c":[]}`, "a": "null"}, `{"a":null,"b":{"c":[]}}`},
		{`{"a":{"b":{"c":"secret"}}}`, map[string]string{"a.b.c": `"[redacted]"`}, `{"a":{"b":{"c":"[redacted]"}}}`},
		{`[1,2,3]`, map[string]string{"0": "-"}, `[2,3]`},
		{`[1,2,3]`, map[string]string{"1": "-"}, `[1,3]`},
		{`[1,2,3]`, map[string]string{"2": "-"}, `[1,2]`},
		{`[1,2,3]`, map[string]string{"0": "-", "1": "-"}, `[3]`},
		{`[1,2,3]`, map[string]string{"1": "-", "2": "-"}, `[1]`},
		{`[1,2,3]`, map[string]string{"0": "-", "2": "-"}, `[2]`},
		{`[1,2,3]`, map[string]string{"0": "-", "1": "-", "2": "-"}, `[]`},
		{`[1,2,3]`, map[string]string{"1": "[9]", "2": "-"}, `[1,[9]]`},
		{`[ 1 , 2 ]`, map[string]string{"0": "-"}, `[ 2 ]`},
		{`[ 1 , 2 ]`, map[string]string{"1": "-"}, `[ 1  ]`},
		{`[ 1 ]`, map[string]string{"0": "-"}, `[  ]`},
		{`{"a":1,"b":2,"c":3}`, map[string]string{"a": "-"}, `{"b":2,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, map[string]string{"b": "-"}, `{"a":1,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, map[string]string{"c": "-"}, `{"a":1,"b":2}`},
		{`{"a":1}`, map[string]string{"a": "-"}, `{}`},
		{`{"a\",b" : "x" , "b":[{"c":","}]}`, map[string]string{`a",b`: "-", "b.0.c": "-"}, `{"b":[{}]}`},
		{`{"a":[1,2],"b":[3,4]}`, map[string]string{"a.1": "-", "b.0": "-"}, `{"a":[1],"b":[4]}`},
		{`{"a":",","b":"]"}`, map[string]string{"b": "-"}, `{"a":","}`},
		{`{"ssn":"1","rows":[{"ssn":"2","k":0}]}`, map[string]string{"ssn": "-", "rows.0.ssn": "-"}, `{"rows":[{"k":0}]}`},
	} {
		doc := parse(t, c.doc)
		var edits []toolcall.Edit
		for path, with := range c.edits { // in any order
			e := toolcall.Edit{At: at(t, doc, path)}
			if with != "-" {
				e.With = parse(t, with)
			}
			edits = append(edits, e)
		}
		got, err := toolcall.Splice(doc, edits)
		if err != nil || got.Text() != c.want {
			t.Errorf("%s with %v: got %s, %v; want %s", c.doc, c.edits, got.Text(), err, c.want)
		}
		if doc.Text() != c.doc {
			t.Errorf("%s was changed to %s", c.doc, doc.Text())
		}
	}
}

func TestSpliceWhole(t *testing.T) {
	doc := parse(t, ` {"a":1} `)
	if got, err := toolcall.Splice(doc, []toolcall.Edit{{At: doc, With: parse(t, "7")}}); err != nil || got.Text() != "7" {
		t.Errorf("replace the document: %s, %v", got.Text(), err)
	}
}

// An edit that does not replace a value of the document would make a text that
// nobody proved. All of them are refused.
func TestSpliceRefuses(t *testing.T) {
	doc := parse(t, `{"name":"x","text":"[1,{\"b\":2},true]","list":"[1,2]","n":12345,"sub":{"deep":[1,2]},"e":""}`)
	inner := func(text, path string) toolcall.JSON { // JSON parsed out of the document's own bytes
		s, _ := doc.Member(text).Str()
		return at(t, parse(t, s), path)
	}
	cutFrom := func(from, to int) toolcall.JSON {
		s := doc.Member("n").Text()
		return parse(t, s[from:to])
	}
	nameOf := func(j toolcall.JSON) toolcall.JSON {
		m := j.Members()
		m.Next()
		return m.RawName()
	}
	with := toolcall.Quote("x")
	sub := doc.Member("sub")
	for what, edits := range map[string][]toolcall.Edit{
		"a zero place":                {{With: with}},
		"a value of another document": {{At: parse(t, `{"name":"x"}`).Member("name"), With: with}},
		"a member name":               {{At: nameOf(doc), With: with}},
		"a member name taken out":     {{At: nameOf(doc)}},
		"a member name further down":  {{At: nameOf(sub), With: with}},
		"JSON inside a string":        {{At: inner("list", "0"), With: with}},
		"JSON inside a string, out":   {{At: inner("list", "1")}},
		"the JSON that a string is":   {{At: parse(t, doc.Member("list").Text()[1:6]), With: with}},
		"the front of a number":       {{At: cutFrom(0, 2), With: with}},
		"the middle of a number":      {{At: cutFrom(2, 3), With: with}},
		"the end of a number":         {{At: cutFrom(3, 5), With: with}},
		"the document taken out":      {{At: doc}},
		"one place twice":             {{At: sub, With: with}, {At: sub, With: with}},
		"a value and a part of it":    {{At: sub, With: with}, {At: sub.Member("deep"), With: with}},
		"a part of what is taken out": {{At: sub.Member("deep")}, {At: sub}},
		"everything and a part of it": {{At: doc, With: with}, {At: sub, With: with}},
		"a good edit and a bad one":   {{At: sub, With: with}, {At: nameOf(doc), With: with}},
	} {
		if got, err := toolcall.Splice(doc, edits); !errors.Is(err, toolcall.ErrSplice) || !got.IsZero() {
			t.Errorf("%s: got %s, %v; want ErrSplice", what, got.Text(), err)
		}
	}
}

// Many edits cost one pass: 10,000 values taken out of 10,000 take about as long
// as a few scans of the text.
func TestSpliceIsLinear(t *testing.T) {
	const rows = 10_000
	var b strings.Builder
	for i := range rows {
		fmt.Fprintf(&b, `,{"id":%d,"ssn":"123-45-%04d","name":"Customer %d"}`, i, i, i)
	}
	doc := parse(t, `{"rows":[`+b.String()[1:]+`]}`)
	var whole, members []toolcall.Edit
	for row := doc.Member("rows").Elements(); row.Next(); {
		whole = append(whole, toolcall.Edit{At: row.Value()})
		members = append(members, toolcall.Edit{At: row.Value().Member("ssn")})
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(rows, func(i, j int) { whole[i], whole[j] = whole[j], whole[i] })
	started := time.Now()
	if got, err := toolcall.Splice(doc, whole); err != nil || got.Text() != `{"rows":[]}` {
		t.Errorf("take all rows out: %.100s, %v", got.Text(), err)
	}
	got, err := toolcall.Splice(doc, members)
	if err != nil || strings.Contains(got.Text(), "ssn") {
		t.Errorf("take all ssn out: %.100s, %v", got.Text(), err)
	}
	if took := time.Since(started); took > 2*time.Second { // quadratic takes minutes
		t.Errorf("20,000 edits took %v", took)
	}
}

// randomEdits chooses edits of values that do not overlap, and the tree that
// they should lead to.
func randomEdits(r *rand.Rand, v toolcall.JSON, edits *[]toolcall.Edit) (want any, kept bool) {
	switch r.IntN(6) {
	case 0:
		*edits = append(*edits, toolcall.Edit{At: v})
		return nil, false
	case 1:
		with := []string{`"x"`, "null", `{"k":[1,","]}`, "[]", "-7.5e1", `"\"]"`}[r.IntN(6)]
		j, err := toolcall.Parse(with, toolcall.Limits{Bytes: 100, Depth: 9})
		if err != nil {
			panic(err)
		}
		*edits = append(*edits, toolcall.Edit{At: v, With: j})
		return tree(j), true
	}
	switch v.Type() {
	case toolcall.ArrayType:
		array := []any{}
		for e := v.Elements(); e.Next(); {
			if part, ok := randomEdits(r, e.Value(), edits); ok {
				array = append(array, part)
			}
		}
		return array, true
	case toolcall.ObjectType:
		object := map[string]any{}
		for m := v.Members(); m.Next(); {
			if part, ok := randomEdits(r, m.Value(), edits); ok {
				object[m.Name()] = part
			}
		}
		return object, true
	}
	return tree(v), true
}

// Splice does to the text what the edits do to the tree, and the result is
// strict JSON without a second scan.
func FuzzSplice(f *testing.F) {
	for i, c := range readAmbiguous(f) {
		f.Add(c.text, uint64(i))
	}
	f.Add(" {\"a\" : [1, {\"b\":\"\\\"\"} , []] ,\n\"c\": {\"d\" : {}}} ", uint64(7))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		doc, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: fuzzDepth})
		if err != nil {
			return
		}
		r := rand.New(rand.NewPCG(seed, 1))
		var edits []toolcall.Edit
		want, kept := randomEdits(r, doc, &edits)
		r.Shuffle(len(edits), func(i, j int) { edits[i], edits[j] = edits[j], edits[i] })
		got, err := toolcall.Splice(doc, edits)
		if !kept {
			if !errors.Is(err, toolcall.ErrSplice) {
				t.Fatalf("%q: the document was taken out: %q, %v", text, got.Text(), err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !jsontext.Value(got.Text()).IsValid() || !reflect.DeepEqual(tree(got), want) {
			t.Fatalf("%q with %d edits became %q", text, len(edits), got.Text())
		}
		if len(edits) == 0 && got.Text() != doc.Text() {
			t.Fatalf("%q became %q without an edit", text, got.Text())
		}
	})
}
