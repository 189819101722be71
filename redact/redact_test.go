package redact_test

import (
	"errors"
	"strings"
	"testing"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// redactRoot redacts a document that is one root.
func redactRoot(t *testing.T, doc string, paths ...string) (string, []redact.Finding, error) {
	t.Helper()
	j := parse(t, doc)
	out, findings, err := redactor(t, paths...).Redact(j, redact.Surface{Roots: []toolcall.JSON{j}})
	return out.Text(), findings, err
}

// The manual of paths and masks: what a path says, what comes out.
func TestPathsMask(t *testing.T) {
	for _, c := range []struct{ why, path, doc, want string }{
		{"a member", "ssn", `{"ssn":"123"}`, `{"ssn":"[redacted]"}`},
		{"a member of a member", "a.ssn", `{"a":{"ssn":"123"},"ssn":"kept"}`, `{"a":{"ssn":"[redacted]"},"ssn":"kept"}`},
		{"every element", "rows.#.ssn", `{"rows":[{"ssn":"1"},{"ssn":"2"},{}]}`, `{"rows":[{"ssn":"[redacted]"},{"ssn":"[redacted]"},{}]}`},
		{"arrays in arrays", "a.#.b.#.c", `{"a":[{"b":[{"c":1},{"c":2}]},{"b":[{"c":3}]}]}`, `{"a":[{"b":[{"c":0},{"c":0}]},{"b":[{"c":0}]}]}`},
		{"arrays right in arrays", "a.#.#.c", `{"a":[[{"c":1}],[],[{"c":2},{"c":3}]]}`, `{"a":[[{"c":0}],[],[{"c":0},{"c":0}]]}`},
		{"one element", "rows.1", `{"rows":["a","b","c"]}`, `{"rows":["a","[redacted]","c"]}`},
		{"an index is also a name", "rows.1", `{"rows":{"0":"a","1":"b"}}`, `{"rows":{"0":"a","1":"[redacted]"}}`},
		{"index and each", "rows.0.#", `{"rows":[[1,2],[3]]}`, `{"rows":[[0,0],[3]]}`},
		{"all members", "headers.*", `{"headers":{"a":"1","b":2}}`, `{"headers":{"a":"[redacted]","b":0}}`},
		{"all elements", "list.*", `{"list":["a",true]}`, `{"list":["[redacted]",false]}`},
		{"all members, not only the first", "*.ssn", `{"a":{"ssn":1},"b":{"ssn":2}}`, `{"a":{"ssn":0},"b":{"ssn":0}}`},
		{"any depth, the top included", "**.ssn", `{"ssn":1,"a":[{"ssn":2,"b":{"c":[[{"ssn":3}]]}}]}`, `{"ssn":0,"a":[{"ssn":0,"b":{"c":[[{"ssn":0}]]}}]}`},
		{"any depth, itself below itself", "**.a.b", `{"a":{"a":{"b":1},"b":2}}`, `{"a":{"a":{"b":0},"b":0}}`},
		{"any depth below a member", "x.**.ssn", `{"x":{"y":{"ssn":1}},"ssn":2}`, `{"x":{"y":{"ssn":0}},"ssn":2}`},
		{"two any depths", "**.a.**.b", `{"z":{"a":[{"q":{"b":1}}],"b":2}}`, `{"z":{"a":[{"q":{"b":0}}],"b":2}}`},
		{"everything below the top", "**.*", `{"a":[1,{"b":"x"}]}`, `{"a":[0,{"b":"[redacted]"}]}`},
		{"scalars at any depth", "**.#", `{"a":[1,[2]],"b":"kept"}`, `{"a":[0,[0]],"b":"kept"}`},
		{"a dot in a name", `a\.b`, `{"a.b":1,"a":{"b":2}}`, `{"a.b":0,"a":{"b":2}}`},
		{"a star in a name", `a\*`, `{"a*":1,"ab":2}`, `{"a*":0,"ab":2}`},
		{"a name spelled with escapes", "name", `{"n\u0061me":"x"}`, `{"n\u0061me":"[redacted]"}`},
		{"a name beyond ASCII, of any case", "größe", `{"GRÖßE":1,"größe":2,"grösse":3}`, `{"GRÖßE":0,"größe":0,"grösse":3}`},
		{"nameless members", "a", `{"":1,"a":2}`, `{"":1,"a":0}`},
		{"an empty document", "a.b", `{}`, `{}`},
		{"types stay: every leaf of an object", "o", `{"o":{"s":"x","n":1.5,"t":true,"f":false,"z":null,"a":[1,"y"],"e":{},"l":[]}}`,
			`{"o":{"s":"[redacted]","n":0,"t":false,"f":false,"z":null,"a":[0,"[redacted]"],"e":{},"l":[]}}`},
		{"white space and key order stay", "b", "{ \"z\" : 1 ,\n\t\"b\" : \"x\" , \"a\" : [ 1 , 2 ] }", "{ \"z\" : 1 ,\n\t\"b\" : \"[redacted]\" , \"a\" : [ 1 , 2 ] }"},
		{"big numbers elsewhere stay", "b", `{"n":12345678901234567890.10,"b":1}`, `{"n":12345678901234567890.10,"b":0}`},
		{"a long string, a number and a boolean in one", "a.*", `{"a":{"x":"0123456789","y":-1e400,"z":true}}`, `{"a":{"x":"[redacted]","y":0,"z":false}}`},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, _, err := redactRoot(t, c.doc, c.path)
			if err != nil || got != c.want {
				t.Errorf("%s in %s\n got %s, %v\nwant %s", c.path, c.doc, got, err, c.want)
			}
		})
	}
}

