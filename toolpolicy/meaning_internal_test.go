package toolpolicy

import (
	"fmt"
	"strings"
)

// Meaning is all that a policy says, without its text and the lines of its rules:
// equal for two texts that compile to the same policy.
func (p *Policy) Meaning() string {
	var b strings.Builder
	for i, name := range p.roles.names {
		fmt.Fprintf(&b, "role %s redact %v\n", name, p.profiles.names(choice{whole: p.roles.redact[i]}))
	}
	fmt.Fprintln(&b, p.roles.byGroup, p.roles.bySubject, p.roles.byClient, p.roles.anyPerson, p.roles.anyClient, p.profiles.byName, len(p.profiles.always))
	for i := range p.rules {
		r := &p.rules[i]
		fmt.Fprintln(&b, r.id, r.role, r.verb, r.file, r.selector.kind, r.selector.text, r.because, r.redact, r.extra, r.reads, r.observe, r.shown, r.explain)
		for _, a := range r.args {
			fmt.Fprintln(&b, " ", a.text, a.quantifier, a.optional)
			for _, t := range a.tests {
				fmt.Fprintln(&b, "   ", t.words, t.presence)
			}
		}
		if r.when != nil {
			fmt.Fprintln(&b, "  if", r.when.words)
		}
		for _, l := range r.limits {
			fmt.Fprintln(&b, "  limit", l.ID, l.Words, l.Burst, l.ErrorsFree, l.Observe)
		}
		for _, a := range r.asks {
			fmt.Fprintln(&b, "  ask", a.Rule, a.By, a.Within, a.Show)
		}
	}
	return b.String()
}
