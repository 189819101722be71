package toolcall_test

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tidwall/gjson"

	"mcpguard/toolcall"
)

// fuzzDepth keeps the scan's limit below that of the two oracles (10,000).
const fuzzDepth = 200

// seedAmbiguous starts a fuzz target from what parsers are known to disagree on.
func seedAmbiguous(f *testing.F) {
	for _, c := range readAmbiguous(f) {
		f.Add(c.text)
	}
	f.Add(strings.Repeat("[", fuzzDepth+1))
}

// Law 1, one decode: what the scan accepts, encoding/json, go-json-experiment,
// gjson and our own cursors all read alike; and it accepts exactly what
// go-json-experiment does in its strict default.
func FuzzParse(f *testing.F) {
	seedAmbiguous(f)
	f.Fuzz(func(t *testing.T, text string) {
		j, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: fuzzDepth})
		if err != nil {
			checkRefusal(t, text, err)
			return
		}
		if !jsontext.Value(text).IsValid() {
			t.Fatalf("accepted %q, go-json-experiment refuses it", text)
		}
		if !json.Valid([]byte(text)) || !gjson.Valid(text) {
			t.Fatalf("accepted %q, encoding/json or gjson refuses it", text)
		}
		ours := tree(j)
		if want := decode(t, text); !reflect.DeepEqual(ours, want) {
			t.Fatalf("%q\n   we read %v\nencoding/json %v", text, ours, want)
		}
		if want := decodeStrict(t, text); !reflect.DeepEqual(ours, want) {
			t.Fatalf("%q\n        we read %v\ngo-json-experiment %v", text, ours, want)
		}
		checkMembers(t, j)
	})
}

// checkRefusal holds a refusal against the strict oracle, and against what a
// refusal promises.
func checkRefusal(t *testing.T, text string, err error) {
	t.Helper()
	var syntax *toolcall.SyntaxError
	if !errors.As(err, &syntax) || syntax.Reason == "" || syntax.Offset < 0 || syntax.Offset > len(text) {
		t.Fatalf("%q: a refusal without place or reason: %v", text, err)
	}
	if syntax.Reason == "nested too deeply" {
		return
	}
	if jsontext.Value(text).IsValid() {
		t.Fatalf("refused %q (%v), go-json-experiment accepts it", text, err)
	}
	// A mistake at a byte is none before it: another, shorter text shows it no earlier.
	_, err = toolcall.Parse(text[:syntax.Offset], toolcall.Limits{Bytes: len(text), Depth: fuzzDepth})
	var sooner *toolcall.SyntaxError
	if errors.As(err, &sooner) && sooner.Reason == syntax.Reason && sooner.Offset < syntax.Offset {
		t.Fatalf("%q: told byte %d, but byte %d has the same mistake", text, syntax.Offset, sooner.Offset)
	}
}

// decodeStrict is go-json-experiment's reading of a text, token by token.
func decodeStrict(t *testing.T, text string) any {
	t.Helper()
	d := jsontext.NewDecoder(strings.NewReader(text))
	v := decodeToken(t, d)
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		t.Fatalf("%q: go-json-experiment sees more: %v", text, err)
	}
	return v
}

func decodeToken(t *testing.T, d *jsontext.Decoder) any {
	t.Helper()
	token, err := d.ReadToken()
	if err != nil {
		t.Fatalf("go-json-experiment refuses: %v", err)
	}
	switch token.Kind() {
	case '"':
		return token.String()
	case '0':
		return json.Number(token.String())
	case 't', 'f':
		return token.Bool()
	case '[':
		array := []any{}
		for d.PeekKind() != ']' {
			array = append(array, decodeToken(t, d))
		}
		if _, err := d.ReadToken(); err != nil {
			t.Fatal(err)
		}
		return array
	case '{':
		object := map[string]any{}
		for d.PeekKind() != '}' {
			name := decodeToken(t, d).(string)
			object[name] = decodeToken(t, d)
		}
		if _, err := d.ReadToken(); err != nil {
			t.Fatal(err)
		}
		return object
	}
	return nil
}