// Absent is nothing to do; the wrong shape on the way is a value that nobody can
// judge.
func TestWrongShapeIsWithheld(t *testing.T) {
	for _, c := range []struct{ why, path, doc, reason string }{
		{"absent member", "cards.#.number", `{"a":1}`, ""},
		{"null on the way", "cards.#.number", `{"cards":null}`, ""},
		{"null element", "cards.#.number", `{"cards":[null,{"number":null}]}`, ""},
		{"null root", "cards.#.number", `null`, ""},
		{"empty array", "cards.#.number", `{"cards":[]}`, ""},
		{"an index beyond the end", "cards.7.number", `{"cards":[{}]}`, ""},
		{"an object instead of an array", "cards.#.number", `{"cards":{"number":"4111"}}`, "an object stands where the path goes on"},
		{"a string instead of an array", "cards.#.number", `{"cards":"4111"}`, "a string stands where the path goes on"},
		{"a string among the elements", "cards.#.number", `{"cards":[{"number":"1"},"4111"]}`, "a string stands where the path goes on"},
		{"a number instead of an object", "a.ssn", `{"a":123456789}`, "a number stands where the path goes on"},
		{"a boolean instead of an object", "a.ssn", `{"a":true}`, "a boolean stands where the path goes on"},
		{"an array instead of an object", "a.ssn", `{"a":[{"ssn":"1"}]}`, "an array stands where the path goes on"},
		{"an array for a name that is no index", "a.01", `{"a":["x","y"]}`, "an array stands where the path goes on"},
		{"an array root", "ssn", `[{"ssn":"1"}]`, "an array stands where the path goes on"},
		{"a number root", "ssn", `5`, "a number stands where the path goes on"},
		{"a string for a star", "headers.*", `{"headers":"a: b"}`, "a string stands where the path goes on"},
		{"before any depth", "x.**.ssn", `[{"ssn":"1"}]`, "an array stands where the path goes on"},
		{"scalars on the way of any depth", "**.ssn", `{"a":1,"b":["x",true,[]],"c":null}`, ""},
		{"inside what is masked anyway", "cards.#.number", `{"cards":[]}`, ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, _, err := redactRoot(t, c.doc, c.path)
			if c.reason == "" {
				if err != nil || got != c.doc {
					t.Errorf("got %s, %v; want it as it was", got, err)
				}
				return
			}
			var w *redact.Withheld
			if !errors.As(err, &w) || w.Reason != c.reason || w.Profile != "pii" || w.Path != c.path || got != "" {
				t.Errorf("got %q, %v; want it withheld: %s", got, err, c.reason)
			}
		})
	}
}

// Some steps behind a "**" a member of the same name may be another thing. It is
// not worth a whole message, but it goes.
func TestWrongShapeBehindAnyDepthIsMasked(t *testing.T) {
	for _, c := range []struct{ path, doc, want string }{
		{"**.user.ssn", `{"user":"4111 1111"}`, `{"user":"[redacted]"}`},
		{"**.user.ssn", `{"user":[{"ssn":1,"x":2}]}`, `{"user":[{"ssn":0,"x":0}]}`},
		{"**.cards.#.number", `{"a":{"cards":{"number":"1","type":"visa"}}}`, `{"a":{"cards":{"number":"[redacted]","type":"[redacted]"}}}`},
		{"**.cards.#.number", `{"cards":null}`, `{"cards":null}`},
	} {
		got, _, err := redactRoot(t, c.doc, c.path)
		if err != nil || got != c.want {
			t.Errorf("%s in %s: got %s, %v; want %s", c.path, c.doc, got, err, c.want)
		}
	}
}

