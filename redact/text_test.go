package redact_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// redactText redacts a document that is one text.
func redactText(t *testing.T, text string, paths ...string) (string, error) {
	t.Helper()
	doc := toolcall.Array(toolcall.Quote(text))
	e := doc.Elements()
	e.Next()
	out, _, err := redactor(t, paths...).Redact(doc, redact.Surface{Texts: []toolcall.JSON{e.Value()}})
	if err != nil {
		return "", err
	}
	e = out.Elements()
	e.Next()
	got, ok := e.Value().Str()
	if !ok {
		t.Fatalf("the text is no string any more: %s", out.Text())
	}
	return got, nil
}

// A text that is JSON is a root of the paths; prose is not.
func TestTexts(t *testing.T) {
	for _, c := range []struct{ why, text, want string }{
		{"JSON", `{"ssn":"1"}`, `{"ssn":"[redacted]"}`},
		{"JSON with space around", " \n{ \"ssn\" : 5 }\r\n", " \n{ \"ssn\" : 0 }\r\n"},
		{"JSON behind a byte order mark", "\uFEFF{\"ssn\":true}", "\uFEFF{\"ssn\":false}"},
		{"JSON behind a no-break space", "\u00A0[{\"ssn\":1}]", "\u00A0[{\"ssn\":0}]"},
		{"JSON with escapes keeps them", `{"\u0061":"\/","ssn":"\u0031"}`, `{"\u0061":"\/","ssn":"[redacted]"}`},
		{"a JSON string of JSON", `"{\"ssn\":\"1\"}"`, `"{\"ssn\":\"[redacted]\"}"`},
		{"a JSON string of a JSON string of JSON", `"\"{\\\"ssn\\\":1}\""`, `"\"{\\\"ssn\\\":0}\""`},
		{"prose", `the ssn is secret`, `the ssn is secret`},
		{"a quotation", `"Hello," he said`, `"Hello," he said`},
		{"nothing", ``, ``},
		{"a number", `5`, `5`},
		{"a list of files", "[FILE] a.txt\n[DIR] b", "[FILE] a.txt\n[DIR] b"},
		{"a log line", `[2026-11-24 10:00:00] started`, `[2026-11-24 10:00:00] started`},
		{"a log line with a date first", `[2026-11-24, 10:00] started`, `[2026-11-24, 10:00] started`},
		{"a citation", `[1] Knuth`, `[1] Knuth`},
		{"a checkbox", "[ ] open\n[x] done", "[ ] open\n[x] done"},
		{"an empty checkbox", "[] open", "[] open"},
		{"a wiki link", `[[Main page]]`, `[[Main page]]`},
		{"a link", `[true story](https://example.com)`, `[true story](https://example.com)`},
		{"words in brackets", `[warning, disk full]`, `[warning, disk full]`},
		{"an address", `[::1]:80`, `[::1]:80`},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, err := redactText(t, c.text, "**.ssn")
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// What a reader could take for JSON, and a strict one refuses, nobody can redact.
func TestBrokenJSONIsWithheld(t *testing.T) {
	for why, text := range map[string]string{
		"cut off":                    `{"ssn":"123`,
		"cut off early":              `[`,
		"cut off behind a number":    `[12`,
		"data behind it":             `{"ssn":"1"} {"ssn":"2"}`,
		"JSON lines":                 "{\"ssn\":1}\n{\"ssn\":2}\n",
		"a trailing comma":           `[{"ssn":1},]`,
		"an array and more":          `[1, 2] and {"ssn": 1}`,
		"nested arrays":              `[[], {"ssn": 1}`,
		"single quotes":              `{'ssn': '1'}`,
		"single quotes in an array":  `[{'ssn': '1'}]`,
		"strings in single quotes":   `['123-45-6789']`,
		"names without quotes":       `{ssn: 1}`,
		"comments":                   `[/* rows */ {"ssn":1}]`,
		"NaN":                        `[NaN, {"ssn":1}]`,
		"Python":                     `[None, {"ssn":1}]`,
		"a repeated name":            `{"a":{"ssn":1},"a":2}`,
		"a repeated name by escapes": `{"ssn":"1","s\u0073n":"2"}`,
		"a lone surrogate":           `{"ssn":"\ud800"}`,
		"too deep":                   strings.Repeat("[", 200) + strings.Repeat("]", 200),
		"a template":                 `{{ssn}}`,
		"a string of broken JSON":    `"{\"ssn\":\"1\",}"`,
		"levels upon levels":         quoteTimes(`{"ssn":"1"}`, 6),
	} {
		t.Run(why, func(t *testing.T) {
			got, err := redactText(t, text, "**.nothing")
			var w *redact.Withheld
			if !errors.As(err, &w) || w.Path != "" || w.Profile != "" {
				t.Errorf("%s: got %q, %v; want it withheld", text, got, err)
			}
		})
	}
}

func quoteTimes(s string, n int) string {
	for range n {
		s = toolcall.Quote(s).Text()
	}
	return s
}

// A wrong shape in a text is as bad as in structured content.
func TestWrongShapeInTextIsWithheld(t *testing.T) {
	if got, err := redactText(t, `{"cards":"4111"}`, "cards.#.number"); err == nil {
		t.Errorf("got %s", got)
	}
}

// A root that is a string is a text, and a text that is no string is a root, so
// that no type that an upstream chooses leaves the paths behind.
func TestRootsAndTextsByType(t *testing.T) {
	doc := parse(t, `{"root":"{\"ssn\":1}","text":{"ssn":1},"blob":{"ssn":1},"plain":"ssn"}`)
	out, _, err := redactor(t, "ssn").Redact(doc, redact.Surface{
		Roots: []toolcall.JSON{doc.Member("root"), doc.Member("plain")},
		Texts: []toolcall.JSON{doc.Member("text")},
		Blobs: []redact.Blob{{Data: doc.Member("blob"), MIME: "text/plain"}},
	})
	if err != nil || out.Text() != `{"root":"{\"ssn\":0}","text":{"ssn":0},"blob":{"ssn":0},"plain":"ssn"}` {
		t.Errorf("got %s, %v", out.Text(), err)
	}
}

func TestBlobs(t *testing.T) {
	std, raw, url := base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding
	const plain, masked = `{"ssn":"123-45-6789","x":"??>>"}`, `{"ssn":"[redacted]","x":"??>>"}`
	for _, c := range []struct {
		why, mime, data, want string
		withheld              bool
	}{
		{"JSON", "application/json", std.EncodeToString([]byte(plain)), std.EncodeToString([]byte(masked)), false},
		{"JSON by suffix, any case", "Application/LD+JSON; charset=utf-8", std.EncodeToString([]byte(plain)), std.EncodeToString([]byte(masked)), false},
		{"without padding", "application/json", raw.EncodeToString([]byte(plain)), raw.EncodeToString([]byte(masked)), false},
		{"in the URL alphabet", "application/json", url.EncodeToString([]byte(plain)), url.EncodeToString([]byte(masked)), false},
		{"a JSON string of JSON", "text/plain", std.EncodeToString([]byte(toolcall.Quote(plain).Text())), std.EncodeToString([]byte(toolcall.Quote(masked).Text())), false},
		{"prose with a copy", "text/plain", std.EncodeToString([]byte("it is 987-65-4321.")), std.EncodeToString([]byte("it is [redacted].")), false},
		{"prose without", "text/plain", std.EncodeToString([]byte("nothing here")), std.EncodeToString([]byte("nothing here")), false},
		{"no media type, text by its bytes", "", std.EncodeToString([]byte(plain)), std.EncodeToString([]byte(masked)), false},
		{"no media type, binary by its bytes", "", std.EncodeToString([]byte("\xff\xfe\x00")), std.EncodeToString([]byte("\xff\xfe\x00")), false},
		{"an image", "image/png", std.EncodeToString([]byte(plain)), std.EncodeToString([]byte(plain)), false},
		{"an image of no base64", "image/png", "%%%", "%%%", false},
		{"JSON cut off", "application/json", std.EncodeToString([]byte(plain[:9])), "", true},
		{"no base64", "text/plain", "%%%", "", true},
		{"no base64 and no media type", "", "%%%", "", true},
		{"text in another encoding", "text/plain", std.EncodeToString([]byte("\xff\xfe{\x00")), "", true},
	} {
		t.Run(c.why, func(t *testing.T) {
			// The slash is often written with an escape in JSON.
			doc := parse(t, `{"known":{"ssn":"987-65-4321"},"blob":`+strings.ReplaceAll(toolcall.Quote(c.data).Text(), "/", `\/`)+`}`)
			out, _, err := redactor(t, "**.ssn").Redact(doc, redact.Surface{
				Roots: []toolcall.JSON{doc.Member("known")},
				Blobs: []redact.Blob{{Data: doc.Member("blob"), MIME: c.mime}},
			})
			if c.withheld {
				var w *redact.Withheld
				if !errors.As(err, &w) {
					t.Errorf("got %s, %v; want it withheld", out.Text(), err)
				}
				return
			}
			got, _ := out.Member("blob").Str()
			if got != c.want || err != nil {
				t.Errorf("got %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}
