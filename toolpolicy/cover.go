package toolpolicy

import (
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// Coverage is what tests try of a policy: which rules decide, and which
// conditions come to both answers. It is for one goroutine.
type Coverage struct {
	policy *Policy
	rules  map[string]*RuleCoverage // by id
}

// RuleCoverage is what tests try of one rule.
type RuleCoverage struct {
	Rule       string // id
	File       string
	Line       int  // 1-based
	Observed   bool // it decides nothing, so Decided is that it matched
	Decided    bool // a test's decision named it
	Conditions []ConditionCoverage
}

// ConditionCoverage is what tests try of one condition.
type ConditionCoverage struct {
	Path   string // "" of an expression
	Want   string
	Held   bool // it was true
	Failed bool // it was not: false, absent or unknown
}

// NewCoverage is the coverage of a policy before any test.
func NewCoverage(p *Policy) *Coverage {
	c := &Coverage{policy: p, rules: map[string]*RuleCoverage{}}
	for i := range p.rules {
		r := &p.rules[i]
		c.rules[r.id] = &RuleCoverage{Rule: r.id, File: r.file, Line: r.line, Observed: r.observe, Conditions: r.asked()}
	}
	return c
}

// asked are the conditions of a rule as explanations name them.
func (r *rule) asked() []ConditionCoverage {
	var out []ConditionCoverage
	add := func(path, want string) { out = append(out, ConditionCoverage{Path: path, Want: want}) }
	for i := range r.args {
		a := &r.args[i]
		if a.together() {
			add(a.text, a.tests.wants())
			continue
		}
		for j := range a.tests {
			add(a.text, a.tests[j].words.want)
		}
	}
	if r.when != nil {
		add("", r.when.words.want)
	}
	return out
}

// Cover notes what the tests of a file try. Lists try nothing: they take
// arguments to be satisfiable.
func (c *Coverage) Cover(t *TestFile) {
	for i := range t.tests {
		e := &t.tests[i]
		if e.kind == toolcall.NoKind {
			continue
		}
		if call, err := t.call(e); err == nil { // else the test fails, and says so
			c.note(c.policy.Explain(call))
		}
	}
}

func (c *Coverage) note(e Explanation) {
	for i := range e.Considered {
		r := &e.Considered[i]
		to := c.rules[r.Rule]
		to.Decided = to.Decided || r.Decides || r.Observed && r.Verdict == toolcall.VerdictTrue
		for _, cond := range r.Conditions {
			at := slices.IndexFunc(to.Conditions, func(cc ConditionCoverage) bool { return cc.Path == cond.Path && cc.Want == cond.Want })
			if at < 0 {
				continue // a selector or undeclared arguments: no condition of the text
			}
			held := cond.Verdict == toolcall.VerdictTrue
			to.Conditions[at].Held = to.Conditions[at].Held || held
			to.Conditions[at].Failed = to.Conditions[at].Failed || !held
		}
	}
}

// Rules are the rules with what was tried of them, in the order of the files.
func (c *Coverage) Rules() []RuleCoverage {
	out := make([]RuleCoverage, 0, len(c.rules))
	for i := range c.policy.rules {
		out = append(out, *c.rules[c.policy.rules[i].id])
	}
	return out
}

// Count is how much was tried, of how much: a rule counts once, a condition once
// for each answer.
func (c *Coverage) Count() (tried, all int) {
	count := func(b bool) {
		if all++; b {
			tried++
		}
	}
	for _, r := range c.rules {
		count(r.Decided)
		for _, cond := range r.Conditions {
			count(cond.Held)
			count(cond.Failed)
		}
	}
	return tried, all
}

// Untried is what was not tried of the rule, in words.
func (r *RuleCoverage) Untried() []string {
	var out []string
	switch {
	case r.Decided:
	case r.Observed:
		out = append(out, "never matches")
	default:
		out = append(out, "never decides")
	}
	for _, c := range r.Conditions {
		name := strings.TrimSpace(c.Path + " " + c.Want)
		switch {
		case !c.Held && !c.Failed:
			out = append(out, name+" is never tried")
		case !c.Held:
			out = append(out, name+" is never true")
		case !c.Failed:
			out = append(out, name+" is never false")
		}
	}
	return out
}
