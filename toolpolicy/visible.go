package toolpolicy

import (
	"strings"

	"mcpguard/toolcall"
)

// Visibility says whether a list shows a tool, prompt or resource to a caller.
// The zero Visibility hides.
type Visibility uint8

// The visibilities. What is Hidden answers exactly like what does not exist.
const (
	Hidden Visibility = iota
	Listed
)

func (v Visibility) String() string {
	if v == Listed {
		return "listed"
	}
	return "hidden"
}

// Visible reports whether some call of this name could be allowed or approved
// for the caller. Conditions on caller and name are judged; those on arguments,
// session and time are assumed to be satisfiable. A deny without them hides, unless it
// says "hide: false", which lists.
//
// The name of a resource may be a template (RFC 6570): it is listed when some
// URI with what stands before its first "{" could be.
func (p *Policy) Visible(c toolcall.Caller, kind toolcall.Kind, upstream, name string) Visibility {
	if p == nil {
		return Hidden
	}
	if kind == toolcall.Resource {
		if prefix, _, template := strings.Cut(name, "{"); template {
			return p.templateVisible(c, upstream, prefix)
		}
	}
	v := view{call: &toolcall.Call{Caller: c, Upstream: upstream, Kind: kind, Name: name}}
	return p.visible(v.call, p.index.about(kind, upstream, name), func(s *selector) reach {
		switch s.judge(&v) {
		case toolcall.VerdictTrue:
			return reachesAll
		case toolcall.VerdictFalse:
			return reachesNone
		}
		return reachUnknown
	})
}

func (p *Policy) templateVisible(c toolcall.Caller, upstream, prefix string) Visibility {
	plain := plainURI(prefix, true)
	about := p.index.about(toolcall.Resource, upstream, prefix)
	return p.visible(&toolcall.Call{Caller: c, Upstream: upstream, Kind: toolcall.Resource}, about, func(s *selector) reach {
		switch {
		case !s.upstream.match(upstream):
			return reachesNone
		case s.name.everything():
			return reachesAll
		case !plain:
			return reachUnknown
		case s.name.coversAll(prefix):
			return reachesAll
		case s.name.canBegin(prefix):
			return reachesSome
		}
		return reachesNone
	})
}

// reach is how much of what a name stands for a selector is about: a template
// stands for many URIs, everything else for itself.
type reach uint8

const (
	reachUnknown reach = iota // hides, and does not list
	reachesNone
	reachesSome // lists, and does not hide
	reachesAll
)

// visible judges selectors, and what can be known of expressions before a call.
func (p *Policy) visible(c *toolcall.Call, about candidates, judge func(*selector) reach) Visibility {
	set := p.roles.of(&c.Caller)
	listed := Hidden
	for i, ok := about.next(); ok; i, ok = about.next() {
		r := &p.rules[i]
		if !set.has(r.role) || r.observe {
			continue
		}
		switch reached := r.when.reach(judge(&r.selector), c); {
		case reached == reachesNone:
		case r.verb != denies:
			if reached != reachUnknown {
				listed = Listed
			}
		case reached == reachesSome || len(r.args) > 0 || r.when != nil && !r.when.listable():
		case r.shown:
			listed = Listed
		default:
			return Hidden
		}
	}
	return listed
}
