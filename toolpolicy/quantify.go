package toolpolicy

import "mcpguard/toolcall"

// quantifier says how many of several values must do.
type quantifier uint8

const (
	every    quantifier = iota // all, and at least one: what grants reads so
	some                       // one: what forbids reads so
	stricter                   // every where it grants and some where it asks: unknown where these differ
)

// quantifierOf is the reading that gives a caller the least, under the verb.
func quantifierOf(v verb) quantifier {
	return [...]quantifier{denies: some, approves: stricter, allows: every}[v]
}

// negated is the reading below a "not".
func (q quantifier) negated() quantifier {
	return [...]quantifier{every: some, some: every, stricter: stricter}[q]
}

// gathered is what several values came to.
type gathered struct {
	least, greatest outcome
	found           bool
}

func (a *gathered) add(o outcome) {
	if !a.found {
		*a = gathered{o, o, true}
		return
	}
	a.least, a.greatest = lesser(a.least, o), greater(a.greatest, o)
}

// settled reports whether more values cannot change what is answered.
func (a *gathered) settled(q quantifier) bool {
	return a.found && (q == every && a.least == fails || q == some && a.greatest == holds)
}

// outcome is none where there was no value.
func (a *gathered) outcome(q quantifier, none outcome) outcome {
	switch {
	case !a.found:
		return none
	case q == every || a.least == holds:
		return a.least
	case q == some || a.greatest.verdict() != toolcall.VerdictTrue:
		return a.greatest
	case a.least.verdict() == toolcall.VerdictUnknown:
		return a.least
	}
	return mixed
}

// sweep judges an argument at every position that its path names. A name below
// "**" that is nowhere is no position.
func (a *argument) sweep(in lookup) outcome {
	w := visit{argument: a, in: in}
	w.from(in.root, a.path.Steps(), exactly)
	none := absent
	if a.optional {
		none = holds
	}
	return w.gathered.outcome(a.quantifier, none)
}

// visit goes to the positions of a path.
type visit struct {
	argument *argument
	in       lookup
	defaults bool // what is walked is not given, but declared
	read     int  // bytes of all values that were looked through
	gathered
}

// maxSwept bounds what one path with several positions may read of a call, in
// bytes: a value is read again for every level above it, up to 128. What is left
// then is unknown; a call of 1 MiB is read whole where it is some 30 levels deep.
const maxSwept = 32 << 20

// goesOn reports whether more positions are looked at.
func (w *visit) goesOn() bool { return !w.settled(w.argument.quantifier) && w.read <= maxSwept }

// enter counts a value whose parts are walked; false when it is too much.
func (w *visit) enter(at toolcall.JSON) bool {
	if w.read > maxSwept {
		return false
	}
	if w.read += at.Len(); w.read > maxSwept {
		w.add(tooNested)
	}
	return w.read <= maxSwept
}

// demand is whether the first step of the rest of a path must lead somewhere.
type demand uint8

const (
	exactly  demand = iota
	wherever        // below "**"
	atTop           // below "**", at the top
)

func (w *visit) from(at toolcall.JSON, steps []toolcall.Step, must demand) {
	for i := range steps {
		step, rest := &steps[i], steps[i+1:]
		switch step.Kind {
		case toolcall.StepDeep:
			w.below(at, rest, atTop)
			return
		case toolcall.StepEach, toolcall.StepAny:
			w.children(at, step.Kind, rest, must)
			return
		}
		next, how := childOf(at, step)
		if how != holds {
			w.stopped(how, rest, must)
			return
		}
		at, must = next, exactly
	}
	if w.defaults {
		w.judge(finding{fallback: at, how: absent})
		return
	}
	w.judge(finding{given: at, how: holds})
}

// stopped is for a name that leads nowhere, with the steps behind it.
func (w *visit) stopped(how outcome, rest []toolcall.Step, must demand) {
	switch {
	case how == absent && must == exactly:
		w.missing(rest)
	case how == absent && must == atTop && !w.argument.top.IsZero():
		if f := w.in.missing(w.argument.top, 0); !f.nowhere() {
			w.judge(f)
		}
	case how == variant || how == blocked && must == exactly:
		w.odd(how)
	}
}

// missing goes on in the default of the place that is empty. Without one, names
// may still have a default of their own; a list that is absent has no elements.
func (w *visit) missing(rest []toolcall.Step) {
	path := w.argument.path
	i := len(path.Steps()) - len(rest) - 1
	fallback, how := w.in.declared(path, i+1)
	switch {
	case !fallback.IsZero():
		given := !w.defaults
		w.defaults = true
		w.from(fallback, rest, exactly)
		w.defaults = !given
	case namesOnly(rest):
		w.judge(w.in.missing(path, i))
	default:
		w.judge(finding{how: how})
	}
}

func namesOnly(steps []toolcall.Step) bool {
	for i := range steps {
		if steps[i].Kind != toolcall.StepName {
			return false
		}
	}
	return true
}

func (w *visit) children(at toolcall.JSON, kind toolcall.StepKind, rest []toolcall.Step, must demand) {
	t := at.Type()
	if t != toolcall.ArrayType && (t != toolcall.ObjectType || kind == toolcall.StepEach) {
		if must == exactly && t != toolcall.NoType {
			w.odd(blocked)
		}
		return
	}
	if !w.enter(at) {
		return
	}
	for e := at.Elements(); w.goesOn() && e.Next(); {
		w.from(e.Value(), rest, exactly)
	}
	for m := at.Members(); w.goesOn() && m.Next(); {
		w.from(m.Value(), rest, exactly)
	}
}

// below goes on from a value and from everything in it. Its depth is bounded by
// that of the text.
func (w *visit) below(at toolcall.JSON, rest []toolcall.Step, must demand) {
	if !w.enter(at) {
		return
	}
	w.from(at, rest, must)
	for e := at.Elements(); w.goesOn() && e.Next(); {
		w.below(e.Value(), rest, wherever)
	}
	for m := at.Members(); w.goesOn() && m.Next(); {
		w.below(m.Value(), rest, wherever)
	}
}

// odd is for a value in which the path cannot be followed.
func (w *visit) odd(how outcome) {
	if w.defaults {
		w.judge(finding{how: absent, odd: how})
		return
	}
	w.judge(finding{how: how})
}

func (w *visit) judge(f finding) {
	if w.argument.optional && f.nowhere() {
		w.add(holds)
		return
	}
	w.add(w.argument.tests.outcome(f, nil))
}

// elements is each or any: the conditions on every, or on some element of a
// list. Both are false of an empty list.
type elements struct {
	quantifier quantifier // some for any; for each every, or stricter in a rule that asks
	tests      conjunction
}

func (m *elements) judge(v toolcall.JSON) outcome {
	if v.Type() != toolcall.ArrayType {
		return notList
	}
	var found gathered
	for e := v.Elements(); !found.settled(m.quantifier) && e.Next(); {
		found.add(m.tests.outcome(finding{given: e.Value(), how: holds}, nil))
	}
	return found.outcome(m.quantifier, fails)
}

func (m *elements) words() words {
	want := m.tests.want()
	if m.quantifier == some {
		return words{"any: " + want, "in no element", "has no element with " + want}
	}
	return words{"each: " + want, "not in each element", "does not have in each element " + want}
}
