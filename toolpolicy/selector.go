package toolpolicy

import (
	"strings"

	"mcpguard/toolcall"
)

// selector says which calls a rule is about: a kind, an upstream and a name.
type selector struct {
	kind     toolcall.Kind
	text     string // as written
	upstream wild
	name     wild
}

// kindOf is the kind that a selector's key names; NoKind for every other key.
func kindOf(key string) toolcall.Kind {
	for k := toolcall.Tool; k <= toolcall.Method; k++ {
		if key == k.String() {
			return k
		}
	}
	return toolcall.NoKind
}

// judge compares a call whose kind is the selector's. A resource URI that two
// readers could take for different resources is unknown to every pattern but *.
func (s *selector) judge(v *view) toolcall.Verdict {
	c := v.call
	if !s.upstream.match(c.Upstream) {
		return toolcall.VerdictFalse
	}
	if s.kind != toolcall.Resource || s.name.everything() {
		return verdictOf(s.name.match(c.Name))
	}
	if !v.plainURI() {
		return toolcall.VerdictUnknown
	}
	if s.name.match(c.Name) {
		return toolcall.VerdictTrue
	}
	// What an upstream makes of a query is its own affair: it may serve the
	// resource without it.
	if path, _, query := strings.Cut(c.Name, "?"); query && s.name.match(path) {
		return toolcall.VerdictUnknown
	}
	return toolcall.VerdictFalse
}

func verdictOf(b bool) toolcall.Verdict {
	if b {
		return toolcall.VerdictTrue
	}
	return toolcall.VerdictFalse
}

// index finds the rules that can be about a call without looking at the others.
type index struct {
	exact    map[target][]int // selectors without a star, of every kind but resources
	upstream map[target][]int // an upstream by name, and a pattern for the rest; target.name is empty
	rest     [toolcall.Method + 1][]int
}

type target struct {
	kind           toolcall.Kind
	upstream, name string
}

func newIndex(rules []rule) index {
	ix := index{exact: map[target][]int{}, upstream: map[target][]int{}}
	for i := range rules {
		s := &rules[i].selector
		switch {
		case !s.upstream.literal():
			ix.rest[s.kind] = append(ix.rest[s.kind], i)
		case s.name.literal() && s.kind != toolcall.Resource:
			t := target{s.kind, s.upstream.text, s.name.text}
			ix.exact[t] = append(ix.exact[t], i)
		default:
			t := target{kind: s.kind, upstream: s.upstream.text}
			ix.upstream[t] = append(ix.upstream[t], i)
		}
	}
	return ix
}

// about are the rules whose selectors can match, in the order of the policy.
func (ix *index) about(kind toolcall.Kind, upstream, name string) candidates {
	if kind == toolcall.NoKind || kind > toolcall.Method {
		return candidates{}
	}
	return candidates{
		ix.exact[target{kind, upstream, name}],
		ix.upstream[target{kind: kind, upstream: upstream}],
		ix.rest[kind],
	}
}

// candidates merges ascending lists of rule numbers.
type candidates [3][]int

func (c *candidates) next() (rule int, ok bool) {
	least := -1
	for i, list := range c {
		if len(list) > 0 && (least < 0 || list[0] < c[least][0]) {
			least = i
		}
	}
	if least < 0 {
		return 0, false
	}
	rule = c[least][0]
	c[least] = c[least][1:]
	return rule, true
}
