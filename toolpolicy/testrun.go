package toolpolicy

import (
	"cmp"
	"fmt"
	"strings"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// TestResult is what came of one test.
type TestResult struct {
	Name     string
	File     string
	Line     int      // of the test
	Failures []string // why it failed; none when it passed
}

// OK reports whether the test passed.
func (r TestResult) OK() bool { return len(r.Failures) == 0 }

// Run runs the tests in their order. load compiles the policy at a path as the
// test file writes it. Where the policy cannot be loaded, or the file names a
// catalogue that UseTools was not given, every test fails.
func (t *TestFile) Run(load func(path string) (*Policy, error)) []TestResult {
	p, err := load(t.policy)
	if err == nil && t.tools != "" && t.catalogue == nil {
		err = fmt.Errorf("the catalogue %s was not loaded", t.tools)
	}
	line := newTimeline()
	results := make([]TestResult, len(t.tests))
	for i := range t.tests {
		e := &t.tests[i]
		results[i] = TestResult{Name: e.name, File: cmp.Or(e.file, t.name), Line: e.line}
		if err != nil {
			results[i].Failures = []string{err.Error()}
			continue
		}
		results[i].Failures = t.run(p, line, e)
	}
	return results
}

func (t *TestFile) run(p *Policy, line *timeline, e *example) (failures []string) {
	if e.kind == toolcall.NoKind {
		return t.runList(p, e)
	}
	call, err := t.call(e)
	if err != nil {
		return []string{err.Error()}
	}
	var d toolcall.Decision
	for n, decided := range line.decide(p, call, e) {
		if d = decided; n > 1 && e.misses(d) {
			failures = append(failures, fmt.Sprintf("call %d of %d:", n, e.repeat))
			break
		}
	}
	if e.expect != nil && d.Effect != *e.expect {
		failures = append(failures, fmt.Sprintf("expected %s, got %s%s", *e.expect, d.Effect, because(d)))
		if e.recorded && !e.args.IsZero() {
			failures = append(failures, "the record keeps arguments as redaction left them; write the call as a test of its own where that matters")
		}
	}
	if e.rule != "" && d.Rule != e.rule {
		failures = append(failures, fmt.Sprintf("expected the rule %s, got %s", e.rule, orNone(d.Rule)))
	}
	if len(e.resultHas)+len(e.resultLacks) > 0 {
		failures = append(failures, runResult(p, e, d)...)
	}
	return failures
}

// misses reports whether a decision is another than was expected.
func (e *example) misses(d toolcall.Decision) bool {
	return e.expect != nil && d.Effect != *e.expect || e.rule != "" && d.Rule != e.rule
}

func because(d toolcall.Decision) string {
	switch {
	case d.Rule != "":
		return fmt.Sprintf(" by %s at %s:%d", d.Rule, d.File, d.Line)
	case d.Reason != "":
		return ": " + d.Reason
	}
	return ""
}

func orNone(rule string) string {
	if rule == "" {
		return "none"
	}
	return rule
}

// definition is the tool from the catalogue. Without a catalogue it declares
// exactly the arguments that the test gives.
func (t *TestFile) definition(upstream, name string, args toolcall.JSON) *toolcall.ToolDef {
	if t.catalogue != nil {
		return t.catalogue.Tool(upstream, name)
	}
	return Declaring(upstream, name, args)
}

// Declaring is the definition of a tool that declares exactly the arguments that
// a call gives, for examples whose tool nobody knows; nil where args are not an
// object and not absent.
func Declaring(upstream, name string, args toolcall.JSON) *toolcall.ToolDef {
	if args.Type() != toolcall.ObjectType && !args.IsZero() {
		return nil
	}
	text := append([]byte(`{"name":`), toolcall.Quote(name).Text()...)
	text = append(text, `,"inputSchema":{"type":"object","properties":{`...)
	sep := ""
	for m := args.Members(); m.Next(); sep = "," {
		text = append(text, sep+m.RawName().Text()+":{}"...)
	}
	text = append(text, "}}}"...)
	def, err := toolcall.Parse(string(text), toolcall.Limits{Bytes: len(text), Depth: 8})
	if err != nil {
		return nil
	}
	return toolcall.NewToolDef(upstream, def)
}

func (t *TestFile) runList(p *Policy, e *example) (failures []string) {
	shown := func(target string) bool {
		upstream, name, _ := strings.Cut(target, "/")
		if t.catalogue != nil && t.catalogue.Tool(upstream, name) == nil {
			return false
		}
		return p.Visible(e.caller, toolcall.Tool, upstream, name) == Listed
	}
	for _, target := range e.has {
		if !shown(target) {
			failures = append(failures, "the list lacks "+target)
		}
	}
	for _, target := range e.lacks {
		if shown(target) {
			failures = append(failures, "the list has "+target)
		}
	}
	return failures
}

// runResult redacts the result as the decision says and looks for texts.
func runResult(p *Policy, e *example, d toolcall.Decision) (failures []string) {
	if d.Effect == toolcall.Deny {
		return []string{"the call is denied, so it has no result" + because(d)}
	}
	out, _, err := p.Redactor(d.Redact).Redact(e.result, surface(e.result))
	if err != nil {
		if len(e.resultHas) > 0 {
			failures = append(failures, fmt.Sprintf("the result is withheld: %v", err))
		}
		return failures // what is withheld holds nothing
	}
	for _, s := range e.resultHas {
		if !holdsText(out, s) {
			failures = append(failures, fmt.Sprintf("the result lacks %q", s))
		}
	}
	for _, s := range e.resultLacks {
		if holdsText(out, s) {
			failures = append(failures, fmt.Sprintf("the result has %q", s))
		}
	}
	return failures
}

// surface is where paths are rooted in a tool's result (MCP, CallToolResult).
func surface(result toolcall.JSON) redact.Surface {
	s := redact.Surface{Roots: []toolcall.JSON{result.Member("structuredContent")}}
	for c := result.Member("content").Elements(); c.Next(); {
		resource := c.Value().Member("resource")
		s.Texts = append(s.Texts, c.Value().Member("text"), resource.Member("text"))
		mime, _ := resource.Member("mimeType").Str()
		s.Blobs = append(s.Blobs, redact.Blob{Data: resource.Member("blob"), MIME: mime})
	}
	return s
}

// holdsText reports whether s stands in a JSON text, as it is or as JSON
// escapes it, once or inside a JSON text of its own.
func holdsText(doc toolcall.JSON, s string) bool {
	for range 3 {
		if strings.Contains(doc.Text(), s) {
			return true
		}
		quoted := toolcall.Quote(s).Text()
		s = quoted[1 : len(quoted)-1]
	}
	return false
}
