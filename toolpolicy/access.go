package toolpolicy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mcpguard/toolcall"
)

// Role is a role of a policy, and whose it is.
type Role struct {
	Name     string
	Groups   []string // sorted, as the following
	Subjects []string
	Clients  []string
}

// AllRoles are the roles of the policy, in the order of the files; everyone is the
// first, whether the policy speaks of it or not.
func (p *Policy) AllRoles() []Role {
	if p == nil {
		return nil
	}
	all := []Role{{Name: everyone}}
	holders := func(of map[string]bits, role int) (names []string) {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			if of[name].has(role) {
				names = append(names, name)
			}
		}
		return names
	}
	for i, name := range p.roles.names {
		if name != everyone {
			all = append(all, Role{name, holders(p.roles.byGroup, i), holders(p.roles.bySubject, i), holders(p.roles.byClient, i)})
		}
	}
	return all
}

// Grant is a rule for those who ask what a policy gives and takes.
type Grant struct {
	Rule       string // id
	Role       string
	File       string
	Line       int
	Effect     toolcall.Effect
	Kind       toolcall.Kind
	Selector   string
	Conditions string // and other terms, in words; "" where any call will do
	Observed   bool   // the rule decides nothing
}

// Grants are all rules, in the order of the files; those that deny are among them.
func (p *Policy) Grants() []Grant {
	if p == nil {
		return nil
	}
	all := make([]Grant, len(p.rules))
	for i := range p.rules {
		r := &p.rules[i]
		all[i] = Grant{r.id, p.roles.names[r.role], r.file, r.line, r.verb.effect(), r.selector.kind, r.selector.text,
			p.terms(r), r.observe}
	}
	return all
}

// terms are the conditions of a rule in words, and what else it makes of a call: who is
// asked, what is redacted and counted, whether other arguments pass.
func (p *Policy) terms(r *rule) string {
	said := conditions(r, func(*test) bool { return true })
	add := func(format string, args ...any) {
		if said != "" {
			said += ", "
		}
		said += fmt.Sprintf(format, args...)
	}
	if r.extra {
		add("any other arguments")
	}
	if names := p.profiles.names(choice{whole: r.redact}); len(names) > 0 {
		add("redacting %s", strings.Join(names, " "))
	}
	for _, a := range r.asks {
		add("asking %s within %s", strings.Join(a.By, " or "), plainDuration(time.Duration(a.Within)*time.Second))
	}
	for _, l := range r.limits {
		if !l.Observe {
			add("limit %s", l.Words)
		}
	}
	return said
}

func (v verb) effect() toolcall.Effect {
	return [...]toolcall.Effect{denies: toolcall.Deny, approves: toolcall.Approve, allows: toolcall.Allow}[v]
}

// Reach is how many of the calls of something a policy lets pass. The zero Reach is
// none.
type Reach uint8

// The reaches.
const (
	Never     Reach = iota
	Sometimes       // on conditions
	Always
)

func (r Reach) String() string { return [...]string{"never", "sometimes", "always"}[r] }

// Access is what somebody may do with a tool, prompt, resource or anything else that
// rules select. The zero Access is none.
type Access struct {
	Allow      Reach    // calls that run at once
	Approve    Reach    // calls that somebody is asked about
	Denied     bool     // a rule denies every call
	Rules      []string // ids of the rules that say so, in the order of the files
	Conditions []string // and other terms of these rules, as far as they have any, with their verbs; limits of roles
}

// String is the access in a word or two.
func (a Access) String() string {
	switch {
	case a.Denied:
		return "deny"
	case a.Allow == Never && a.Approve == Never:
		return "-"
	}
	var said []string
	for _, part := range []struct {
		verb  verb
		reach Reach
	}{{allows, a.Allow}, {approves, a.Approve}} {
		switch part.reach {
		case Always:
			said = append(said, part.verb.String())
		case Sometimes:
			said = append(said, part.verb.String()+" on conditions")
		}
	}
	return strings.Join(said, ", ")
}