// What one path masks as a whole, another path cannot find oddly shaped.
func TestMaskedValuesHaveNoShape(t *testing.T) {
	got, _, err := redactRoot(t, `{"cards":{"number":"1"}}`, "cards", "cards.#.number")
	if err != nil || got != `{"cards":{"number":"[redacted]"}}` {
		t.Errorf("got %s, %v", got, err)
	}
}

// A reader that ignores case, as encoding/json does, must not find what a path
// of another case left behind.
func TestNamesOfOtherCaseDoNotSlipThrough(t *testing.T) {
	got, findings, err := redactRoot(t, `{"SSN":"1","ſſn":"2","s\u0053n":"3","ssn\u0000x":"4","ssn ":"kept","ss":"kept"}`, "**.ssn")
	want := `{"SSN":"[redacted]","ſſn":"[redacted]","s\u0053n":"[redacted]","ssn\u0000x":"[redacted]","ssn ":"kept","ss":"kept"}`
	if err != nil || got != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	if len(findings) != 1 || findings[0].Count != 4 {
		t.Errorf("findings %v, want one of 4", findings)
	}
	got, _, err = redactRoot(t, `{"PASſWORD":"1","password":"2","toKen":"3"}`, "passWord", "toKen")
	if err != nil || got != `{"PASſWORD":"[redacted]","password":"[redacted]","toKen":"[redacted]"}` {
		t.Errorf("names beyond ASCII in document and path: got %s, %v", got, err)
	}
}

func TestRequiredValues(t *testing.T) {
	r := redact.New(profile(t, redact.Spec{Name: "strict", Paths: []string{"**.other"}, Require: []string{"**.ssn"}}))
	for doc, want := range map[string]string{
		`{"a":{"ssn":"123"}}`: `{"a":{"ssn":"[redacted]"}}`,
		`{"a":{"ssn":null}}`:  `{"a":{"ssn":null}}`,
		`{"other":"x"}`:       "",
		`{"a":["ssn"]}`:       "",
		`[]`:                  "",
	} {
		j := parse(t, doc)
		out, _, err := r.Redact(j, redact.Surface{Roots: []toolcall.JSON{j}})
		var w *redact.Withheld
		switch {
		case want != "" && (err != nil || out.Text() != want):
			t.Errorf("%s: got %s, %v; want %s", doc, out.Text(), err, want)
		case want == "" && (!errors.As(err, &w) || w.Path != "**.ssn" || w.Profile != "strict" || !out.IsZero()):
			t.Errorf("%s: got %s, %v; want it withheld", doc, out.Text(), err)
		}
	}
	if _, _, err := r.Redact(toolcall.JSON{}, redact.Surface{}); err == nil {
		t.Error("no document at all has the required value")
	}
}

// A required value may stand anywhere in the message: in the text only.
func TestRequiredValueInText(t *testing.T) {
	r := redact.New(profile(t, redact.Spec{Name: "strict", Require: []string{"ssn"}}))
	doc := parse(t, `{"structuredContent":{"a":1},"content":[{"type":"text","text":"{\"ssn\":\"1\"}"}]}`)
	out, _, err := r.Redact(doc, result(doc))
	if err != nil || !strings.Contains(out.Text(), `"{\"ssn\":\"[redacted]\"}"`) {
		t.Errorf("got %s, %v", out.Text(), err)
	}
}