// checkMembers reads every member once more, by name and by path.
func checkMembers(t *testing.T, j toolcall.JSON) {
	t.Helper()
	for m := j.Members(); m.Next(); {
		if !m.NameIs(m.Name()) {
			t.Fatalf("the name %q is not itself", m.Name())
		}
		if got := j.Member(m.Name()); got.Text() != m.Value().Text() {
			t.Fatalf("member %q: %s by name, %s by walk", m.Name(), got.Text(), m.Value().Text())
		}
		if start, end, ok := m.Value().SpanIn(j); !ok || j.Text()[start:end] != m.Value().Text() {
			t.Fatalf("member %q does not stand where its span says", m.Name())
		}
		checkMembers(t, m.Value())
	}
	for e := j.Elements(); e.Next(); {
		checkMembers(t, e.Value())
	}
}

// Two texts have one canonical form exactly when they mean the same, however
// they are spelled; and the form is one itself.
func FuzzCanonical(f *testing.F) {
	for _, c := range readAmbiguous(f) {
		f.Add(c.text, `{"a":[1,2.50,"x"]}`, uint64(1))
	}
	f.Add(`{"b":1e2,"a":"\u0041"}`, `{"a":"A","b":100}`, uint64(2))
	f.Fuzz(func(t *testing.T, first, second string, seed uint64) {
		limits := toolcall.Limits{Bytes: 1 << 16, Depth: fuzzDepth}
		a, err := toolcall.Parse(first, limits)
		if err != nil {
			return
		}
		canonical := string(a.AppendCanonical(nil))
		again, err := toolcall.Parse(canonical, toolcall.Limits{Bytes: len(canonical), Depth: fuzzDepth})
		if err != nil {
			t.Fatalf("%q has the canonical form %q: %v", first, canonical, err)
		}
		want := meaning(tree(a))
		if !reflect.DeepEqual(meaning(tree(again)), want) || !a.Equal(again) {
			t.Fatalf("%q and its canonical form %q mean different things", first, canonical)
		}
		if twice := string(again.AppendCanonical(nil)); twice != canonical {
			t.Fatalf("canonical form %q of %q has another one, %q", canonical, first, twice)
		}
		other := parse(t, respell(rand.New(rand.NewPCG(seed, 0)), tree(a)))
		if got := string(other.AppendCanonical(nil)); got != canonical || !a.Equal(other) {
			t.Fatalf("%q and %q mean the same, but become %q and %q", first, other.Text(), canonical, got)
		}
		b, err := toolcall.Parse(second, limits)
		if err != nil {
			return
		}
		same := reflect.DeepEqual(want, meaning(tree(b)))
		if got := string(b.AppendCanonical(nil)) == canonical; got != same || a.Equal(b) != same {
			t.Fatalf("%q and %q: mean the same %v, one canonical form %v", first, second, same, got)
		}
	})
}

// Numbers compare, and become canonical, exactly as the model says, whatever
// their exponents are; in reach of big.Rat also as that says.
func FuzzNumber(f *testing.F) {
	seeds := []string{"0", "-0.0", "1", "-1", "10", "1.0", "1e1", "0.1", "1e-1", "9007199254740993", "9007199254740992",
		"1000.0000000000000000001", "1000", "1e400", "1e1099511627776", "1e1099511627777", "10e1099511627776",
		"0.1e1099511627778", "1e99999999999999999999", "10e99999999999999999998", "1e-99999999999999999999",
		"1e100000000000000000000", "10e99999999999999999999", "0e99999999999999999999", "1e+0001"}
	for i, a := range seeds {
		f.Add(a, seeds[(i+1)%len(seeds)])
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		if len(first) > 2000 || len(second) > 2000 {
			return
		}
		a, errA := toolcall.ParseNumber(first)
		b, errB := toolcall.ParseNumber(second)
		if errA != nil || errB != nil {
			return
		}
		checkNumber(t, first, a)
		v, w := worthOf(first), worthOf(second)
		if got := a.Compare(b); got != v.compare(w) || b.Compare(a) != -got {
			t.Fatalf("%s and %s compare as %d, want %d", first, second, got, v.compare(w))
		}
		same := string(a.AppendCanonical(nil)) == string(b.AppendCanonical(nil))
		if same != (v == w) {
			t.Fatalf("%s and %s: one canonical form %v, one value %v", first, second, same, v == w)
		}
	})
}
