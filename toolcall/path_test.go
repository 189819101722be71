package toolcall_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"mcpguard/toolcall"
)

func TestCompilePath(t *testing.T) {
	name := func(s string) toolcall.Step { return toolcall.Step{Kind: toolcall.StepName, Name: s, Index: -1} }
	index := func(s string, i int) toolcall.Step { return toolcall.Step{Kind: toolcall.StepName, Name: s, Index: i} }
	each := toolcall.Step{Kind: toolcall.StepEach}
	anyOf := toolcall.Step{Kind: toolcall.StepAny}
	deep := toolcall.Step{Kind: toolcall.StepDeep}
	for text, want := range map[string][]toolcall.Step{
		"amount":                 {name("amount")},
		"customer.ssn":           {name("customer"), name("ssn")},
		"rows.0.id":              {name("rows"), index("0", 0), name("id")},
		"rows.12":                {name("rows"), index("12", 12)},
		"rows.01":                {name("rows"), name("01")}, // no index is written so
		"rows.-1":                {name("rows"), name("-1")},
		"rows.+1":                {name("rows"), name("+1")},
		"r.99999999999999999999": {name("r"), name("99999999999999999999")},
		"cards.#.number":         {name("cards"), each, name("number")},
		"a.#.b.#.c":              {name("a"), each, name("b"), each, name("c")},
		"#":                      {each},
		"headers.*":              {name("headers"), anyOf},
		"**.ssn":                 {deep, name("ssn")},
		"a.**.b.**.c":            {name("a"), deep, name("b"), deep, name("c")},
		"**.*":                   {deep, anyOf},
		`a\.b.c`:                 {name("a.b"), name("c")},
		`\@type`:                 {name("@type")},
		`\#`:                     {name("#")},
		`\*\*`:                   {name("**")},
		`a\\.b`:                  {name(`a\`), name("b")},
		`\0`:                     {name("0")}, // escaped, so only a name
		"größe.名前":               {name("größe"), name("名前")},
		"with space":             {name("with space")},
	} {
		p, err := toolcall.CompilePath(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := p.Steps()
		if p.String() != text || p.IsZero() || len(got) != len(want) {
			t.Errorf("%s: %d steps %+v, want %+v", text, len(got), got, want)
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: step %d is %+v, want %+v", text, i, got[i], want[i])
			}
		}
	}
}

// What computes in gjson, and what means nothing, is refused with the reason.
func TestCompilePathRefuses(t *testing.T) {
	for text, why := range map[string]string{
		"":                   "it is empty",
		".":                  "a part is empty",
		".a":                 "a part is empty",
		"a.":                 "a part is empty",
		"a..b":               "a part is empty",
		"..#":                "a part is empty",
		"@this":              `write \@`,
		"a.@reverse":         `write \@`,
		"a.@dig:ssn":         `write \@`,
		"a|b":                `write \|`,
		"!true":              `write \!`,
		"{a,b}":              `write \{`,
		"a.[b,c]":            `write \[`,
		"pass*":              `write \*`,
		"a.*b":               `write \*`,
		"a?":                 `write \?`,
		"***":                `write \*`,
		"a#":                 `write \#`,
		`rows.#(id==1).name`: "queries",
		`rows.#(id>1)#.name`: "queries",
		`a\`:                 "a backslash with nothing behind it",
		`a.b\`:               "a backslash with nothing behind it",
		"a.**":               "it ends in **",
		"**":                 "it ends in **",
		"**.**.a":            "** follows **",
		"a\xff":              "not UTF-8",
	} {
		p, err := toolcall.CompilePath(text)
		if !errors.Is(err, toolcall.ErrPath) || !strings.Contains(err.Error(), why) || !p.IsZero() {
			t.Errorf("%q: got %v, want a refusal that says %q", text, err, why)
		}
	}
}

func TestGet(t *testing.T) {
	doc := parse(t, `{"a":{"b":[10,{"c":null}]},"a.b":1,"0":"zero","n":5,"s":"{\"c\":1}","\u0065":true,"":"none"}`)
	for _, c := range []struct {
		path  string
		text  string
		found toolcall.Lookup
	}{
		{"a.b.0", "10", toolcall.Found},
		{"a.b.1.c", "null", toolcall.Found},
		{`a\.b`, "1", toolcall.Found},
		{"0", `"zero"`, toolcall.Found},
		{"e", "true", toolcall.Found},
		{"a.b.2", "", toolcall.Absent},
		{"a.x", "", toolcall.Absent},
		{"A", "", toolcall.Absent},
		{"x.y.z", "", toolcall.Absent},
		// A wrong type on the way is not absence, or a rule could be led past it.
		{"n.x", "", toolcall.Blocked},
		{"s.c", "", toolcall.Blocked},
		{"a.b.c", "", toolcall.Blocked},
		{"a.b.01", "", toolcall.Blocked},
		{`a.b.\0`, "", toolcall.Blocked},
		{"a.b.1.c.d", "", toolcall.Blocked},
		// A path of many places has no single value.
		{"a.b.#", "", toolcall.Blocked},
		{"a.*", "", toolcall.Blocked},
		{"**.c", "", toolcall.Blocked},
	} {
		p, err := toolcall.CompilePath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if got, found := doc.Get(p); got.Text() != c.text || found != c.found {
			t.Errorf("%s: got %q, %d; want %q, %d", c.path, got.Text(), found, c.text, c.found)
		}
	}
	if _, found := doc.Get(toolcall.Path{}); found != toolcall.Absent {
		t.Error("the zero path found something")
	}
	if _, found := (toolcall.JSON{}).Get(mustPath(t, "a")); found != toolcall.Absent {
		t.Error("something was found in the zero JSON")
	}
}

func mustPath(t testing.TB, text string) toolcall.Path {
	t.Helper()
	p, err := toolcall.CompilePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSingle(t *testing.T) {
	for text, want := range map[string]bool{"a.b.0": true, `\*`: true, "a.#": false, "*": false, "**.a": false} {
		if got := mustPath(t, text).Single(); got != want {
			t.Errorf("%s is single: %v, want %v", text, got, want)
		}
	}
}

// escapePath writes a name so that it stands for itself.
func escapePath(name string) string {
	var b strings.Builder
	for _, c := range name {
		if strings.ContainsRune(`\.*?#@|!{}[]`, c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Every value of a random document is found by its path, by us and by gjson
// alike; and what gjson finds at a path of ours, we find too.
func TestGetAgreesWithGJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	checked := 0
	var walk func(doc toolcall.JSON, v toolcall.JSON, path string)
	check := func(doc, want toolcall.JSON, path string) {
		checked++
		got, found := doc.Get(mustPath(t, path))
		if found != toolcall.Found || got.Text() != want.Text() {
			t.Fatalf("%s in %s: we find %q, want %q", path, doc.Text(), got.Text(), want.Text())
		}
		if g := gjson.Get(doc.Text(), path); g.Raw != want.Text() {
			t.Fatalf("%s in %s: gjson finds %q, want %q", path, doc.Text(), g.Raw, want.Text())
		}
	}
	walk = func(doc, v toolcall.JSON, path string) {
		if path != "" {
			check(doc, v, path)
			path += "."
		}
		i := 0
		for e := v.Elements(); e.Next(); i++ {
			walk(doc, e.Value(), path+string(rune('0'+i)))
		}
		for m := v.Members(); m.Next(); {
			if m.Name() != "" { // no path names it
				walk(doc, m.Value(), path+escapePath(m.Name()))
			}
		}
	}
	for range 2000 {
		object := map[string]any{"top": randomValue(r, 5)}
		doc := parse(t, respell(r, object))
		walk(doc, doc, "")
	}
	if checked < 2000 {
		t.Errorf("only %d paths were checked", checked)
	}
}

// No text makes CompilePath fall over; what compiles means the same to gjson.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"a.b", `a\.b`, "0.1", "#", "**.a", `\@this`, "@this", "a|b", "01", `a\`, "a.#.b", `\\`, `a\:b`, "é", ":1", "a~b"} {
		f.Add(path, uint64(len(path)))
	}
	f.Fuzz(func(t *testing.T, path string, seed uint64) {
		p, err := toolcall.CompilePath(path)
		if err != nil {
			return
		}
		if again := mustPath(t, p.String()); len(again.Steps()) != len(p.Steps()) {
			t.Fatalf("%q compiles in two ways", path)
		}
		if !p.Single() {
			return
		}
		// A document in which the path leads somewhere.
		var v any = json.Number("7")
		steps := p.Steps()
		for i := len(steps) - 1; i >= 0; i-- {
			if steps[i].Index >= 0 && steps[i].Index < 5 && seed>>(i%64)&1 == 0 {
				array := make([]any, steps[i].Index+1)
				array[steps[i].Index] = v
				v = array
			} else {
				v = map[string]any{steps[i].Name: v, steps[i].Name + "x": nil, "x" + steps[i].Name: false}
			}
		}
		doc := parse(t, respell(rand.New(rand.NewPCG(seed, 3)), v))
		got, found := doc.Get(p)
		n, ok := got.Number()
		if found != toolcall.Found || !ok || n.Compare(number(t, "7")) != 0 {
			t.Fatalf("%q in %q: got %q, %d", path, doc.Text(), got.Text(), found)
		}
		if g := gjson.Get(doc.Text(), path); g.Raw != got.Text() {
			t.Fatalf("%q in %q: gjson finds %q", path, doc.Text(), g.Raw)
		}
	})
}
