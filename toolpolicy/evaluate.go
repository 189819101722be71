package toolpolicy

import (
	"slices"

	"mcpguard/toolcall"
)

// view is a call with what is found out about it once for all rules. It lives
// on the stack of one evaluation.
type view struct {
	call       *toolcall.Call
	undeclared answer
	plain      answer
	places     places
}

// answer is a yes or no that was not asked for yet while it is zero.
type answer uint8

const (
	notAsked answer = iota
	no
	yes
)

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return no
}

// hasUndeclared reports whether the call gives an argument that its tool does
// not declare. A tool whose schema is not known declares nothing, and not even
// an empty call can be checked against it.
func (v *view) hasUndeclared() bool {
	if v.undeclared == notAsked {
		found := v.call.Def == nil
		for m := v.call.Args.Members(); !found && m.Next(); {
			found = !v.call.Def.Declares(m.Name())
		}
		v.undeclared = answerOf(found)
	}
	return v.undeclared == yes
}

func (v *view) plainURI() bool {
	if v.plain == notAsked {
		v.plain = answerOf(plainURI(v.call.Name, false))
	}
	return v.plain == yes
}

// verdict is whether the rule matches. Conditions are all asked for together;
// of an unknown one the stricter answer is taken later, by the verb.
func (r *rule) verdict(v *view) toolcall.Verdict {
	return r.verdictFor(v, r.selector.judge(v), nil)
}

// verdictFor is the verdict of a rule whose selector was judged already. With n it
// notes what every condition came to; without, it stops at the first that fails.
func (r *rule) verdictFor(v *view, out toolcall.Verdict, n *notes) toolcall.Verdict {
	in := lookup{v.call.Args, v.call}
	for i := range r.args {
		if out == toolcall.VerdictFalse && n == nil {
			return out
		}
		a := &r.args[i]
		if a.many {
			out = and(out, a.outcome(in, n).verdict())
		} else {
			out = and(out, a.outcomeOf(v.places.findOnce(in, a), n).verdict())
		}
	}
	if r.when != nil && (n != nil || out != toolcall.VerdictFalse) {
		o := r.when.judge(*v.call)
		out = and(out, o.verdict())
		n.letter(o.letter())
	}
	if (n != nil || out == toolcall.VerdictTrue) && r.refusesExtras(v) {
		n.letter('+')
		return and(out, toolcall.VerdictUnknown)
	}
	return out
}

// refusesExtras reports whether arguments that nobody judged keep the rule from
// matching. They never keep a deny from matching: else one would switch it off
// by adding an argument. What a server asks of a client has no schema of its own:
// the protocol says what it may hold.
func (r *rule) refusesExtras(v *view) bool {
	if r.verb == denies || !r.namesArguments() || r.selector.kind == toolcall.Request {
		return false
	}
	return v.call.Def == nil || !r.extra && (v.hasUndeclared() || r.undeclaredBelow(v))
}

// undeclaredBelow reports whether an object that a path of the rule goes through
// has a member that its schema, which declares some, does not.
func (r *rule) undeclaredBelow(v *view) bool {
	for i := range r.args {
		if !v.call.Def.DeclaresOn(r.args[i].path, v.call.Args) {
			return true
		}
	}
	for _, l := range r.limits {
		if !l.Path.IsZero() && !v.call.Def.DeclaresOn(l.Path, v.call.Args) {
			return true
		}
	}
	return r.when != nil && slices.ContainsFunc(r.when.paths, func(p toolcall.Path) bool {
		return !v.call.Def.DeclaresOn(p, v.call.Args)
	})
}

// namesArguments reports whether the rule constrains or counts arguments: others than those
// that it names could then be read in their place.
func (r *rule) namesArguments() bool {
	return len(r.args) > 0 || r.when.readsArguments() || r.countsArguments()
}

// Evaluate decides about a call. It is pure, and does not allocate for an
// allowed call or one that a deny rule refuses; the words of a denial by
// default, several questions at once, and observed rules that would have
// decided otherwise do. So does every "if" that is judged.
//
// Rules of all the caller's roles count alike: deny over approve over allow,
// and nothing matching denies. An unknown condition gets the stricter of the
// answers that it could lead to: an unknown deny denies, an unknown approve
// asks where the call would otherwise be allowed, an unknown allow allows
// nothing.
func (p *Policy) Evaluate(c *toolcall.Call) toolcall.Decision { return p.evaluate(c, nil) }

// Queues reports whether judging the call may wait for the judgement of others: of a
// rule about it, PostgreSQL's parser reads an argument, and it reads one text at a
// time, for up to a tenth of a second. Whoever judges for many callers gives each
// its turn.
func (p *Policy) Queues(c *toolcall.Call) bool {
	if p == nil {
		return false
	}
	about := p.index.about(c.Kind, c.Upstream, c.Name)
	for i, ok := about.next(); ok; i, ok = about.next() {
		if p.rules[i].queues {
			return true
		}
	}
	return false
}

