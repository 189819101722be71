package toolpolicy

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// NamedCall is a call that policies are compared over, and where it is written.
type NamedCall struct {
	Name string // of the test; "" of a line that has none
	File string
	Line int
	Call *toolcall.Call
}

// Calls are the calls of the tests, in their order; tests of lists have none.
func (t *TestFile) Calls() ([]NamedCall, error) {
	var all []NamedCall
	for i := range t.tests {
		e := &t.tests[i]
		if e.kind == toolcall.NoKind {
			continue
		}
		call, err := t.call(e)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", t.name, e.line, err)
		}
		all = append(all, NamedCall{e.name, t.name, e.line, call})
	}
	return all, nil
}

// call is the call of a test.
func (t *TestFile) call(e *example) (*toolcall.Call, error) {
	upstream, name, _ := strings.Cut(e.target.text, "/")
	call := &toolcall.Call{Caller: e.caller, Upstream: upstream, Kind: e.kind, Name: name, Args: e.args, At: e.at}
	if e.kind == toolcall.Tool {
		if call.Def = t.definition(upstream, name, e.args); call.Def == nil {
			return nil, fmt.Errorf("the catalogue has no tool %s", e.target.text)
		}
	}
	return call, nil
}

// ReadCalls reads calls, one JSON object a line:
//
//	{"as": {"subject": "sam", "groups": ["support"]}, "call": "payments/refund", "args": {"amount": 42}}
//
// In place of call may stand resource, prompt, request or method, and beside it a
// name and an RFC 3339 time, at. Without a catalogue every argument counts as
// declared. The error is Mistakes, or one of a call that the catalogue has no tool for.
func ReadCalls(name string, text []byte, c *Catalogue) ([]NamedCall, error) {
	var all []NamedCall
	var mistakes Mistakes
	t := TestFile{name: name, catalogue: c}
	number := 0
	for line := range strings.Lines(string(text)) {
		if number++; strings.TrimSpace(line) == "" {
			continue
		}
		e, found := readCall(name, number, strings.TrimRight(line, "\r\n"))
		if mistakes = append(mistakes, found...); len(found) > 0 {
			continue
		}
		call, err := t.call(&e)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		all = append(all, NamedCall{e.name, name, number, call})
	}
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	return all, nil
}

// readCall reads one line as a test that expects nothing: JSON is YAML, and the
// mistakes are those of tests.
func readCall(file string, number int, line string) (e example, mistakes Mistakes) {
	if _, err := toolcall.Parse(line, toolcall.Limits{Bytes: maxText, Depth: maxNesting}); err != nil {
		return e, Mistakes{{File: file, Line: number, Message: fmt.Sprintf("the line is no JSON object: %v", err), Source: line}}
	}
	d := parseDocument(file, []byte(line))
	r := testReader{compiler: &compiler{document: d}, file: &TestFile{name: file, callers: map[string]toolcall.Caller{}}}
	if d.root != nil {
		e = r.lineOf(d.root)
	}
	for i := range d.mistakes {
		d.mistakes[i].Line = number
	}
	return e, d.mistakes
}

// lineOf reads the object of one line.
func (r *testReader) lineOf(n *yaml.Node) example {
	var e example
	subjects, as := 0, false
	for key, value := range r.members(n, "a call") {
		switch key.Value {
		case "name":
			e.name, _ = r.text(value, "name")
		case "as":
			as = true
			e.caller = r.caller(&yaml.Node{Value: "somebody"}, value)
		case "call", "resource", "prompt", "request", "method":
			subjects++
			r.subject(&e, key, value)
		case "args":
			e.args = r.object(value, "args")
		case "at":
			e.at = r.time(value)
		default:
			r.unknown(key, "a call", "name", "as", "call", "resource", "prompt", "request", "method", "args", "at")
		}
	}
	if len(r.mistakes) == 0 && (subjects != 1 || !as) {
		r.fail(n, `{"as": {"groups": ["support"]}, "call": "upstream/tool"}`, "a line is about one call, and says who asks")
	}
	return e
}