func TestFindingsSayWhereNotWhat(t *testing.T) {
	doc := parse(t, `{"content":[{"type":"text","text":"{\"ssn\":\"123-45-6789\"}"},{"type":"text","text":"it is 123-45-6789, really 123-45-6789"}],`+
		`"structuredContent":{"ssn":"123-45-6789","again":"123-45-6789"}}`)
	_, findings, err := redactor(t, "**.ssn", "nothing").Redact(doc, result(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := []redact.Finding{
		{Profile: "pii", Path: "**.ssn", Surface: "root", Count: 1},
		{Profile: "pii", Path: "**.ssn", Surface: "text", Count: 1},
		{Profile: "pii", Path: "**.ssn", Surface: "copy", Count: 3},
	}
	if len(findings) != len(want) {
		t.Fatalf("findings %v, want %v", findings, want)
	}
	for i := range want {
		if findings[i] != want[i] {
			t.Errorf("finding %d is %v, want %v", i, findings[i], want[i])
		}
	}
}

// A second redaction changes nothing: masks are taken for what they are.
func TestRedactionIsIdempotent(t *testing.T) {
	first, _, err := redactRoot(t, `{"a":{"s":"0123456789","n":5,"b":true},"copy":"0123456789 [redacted]"}`, "a")
	if err != nil {
		t.Fatal(err)
	}
	again, findings, err := redactRoot(t, first, "a")
	if err != nil || again != first {
		t.Errorf("got %s, %v; want %s", again, err, first)
	}
	if len(findings) != 1 || findings[0].Count != 3 {
		t.Errorf("findings %v: masks count as found, so that a count tells nothing about values", findings)
	}
}

func TestUntouchedDocumentIsTheSame(t *testing.T) {
	text := " { \"a\" : [ 1.0 , \"\\u0041\\/\" ] } "
	j := parse(t, text)
	out, findings, err := redactor(t, "**.ssn").Redact(j, redact.Surface{Roots: []toolcall.JSON{j}})
	if err != nil || !same(out, j) || findings != nil {
		t.Errorf("got %s, %v, %v", out.Text(), findings, err)
	}
}

func TestSurfaceOutsideTheDocumentIsWithheld(t *testing.T) {
	doc, stranger := parse(t, `{"a":1}`), parse(t, `{"ssn":"1"}`)
	out, _, err := redactor(t, "ssn").Redact(doc, redact.Surface{Roots: []toolcall.JSON{stranger}})
	var w *redact.Withheld
	if !errors.As(err, &w) || !out.IsZero() {
		t.Errorf("got %s, %v; want it withheld", out.Text(), err)
	}
}

// Roots may overlap, and the same value may be named twice.
func TestRootsInsideRoots(t *testing.T) {
	doc := parse(t, `{"a":{"ssn":1,"b":{"ssn":2}},"ssn":3}`)
	a := doc.Member("a")
	out, _, err := redactor(t, "ssn", "a.ssn").Redact(doc, redact.Surface{Roots: []toolcall.JSON{a.Member("b"), doc, a, a}})
	if err != nil || out.Text() != `{"a":{"ssn":0,"b":{"ssn":0}},"ssn":0}` {
		t.Errorf("got %s, %v", out.Text(), err)
	}
	out, findings, err := redactor(t, "**.ssn").Redact(doc, redact.Surface{Roots: []toolcall.JSON{doc, a}})
	if err != nil || out.Text() != `{"a":{"ssn":0,"b":{"ssn":0}},"ssn":0}` || findings[0].Count != 3 {
		t.Errorf("got %s, %v, %v", out.Text(), findings, err)
	}
}

// Only what the surface names is under the paths.
func TestPathsStayInsideTheirRoots(t *testing.T) {
	doc := parse(t, `{"ssn":"outside","structuredContent":{"ssn":"inside"},"_meta":{"ssn":"outside"}}`)
	out, _, err := redactor(t, "**.ssn").Redact(doc, result(doc))
	if err != nil || out.Text() != `{"ssn":"outside","structuredContent":{"ssn":"[redacted]"},"_meta":{"ssn":"outside"}}` {
		t.Errorf("got %s, %v", out.Text(), err)
	}
}

func TestWithheldSaysWhy(t *testing.T) {
	doc := parse(t, `{"content":[{"text":"{"}],"structuredContent":{"cards":{}}}`)
	want := `redact: withheld: a text looks like JSON and is not: byte 1: the text ends inside an object`
	if _, _, err := redactor(t, "**.ssn").Redact(doc, result(doc)); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	want = `redact: withheld: pii, path cards.#.number: an object stands where the path goes on`
	if _, _, err := redactRoot(t, `{"cards":{}}`, "cards.#.number"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestWithheldQuotesNothing(t *testing.T) {
	doc := parse(t, `{"content":[{"text":"{\"ssn\": \"123-45-6789\",}"}],"structuredContent":{"cards":"4111-1111"}}`)
	for _, path := range []string{"**.ssn", "cards.#.number"} {
		_, _, err := redactor(t, path).Redact(doc, result(doc))
		if err == nil {
			t.Fatalf("%s: not withheld", path)
		}
		for _, secret := range []string{"123-45", "4111"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error quotes the document: %v", path, err)
			}
		}
	}
}
