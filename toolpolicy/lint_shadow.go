package toolpolicy

import (
	"fmt"
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// covers reports whether every text that other stands for, this stands for as well.
// It may say no where that is hard to see. A star of other can only fall to a star
// of this one, because nothing else matches one.
func (w wild) covers(other wild) bool { return w.match(other.text) }

func (s *selector) covers(other *selector) bool {
	return s.kind == other.kind && s.upstream.covers(other.upstream) && s.name.covers(other.name)
}

// cover reports whether everybody who has role b has role a.
func (r *roles) cover(a, b int) bool {
	within := func(holders map[string]bits) bool {
		for _, set := range holders {
			if set.has(b) && !set.has(a) {
				return false
			}
		}
		return true
	}
	who := r.anyPerson.has(a) || !r.anyPerson.has(b) && within(r.byGroup) && within(r.bySubject)
	with := r.anyClient.has(a) || !r.anyClient.has(b) && within(r.byClient)
	return a == b || who && with
}

// lintShadows warns of rules to which others leave nothing.
func (l *linter) lintShadows(i int) {
	r := &l.policy.rules[i]
	if r.observe {
		return
	}
	if r.verb != denies {
		if ids := l.coveredBy(i, denies); ids != "" {
			l.warn(i, l.selectorNode(i), "shadowed-rule", "", "the rule never decides: %s denies all of it", ids)
			return
		}
	}
	if r.verb == allows {
		if ids := l.coveredBy(i, approves); ids != "" {
			l.warn(i, l.selectorNode(i), "asked-anyway", "", "nothing is allowed without a question: %s asks about all of it", ids)
			return
		}
	}
	if r.verb == approves {
		return // every approval that matches is asked for
	}
	ids := l.coveredBy(i, r.verb)
	switch {
	case ids == "":
	case len(r.limits) > 0: // it counts calls, whatever else allows them
	case r.verb == allows && !r.unconditional():
		l.warn(i, l.selectorNode(i), "limits-nothing", "", "the conditions limit nothing: %s allows all of it without any", ids)
	case r.redact == bits{} && !r.shown:
		l.warn(i, l.selectorNode(i), "redundant-rule", "", "the rule adds nothing: %s says the same", ids)
	}
}

// coveredBy names rules without conditions, of a verb, that together are about every
// call that the i-th rule is about; "" where there are none. Of two rules that cover
// each other the first is needed.
func (l *linter) coveredBy(i int, v verb) string {
	r := &l.policy.rules[i]
	var broad []int
	for j := range l.policy.rules {
		o := &l.policy.rules[j]
		if j == i || o.verb != v || o.observe || !o.unconditional() || !l.policy.roles.cover(o.role, r.role) {
			continue
		}
		if v == r.verb && j > i && l.mutual(i, j) {
			continue
		}
		if o.selector.covers(&r.selector) {
			return l.place(j)
		}
		broad = append(broad, j)
	}
	if v == r.verb || len(l.about[i]) == 0 {
		return ""
	}
	// No rule covers it whatever the upstreams define; perhaps some do, as they are.
	var ids []string
	for _, def := range l.about[i] {
		j := slices.IndexFunc(broad, func(j int) bool {
			s := &l.policy.rules[j].selector
			return s.kind == toolcall.Tool && s.upstream.match(def.Upstream) && s.name.match(def.Name)
		})
		if j < 0 {
			return ""
		}
		if place := l.place(broad[j]); !slices.Contains(ids, place) {
			ids = append(ids, place)
		}
	}
	return strings.Join(ids, " and ")
}

// mutual reports whether two rules of a verb say the same, for the same callers.
func (l *linter) mutual(i, j int) bool {
	a, b := &l.policy.rules[i], &l.policy.rules[j]
	return a.unconditional() && b.unconditional() && a.selector.covers(&b.selector) && b.selector.covers(&a.selector) &&
		l.policy.roles.cover(a.role, b.role) && l.policy.roles.cover(b.role, a.role)
}

// place names a rule, and where it stands.
func (l *linter) place(i int) string {
	r := &l.policy.rules[i]
	return fmt.Sprintf("%s (%s:%d)", r.id, r.file, r.line)
}
