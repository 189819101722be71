package toolpolicy_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"mcpguard/toolcall"
)

// The oracle decides by the letter of the language, slowly and with other means
// than the package: encoding/json, big.Rat, and for what is unknown every combination of true
// and false.

type truth int

const (
	isFalse truth = iota
	isTrue
	isUnknown
)

type oracleRule struct {
	id, role, verb string
	target         string // upstream/name with stars
	conditions     []condition
	extra, observe bool
	redact         []string
}

// condition is a path and what is asked there, all of it.
type condition struct {
	path     string
	optional bool
	tests    []oracleTest
}

// oracleTest is a matcher with its operand, or one of the keys that hold others.
type oracleTest struct {
	key      string
	operand  any            // as encoding/json with UseNumber decodes it
	branches [][]oracleTest // of not, each and any: one
	inside   []condition    // of json
}

type oraclePolicy struct {
	rules       []oracleRule
	roleRedact  map[string][]string
	roleGroups  map[string][]string // nil for everyone
	alwaysTools map[string]string   // profile -> selector
	profiles    []string            // in the order of the file
}

type oracleCall struct {
	groups   []string
	target   string
	args     map[string]any
	declared map[string]any // argument -> default; nil value for none
	known    bool           // the schema is known
	closed   bool           // it declares s, and nothing else, of o and of the elements of o
}

type oracleAnswer struct {
	effect toolcall.Effect
	rule   string
	asks   []string
	redact []string
	shadow []string
}

func (p *oraclePolicy) decide(c *oracleCall) oracleAnswer {
	var rules []oracleRule // enforced and about a role of the caller
	var observed []oracleRule
	for _, r := range p.rules {
		switch {
		case !p.has(c, r.role):
		case r.observe:
			observed = append(observed, r)
		default:
			rules = append(rules, r)
		}
	}
	effect, asks := strictest(rules, c)
	answer := oracleAnswer{effect: effect, asks: asks}
	redact := map[string]bool{}
	for role, names := range p.roleRedact {
		if p.has(c, role) {
			for _, n := range names {
				redact[n] = true
			}
		}
	}
	for profile, selector := range p.alwaysTools {
		if selects(selector, c.target) {
			redact[profile] = true
		}
	}
	for _, r := range rules {
		truth := r.matches(c)
		might := truth == isTrue || truth == isUnknown && r.verb != "allow"
		if might && r.verb == effect.String() && answer.rule == "" {
			answer.rule = r.id
		}
		if might && r.verb != "deny" || effect == toolcall.Deny && selects(r.target, c.target) {
			for _, n := range r.redact {
				redact[n] = true
			}
		}
	}
	for _, n := range p.profiles {
		if redact[n] {
			answer.redact = append(answer.redact, n)
		}
	}
	for _, r := range observed {
		if other, _ := strictest(append(slices.Clone(rules), r), c); other != effect {
			answer.shadow = append(answer.shadow, r.id)
		}
	}
	return answer
}

// strictest tries every combination of answers to what is unknown and keeps
// the strictest: a denial, else the approval with the most questions.
func strictest(rules []oracleRule, c *oracleCall) (toolcall.Effect, []string) {
	var truths []truth
	unknown := 0
	for _, r := range rules {
		t := r.matches(c)
		truths = append(truths, t)
		if t == isUnknown {
			unknown++
		}
	}
	effect, asks := toolcall.Allow, []string(nil)
	for world := range 1 << unknown {
		bit := world
		verbs := map[string][]string{}
		for i, r := range rules {
			matched := truths[i] == isTrue
			if truths[i] == isUnknown {
				matched = bit&1 == 1
				bit >>= 1
			}
			if matched {
				verbs[r.verb] = append(verbs[r.verb], r.id)
			}
		}
		switch {
		case verbs["deny"] != nil || verbs["approve"] == nil && verbs["allow"] == nil:
			effect = toolcall.Deny
		case verbs["approve"] != nil:
			effect = min(effect, toolcall.Approve)
			if len(verbs["approve"]) > len(asks) {
				asks = verbs["approve"]
			}
		}
	}
	if effect != toolcall.Approve {
		asks = nil
	}
	return effect, asks
}

func (p *oraclePolicy) has(c *oracleCall, role string) bool {
	groups, restricted := p.roleGroups[role]
	if !restricted {
		return true
	}
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(c.groups, g) })
}

func selects(pattern, target string) bool {
	up, name, _ := strings.Cut(pattern, "/")
	toUp, toName, _ := strings.Cut(target, "/")
	return starMatch(up, toUp) && starMatch(name, toName)
}

