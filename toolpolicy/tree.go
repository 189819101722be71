package toolpolicy

import "mcpguard/toolcall"

// argument is a path into a call's arguments, or into a JSON text, and what is
// asked of the values there.
type argument struct {
	path       toolcall.Path // zero is the whole document, written "**"
	text       string        // the path as written
	many       bool          // the path can name more than one position
	quantifier quantifier    // of its positions
	optional   bool          // absent, without a declared default, is true
	number     int           // of the path in its policy, from 1; 0 where nothing is remembered of it
	top        toolcall.Path // of "**.name": name, for the default that the schema declares
	tests      conjunction
}

// outcome is what the conditions come to. Notes get a letter for
// each leaf, or one for the whole argument where its path names many positions
// and where it is absent and optional.
func (a *argument) outcome(in lookup, n *notes) outcome {
	if a.many {
		out := a.sweep(in)
		n.letter(out.letter())
		return out
	}
	return a.outcomeOf(in.find(a.path), n)
}

// outcomeOf is outcome where the one position is found already.
func (a *argument) outcomeOf(found finding, n *notes) outcome {
	if a.optional && found.nowhere() {
		n.letter(optionalLetter)
		return holds
	}
	return a.tests.outcome(found, n)
}

// finding is what stands at one position.
type finding struct {
	given    toolcall.JSON // as the caller sent it; zero when absent
	fallback toolcall.JSON // the declared default; zero when there is none
	odd      outcome       // of the default: blocked or variant; else zero
	how      outcome       // holds (given), absent, undefined, blocked or variant
}

// nowhere reports whether there is neither a value nor a default.
func (f *finding) nowhere() bool { return f.how == absent && f.odd == unjudged && f.fallback.IsZero() }

// conjunction is of conditions that are asked of one value, and all must hold.
type conjunction []test

func (cs conjunction) outcome(f finding, n *notes) outcome {
	out := holds
	for i := range cs {
		if out == fails && n == nil {
			break
		}
		out = lesser(out, cs[i].outcome(f, n))
	}
	return out
}

// test is a node of the tree of conditions on one value: a leaf with a matcher,
// or branches.
type test struct {
	matcher  matcher // of a leaf
	presence bool    // a leaf that judges whether the argument was given; defaults do not count
	words    words   // of the node, built once

	negated  bool          // "not": the one branch must not hold
	branches []conjunction // "not" and "any_of": one of them must hold
}

func newTest(m matcher) test {
	_, presence := m.(present)
	return test{matcher: m, words: m.words(), presence: presence}
}

func (t *test) outcome(f finding, n *notes) outcome {
	if t.matcher == nil {
		return t.branched(f, n)
	}
	out := t.leaf(f)
	n.letter(out.letter())
	return out
}

func (t *test) leaf(f finding) outcome {
	switch {
	case f.how == blocked || f.how == variant:
		return f.how
	case t.presence || f.how == holds:
		return t.matcher.judge(f.given)
	case f.odd != unjudged:
		return f.odd
	case !f.fallback.IsZero():
		return t.matcher.judge(f.fallback)
	}
	return f.how
}

func (t *test) branched(f finding, n *notes) outcome {
	out := fails
	for i := range t.branches {
		if out == holds && n == nil {
			break
		}
		out = greater(out, t.branches[i].outcome(f, n))
	}
	if t.negated {
		return out.negated()
	}
	return out
}

// rank orders outcomes: false, absent, unknown, true. Conditions that must all
// hold come to the least of them, those of which one must hold to the greatest:
// Kleene's logic of three values, with a second false for what is absent.
func (o outcome) rank() int {
	switch o {
	case fails:
		return 0
	case absent:
		return 1
	case holds:
		return 3
	}
	return 2
}

func lesser(a, b outcome) outcome {
	if b.rank() < a.rank() {
		return b
	}
	return a
}

func greater(a, b outcome) outcome {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// negated turns true and false round. What is absent becomes unknown and not
// true, so that no rule allows a call for an argument that was left out, and
// leaving one out escapes no deny.
func (o outcome) negated() outcome {
	switch o {
	case holds:
		return fails
	case fails:
		return holds
	case absent:
		return unanswered
	}
	return o
}
