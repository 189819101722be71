package toolcall_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"

	"mcpguard/toolcall"
)

func TestAppendCanonical(t *testing.T) {
	for text, want := range map[string]string{
		`{"b":1,"a":2}`:                                           `{"a":2,"b":1}`,
		` [ 1.0 , 1e3 , "\u0041\/" ] `:                            `[1,1e3,"A/"]`,
		`{"b":{"d":1,"c":[]},"a":[{},"x"]}`:                       `{"a":[{},"x"],"b":{"c":[],"d":1}}`,
		`{"\u0062":1,"\u0061":2}`:                                 `{"a":2,"b":1}`,
		`{"":0,"a":null,"A":true}`:                                `{"":0,"A":true,"a":null}`,
		"\"\\u0000\\u001f\\u007f\\b\\f\\n\\r\\t\\u2028\\\"\\\\\"": "\"\\u0000\\u001f\u007f\\b\\f\\n\\r\\t\u2028\\\"\\\\\"",
		// RFC 8785, section 3.2.3: by UTF-16 code units, where an astral
		// character comes before one from U+E000 on.
		`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`: "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
	} {
		if got := string(parse(t, text).AppendCanonical(nil)); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
		if got := string(parse(t, text).AppendCanonical([]byte("{x,"))); got != "{x,"+want {
			t.Errorf("%s behind other bytes: %s", text, got)
		}
	}
}

// An approval is for these bytes (law 8): RFC 8785 itself would make one text of
// each of these pairs, and so would a reader of doubles.
func TestCanonicalKeepsWhatDoublesLose(t *testing.T) {
	for _, pair := range [][2]string{
		{`{"amount":9007199254740992}`, `{"amount":9007199254740993}`},
		{`[1000]`, `[1000.0000000000000000001]`},
		{`1e400`, `1e401`},
		{`1e99999999999999999999`, `1e99999999999999999998`},
		{`"1"`, `1`}, {`null`, `false`}, {`[]`, `{}`}, {`"é"`, `"e\u0301"`}, {`[1,2]`, `[2,1]`},
		{`{"a":1}`, `{"A":1}`},
	} {
		a, b := parse(t, pair[0]), parse(t, pair[1])
		if a.Equal(b) || string(a.AppendCanonical(nil)) == string(b.AppendCanonical(nil)) {
			t.Errorf("%s and %s are taken for the same", pair[0], pair[1])
		}
	}
}

// Where there is no number, our canonical form is RFC 8785's, as
// go-json-experiment writes it.
func TestCanonicalAgreesWithRFC8785(t *testing.T) {
	r := rand.New(rand.NewPCG(8785, 1))
	for range 3000 {
		text := respell(r, numberless(randomValue(r, 4)))
		want := jsontext.Value(text)
		if err := want.Canonicalize(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := string(parse(t, text).AppendCanonical(nil)); got != string(want) {
			t.Fatalf("%q\n  we write %s\nRFC 8785 is %s", text, got, want)
		}
	}
}

// numberless replaces every number of a tree by null.
func numberless(v any) any {
	switch v := v.(type) {
	case json.Number:
		return nil
	case []any:
		for i := range v {
			v[i] = numberless(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = numberless(v[name])
		}
	}
	return v
}

// The borders of the order by UTF-16 code units, ascending.
func TestCanonicalOrder(t *testing.T) {
	names := []string{
		"", "\x00", "a", "aa", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\U00010000", "\U0001f600", "\U0003ffff",
		"\U00040000", "\U000fffff", "\U00100000", "\U0010ffff", "\ue000", "\uefff", "\uf000", "\uffff", "\uffff\U00010000", "\uffff\ue000",
	}
	for i, a := range names {
		for _, b := range names[i+1:] {
			want := "{" + toolcall.Quote(a).Text() + ":1," + toolcall.Quote(b).Text() + ":2}"
			turned := parse(t, "{"+toolcall.Quote(b).Text()+":2,"+toolcall.Quote(a).Text()+":1}")
			if got := string(turned.AppendCanonical(nil)); got != want {
				t.Errorf("%+q comes after %+q", a, b)
			}
		}
	}
}

// The order of names is that of their UTF-16 code units.
func FuzzCanonicalOrder(f *testing.F) {
	f.Add("a", "b")
	f.Add("\ufb33", "😀")
	f.Add("😀", "😁")
	f.Add("", "\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = strings.ToValidUTF8(a, "?"), strings.ToValidUTF8(b, "?")
		if a == b {
			return
		}
		first, second := a, b
		if slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b))) > 0 {
			first, second = b, a
		}
		want := "{" + toolcall.Quote(first).Text() + ":0," + toolcall.Quote(second).Text() + ":0}"
		object := parse(t, "{"+toolcall.Quote(a).Text()+":0,"+toolcall.Quote(b).Text()+":0}")
		if got := string(object.AppendCanonical(nil)); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// What Quote makes is strict JSON of the same text, and canonical.
func FuzzQuote(f *testing.F) {
	f.Add("a\"\\\x00\x1f\u2028😀")
	f.Add("\xff\xed\xa0\x80cut \xf0\x9f")
	f.Fuzz(func(t *testing.T, s string) {
		j := parse(t, toolcall.Quote(s).Text())
		want := strings.Map(func(r rune) rune { return r }, s) // U+FFFD for every invalid byte
		if got, ok := j.Str(); !ok || got != want {
			t.Fatalf("%q became %q", s, got)
		}
		if got := string(j.AppendCanonical(nil)); got != j.Text() {
			t.Fatalf("%q is quoted as %s, canonically %s", s, j.Text(), got)
		}
	})
}

func TestArray(t *testing.T) {
	for want, values := range map[string][]toolcall.JSON{
		`[]`:                      nil,
		`["a",-7,{"b":[]}]`:       {toolcall.Quote("a"), toolcall.Integer(-7), parse(t, `{"b":[]}`)},
		`[null,1,null]`:           {{}, toolcall.Integer(1), {}}, // never a gap
		`[[9223372036854775807]]`: {toolcall.Array(toolcall.Integer(1<<63 - 1))},
	} {
		if got := parse(t, toolcall.Array(values...).Text()).Text(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestCanonicalDoesNotAllocate(t *testing.T) {
	args := parse(t, `{"to":"Fran","amount":42.50,"lines":[{"sku":"A","n":1},{"n":2,"sku":"B"}],"note":"plain"}`)
	buf := make([]byte, 0, 1024)
	allocs := testing.AllocsPerRun(100, func() { buf = args.AppendCanonical(buf[:0]) })
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
