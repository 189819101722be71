package toolcall_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// parse proves a text that a test is sure of.
func parse(t testing.TB, text string) toolcall.JSON {
	t.Helper()
	j, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: 10_000})
	if err != nil {
		t.Fatalf("parse %.80q: %v", text, err)
	}
	return j
}

// ambiguous is a line of testdata/ambiguous.
type ambiguous struct {
	at   string // file and line
	text string
	want string
}

func readAmbiguous(t testing.TB) []ambiguous {
	t.Helper()
	files, err := filepath.Glob("../testdata/ambiguous/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find testdata/ambiguous: %v, %d files", err, len(files))
	}
	var cases []ambiguous
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(strings.NewReader(string(text)))
		for n := 1; lines.Scan(); n++ {
			line := lines.Text()
			if line == "" || line[0] == '#' {
				continue
			}
			at := fmt.Sprintf("%s:%d", filepath.Base(file), n)
			literal, err := strconv.QuotedPrefix(line)
			if err != nil {
				t.Fatalf("%s: no Go string literal at the start", at)
			}
			text, _ := strconv.Unquote(literal)
			want, ok := strings.CutPrefix(line[len(literal):], " => ")
			if !ok {
				t.Fatalf("%s: no => behind the text", at)
			}
			cases = append(cases, ambiguous{at, text, want})
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return cases
}

// Law 1: what two parsers could read differently is refused, and the refusal
// says where and why.
func TestParseAmbiguous(t *testing.T) {
	for _, c := range readAmbiguous(t) {
		t.Run(c.at, func(t *testing.T) {
			j, err := toolcall.Parse(c.text, toolcall.Limits{Bytes: len(c.text), Depth: 128})
			got := "accept"
			if err != nil {
				got = err.Error()
				if !j.IsZero() {
					t.Error("a refused text came back as JSON")
				}
				if syntax := (*toolcall.SyntaxError)(nil); !errors.As(err, &syntax) {
					t.Errorf("error is a %T, want a *SyntaxError", err)
				}
			} else if _, _, folded := j.Folded(); folded {
				got = "accept, folded"
			}
			if got != c.want {
				t.Errorf("%q\n got %s\nwant %s", c.text, got, c.want)
			}
		})
	}
}

func TestParseDepth(t *testing.T) {
	nest := func(levels int) string {
		return strings.Repeat(`{"a":[`, levels/2) + "1" + strings.Repeat("]}", levels/2)
	}
	if _, err := toolcall.Parse(nest(128), toolcall.Limits{Bytes: 1 << 20, Depth: 128}); err != nil {
		t.Errorf("128 levels of 128: %v", err)
	}
	_, err := toolcall.Parse(nest(130), toolcall.Limits{Bytes: 1 << 20, Depth: 128})
	want := fmt.Sprintf("byte %d: nested too deeply", len(`{"a":[`)*64)
	if err == nil || err.Error() != want {
		t.Errorf("130 levels of 128: got %v, want %s", err, want)
	}
	if _, err := toolcall.Parse("[]", toolcall.Limits{Bytes: 2}); err == nil {
		t.Error("an array passed a depth of 0")
	}
	if _, err := toolcall.Parse("1", toolcall.Limits{Bytes: 1}); err != nil {
		t.Errorf("a number needs no depth: %v", err)
	}
}

func TestParseSize(t *testing.T) {
	limits := toolcall.Limits{Bytes: 10, Depth: 1}
	if _, err := toolcall.Parse(`"12345678"`, limits); err != nil {
		t.Errorf("10 bytes of 10: %v", err)
	}
	j, err := toolcall.Parse(`"123456789"`, limits)
	if !errors.Is(err, toolcall.ErrTooLarge) || !j.IsZero() {
		t.Errorf("11 bytes of 10: got %v, %v; want ErrTooLarge", j, err)
	}
}

