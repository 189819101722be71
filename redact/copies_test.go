package redact_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// The manual of copies: a removed string of 8 or more characters is masked
// wherever else it stands in the same message. The document is the whole of it,
// its member "data" the only root, and the path is data.secret.
func TestCopiesAreMasked(t *testing.T) {
	for _, c := range []struct{ why, doc, want string }{
		{"in another member",
			`{"data":{"secret":"123-45-6789","note":"123-45-6789"}}`,
			`{"data":{"secret":"[redacted]","note":"[redacted]"}}`},
		{"before it, outside of every root",
			`{"_meta":["id 123-45-6789."],"data":{"secret":"123-45-6789"}}`,
			`{"_meta":["id [redacted]."],"data":{"secret":"[redacted]"}}`},
		{"several times in one string",
			`{"data":{"secret":"12345678"},"x":"12345678,12345678 1234567"}`,
			`{"data":{"secret":"[redacted]"},"x":"[redacted],[redacted] 1234567"}`},
		{"side by side they are one",
			`{"data":{"secret":"12345678"},"x":"1234567812345678"}`,
			`{"data":{"secret":"[redacted]"},"x":"[redacted]"}`},
		{"overlapping, nothing of either stays",
			`{"data":{"secret":["abcdabcd","cdabcdXX"]},"x":"abcdabcdabcdXX."}`,
			`{"data":{"secret":["[redacted]","[redacted]"]},"x":"[redacted]."}`},
		{"the longer of two that start alike",
			`{"data":{"secret":["abcdefgh","abcdefghij","abcdefghijkl"]},"x":"abcdefghijk abcdefg abcdefghijkl"}`,
			`{"data":{"secret":["[redacted]","[redacted]","[redacted]"]},"x":"[redacted]k abcdefg [redacted]"}`},
		{"spelled with escapes here",
			`{"data":{"secret":"pass/word\u0021"},"x":"<pass\/word\u0021>"}`,
			`{"data":{"secret":"[redacted]"},"x":"<[redacted]>"}`},
		{"spelled with escapes, and the rest keeps its own",
			`{"data":{"secret":"12345678"},"x":"\u0041\/\u0031234567\u0038\/\ud83d\ude00"}`,
			`{"data":{"secret":"[redacted]"},"x":"\u0041\/[redacted]\/\ud83d\ude00"}`},
		{"characters beyond ASCII",
			`{"data":{"secret":"Mäxchen Müller"},"x":"von M\u00e4xchen M\u00fcller, 😀"}`,
			`{"data":{"secret":"[redacted]"},"x":"von [redacted], 😀"}`},
		{"with quotes and backslashes",
			`{"data":{"secret":"a\"b\\c\nd-long"},"x":"= a\"b\\c\nd-long ="}`,
			`{"data":{"secret":"[redacted]"},"x":"= [redacted] ="}`},
		{"in JSON in a string",
			`{"data":{"secret":"123-45-6789"},"x":"{\"a\":\"123-45-6789\",\"b\":1}"}`,
			`{"data":{"secret":"[redacted]"},"x":"{\"a\":\"[redacted]\",\"b\":1}"}`},
		{"in JSON in JSON in a string, each with escapes of its own",
			`{"data":{"secret":"123-45-6789"},"x":"{\"a\":\"{\\\"b\\\":\\\"\\\\u003123-45-678\\u0039\\\"}\"}"}`,
			`{"data":{"secret":"[redacted]"},"x":"{\"a\":\"{\\\"b\\\":\\\"[redacted]\\\"}\"}"}`},
		{"in JSON quoted in prose",
			`{"data":{"secret":"pa\"ss\"word"},"x":"it says {\"p\":\"pa\\\"ss\\\"word\"}"}`,
			`{"data":{"secret":"[redacted]"},"x":"it says {\"p\":\"[redacted]\"}"}`},
		{"as a number, which stays a number",
			`{"data":{"secret":"4111111111111111"},"x":[4111111111111111,-41111111111111110.5,"{\"n\":4111111111111111}"]}`,
			`{"data":{"secret":"[redacted]"},"x":[0,0,"{\"n\":0}"]}`},
		{"as a member name",
			`{"data":{"secret":"123-45-6789"},"by":{"123-45-6789":{"a":1}}}`,
			`{"data":{"secret":"[redacted]"},"by":{"[redacted]":{"a":1}}}`},
		{"as several member names, which stay distinct",
			`{"data":{"secret":["secret-1","secret-2"]},"by":{"x secret-1":1,"x secret-2":2,"z":{"secret-1":3}}}`,
			`{"data":{"secret":["[redacted]","[redacted]"]},"by":{"x [redacted]":1,"x [redacted 2]":2,"z":{"[redacted 3]":3}}}`},
		{"as a member name in JSON in a string",
			`{"data":{"secret":"123-45-6789"},"x":"{\"123\\u002d45-6789\":1}"}`,
			`{"data":{"secret":"[redacted]"},"x":"{\"[redacted]\":1}"}`},
		{"seven characters are too few",
			`{"data":{"secret":"1234567"},"x":"1234567"}`,
			`{"data":{"secret":"[redacted]"},"x":"1234567"}`},
		{"eight characters, not bytes",
			`{"data":{"secret":"ééééééé"},"x":"ééééééé"}`,
			`{"data":{"secret":"[redacted]"},"x":"ééééééé"}`},
		{"a removed number is not searched for",
			`{"data":{"secret":4111111111111111},"x":"4111111111111111"}`,
			`{"data":{"secret":0},"x":"4111111111111111"}`},
		{"the strings of a removed object are",
			`{"data":{"secret":{"a":"12345678","b":["abcdefgh"]}},"x":"12345678 abcdefgh"}`,
			`{"data":{"secret":{"a":"[redacted]","b":["[redacted]"]}},"x":"[redacted] [redacted]"}`},
		{"another case is another string",
			`{"data":{"secret":"abcdefgh"},"x":"ABCDEFGH"}`,
			`{"data":{"secret":"[redacted]"},"x":"ABCDEFGH"}`},
		{"nothing to search for in short strings",
			`{"data":{"secret":""},"x":""}`,
			`{"data":{"secret":"[redacted]"},"x":""}`},
	} {
		t.Run(c.why, func(t *testing.T) {
			doc := parse(t, c.doc)
			out, _, err := redactor(t, "secret").Redact(doc, redact.Surface{Roots: []toolcall.JSON{doc.Member("data")}})
			if err != nil || out.Text() != c.want {
				t.Errorf("in   %s\n got %s, %v\nwant %s", c.doc, out.Text(), err, c.want)
			}
		})
	}
}

