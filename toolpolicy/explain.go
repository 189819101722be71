package toolpolicy

import (
	"slices"

	"mcpguard/toolcall"
)

// Explanation is why a policy decides about one call as it does. Like a
// decision it quotes no value of the call; of arguments that the tool does not
// declare it has the names.
type Explanation struct {
	Decision   toolcall.Decision // what Evaluate answers
	Roles      []string          // of the caller, sorted
	Lacking    []LackedRole      // whose rules about the call do not count, in the order of the files
	Considered []Considered      // all rules about the call of the caller's roles, in the order of the files
	Elsewhere  int               // rules of the caller's roles that are about something else
	Undeclared []string          // arguments that the tool does not declare
	Unknown    bool              // the tool's schema is not known
	Redactions []AppliedProfile  // of the decision, in its order
}

// LackedRole is a role that the caller does not have.
type LackedRole struct {
	Role  string
	Rules int // about the call, or possibly so
}

// Considered is one rule about the call, and what came of it.
type Considered struct {
	Rule       string // id
	File       string
	Line       int // 1-based
	Verb       string
	About      string // its selector, as written: "crm/*"
	Verdict    toolcall.Verdict
	Conditions []Condition // in the order of the text; an expression, then undeclared arguments, come last
	Decides    bool        // the decision names it
	Observed   bool        // it changes nothing
	WouldAlter bool        // it is observed, and in force it would change the effect
}

// AppliedProfile is a redaction profile of a decision with what put it there.
type AppliedProfile struct {
	Profile string
	From    []string // "role support", "rule support/small-refund", "its own tools"
}

// Explain is [Policy.Evaluate] with its reasons: the same evaluation, with what
// every rule about the call came to.
func (p *Policy) Explain(c *toolcall.Call) Explanation {
	var e Explanation
	v := view{call: c}
	n := notes{judged: func(i int, verdict toolcall.Verdict) {
		e.Considered = append(e.Considered, p.considered(i, verdict, &v))
	}}
	e.Decision = p.evaluate(c, &n)
	e.Roles = p.Roles(c.Caller)
	if p == nil {
		return e
	}
	for i := range e.Considered {
		r := &e.Considered[i]
		r.Decides = r.Rule == e.Decision.Rule
		r.WouldAlter = slices.Contains(e.Decision.Shadow, r.Rule)
	}
	set := p.roles.of(&c.Caller)
	e.Lacking, e.Elsewhere = p.unconsidered(set, &v)
	for _, name := range e.Decision.Redact {
		e.Redactions = append(e.Redactions, p.applied(name, set, &e))
	}
	if c.Kind != toolcall.Tool {
		return e
	}
	e.Unknown = c.Def == nil
	for m := c.Args.Members(); c.Def != nil && m.Next(); {
		if !c.Def.Declares(m.Name()) {
			e.Undeclared = append(e.Undeclared, m.Name())
		}
	}
	return e
}

func (p *Policy) considered(i int, verdict toolcall.Verdict, v *view) Considered {
	r := &p.rules[i]
	out := Considered{Rule: r.id, File: r.file, Line: r.line, Verb: r.verb.String(), About: r.selector.text,
		Verdict: verdict, Observed: r.observe}
	r.conditions(v, func(c Condition) { out.Conditions = append(out.Conditions, c) })
	return out
}

// unconsidered are the roles not held that have rules about the call, and the
// number of rules of roles that are held and are about something else.
func (p *Policy) unconsidered(set bits, v *view) (lacking []LackedRole, elsewhere int) {
	rules := make([]int, len(p.roles.names))
	for i := range p.rules {
		r := &p.rules[i]
		about := r.selector.kind == v.call.Kind && r.selector.judge(v) != toolcall.VerdictFalse
		switch {
		case set.has(r.role) && !about:
			elsewhere++
		case !set.has(r.role) && about:
			rules[r.role]++
		}
	}
	for role, n := range rules {
		if n > 0 {
			lacking = append(lacking, LackedRole{p.roles.names[role], n})
		}
	}
	return lacking, elsewhere
}

// applied says what puts a profile on a decision. What neither a role nor a rule
// asks for is on for the tools that it selects.
func (p *Policy) applied(profile string, set bits, e *Explanation) AppliedProfile {
	out := AppliedProfile{Profile: profile}
	i := p.profiles.byName[profile]
	for role, name := range p.roles.names {
		if set.has(role) && p.roles.redact[role].has(i) {
			out.From = append(out.From, "role "+name)
		}
	}
	for _, c := range e.Considered {
		at := slices.IndexFunc(p.rules, func(r rule) bool { return r.id == c.Rule })
		if at >= 0 && p.rules[at].redact.has(i) && c.redacts(e.Decision.Effect) {
			out.From = append(out.From, "rule "+c.Rule)
		}
	}
	if len(out.From) == 0 {
		out.From = []string{"its own tools"}
	}
	return out
}

// redacts reports whether the profiles of a rule are on for a decision: those of rules
// that match, or ask because they might, and of a denial those of all about the call.
func (c *Considered) redacts(effect toolcall.Effect) bool {
	switch {
	case c.Observed:
		return false
	case effect == toolcall.Deny || c.Verdict == toolcall.VerdictTrue:
		return true
	}
	return c.Verdict == toolcall.VerdictUnknown && c.Verb == approves.String()
}
