package mcpproxy

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

var roomy = toolcall.Limits{Bytes: 1 << 20, Depth: 128}

// ambiguousTexts are the JSON texts of testdata/ambiguous, and whether the strict
// scan accepts them.
func ambiguousTexts(t testing.TB) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../testdata/ambiguous/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find testdata/ambiguous: %v", err)
	}
	texts := map[string]bool{}
	for _, file := range files {
		all, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(all)) {
			literal, err := strconv.QuotedPrefix(line)
			if err != nil {
				continue // a comment
			}
			text, err := strconv.Unquote(literal)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			texts[text] = strings.HasPrefix(line[len(literal):], " => accept")
		}
	}
	return texts
}

// What two parsers read differently is no message, and no part of one: as the
// whole text, as the arguments of a call, and as a result.
func TestAmbiguousTextsAreRefused(t *testing.T) {
	for text, fine := range ambiguousTexts(t) {
		if f, err := readFrame(text, roomy); err == nil && !fine {
			t.Errorf("%q was read as a message: %+v", text, f)
		}
		for _, around := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":` + text + `}}}`,
			`{"jsonrpc":"2.0","id":1,"result":{"structuredContent":` + text + `}}`,
		} {
			_, err := readFrame(around, roomy)
			if fine != (err == nil) {
				t.Errorf("%s: %v", around, err)
			}
			var bad *frameError
			if err != nil && (!errors.As(err, &bad) || bad.code != codeParse) {
				t.Errorf("%s: %v is no parse error", around, err)
			}
		}
	}
}

