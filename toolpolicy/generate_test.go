package toolpolicy_test

import (
	"cmp"
	"slices"
	"strings"
)

// operands are matchers with operands, as JSON, which is YAML too.
var operands = []struct{ matcher, operand string }{
	{"equals", `1`}, {"equals", `"EUR"`}, {"equals", `true`}, {"equals", `null`}, {"equals", `[1,"a"]`},
	{"in", `[1,2.0]`}, {"in", `["EUR","USD"]`}, {"in", `["EUR",null]`}, {"not_in", `["EUR"]`}, {"not_in", `[1,5]`},
	{"min", `1`}, {"min", `1.5`}, {"max", `2`}, {"above", `1`}, {"below", `5e0`}, {"integer", `true`},
	{"matches", `"E.*"`}, {"matches", `"EUR|x"`}, {"prefix", `"/srv"`}, {"under", `"/srv"`}, {"under", `"/srv/a"`},
	{"len", `3`}, {"len", `1`}, {"present", `true`}, {"present", `false`}, {"detect", `["github_token"]`},
}

const aToken = "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"

var values = []string{
	`1`, `1.0`, `2`, `5`, `1.5`, `10e-1`, `"1"`, `"EUR"`, `"EURO"`, `"USD"`, `"x"`, `true`, `false`, `null`, `[1]`, `[1,"a"]`,
	`["a",1]`, `{"s":1}`, `{"s":"EUR"}`, `{"S":1}`, `{}`, `"/srv"`, `"/srv/a"`, `"/srv/ab"`, `"/srv/../etc"`, `"/etc"`, `"srv"`,
	`[]`, `[[1],[5]]`, `[{"s":1},{"s":5}]`, `[{"s":1},{}]`, `[{"s":1},{"S":1}]`, `{"a":{"s":"EUR"},"b":{"s":1}}`, `["EUR","EUR"]`,
	`"{\"s\":1}"`, `"{\"s\":1,\"t\":\"EUR\"}"`, `"{\"S\":1}"`, `"{\"s\":"`, `"[1,5]"`, `"{\"s\":[1,5]}"`, `"{}"`,
	`"` + aToken + `"`, `{"` + aToken + `":1}`, `["` + aToken + `"]`,
}

// spot is where a generated condition stands.
type spot struct {
	reading
	path    string
	element bool
	depth   int // of what may still be nested
}

func (g generator) addCondition(r *oracleRule) {
	path := pick(g, "p", "p", "p", "q", "q", "o.s", "p.#", "p.*", "o.#.s", "**.s", "**", "o.s.#")
	if slices.ContainsFunc(r.conditions, func(c condition) bool { return c.path == path }) {
		return // a path stands once in a rule
	}
	r.conditions = append(r.conditions, g.condition(spot{reading: reading{verb: r.verb}, path: path, depth: 3}))
	slices.SortFunc(r.conditions, func(a, b condition) int { return cmp.Compare(a.path, b.path) })
}

func (g generator) condition(at spot) condition {
	c := condition{path: at.path, tests: g.tests(at)}
	presence := slices.ContainsFunc(c.tests, func(t oracleTest) bool { return t.key == "present" })
	c.optional = !at.forbids() && !presence && g.chance(20)
	return c
}

// tests are conditions on one value, in the order of their keys.
func (g generator) tests(at spot) []oracleTest {
	var out []oracleTest
	for range 1 + g.IntN(2) {
		t := g.test(at)
		if slices.ContainsFunc(out, func(o oracleTest) bool { return o.key == t.key }) {
			continue
		}
		if t.key == "present" && t.operand == false {
			return []oracleTest{t}
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b oracleTest) int { return cmp.Compare(a.key, b.key) })
	return out
}

func (g generator) test(at spot) oracleTest {
	at.depth--
	key := "leaf"
	if at.depth >= 0 && g.chance(45) {
		key = pick(g, "not", "not", "any_of", "any_of", "each", "any", "json")
	}
	if at.path == "**" && key != "not" && key != "any_of" {
		key = "leaf"
	}
	if key == "each" && at.forbids() {
		key = "any"
	}
	switch key {
	case "leaf":
		return g.leaf(at)
	case "any_of":
		t := oracleTest{key: key}
		for range 1 + g.IntN(3) {
			t.branches = append(t.branches, g.tests(at))
		}
		return t
	case "json":
		t := oracleTest{key: key}
		for _, path := range []string{"**.s", "s", "s.#", "t"} {
			if len(t.inside) == 0 && path == "t" || g.chance(35) {
				inner := at
				inner.path, inner.element = path, false
				t.inside = append(t.inside, g.condition(inner))
			}
		}
		return t
	case "not":
		at.nots++
	case "each", "any":
		at.element, at.path = true, ""
	}
	return oracleTest{key: key, branches: [][]oracleTest{g.tests(at)}}
}

func (g generator) leaf(at spot) oracleTest {
	for {
		o := pick(g, operands...)
		switch {
		case at.path == "**" && o.matcher != "detect":
		case o.matcher == "present" && (at.element || strings.Contains(at.path, "**") && o.operand == "false"):
		default:
			return oracleTest{key: o.matcher, operand: decodeJSON(o.operand)}
		}
	}
}

// argsOf and testsOf write conditions as the policy does.
func argsOf(conditions []condition) map[string]any {
	args := map[string]any{}
	for _, c := range conditions {
		tests := testsOf(c.tests)
		if c.optional {
			tests["optional"] = true
		}
		args[c.path] = tests
	}
	return args
}

func testsOf(tests []oracleTest) map[string]any {
	out := map[string]any{}
	for _, t := range tests {
		switch t.key {
		case "not", "each", "any":
			out[t.key] = testsOf(t.branches[0])
		case "any_of":
			var branches []any
			for _, b := range t.branches {
				branches = append(branches, testsOf(b))
			}
			out[t.key] = branches
		case "json":
			out[t.key] = argsOf(t.inside)
		default:
			out[t.key] = t.operand
		}
	}
	return out
}
