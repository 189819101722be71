package main

import (
	"fmt"

	"mcpguard/toolpolicy"
)

// coverage is what tests try of the policies that they name, in the order in
// which they name them. A nil *coverage notes nothing.
type coverage struct {
	of    []*toolpolicy.Coverage
	paths []string
	known map[string]int // by path and digest
}

func newCoverage() *coverage { return &coverage{known: map[string]int{}} }

// load is loadPolicy for the tests of a file, which it counts.
func (c *coverage) load(tests *toolpolicy.TestFile) func(path string) (*toolpolicy.Policy, error) {
	return func(path string) (*toolpolicy.Policy, error) {
		policy, err := loadPolicy(path)
		if err != nil || c == nil {
			return policy, err
		}
		key := path + " " + policy.Digest()
		at, known := c.known[key]
		if !known {
			at = len(c.of)
			c.known[key] = at
			c.of, c.paths = append(c.of, toolpolicy.NewCoverage(policy)), append(c.paths, path)
		}
		c.of[at].Cover(tests)
		return policy, nil
	}
}

// coverageJSON is what tests try of one policy.
type coverageJSON struct {
	Policy  string          `json:"policy"`
	Percent int             `json:"percent"`
	Tried   int             `json:"tried"`
	All     int             `json:"all"`
	Rules   []ruleCoverJSON `json:"untried"`
}

type ruleCoverJSON struct {
	Rule    string   `json:"rule"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Untried []string `json:"untried"`
}

func (c *coverage) inJSON() []coverageJSON {
	out := []coverageJSON{}
	for i, cover := range c.of {
		tried, all := cover.Count()
		j := coverageJSON{Policy: c.paths[i], Percent: percent(tried, all), Tried: tried, All: all, Rules: []ruleCoverJSON{}}
		for _, r := range cover.Rules() {
			if untried := r.Untried(); len(untried) > 0 {
				j.Rules = append(j.Rules, ruleCoverJSON{r.Rule, r.File, r.Line, untried})
			}
		}
		out = append(out, j)
	}
	return out
}

// percent is rounded down, so that 100 means all.
func percent(tried, all int) int {
	if all == 0 {
		return 100
	}
	return 100 * tried / all
}

// reportCoverage tells what was not tried, rule by rule. Less than least per cent of
// a policy is a problem.
func reportCoverage(env *environment, results []testResult, c *coverage, least int) error {
	found := c.inJSON()
	var err error
	switch env.output {
	case outputJSON:
		err = writeJSON(env.stdout, struct {
			Tests    []testResult   `json:"tests"`
			Coverage []coverageJSON `json:"coverage"`
		}{results, found})
	case outputJSONL:
		if err = writeItems(env, results); err == nil {
			err = writeItems(env, found)
		}
	default:
		for _, j := range found {
			for _, r := range j.Rules {
				for _, what := range r.Untried {
					fmt.Fprintf(env.stdout, "%s:%d: %s: %s\n", printable(r.File), r.Line, printable(r.Rule), printable(what))
				}
			}
			_, err = fmt.Fprintf(env.stdout, "%s: %d%% covered (%d of %d)\n", printable(j.Policy), j.Percent, j.Tried, j.All)
		}
	}
	if err != nil {
		return err
	}
	for _, j := range found {
		if j.Percent < least {
			return problemsFound()
		}
	}
	return nil
}
