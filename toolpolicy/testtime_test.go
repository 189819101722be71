package toolpolicy_test

import (
	"strings"
	"testing"

	"mcpguard/toolpolicy"
)

const timedPolicy = "version: 1\nroles: {everyone: {allow: [{tool: pay/refund, id: refund, limit: 2/minute per caller}]}}\n"

// runTimed runs tests, written as YAML, of timedPolicy.
func runTimed(t *testing.T, tests string) []toolpolicy.TestResult {
	t.Helper()
	file, err := toolpolicy.LoadTests("policy_test.yaml", []byte("policy: policy.yaml\ncallers: {sam: {}}\ntests:\n"+tests))
	if err != nil {
		t.Fatal(err)
	}
	return file.Run(func(path string) (*toolpolicy.Policy, error) { return toolpolicy.Compile(path, []byte(timedPolicy)) })
}

// Tests with a time share one count and one clock; others stand alone, wherever
// they stand. Every one of repeated calls must be as expected, and the same file
// comes to the same whenever it is run.
func TestTimedTests(t *testing.T) {
	const text = `
  - {name: two, as: sam, call: pay/refund, after: 1s, repeat: 2, expect: allow}
  - {name: no third, as: sam, call: pay/refund, after: 1s, expect: deny, rule: everyone/refund}
  - {name: alone, as: sam, call: pay/refund, repeat: 2, expect: allow}
  - {name: alone as well, as: sam, call: pay/refund, expect: allow}
  - {name: one is back, as: sam, call: pay/refund, after: 31s, expect: allow}
  - {name: wrong, as: sam, call: pay/refund, after: 2m, repeat: 3, expect: allow}
`
	for range 2 {
		results := runTimed(t, text)
		for _, r := range results[:5] {
			if !r.OK() {
				t.Errorf("%s: %v", r.Name, r.Failures)
			}
		}
		got := strings.Join(results[5].Failures, " ")
		if !strings.Contains(got, "call 3 of 3: expected allow, got deny by everyone/refund") {
			t.Errorf("three calls where two may pass: %q", got)
		}
	}
}

func TestTimesOfTestsAreChecked(t *testing.T) {
	for tests, want := range map[string]string{
		"- {name: x, as: sam, call: a/b, after: soon, expect: deny}":                                                           "after is a time since the tests began",
		"- {name: x, as: sam, call: a/b, after: -5s, expect: deny}":                                                            "after is a time since the tests began",
		"- {name: x, as: sam, call: a/b, after: 10000h, expect: deny}":                                                         "after is a time since the tests began",
		"- {name: x, as: sam, call: a/b, repeat: 0, expect: deny}":                                                             "repeat takes a whole number from 1 to 10000",
		"- {name: x, as: sam, call: a/b, repeat: 10001, expect: deny}":                                                         "repeat takes a whole number from 1 to 10000",
		`- {name: x, as: sam, call: a/b, at: "2027-01-31T22:15:00Z", after: 5s, expect: deny}`:                                 "a test says the time (at), or",
		"- {name: x, as: sam, list: {has: [a/b]}, after: 5s}":                                                                  "a list takes of no limit",
		"- {name: x, as: sam, call: a/b, after: 5s, expect: deny}\n  - {name: y, as: sam, call: a/b, after: 4s, expect: deny}": "after 4s is before the 5s of a test above",
	} {
		_, err := toolpolicy.LoadTests("policy_test.yaml", []byte("policy: policy.yaml\ncallers: {sam: {}}\ntests:\n  "+tests+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", tests, err, want)
		}
	}
}