func starMatch(p, s string) bool {
	switch {
	case p == "":
		return s == ""
	case p[0] == '*':
		return starMatch(p[1:], s) || s != "" && starMatch(p, s[1:])
	}
	return s != "" && p[0] == s[0] && starMatch(p[1:], s[1:])
}

func (r *oracleRule) matches(c *oracleCall) truth {
	if !selects(r.target, c.target) {
		return isFalse
	}
	if len(r.conditions) == 0 {
		return isTrue
	}
	all := only(true)
	for _, cond := range r.conditions {
		all = all.and(cond.can(reading{verb: r.verb, extra: r.extra}, document{c.args, c.declared, c.known}))
	}
	if r.verb != "deny" && r.refusesExtras(c) {
		all = all.and(either)
	}
	return all.truth()
}

func (r *oracleRule) refusesExtras(c *oracleCall) bool {
	for name := range c.args {
		if _, ok := c.declared[name]; !ok && !r.extra {
			return true
		}
	}
	return !c.known || !r.extra && c.closed && r.goesPastExtras(c)
}

// goesPastExtras: a path goes through o, or an element of it, that has other
// members than s.
func (r *oracleRule) goesPastExtras(c *oracleCall) bool {
	_, declared := c.declared["o"]
	extras := func(v any) bool {
		object, _ := v.(map[string]any)
		for name := range object {
			if name != "s" {
				return true
			}
		}
		return false
	}
	list, _ := c.args["o"].([]any)
	for _, cond := range r.conditions {
		switch {
		case !declared || !strings.HasPrefix(cond.path, "o."):
		case extras(c.args["o"]), strings.HasPrefix(cond.path, "o.#.") && slices.ContainsFunc(list, extras):
			return true
		}
	}
	return false
}

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

func not(t truth) truth {
	switch t {
	case isTrue:
		return isFalse
	case isFalse:
		return isTrue
	}
	return isUnknown
}

func judge(matcher string, operand, v any) truth {
	switch matcher {
	case "equals":
		return equal(operand, v)
	case "in":
		out := isFalse
		for _, o := range operand.([]any) {
			switch equal(o, v) {
			case isTrue:
				return isTrue
			case isUnknown:
				out = isUnknown
			}
		}
		return out
	case "not_in":
		return not(judge("in", operand, v))
	case "min", "max", "above", "below", "integer":
		n, ok := v.(json.Number)
		if !ok {
			return isUnknown
		}
		rat := ratOf(n)
		if matcher == "integer" {
			return truthOf(rat.IsInt())
		}
		c := rat.Cmp(ratOf(operand.(json.Number)))
		return truthOf(map[string]bool{"min": c >= 0, "max": c <= 0, "above": c > 0, "below": c < 0}[matcher])
	case "len":
		want, _ := operand.(json.Number).Int64()
		switch v := v.(type) {
		case string:
			return truthOf(int64(utf8.RuneCountInString(v)) == want)
		case []any:
			return truthOf(int64(len(v)) == want)
		case map[string]any:
			return truthOf(int64(len(v)) == want)
		}
		return isUnknown
	}
	s, ok := v.(string)
	if !ok {
		return isUnknown
	}
	switch matcher {
	case "matches":
		loc := regexp.MustCompile("^(?:" + operand.(string) + ")$").FindStringIndex(s)
		return truthOf(loc != nil)
	case "prefix":
		return truthOf(len(s) >= len(operand.(string)) && s[:len(operand.(string))] == operand.(string))
	case "under":
		if !strings.HasPrefix(s, "/") || strings.Contains(s, "..") {
			return isUnknown
		}
		return truthOf(s == operand.(string) || strings.HasPrefix(s, operand.(string)+"/"))
	}
	panic("no such matcher: " + matcher)
}

func ratOf(n json.Number) *big.Rat {
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		panic("no number: " + n.String())
	}
	return r
}

func equal(a, b any) truth {
	kind := func(v any) string {
		switch v.(type) {
		case nil:
			return "null"
		case bool:
			return "boolean"
		case json.Number:
			return "number"
		case string:
			return "string"
		case []any:
			return "array"
		}
		return "object"
	}
	if kind(a) != kind(b) {
		return isUnknown
	}
	return truthOf(same(a, b))
}

func same(a, b any) bool {
	if x, ok := a.(json.Number); ok {
		y, ok := b.(json.Number)
		return ok && ratOf(x).Cmp(ratOf(y)) == 0
	}
	if x, ok := a.([]any); ok {
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