func TestReadFrame(t *testing.T) {
	for text, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"method":"a"}`:                          "request a 1",
		` {"id":"x","method":"a","jsonrpc":"2.0","params":{}} `:          `request a "x"`,
		`{"jsonrpc":"2.0","method":"a","params":{"b":[]}}`:               "notification a",
		`{"jsonrpc":"2.0","id":1,"result":{}}`:                           "response 1",
		`{"jsonrpc":"2.0","id":1,"result":null}`:                         "response 1",
		`{"jsonrpc":"2.0","id":1,"error":{"code":1}}`:                    "response 1",
		`{"jsonrpc":"2.0","id":null,"error":{"code":1}}`:                 "response null",
		`{"jsonrpc":"2.0","id":1,"method":"a","x-vendor":{"ID":1}}`:      "request a 1",
		`{"jsonrpc":"2.0","id":9007199254740993,"method":"a"}`:           "request a 9007199254740993",
		`{"jsonrpc":"2.0","id":-7,"method":"a"}`:                         "request a -7",
		`{"jsonrpc":"2.0","id":"","method":"a"}`:                         `request a ""`,
		`{"\u006aso\u006erpc":"2.0","\u0069d":1,"m\u0065thod":"\u0061"}`: "request a 1",

		`[]`:                                    "batches are not accepted",
		`[{}]`:                                  "batches are not accepted",
		`"ping"`:                                "must be a JSON object",
		`null`:                                  "must be a JSON object",
		``:                                      "not strict JSON",
		`{}`:                                    `jsonrpc must be "2.0"`,
		`{"jsonrpc":2.0,"id":1,"method":"a"}`:   `jsonrpc must be "2.0"`,
		`{"jsonrpc":"1.0","id":1,"method":"a"}`: `jsonrpc must be "2.0"`,
		`{"jsonrpc":"2.0"}`:                     "needs a method, or a result, or an error",
		`{"jsonrpc":"2.0","id":1}`:              "needs a method, or a result, or an error",
		`{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`:              "needs a method, or a result, or an error",
		`{"jsonrpc":"2.0","id":1,"method":"a","result":{}}`:            "has no result and no error",
		`{"jsonrpc":"2.0","id":1,"method":"a","error":null}`:           "has no result and no error",
		`{"jsonrpc":"2.0","result":{}}`:                                "a response needs an id",
		`{"jsonrpc":"2.0","id":null,"result":{}}`:                      "must be a string or an integer",
		`{"jsonrpc":"2.0","id":1,"error":"no"}`:                        "error must be an object",
		`{"jsonrpc":"2.0","id":1,"method":""}`:                         "method must be a string",
		`{"jsonrpc":"2.0","id":1,"method":7}`:                          "method must be a string",
		`{"jsonrpc":"2.0","id":1,"method":null}`:                       "method must be a string",
		`{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}`:           "params must be an object",
		`{"jsonrpc":"2.0","id":1,"method":"a","params":null}`:          "params must be an object",
		`{"jsonrpc":"2.0","id":null,"method":"a"}`:                     "must be a string or an integer",
		`{"jsonrpc":"2.0","id":1.0,"method":"a"}`:                      "must be a string or an integer",
		`{"jsonrpc":"2.0","id":1e3,"method":"a"}`:                      "must be a string or an integer",
		`{"jsonrpc":"2.0","id":-0,"method":"a"}`:                       "must be a string or an integer",
		`{"jsonrpc":"2.0","id":true,"method":"a"}`:                     "must be a string or an integer",
		`{"jsonrpc":"2.0","id":[1],"method":"a"}`:                      "must be a string or an integer",
		`{"jsonrpc":"2.0","id":{"a":1},"method":"a"}`:                  "must be a string or an integer",
		`{"jsonrpc":"2.0","id":"` + long("x", 257) + `","method":"a"}`: "more than 256 bytes",
		`{"jsonrpc":"2.0","id":` + long("9", 259) + `,"method":"a"}`:   "more than 256 bytes",
	} {
		got := ""
		f, err := readFrame(text, roomy)
		switch {
		case err != nil:
			got = err.Error()
			if f.kind != noFrame {
				t.Errorf("%s: refused, and read as %+v", text, f)
			}
		case f.kind == request:
			got = "request " + f.method + " " + f.id.Text()
		case f.kind == notification:
			got = "notification " + f.method
		case f.kind == response:
			got = "response " + f.id.Text()
		}
		if err == nil && got != want || err != nil && !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

func long(s string, n int) string { return strings.Repeat(s, n) }

// folded are spellings that encoding/json, and with it several SDKs, take for the
// protocol's own name.
func folded(name string) []string {
	all := []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]}
	if i := strings.IndexByte(name, 's'); i >= 0 {
		all = append(all, name[:i]+"ſ"+name[i+1:], name[:i]+`\u017f`+name[i+1:])
	}
	if i := strings.IndexByte(name, 'k'); i >= 0 {
		all = append(all, name[:i]+"\u212a"+name[i+1:], name[:i]+`\u212A`+name[i+1:])
	}
	same := all[:0]
	for _, s := range all {
		if s != name { // "_meta" starts with what has no case
			same = append(same, s)
		}
	}
	return same
}

// A member that only folds to one of the protocol's, where a reader without case
// would take it for that, is refused: in the envelope, in params, in a result
// and in its content blocks. Elsewhere names are the peer's own.
func TestFoldedNamesAreRefused(t *testing.T) {
	read := func(text string) error {
		_, err := parseInbound("crm", text, roomy)
		return err
	}
	refused := func(text string) {
		t.Helper()
		if err := read(text); err == nil || !strings.Contains(err.Error(), "only by case") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, name := range envelopeNames {
		for _, spelled := range folded(name) {
			refused(`{"jsonrpc":"2.0","id":1,"method":"a","` + spelled + `":1}`)
		}
	}
	for _, name := range paramNames {
		for _, spelled := range folded(name) {
			refused(`{"jsonrpc":"2.0","id":1,"method":"a","params":{"` + spelled + `":1}}`)
		}
	}
	for _, name := range resultNames {
		for _, spelled := range folded(name) {
			refused(`{"jsonrpc":"2.0","id":1,"result":{"` + spelled + `":1}}`)
		}
	}
	for _, name := range blockNames {
		for _, spelled := range folded(name) {
			for _, where := range []string{
				`{"content":[{"type":"text"},{"%":1}]}`, `{"contents":[{"%":1}]}`,
				`{"content":[{"resource":{"%":1}}]}`, `{"messages":[{"content":{"%":1}}]}`,
				`{"messages":[{"content":[{"resource":{"%":1}}]}]}`, `{"content":{"%":1}}`,
			} {
				refused(`{"jsonrpc":"2.0","id":1,"result":` + strings.ReplaceAll(where, "%", spelled) + `}`)
			}
		}
	}
	for _, text := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"a","params":{"arguments":{"NAME":1,"Arguments":{"ID":1}}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"Name":1}}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"Content":1,"TEXT":2}}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"content":[{"_meta":{"Text":1}}]}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"inputSchema":{"properties":{"Name":{},"name":{}}}}]}}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":1,"Code":2}}`,
	} {
		if err := read(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestReadFrameLimits(t *testing.T) {
	call := func(arguments string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"a","params":{"arguments":` + arguments + `}}`
	}
	if _, err := readFrame(call(long("[", 126)+long("]", 126)), roomy); err != nil {
		t.Errorf("128 levels: %v", err)
	}
	if _, err := readFrame(call(long("[", 127)+long("]", 127)), roomy); err == nil {
		t.Error("129 levels were read")
	}
	if _, err := readFrame(call(long("[", 200_000)+long("]", 200_000)), roomy); err == nil {
		t.Error("200,000 levels were read")
	}
	text := call(`"` + long("x", 100) + `"`)
	if _, err := readFrame(text, toolcall.Limits{Bytes: len(text), Depth: 9}); err != nil {
		t.Errorf("a message as long as the limit: %v", err)
	}
	if _, err := readFrame(text, toolcall.Limits{Bytes: len(text) - 1, Depth: 9}); !errors.Is(err, toolcall.ErrTooLarge) {
		t.Errorf("a message longer than the limit: %v", err)
	}
}

// Whatever readFrame accepts, it accepts again as it stands; encoding/json reads
// the same id, method and params in it, and an edit leaves all else alone.
func FuzzReadFrame(f *testing.F) {
	for text := range ambiguousTexts(f) {
		f.Add(text)
		f.Add(`{"jsonrpc":"2.0","id":1,"method":"a","params":` + text + `}`)
	}
	f.Add(`{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{"name":"x"},"x":1}`)
	f.Add(`{"jsonrpc":"2.0","id":12345678901234567890,"result":{"content":[{"type":"text"}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readFrame(text, toolcall.Limits{Bytes: 1 << 16, Depth: 64})
		if err != nil {
			if got.kind != noFrame {
				t.Fatalf("%q: refused, and read as %+v", text, got)
			}
			return
		}
		again, err := readFrame(got.raw.Text(), toolcall.Limits{Bytes: 1 << 16, Depth: 64})
		if err != nil || again.kind != got.kind || again.method != got.method || !again.id.IsZero() && !again.id.Equal(got.id) {
			t.Fatalf("%q is read again as %+v: %v", text, again, err)
		}
		var other struct {
			Version string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Method  string          `json:"method"`
			Params  json.RawMessage `json:"params"`
			Result  json.RawMessage `json:"result"`
			Error   json.RawMessage `json:"error"`
		}
		if err := json.Unmarshal([]byte(text), &other); err != nil {
			t.Fatalf("%q: encoding/json refuses it: %v", text, err)
		}
		if other.Version != "2.0" || other.Method != got.method || string(other.ID) != got.id.Text() ||
			string(other.Params) != got.params.Text() || string(other.Result) != got.result.Text() || string(other.Error) != got.err.Text() {
			t.Fatalf("%q: encoding/json reads %+v", text, other)
		}
		if got.id.IsZero() {
			return
		}
		edited, err := got.with(got.id, toolcall.Integer(7))
		if err != nil || edited.id.Text() != "7" || edited.method != got.method || edited.params.Text() != got.params.Text() ||
			len(edited.raw.Text())-1 != len(got.raw.Text())-len(got.id.Text()) {
			t.Fatalf("%q with another id: %q, %v", text, edited.raw.Text(), err)
		}
	})
}

// Whatever readBatch accepts is a bounded number of messages, each of which is
// accepted alone and reads the same there.
func FuzzReadBatch(f *testing.F) {
	f.Add(`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"}]`)
	f.Add(`[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":"1","method":"a","params":{"b":[[1]]}}]`)
	f.Add(`[[]]`)
	for text := range ambiguousTexts(f) {
		f.Add(`[{"jsonrpc":"2.0","id":` + text + `,"method":"ping"},{"jsonrpc":"2.0","id":1,"method":"ping"}]`)
	}
	f.Fuzz(func(t *testing.T, text string) {
		limits := toolcall.Limits{Bytes: 1 << 16, Depth: 64}
		raw, err := readMessage(text, limits)
		if err != nil || raw.Type() != toolcall.ArrayType {
			return
		}
		if _, err := readFrame(text, limits); err == nil {
			t.Fatalf("%q is one message", text)
		}
		frames, err := readBatch(raw)
		if err != nil {
			return
		}
		var other []json.RawMessage
		if err := json.Unmarshal([]byte(text), &other); err != nil || len(other) != len(frames) || len(frames) > maxBatch {
			t.Fatalf("%q: %d messages, encoding/json has %d: %v", text, len(frames), len(other), err)
		}
		ids := map[string]bool{}
		for i, got := range frames {
			alone, err := readFrame(string(other[i]), limits)
			if err != nil || alone.kind != got.kind || alone.method != got.method || alone.raw.Text() != got.raw.Text() {
				t.Fatalf("%q: message %d is %+v alone: %v", text, i, alone, err)
			}
			if got.kind == request {
				if ids[got.id.Text()] || got.method == "initialize" {
					t.Fatalf("%q: message %d has no place in a batch", text, i)
				}
				ids[got.id.Text()] = true
			}
		}
	})
}
