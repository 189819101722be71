package redact

import (
	"strings"
	"unicode/utf8"

	"mcpguard/toolcall"
)

// All paths of a Redactor are one automaton: a node for every step of every
// path, and while a document is walked, at each value the set of nodes whose
// step is to be taken next. One walk serves all paths, at any nesting of arrays.

// rule is a path with the profile it came from.
type rule struct {
	profile, path string
	required      bool
}

// state is the index of a node.
type state = int32

// node is one step of one path.
type node struct {
	toolcall.Step
	rule  int    // index of its rule
	last  bool   // the value that the step leads to is masked
	wide  bool   // the name is more than ASCII, so its length says nothing
	odds  odds   // what to do when the value here is of the wrong shape
	flags flags  // what a set with this node asks for
	names uint64 // nameBit of its name, or all bits for a wide one
}

// odds says what a value means in which a step cannot be taken, because it is no
// object or array, or not the one of the two that the step is about.
type odds uint8

const (
	// tolerate: right behind a "**", values of any shape are normal.
	tolerate odds = iota
	// withhold: the path says what stands here and is wrong, so nobody knows
	// what the value is.
	withhold
	// maskAll: the same some steps behind a "**", where a member of the same name
	// may also be another thing; its whole value goes.
	maskAll
)

func (r *Redactor) add(profile string, p profilePath) {
	steps := p.path.Steps()
	first, deep := state(len(r.nodes)), false
	for i, s := range steps {
		n := node{Step: s, rule: len(r.rules), last: i == len(steps)-1, wide: isWide(s.Name), odds: withhold}
		if deep {
			n.odds = maskAll
		}
		if s.Kind == toolcall.StepDeep || i > 0 && steps[i-1].Kind == toolcall.StepDeep {
			n.odds = tolerate
		}
		n.describe()
		deep = deep || s.Kind == toolcall.StepDeep
		r.nodes = append(r.nodes, n)
	}
	r.rules = append(r.rules, rule{profile, p.path.String(), p.required})
	r.start = append(r.start, first)
	if steps[0].Kind == toolcall.StepDeep {
		r.start = append(r.start, first+1)
	}
}

// describe fills in what a frame says of the node.
func (n *node) describe() {
	switch n.Kind {
	case toolcall.StepName:
		n.names = 1 << nameBit(n.Name)
		if n.wide {
			n.names = everyName
		}
		if n.Index >= 0 {
			n.flags |= hasIndex
		}
	case toolcall.StepAny:
		n.flags |= hasAny
	case toolcall.StepEach:
		n.flags |= hasEach
	case toolcall.StepDeep:
		n.flags |= hasDeep
	}
	if n.odds != tolerate {
		n.flags |= hasFirm
	}
}

// fits reports whether the step can be taken from a value whose text starts
// with c.
func (n *node) fits(c byte) bool {
	switch c {
	case '{':
		return n.Kind != toolcall.StepEach
	case '[':
		return n.Kind != toolcall.StepName || n.Index >= 0
	}
	return false
}

// named reports whether the member of that name as it stands in the text is
// meant, by readers that ignore case included. odd is what nameEnd says of it.
func (n *node) named(raw string, odd bool) bool {
	if !odd && !n.wide {
		return raw == n.Name || len(raw) == len(n.Name) && strings.EqualFold(raw, n.Name)
	}
	name := unescape(raw)
	return name == n.Name || toolcall.SameFolded(name, n.Name)
}

// isWide reports whether readers that ignore case could take a name of another
// length for this one.
func isWide(name string) bool {
	return strings.IndexFunc(name, func(r rune) bool { return r == 0 || r >= utf8.RuneSelf }) >= 0
}

// frame is the set of states at one value, with what can be said of the set
// without looking at it. It is known by its index in the arena.
type frame struct {
	lo, hi int32  // the set, a stretch of the arena's states
	below  int32  // the frame of all values below to which no step of the set leads
	flags  flags  // what the set asks for
	names  uint64 // nameBit of the names that the set asks for
}

type flags uint8

const (
	hasAny   flags = 1 << iota // a "*"
	hasEach                    // a "#"
	hasIndex                   // a name that is also an index
	hasDeep                    // a "**"
	hasFirm                    // a step that does not tolerate odd shapes
)

// noFrame is the index of the empty frame: no path goes on here.
const noFrame = 0

// arena holds the frames of the values that are open, as a stack.
type arena struct {
	*Redactor
	sets   []state
	frames []frame
}

// level is a height of the stack, to go back to.
type level struct{ sets, frames int }

func (a *arena) level() level { return level{len(a.sets), len(a.frames)} }

func (a *arena) back(l level) { a.sets, a.frames = a.sets[:l.sets], a.frames[:l.frames] }

// push adds a state to the set that starts at lo, once.
func (a *arena) push(s state, lo int) {
	for _, have := range a.sets[lo:] {
		if have == s {
			return
		}
	}
	a.sets = append(a.sets, s)
}

// enter adds the state s to the set that starts at lo, and what it implies: at a
// "**", the step behind it may be taken at once.
func (a *arena) enter(s state, lo int) {
	a.push(s, lo)
	if a.nodes[s].Kind == toolcall.StepDeep {
		a.push(s+1, lo)
	}
}

// frame makes a frame of the set that starts at lo and ends with the arena.
// below is the frame of all values below that the set does not lead to, or
// unknown.
func (a *arena) frame(lo int, below int32) int32 {
	f := a.describe(lo)
	id := int32(len(a.frames))
	a.frames = append(a.frames, f)
	if below == unknown {
		below = a.frameBelow(f)
	}
	a.frames[id].below = below
	return id
}

const unknown = -1

// frameBelow makes the frame of what every "**" of f carries down.
func (a *arena) frameBelow(f frame) int32 {
	if f.flags&hasDeep == 0 {
		return noFrame
	}
	lo := len(a.sets)
	for k := f.lo; k < f.hi; k++ {
		if s := a.sets[k]; a.nodes[s].Kind == toolcall.StepDeep {
			a.enter(s, lo)
		}
	}
	// It is the same all the way down.
	return a.frame(lo, int32(len(a.frames)))
}

func (a *arena) describe(lo int) frame {
	f := frame{lo: int32(lo), hi: int32(len(a.sets))}
	for _, s := range a.sets[lo:] {
		f.names |= a.nodes[s].names
		f.flags |= a.nodes[s].flags
	}
	return f
}

// nameBit maps a name to a bit from its length and first letter, the same for
// all ASCII names that differ only by case.
func nameBit(name string) uint {
	if name == "" {
		return 0
	}
	return (uint(len(name)) + uint(name[0]|0x20)*11) & 63
}

const everyName = ^uint64(0)