// Access is what a caller may do. Conditions on arguments and expressions are not
// judged, but counted: what they decide is "sometimes". Observed rules count for
// nothing.
func (p *Policy) Access(c toolcall.Caller, kind toolcall.Kind, upstream, name string) Access {
	if p == nil {
		return Access{}
	}
	return p.access(p.roles.of(&c), kind, upstream, name)
}

// RoleAccess is what callers may do who have one role, and everyone.
func (p *Policy) RoleAccess(role string, kind toolcall.Kind, upstream, name string) Access {
	if p == nil {
		return Access{}
	}
	var set bits
	for i, n := range p.roles.names {
		if n == role || n == everyone {
			set = set.with(i)
		}
	}
	return p.access(set, kind, upstream, name)
}

func (p *Policy) access(set bits, kind toolcall.Kind, upstream, name string) Access {
	v := view{call: &toolcall.Call{Kind: kind, Upstream: upstream, Name: name}}
	var a Access
	mayDeny := false
	about := p.index.about(kind, upstream, name)
	for i, ok := about.next(); ok; i, ok = about.next() {
		r := &p.rules[i]
		if r.observe || !set.has(r.role) {
			continue
		}
		reach := Always
		switch selected := r.selector.judge(&v); {
		case selected == toolcall.VerdictFalse:
			continue
		case selected == toolcall.VerdictUnknown || !r.unconditional():
			reach = Sometimes
		}
		if r.verb == denies && reach == Always {
			return Access{Denied: true, Rules: []string{r.id}}
		}
		a.Rules = append(a.Rules, r.id)
		if said := p.terms(r); said != "" {
			a.Conditions = append(a.Conditions, r.verb.String()+" "+said)
		}
		switch r.verb {
		case denies:
			mayDeny = true
		case approves:
			a.Approve = max(a.Approve, reach)
		default:
			a.Allow = max(a.Allow, reach)
		}
	}
	switch {
	case a.Approve == Always:
		a.Allow = Never // every call is asked about
	case a.Approve == Sometimes || mayDeny:
		a.Allow = min(a.Allow, Sometimes)
	}
	if mayDeny {
		a.Approve = min(a.Approve, Sometimes)
	}
	if a.Allow == Never && a.Approve == Never {
		return Access{}
	}
	for _, l := range p.limitsOn(set, kind, nil) {
		if !l.Observe {
			a.Conditions = append(a.Conditions, "limit "+l.Words+" of "+l.Owner)
		}
	}
	return a
}

// Target is what somebody may call: a tool, a prompt, or what else a rule selects.
type Target struct {
	Kind     toolcall.Kind
	Upstream string
	Name     string
}

func (t Target) String() string {
	if t.Kind == toolcall.Tool {
		return t.Upstream + "/" + t.Name
	}
	return t.Kind.String() + " " + t.Upstream + "/" + t.Name
}

// Targets are the tools and prompts of a catalogue, and the selectors of rules about
// all else. Without a catalogue they are the selectors alone: one with a star then
// stands for the names that no other has.
func (p *Policy) Targets(c *Catalogue) []Target {
	var all []Target
	known := map[toolcall.Kind]bool{}
	for _, def := range c.Tools() {
		all, known[toolcall.Tool] = append(all, Target{toolcall.Tool, def.Upstream, def.Name}), true
	}
	for _, upstream := range c.Upstreams() {
		for _, name := range c.upstreams[upstream].prompts {
			all, known[toolcall.Prompt] = append(all, Target{toolcall.Prompt, upstream, name}), true
		}
	}
	for _, g := range p.Grants() {
		if upstream, name, _ := strings.Cut(g.Selector, "/"); !known[g.Kind] && !g.Observed {
			all = append(all, Target{g.Kind, upstream, name})
		}
	}
	slices.SortFunc(all, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Name, b.Name))
	})
	return slices.Compact(all)
}