// Masking a member name must not make two names of one object equal: then the
// message would have two readings.
func TestMaskedNamesThatCollideAreWithheld(t *testing.T) {
	for _, doc := range []string{
		`{"secret":"123-45-6789","by":{"[redacted]":1,"123-45-6789":2}}`,
		`{"secret":"123-45-6789","by":"{\"[redacted]\":1,\"123-45-6789\":2}"}`,
	} {
		got, _, err := redactRoot(t, doc, "secret")
		if err == nil {
			t.Errorf("%s became %s", doc, got)
		}
	}
}

// An upstream cannot stop the proxy with a document made for the search: it is
// masked in time linear in its size, or withheld.
func TestRepetitiveDocumentsCostLinearTime(t *testing.T) {
	long := strings.Repeat("a", 300_000)
	var nested []string
	for n := 8; n < 700; n++ {
		nested = append(nested, `"`+strings.Repeat("a", n)+`"`)
	}
	var chained []string
	for n := range 20_000 {
		chained = append(chained, `"`+strings.Repeat("b", 8)+strings.Repeat("c", n%300)+`"`)
	}
	var ends []string
	for n := range 150_000 {
		ends = append(ends, fmt.Sprintf(`"abcdefgh-%08d-abcdefgh"`, n))
	}
	for name, doc := range map[string]string{
		"values with the same ends": `{"secret":[` + strings.Join(ends, ",") + `]}`,
		"one long value":            `{"secret":"` + long + `b","x":"` + long + long + `"}`,
		"values within values":      `{"secret":[` + strings.Join(nested, ",") + `],"x":"` + long + `"}`,
		"many values alike":         `{"secret":[` + strings.Join(chained, ",") + `],"x":"` + strings.Repeat("bbbbbbbbcccccccd", 20_000) + `"}`,
		"backslashes all along":     `{"secret":"12345678","x":"` + strings.Repeat(`\\`, 300_000) + `"}`,
		"deep texts":                `{"secret":"12345678","x":"` + strings.Repeat(`[\"`, 100_000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			j := parse(t, doc)
			start := time.Now()
			out, _, err := redactor(t, "secret").Redact(j, redact.Surface{Roots: []toolcall.JSON{j}})
			// Quadratic work would take minutes; the bound leaves room for a slow
			// machine under the race detector.
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			if err == nil && strings.Contains(out.Text(), strings.Repeat("a", 8)) && name == "values within values" {
				t.Error("not withheld, and a removed value is left")
			}
		})
	}
}
