package toolpolicy

import (
	"strings"

	"mcpguard/toolcall"
)

// closestMiss is the allow or approve rule that a denied call failed by the
// fewest conditions, the first in the file among equals, and the same in
// words, with how much of it the caller is told. Neither holds a value of the
// call: the words may be shown to the agent and kept in the record.
func (p *Policy) closestMiss(set bits, v *view) (toolcall.Miss, string, toolcall.Explain) {
	var (
		best  toolcall.Miss
		words string
		least int
		level toolcall.Explain
	)
	about := p.index.about(v.call.Kind, v.call.Upstream, v.call.Name)
	for i, ok := about.next(); ok; i, ok = about.next() {
		r := &p.rules[i]
		if r.verb == denies || r.observe || !set.has(r.role) {
			continue
		}
		miss, sentence, failed := r.misses(v)
		if failed > 0 && (best.IsZero() || failed < least) {
			best, words, least, level = miss, sentence, failed, r.explain
		}
	}
	if best.IsZero() {
		return best, "no rule allows it", toolcall.ExplainArgument
	}
	return best, best.Rule + ": " + words, level
}

// misses counts the conditions of a rule that a call fails, and tells the
// first. Of a rule about something else it counts none.
func (r *rule) misses(v *view) (first toolcall.Miss, sentence string, failed int) {
	r.conditions(v, func(c Condition) {
		if c.Verdict == toolcall.VerdictTrue {
			return
		}
		if failed++; failed == 1 {
			first, sentence = toolcall.Miss{Rule: r.id, Path: c.Path, Want: c.Want, Got: c.Got}, c.sentence
		}
	})
	return first, sentence, failed
}

// Condition is one thing that a rule asks of a call, and what came of it. Its
// words never quote the call.
type Condition struct {
	Path    string // the argument; "" of a selector, an expression and undeclared arguments
	Want    string // what would pass: "max 500"
	Verdict toolcall.Verdict
	Got     string // why it is not true: "over", "absent", "not a number"; "" where it is

	sentence string // the same, whole
}

// together reports whether the conditions on an argument cannot be told one after
// the other: they are asked of each of several positions, and not of all of them.
func (a *argument) together() bool { return a.many && a.quantifier != every && len(a.tests) > 1 }

// wants are the words for what all conditions together let pass.
func (cs conjunction) wants() string {
	wants := make([]string, len(cs))
	for i := range cs {
		wants[i] = cs[i].words.want
	}
	return strings.Join(wants, " and ")
}

// orNothing is why an outcome is not true, with words for the plain false.
func (o outcome) orNothing(failed string) string {
	switch o {
	case holds:
		return ""
	case fails:
		return failed
	}
	return o.String()
}

// conditions judges all that a rule asks, whatever came before; nothing of a
// rule that is about something else.
func (r *rule) conditions(v *view, say func(Condition)) {
	note := func(o outcome, path, want, got, words string) {
		say(Condition{Path: path, Want: want, Verdict: o.verdict(), Got: got, sentence: words})
	}
	switch r.selector.judge(v) {
	case toolcall.VerdictFalse:
		return
	case toolcall.VerdictUnknown:
		note(unjudged, "", r.selector.text, "a URI with more than one reading",
			"the URI could be read as another resource")
	}
	in := lookup{v.call.Args, v.call}
	for i := range r.args {
		a := &r.args[i]
		label := a.text
		if label == whole {
			label = "one of the arguments"
		}
		if a.together() {
			want, o := a.tests.wants(), a.outcome(in, nil)
			note(o, a.text, want, o.orNothing("holds nowhere"), label+" is nowhere "+want)
			continue
		}
		for j := range a.tests {
			one := *a // with this condition alone, to tell which one fails
			one.tests = one.tests[j : j+1]
			switch t, o := &one.tests[0], one.outcome(in, nil); o {
			case holds:
				note(o, one.text, t.words.want, "", "")
			case fails:
				note(o, one.text, t.words.want, t.words.got, label+" "+t.words.sentence)
			default:
				note(o, one.text, t.words.want, o.String(), label+" is "+o.String()+", wanted: "+t.words.want)
			}
		}
	}
	if r.when != nil {
		switch o := r.when.judge(*v.call); o {
		case holds:
			note(o, "", r.when.words.want, "", "")
		case fails:
			note(o, "", r.when.words.want, r.when.words.got, r.when.words.sentence)
		default:
			note(o, "", r.when.words.want, o.String(), "the expression is "+o.String()+", wanted: "+r.when.words.want)
		}
	}
	if r.refusesExtras(v) {
		note(unjudged, "", "arguments that the tool declares", "not declared", "an argument is given that the tool does not declare")
	}
}
