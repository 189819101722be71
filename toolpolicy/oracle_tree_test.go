package toolpolicy_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// can is the set of answers that a condition could have: where it is unknown,
// both. Every condition that stands in a rule is taken to be answered on its
// own, so a tree of them can be what some answers of its leaves make of it.
type can uint8

const (
	canFalse can = 1 << iota
	canTrue
	either = canFalse | canTrue
)

func only(b bool) can {
	if b {
		return canTrue
	}
	return canFalse
}

func (a can) join(b can, f func(x, y bool) bool) (out can) {
	for _, x := range []bool{false, true} {
		for _, y := range []bool{false, true} {
			if a&only(x) != 0 && b&only(y) != 0 {
				out |= only(f(x, y))
			}
		}
	}
	return out
}

func (a can) and(b can) can { return a.join(b, func(x, y bool) bool { return x && y }) }
func (a can) or(b can) can  { return a.join(b, func(x, y bool) bool { return x || y }) }
func (a can) not() can      { return a.join(a, func(x, _ bool) bool { return !x }) }

func (a can) truth() truth {
	return [...]truth{canFalse: isFalse, canTrue: isTrue, either: isUnknown}[a]
}

func canBe(t truth) can { return [...]can{isFalse: canFalse, isTrue: canTrue, isUnknown: either}[t] }

// reading is where a condition stands: in what kind of rule, and below how many
// nots.
type reading struct {
	verb  string
	nots  int
	extra bool
}

// forbids: what matches takes something from the caller.
func (r reading) forbids() bool { return (r.verb == "deny") == (r.nots%2 == 0) && r.verb != "approve" }

// absence: what is not there is false; below a not nobody knows.
func (r reading) absence() can {
	if r.nots > 0 {
		return either
	}
	return canFalse
}

// document is what paths lead into, with the defaults of its first level.
type document struct {
	root     any
	declared map[string]any
	known    bool // what is not there has those defaults and no other
}

// position is one of those that a path names.
type position struct {
	value    any
	here     bool // there is a value
	odd      bool // nobody can say what stands there
	declared bool // the value is a default, and nothing was given
}

func (cond *condition) can(r reading, doc document) can {
	var answers []can
	for _, p := range positions(cond.path, doc) {
		if cond.optional && !p.here && !p.odd && doc.known {
			answers = append(answers, canTrue)
			continue
		}
		all := canTrue
		for _, t := range cond.tests {
			all = all.and(t.can(r, p))
		}
		answers = append(answers, all)
	}
	if len(answers) == 0 {
		if cond.optional {
			return canTrue
		}
		return r.absence()
	}
	every, some := canTrue, canFalse
	for _, a := range answers {
		every, some = every.and(a), some.or(a)
	}
	switch {
	case !strings.ContainsAny(cond.path, "#*"):
		return answers[0]
	case r.verb == "approve":
		return every | some // a rule that asks and grants
	case r.forbids():
		return some
	}
	return every
}

// positions puts the declared default of the first name where nothing is given,
// and follows the path.
func positions(path string, doc document) []position {
	if path == "**" {
		return []position{{value: doc.root, here: true}}
	}
	first, rest, deeper := strings.Cut(path, ".")
	root, isObject := doc.root.(map[string]any)
	name, steps := first, strings.Split(path, ".")
	if first == "**" {
		name = rest
	}
	_, given := root[name]
	missing := isObject && !given && !hasVariant(root, name) && name != "#" && name != "*" && !strings.ContainsAny(name, ".*#")
	if first == "**" {
		out := below(doc.root, steps[1:])
		if missing && !doc.known {
			out = append(out, position{odd: true, declared: true})
		}
		if fallback := doc.declared[name]; missing && fallback != nil {
			out = append(out, position{value: fallback, here: true, declared: true})
		}
		return out
	}
	if !missing {
		out := follow(doc.root, steps, false)
		for i := range out {
			if !out[i].here && !doc.known { // nobody knows what the tool takes instead
				out[i] = position{odd: true, declared: !out[i].odd}
			}
		}
		return out
	}
	fallback := doc.declared[name]
	switch {
	case !doc.known:
		return []position{{odd: true, declared: true}}
	case fallback == nil:
		return []position{{}}
	case !deeper:
		return []position{{value: fallback, here: true, declared: true}}
	}
	out := follow(fallback, steps[1:], false)
	for i := range out {
		out[i].declared = true
	}
	return out
}

func hasVariant(object map[string]any, name string) bool {
	for other := range object {
		if other != name && strings.EqualFold(other, name) {
			return true
		}
	}
	return false
}

