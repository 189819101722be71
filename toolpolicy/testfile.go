package toolpolicy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// TestFile is a policy_test.yaml: examples of calls and lists with what the
// policy must say about them.
type TestFile struct {
	name      string
	policy    string
	tools     string
	sessions  []string
	callers   map[string]toolcall.Caller
	tests     []example
	catalogue *Catalogue // nil until UseTools
}

// example is one test.
type example struct {
	name   string
	file   string // of a recorded session; else empty
	line   int
	caller toolcall.Caller
	kind   toolcall.Kind // NoKind for a list
	target selector
	args   toolcall.JSON
	at     time.Time // zero where the file does not say

	after       *time.Duration // since the tests began; nil: nothing was called before
	repeat      int            // so many calls, one as the other
	expect      *toolcall.Effect
	rule        string
	has, lacks  []string // of a list
	result      toolcall.JSON
	resultHas   []string
	resultLacks []string
	recorded    bool // read from a recorded session
}

// LoadTests reads a test file. The error is Mistakes.
func LoadTests(name string, text []byte) (*TestFile, error) {
	d := parseDocument(name, text)
	r := testReader{compiler: &compiler{document: d}, file: &TestFile{name: name, callers: map[string]toolcall.Caller{}}}
	if d.root != nil {
		r.read()
	}
	if len(d.mistakes) > 0 {
		return nil, d.mistakes.sorted([]string{name})
	}
	return r.file, nil
}

// PolicyPath is where the file says that the policy is: a file or a folder,
// relative to the test file.
func (t *TestFile) PolicyPath() string { return t.policy }

// ToolsPath is where the file says that the recorded catalogue is, relative to
// the test file; "" when it names none.
func (t *TestFile) ToolsPath() string { return t.tools }

// Caller is the caller that the file gives a name; ok is false where it has none
// of that name.
func (t *TestFile) Caller(name string) (c toolcall.Caller, ok bool) {
	c, ok = t.callers[name]
	return c, ok
}

// Callers are the names of the callers, sorted.
func (t *TestFile) Callers() []string { return slices.Sorted(maps.Keys(t.callers)) }

// UseTools gives the tests the recorded catalogue that they name, or another in its
// place. Without one every argument of a test counts as declared by its tool.
func (t *TestFile) UseTools(c *Catalogue) { t.catalogue = c }

// testReader reads a test file with the means of the compiler.
type testReader struct {
	*compiler
	file   *TestFile
	latest time.Duration // of the tests so far
}

func (r *testReader) read() {
	for key, value := range r.members(r.root, "a test file") {
		switch key.Value {
		case "policy":
			r.file.policy, _ = r.text(value, "policy")
		case "tools":
			r.file.tools, _ = r.text(value, "tools")
		case "sessions":
			r.file.sessions = r.texts(value, "sessions")
		case "callers":
			for name, caller := range r.members(value, "callers") {
				r.file.callers[name.Value] = r.caller(name, caller)
			}
		case "tests":
		default:
			r.unknown(key, "a test file", "policy", "tools", "sessions", "callers", "tests")
		}
	}
	if r.file.policy == "" && r.root.Kind == yaml.MappingNode {
		r.fail(r.root, "policy: policy.yaml", "the file does not say which policy it tests")
	}
	tests, has := mappingValue(r.root, "tests")
	switch {
	case !has && len(r.file.sessions) > 0:
		return
	case !has:
		r.fail(r.root, "tests: [...]", "there are no tests")
		return
	}
	for _, e := range r.elements(tests, "tests") {
		r.file.tests = append(r.file.tests, r.example(e))
	}
}

// caller reads who asks. Where the file does not say, the subject is the name
// and the issuer is "test".
func (r *testReader) caller(name, n *yaml.Node) toolcall.Caller {
	c := toolcall.Caller{Subject: name.Value, Issuer: "test", Person: name.Value}
	for key, value := range r.members(n, "a caller") {
		switch key.Value {
		case "groups":
			c.Groups = r.texts(value, "groups")
		case "subject":
			c.Subject, _ = r.text(value, "subject")
		case "issuer":
			c.Issuer, _ = r.text(value, "issuer")
		case "client":
			c.Client, _ = r.text(value, "client")
		case "person":
			c.Person, _ = r.text(value, "person")
		default:
			r.unknown(key, "a caller", "groups", "subject", "issuer", "client", "person")
		}
	}
	return c
}

func (r *testReader) example(n *yaml.Node) example {
	e := example{line: n.Line, repeat: 1}
	before := len(r.mistakes)
	subjects, as := 0, false
	for key, value := range r.members(n, "a test") {
		switch key.Value {
		case "name":
			e.name, _ = r.text(value, "name")
		case "as":
			as = true
			e.caller = r.knownCaller(value)
		case "call", "resource", "prompt", "request", "method":
			subjects++
			r.subject(&e, key, value)
		case "list":
			subjects++
			e.has, e.lacks = r.list(value)
		case "after":
			e.after = r.moment(value)
		case "repeat":
			e.repeat = int(r.whole(value, maxRepeat, "repeat"))
		case "args":
			e.args = r.object(value, "args")
		case "at":
			e.at = r.time(value)
		case "expect":
			e.expect = r.effect(value)
		case "rule":
			e.rule, _ = r.text(value, "rule")
		case "result":
			e.result = r.object(value, "result")
		case "result_has":
			e.resultHas = r.texts(value, "result_has")
		case "result_lacks":
			e.resultLacks = r.texts(value, "result_lacks")
		default:
			r.unknown(key, "a test", "name", "as", "call", "resource", "prompt", "request", "method", "list",
				"args", "at", "after", "repeat", "expect", "rule", "result", "result_has", "result_lacks")
		}
	}
	if len(r.mistakes) == before { // else it would blame what follows from them
		r.checkExample(n, &e, subjects, as)
	}
	return e
}