// Zero values refuse: the zero Limits admits no text, the zero JSON has no
// content and no parts.
func TestZeroRefuses(t *testing.T) {
	for _, text := range []string{"", "1", "{}", `"a"`} {
		if j, err := toolcall.Parse(text, toolcall.Limits{}); err == nil {
			t.Errorf("zero limits admitted %q as %v", text, j)
		}
	}
	var j toolcall.JSON
	if !j.IsZero() || j.Type() != toolcall.NoType || j.Text() != "" || j.Len() != 0 {
		t.Errorf("the zero JSON is something: %v", j)
	}
	if _, ok := j.Str(); ok {
		t.Error("the zero JSON is a string")
	}
	if _, ok := j.Number(); ok {
		t.Error("the zero JSON is a number")
	}
	if m := j.Members(); m.Next() || m.Name() != "" || m.NameIs("") || !m.Value().IsZero() {
		t.Error("the zero JSON has members")
	}
	if e := j.Elements(); e.Next() || !e.Value().IsZero() {
		t.Error("the zero JSON has elements")
	}
	if !j.Member("a").IsZero() {
		t.Error("the zero JSON has a member a")
	}
	if _, _, ok := j.Folded(); ok {
		t.Error("the zero JSON has folded names")
	}
	if out := j.AppendCanonical(nil); len(out) != 0 {
		t.Errorf("the zero JSON has a canonical form: %s", out)
	}
	if _, _, ok := j.SpanIn(parse(t, "[1]")); ok {
		t.Error("the zero JSON is part of a document")
	}
}

// A text is told from its middle by Parse, so white space around it goes.
func TestParseTrims(t *testing.T) {
	if got := parse(t, " \r\n\t[1, 2] \n").Text(); got != "[1, 2]" {
		t.Errorf("got %q", got)
	}
}

// Strings are read eight bytes at a time. Wherever a byte stands among them, and
// however much follows, it is judged alike.
func TestParseEveryPlaceInAString(t *testing.T) {
	for _, c := range []struct{ bytes, reason string }{
		{"\xff", "invalid UTF-8"},
		{"\xed\xa0\x80", "invalid UTF-8"},
		{"\x80", "invalid UTF-8"},
		{"\x00", "a control character inside a string"},
		{"\x1f", "a control character inside a string"},
		{`\x`, "an unknown escape sequence"},
		{`\udead`, "a lone surrogate"},
		{"\"x", "expected a comma or ] in an array"}, // the string ends early
		{"\x7f", ""}, {" ", ""}, {"é", ""}, {"\U0010FFFF", ""}, {`\"`, ""}, {`\ud83d\ude00`, ""}, {"!#[]^", ""},
	} {
		for before := range 20 {
			for after := range 20 {
				text := `["` + strings.Repeat("a", before) + c.bytes + strings.Repeat("b", after) + `"]`
				got, want := "", ""
				if _, err := toolcall.Parse(text, toolcall.Limits{Bytes: 100, Depth: 1}); err != nil {
					got = err.Error()
				}
				if c.reason != "" {
					at := 2 + before
					if c.bytes[0] == '"' {
						at++
					}
					want = fmt.Sprintf("byte %d: %s", at, c.reason)
				}
				if got != want {
					t.Fatalf("%q: got %q, want %q", text, got, want)
				}
			}
		}
	}
}

// Names that collide in the cheap filter, and more of them than are compared
// one by one, are still told apart.
func TestParseManyNames(t *testing.T) {
	for _, count := range []int{2, 15, 16, 17, 18, 100, 5000} {
		var names []string
		for i := range count {
			names = append(names, fmt.Sprintf(`"a%07db":0`, i))
		}
		object := "{" + strings.Join(names, ",") + "}"
		parse(t, object)
		for _, again := range []int{0, count / 2, count - 1} {
			doubled := object[:len(object)-1] + "," + names[again] + "}"
			_, err := toolcall.Parse(doubled, toolcall.Limits{Bytes: len(doubled), Depth: 1})
			want := fmt.Sprintf("byte %d: a member name that this object already has", len(object))
			if err == nil || err.Error() != want {
				t.Errorf("%d names, number %d again: got %v, want %s", count, again, err, want)
			}
		}
	}
}

// On accept nothing is allocated, whatever the message is like.
func TestParseDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIP: allocations are not counted under the race detector")
	}
	for name, text := range shapes() {
		limits := toolcall.Limits{Bytes: len(text), Depth: 128}
		allocs := testing.AllocsPerRun(20, func() {
			if _, err := toolcall.Parse(text, limits); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}
