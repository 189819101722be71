package toolpolicy_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpguard/toolpolicy"
)

const covered = `version: 1
roles:
  everyone:
    allow:
      - {tool: a/x, id: one, args: {n: {min: 1, max: 5}, s: {prefix: p}}}
      - {tool: a/y, id: two, if: args.n > 1}
      - {tool: a/z, id: three}
      - {tool: a/x, id: seen, observe: true}
`

// Coverage tells which rules never decide, and which conditions never came to
// one of their answers.
func TestCoverage(t *testing.T) {
	p, err := toolpolicy.Compile("policy.yaml", []byte(covered))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := toolpolicy.LoadTests("policy_test.yaml", []byte(`policy: policy.yaml
callers: {sam: {groups: [g]}}
tests:
  - {name: in bounds, as: sam, call: a/x, args: {n: 3, s: pq}, expect: allow}
  - {name: over, as: sam, call: a/x, args: {n: 9, s: pq}, expect: deny}
  - {name: a list, as: sam, list: {has: [a/z]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	c := toolpolicy.NewCoverage(p)
	if tried, all := c.Count(); tried != 0 || all != 12 {
		t.Errorf("before: %d of %d", tried, all)
	}
	c.Cover(tests)
	if tried, all := c.Count(); tried != 6 || all != 12 {
		t.Errorf("%d of %d", tried, all)
	}
	var untried []string
	for _, r := range c.Rules() {
		untried = append(untried, r.Rule+": "+strings.Join(r.Untried(), "; "))
	}
	want := []string{
		"everyone/one: n min 1 is never false; s prefix p is never false",
		"everyone/two: never decides; if args.n > 1 is never tried",
		"everyone/three: never decides",
		"everyone/seen: ",
	}
	if diff := cmp.Diff(want, untried); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every condition that an explanation tells of a rule's text is one that coverage
// counts.
func TestCoverageKnowsConditions(t *testing.T) {
	special := map[string]bool{"arguments that the tool declares": true}
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(seed, 17))}
		p, err := toolpolicy.Compile("policy.yaml", []byte(g.policy().yaml()))
		if err != nil {
			t.Fatal(err)
		}
		known := map[[3]string]bool{}
		for _, r := range toolpolicy.NewCoverage(p).Rules() {
			for _, c := range r.Conditions {
				known[[3]string{r.Rule, c.Path, c.Want}] = true
			}
		}
		for _, r := range p.Explain(g.call().call(t)).Considered {
			for _, c := range r.Conditions {
				if !known[[3]string{r.Rule, c.Path, c.Want}] && !special[c.Want] {
					t.Fatalf("seed %d: %s has %q %q, which coverage does not count", seed, r.Rule, c.Path, c.Want)
				}
			}
		}
	}
}