// subject reads what a test or a line of calls is about.
func (r *testReader) subject(e *example, key, value *yaml.Node) {
	e.target, _ = r.selectorText(value, key.Value)
	if e.kind = kindOf(key.Value); key.Value == "call" {
		e.kind = toolcall.Tool
	}
}

func (r *testReader) checkExample(n *yaml.Node, e *example, subjects int, as bool) {
	results := len(e.resultHas) + len(e.resultLacks)
	switch {
	case e.name == "":
		r.fail(n, "name: ...", "the test has no name")
	case !as:
		r.fail(n, "as: sam", "the test does not say who asks")
	case subjects != 1:
		r.fail(n, "call: upstream/tool", "a test is about one of call, resource, prompt, request, method and list")
	case e.kind == toolcall.NoKind && len(e.has)+len(e.lacks) == 0,
		e.kind != toolcall.NoKind && e.expect == nil && e.rule == "" && results == 0:
		r.fail(n, "expect: allow", "the test expects nothing, so it could not fail")
	case results > 0 && e.result.IsZero():
		r.fail(n, "result: {structuredContent: {...}}", "the test expects something of a result and gives none")
	case e.kind == toolcall.NoKind && (e.after != nil || e.repeat != 1):
		r.fail(n, "", "a list takes of no limit, so after and repeat have no meaning")
	case e.after != nil && !e.at.IsZero():
		r.fail(n, "at, or after", "a test says the time (at), or the time since the tests began (after)")
	case results > 0 && e.kind != toolcall.Tool:
		r.fail(n, "call: upstream/tool", "only the result of a tool can be tested")
	}
}

// maxRepeat bounds how often one test calls.
const maxRepeat = 10_000

// moment reads after: a time since the tests began, not before that of the test
// above. Tests that have one happen one after the other, and what one takes of a
// limit the next finds taken.
func (r *testReader) moment(n *yaml.Node) *time.Duration {
	text, ok := r.text(n, "after")
	if !ok {
		return nil
	}
	after, err := time.ParseDuration(text)
	switch {
	case err != nil || after < 0 || after > maxWithin*time.Second:
		r.fail(n, "90s", "after is a time since the tests began, of at most 30 days, like 0s, 90s or 24h")
		return nil
	case after < r.latest:
		r.fail(n, r.latest.String(), "after %s is before the %s of a test above", after, r.latest)
	}
	r.latest = max(r.latest, after)
	return &after
}

func (r *testReader) knownCaller(n *yaml.Node) toolcall.Caller {
	name, ok := r.text(n, "as")
	if !ok {
		return toolcall.Caller{}
	}
	c, known := r.file.callers[name]
	if !known {
		names := r.file.Callers()
		r.fail(n, cmp.Or(nearest(name, names), strings.Join(names, ", ")), "callers does not have %q", name)
	}
	return c
}

func (r *testReader) list(n *yaml.Node) (has, lacks []string) {
	for key, value := range r.members(n, "list") {
		switch key.Value {
		case "has":
			has = r.targets(value, "has")
		case "lacks":
			lacks = r.targets(value, "lacks")
		default:
			r.unknown(key, "list", "has", "lacks")
		}
	}
	return has, lacks
}

func (r *testReader) targets(n *yaml.Node, what string) []string {
	var out []string
	for _, e := range r.elements(n, what) {
		if s, ok := r.selectorText(e, "an entry of "+what); ok {
			out = append(out, s.text)
		}
	}
	return out
}

func (r *testReader) object(n *yaml.Node, what string) toolcall.JSON {
	v, ok := r.value(n, what)
	if ok && v.Type() != toolcall.ObjectType {
		r.fail(n, "{...}", "%s must be a mapping", what)
	}
	return v
}

// time reads when a call is made (RFC 3339).
func (r *testReader) time(n *yaml.Node) time.Time {
	s, ok := r.text(n, "at")
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		r.fail(n, `"2027-01-31T22:15:00Z"`, "at must be a time of RFC 3339")
	}
	return t
}

func (r *testReader) effect(n *yaml.Node) *toolcall.Effect {
	s, ok := r.text(n, "expect")
	for _, e := range []toolcall.Effect{toolcall.Deny, toolcall.Approve, toolcall.Allow} {
		if s == e.String() {
			return &e
		}
	}
	if ok {
		r.fail(n, nearest(s, []string{"allow", "approve", "deny"}), "expect is allow, approve or deny, not %q", s)
	}
	return nil
}
