package toolpolicy

import (
	"slices"

	"mcpguard/toolcall"
)

// A limit stands on a role or on a rule. A call takes of all limits of the
// caller's roles and of the rules that match it, of all of them or of none, and
// before it goes upstream; a [Meter] counts. What the policy denies takes of
// none, and neither does what a limit refuses.

// limit adds the limits of a rule that allows or asks. Of an approve that might
// match they count too: that is the stricter answer.
func (t *tally) limit(r *rule, verdict toolcall.Verdict) {
	if len(r.limits) == 0 || verdict == toolcall.VerdictFalse || r.verb == allows && verdict != toolcall.VerdictTrue {
		return
	}
	t.limits = joined(t.limits, r.limits)
}

// limitsOn are the limits of the roles of a caller, and those of rules. What a
// server asks of a client is no call of the caller's: of their roles' limits it
// could use up all.
func (p *Policy) limitsOn(set bits, kind toolcall.Kind, rules []*toolcall.Limit) []*toolcall.Limit {
	all := rules
	if kind == toolcall.Request {
		return all
	}
	for i, limits := range p.roles.limits {
		if len(limits) > 0 && set.has(i) {
			all = joined(all, limits)
		}
	}
	return all
}

// joined is two lists of the policy in one, and changes neither. It allocates only
// where there are two.
func joined(a, b []*toolcall.Limit) []*toolcall.Limit {
	if len(a) == 0 {
		return b
	}
	return append(slices.Clip(a), b...)
}

// countsArguments reports whether a limit of the rule counts values of an argument.
func (r *rule) countsArguments() bool {
	for _, l := range r.limits {
		if l.Form == toolcall.Sum || l.Form == toolcall.Distinct {
			return true
		}
	}
	return false
}