func (p *Policy) evaluate(c *toolcall.Call, n *notes) toolcall.Decision {
	if p == nil {
		return toolcall.Decision{Reason: "there is no policy, so everything is denied", Explain: toolcall.ExplainArgument}
	}
	v := view{call: c}
	set := p.roles.of(&c.Caller)
	t := tally{deny: none, approve: none, doubtful: none, allow: none, reads: true}
	observed := false
	about := p.index.about(c.Kind, c.Upstream, c.Name)
	for i, ok := about.next(); ok; i, ok = about.next() {
		r := &p.rules[i]
		if !set.has(r.role) || n == nil && t.idle(r) {
			continue
		}
		selected := r.selector.judge(&v)
		if selected == toolcall.VerdictFalse {
			continue
		}
		n.rule(i, selected)
		verdict := r.verdictFor(&v, selected, n)
		n.verdict(i, verdict)
		if r.observe {
			observed = observed || verdict != toolcall.VerdictFalse
			t.limit(r, verdict)
			continue
		}
		t.add(i, r, verdict)
	}
	d := toolcall.Decision{Effect: t.effect(), Policy: p.digest}
	named := none
	switch d.Effect {
	case toolcall.Deny:
		named = t.deny
	case toolcall.Approve:
		named = t.firstAsking()
		d.Asks = p.asks(&t, named, set, &v)
	case toolcall.Allow:
		named = t.allow
		d.Reads = t.reads
	}
	redact := p.redactionsOf(set, c.Kind, c.Upstream, c.Name)
	if d.Effect == toolcall.Deny {
		redact = redact.union(t.considered) // arguments that are kept in the record
	} else {
		redact = redact.union(t.redact)
		d.Limits = p.limitsOn(set, c.Kind, t.limits)
	}
	d.Redact = p.profiles.names(choice{whole: redact})
	if named != none {
		r := &p.rules[named]
		d.Rule, d.File, d.Line, d.Reason, d.Explain = r.id, r.file, r.line, r.because, r.explain
	} else {
		d.Miss, d.Reason, d.Explain = p.closestMiss(set, &v)
	}
	if observed {
		d.Shadow = p.shadow(t, set, &v)
	}
	return d
}

const none = -1

// tally is what the rules came to: of each outcome the first rule in the file.
type tally struct {
	deny       int // true or unknown
	approve    int // true
	doubtful   int // an approve that is unknown
	allow      int // true
	asking     int // approve rules that are true or unknown
	reads      bool
	redact     bits // of matching rules
	considered bits // of all rules whose selector matches, or might
	limits     []*toolcall.Limit
}

// idle reports whether a rule changes nothing any more, whatever it comes to: an
// allow rule behind one that allows, which brings nothing of its own.
func (t *tally) idle(r *rule) bool {
	return r.verb == allows && !r.observe && t.allow != none && (r.reads || !t.reads) &&
		len(r.limits) == 0 && r.redact.without(t.redact) == (bits{})
}

func (t *tally) add(i int, r *rule, verdict toolcall.Verdict) {
	t.considered = t.considered.union(r.redact)
	if verdict == toolcall.VerdictFalse || r.verb == allows && verdict != toolcall.VerdictTrue {
		return
	}
	t.redact = t.redact.union(r.redact)
	t.limit(r, verdict)
	slot := &t.allow
	switch {
	case r.verb == denies:
		slot = &t.deny
	case r.verb == approves && verdict == toolcall.VerdictTrue:
		slot = &t.approve
		t.asking++
	case r.verb == approves:
		slot = &t.doubtful
		t.asking++
	default:
		t.reads = t.reads && r.reads
	}
	if *slot == none {
		*slot = i
	}
}

func (t *tally) effect() toolcall.Effect {
	switch {
	case t.deny != none:
		return toolcall.Deny
	case t.approve != none, t.doubtful != none && t.allow != none:
		return toolcall.Approve
	case t.allow != none:
		return toolcall.Allow
	}
	return toolcall.Deny
}

// firstAsking is the first approve rule in the file that matches or might.
func (t *tally) firstAsking() int {
	if t.approve == none || t.doubtful != none && t.doubtful < t.approve {
		return t.doubtful
	}
	return t.approve
}

// asks are the questions of all approve rules that match or might.
func (p *Policy) asks(t *tally, first int, set bits, v *view) []*toolcall.Ask {
	if t.asking == 1 {
		return p.rules[first].asks
	}
	asks := make([]*toolcall.Ask, 0, t.asking)
	about := p.index.about(v.call.Kind, v.call.Upstream, v.call.Name)
	for i, ok := about.next(); ok; i, ok = about.next() {
		r := &p.rules[i]
		if set.has(r.role) && r.verb == approves && !r.observe && r.verdict(v) != toolcall.VerdictFalse {
			asks = append(asks, r.asks...)
		}
	}
	return asks
}

// shadow names the observed rules that, each put in force alone beside the
// rules that t was counted from, would have changed the effect.
func (p *Policy) shadow(t tally, set bits, v *view) []string {
	var ids []string
	about := p.index.about(v.call.Kind, v.call.Upstream, v.call.Name)
	for i, ok := about.next(); ok; i, ok = about.next() {
		r := &p.rules[i]
		if !r.observe || !set.has(r.role) {
			continue
		}
		enforced := t
		enforced.add(i, r, r.verdict(v))
		if enforced.effect() != t.effect() {
			ids = append(ids, r.id)
		}
	}
	return ids
}
