package toolpolicy

import "mcpguard/toolcall"

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
	note := func(path, want, got, words string) {
		if failed++; failed == 1 {
			first, sentence = toolcall.Miss{Rule: r.id, Path: path, Want: want, Got: got}, words
		}
	}
	switch r.selector.judge(v) {
	case toolcall.VerdictFalse:
		return toolcall.Miss{}, "", 0
	case toolcall.VerdictUnknown:
		note("", r.selector.text, "a URI with more than one reading",
			"the URI could be read as another resource")
	}
	in := lookup{v.call.Args, v.call}
	for i := range r.args {
		label := r.args[i].text
		if label == whole {
			label = "one of the arguments"
		}
		for j := range r.args[i].tests {
			one := r.args[i] // with this condition alone, to tell which one fails
			one.tests = one.tests[j : j+1]
			switch t, o := &one.tests[0], one.outcome(in, nil); o {
			case holds:
			case fails:
				note(one.text, t.words.want, t.words.got, label+" "+t.words.sentence)
			default:
				note(one.text, t.words.want, o.String(), label+" is "+o.String()+", wanted: "+t.words.want)
			}
		}
	}
	if r.when != nil {
		switch o := r.when.judge(*v.call); o {
		case holds:
		case fails:
			note("", r.when.words.want, r.when.words.got, r.when.words.sentence)
		default:
			note("", r.when.words.want, o.String(), "the expression is "+o.String()+", wanted: "+r.when.words.want)
		}
	}
	if r.refusesExtras(v) {
		note("", "arguments that the tool declares", "not declared", "an argument is given that the tool does not declare")
	}
	return first, sentence, failed
}