// follow names positions; with search, those where the first step leads nowhere
// are none.
func follow(at any, steps []string, search bool) (out []position) {
	if len(steps) == 0 {
		return []position{{value: at, here: true}}
	}
	nothing := func(p position) []position {
		if search {
			return nil
		}
		return []position{p}
	}
	object, isObject := at.(map[string]any)
	list, isList := at.([]any)
	switch step := steps[0]; {
	case step == "**":
		return below(at, steps[1:])
	case (step == "#" || step == "*") && isList:
		for _, e := range list {
			out = append(out, follow(e, steps[1:], false)...)
		}
		return out
	case step == "*" && isObject:
		for _, name := range slices.Sorted(maps.Keys(object)) {
			out = append(out, follow(object[name], steps[1:], false)...)
		}
		return out
	case step == "#" || step == "*" || !isObject:
		return nothing(position{odd: true})
	case hasVariant(object, step):
		return []position{{odd: true}}
	default:
		value, ok := object[step]
		if !ok {
			return nothing(position{})
		}
		return follow(value, steps[1:], false)
	}
}

func below(at any, steps []string) []position {
	out := follow(at, steps, true)
	switch at := at.(type) {
	case []any:
		for _, e := range at {
			out = append(out, below(e, steps)...)
		}
	case map[string]any:
		for _, e := range at {
			out = append(out, below(e, steps)...)
		}
	}
	return out
}

func (t *oracleTest) can(r reading, p position) can {
	all := func(tests []oracleTest, r reading, p position) can {
		out := canTrue
		for _, t := range tests {
			out = out.and(t.can(r, p))
		}
		return out
	}
	switch t.key {
	case "not":
		r.nots++
		return all(t.branches[0], r, p).not()
	case "any_of":
		out := canFalse
		for _, b := range t.branches {
			out = out.or(all(b, r, p))
		}
		return out
	case "present":
		given := p.here && !p.declared
		switch {
		case p.odd && !p.declared, given && p.value == nil:
			return either
		}
		return only(given == t.operand.(bool))
	}
	switch {
	case p.odd:
		return either
	case !p.here:
		return r.absence()
	}
	switch t.key {
	case "each", "any":
		list, ok := p.value.([]any)
		if !ok {
			return either
		}
		every, some := only(len(list) > 0), canFalse
		for _, e := range list {
			a := all(t.branches[0], r, position{value: e, here: true})
			every, some = every.and(a), some.or(a)
		}
		if t.key == "each" && r.verb == "approve" && r.nots%2 == 0 {
			return every | some // as a path
		}
		if t.key == "each" {
			return every
		}
		return some
	case "json":
		return t.canInside(r, p.value)
	case "detect":
		return only(holdsToken(p.value))
	}
	return canBe(judge(t.key, t.operand, p.value))
}

func (t *oracleTest) canInside(r reading, value any) can {
	text, ok := value.(string)
	if !ok || !json.Valid([]byte(text)) {
		return either
	}
	root := decodeJSON(text)
	out := canTrue
	var paths [][]string
	for _, cond := range t.inside {
		out = out.and(cond.can(r, document{root: root, known: true}))
		paths = append(paths, strings.Split(cond.path, "."))
	}
	if !r.forbids() && !r.extra && !named(root, paths) {
		out = out.and(either)
	}
	return out
}

// named reports whether some path leads to, through or past everything in v.
func named(v any, paths [][]string) bool {
	for _, p := range paths {
		if len(p) == 0 || p[0] == "*" || p[0] == "**" {
			return true
		}
	}
	further := func(steps ...string) (out [][]string) {
		for _, p := range paths {
			if slices.Contains(steps, p[0]) {
				out = append(out, p[1:])
			}
		}
		return out
	}
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if rest := further(name); rest == nil || !named(value, rest) {
				return false
			}
		}
	case []any:
		for i, value := range v {
			if rest := further("#", strconv.Itoa(i)); rest == nil || !named(value, rest) {
				return false
			}
		}
	}
	return true
}

var githubToken = regexp.MustCompile(`gh[pousr]_[A-Za-z0-9]{36}`)

// holdsToken is detect: [github_token].
func holdsToken(v any) bool {
	switch v := v.(type) {
	case string:
		return githubToken.MatchString(v)
	case []any:
		return slices.ContainsFunc(v, holdsToken)
	case map[string]any:
		for name, value := range v {
			if holdsToken(name) || holdsToken(value) {
				return true
			}
		}
	}
	return false
}
