package toolpolicy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mcpguard/toolpolicy"
)

const testedPolicy = `version: 1
roles:
  support:
    groups: [support]
    redact: [pii]
    allow:
      - crm/get_customer
      - {tool: payments/refund, id: small-refund, args: {amount: {max: 500}}}
    approve:
      - {tool: payments/refund, id: large-refund, args: {amount: {above: 500}}, by: [finance]}
  readers: {groups: [finance], allow: [{resource: "fs/file:///srv/*"}, {prompt: "fs/*"}, {request: fs/roots}, {method: "x/y/*"}]}
  agents: {clients: [nightly], allow: [ci/run]}
redactions:
  pii: {paths: ["**.ssn"]}
`

const recordedTools = `{"crm": {"tools": [{"name": "get_customer", "inputSchema": {"properties": {"id": {}}}}]},
 "payments": {"tools": [{"name": "refund", "inputSchema": {"properties": {"amount": {"default": 501}}}}, {"name": "payout"}]}}`

func loadPolicy(t *testing.T) func(string) (*toolpolicy.Policy, error) {
	return func(path string) (*toolpolicy.Policy, error) {
		if path != "policy.yaml" {
			t.Errorf("asked for the policy %q", path)
		}
		return toolpolicy.Compile(path, []byte(testedPolicy))
	}
}

func TestTestFile(t *testing.T) {
	const text = `policy: policy.yaml
tools: tools.lock.json
callers: {sam: {groups: [support]}, fran: {groups: [finance]}, bot: {client: nightly, subject: svc, issuer: test}}
tests:
  - {name: a small refund just runs, as: sam, call: payments/refund, args: {amount: 42}, expect: allow, rule: support/small-refund}
  - {name: a number sent as text is no number, as: sam, call: payments/refund, args: {amount: "42"}, expect: deny}
  - {name: the default counts, as: sam, call: payments/refund, expect: approve, rule: support/large-refund}
  - {name: what sam sees, as: sam, list: {has: [payments/refund], lacks: [payments/payout, crm/unheard_of]}}
  - {name: the ssn never leaves, as: sam, call: crm/get_customer, args: {id: 7}, result: {structuredContent: {ssn: 123-45-6789, name: Sam}, content: [{type: text, text: '{"ssn":"123-45-6789"}'}]}, result_lacks: [123-45-6789], result_has: [Sam]}
  - {name: fran reads, as: fran, resource: "fs/file:///srv/a", expect: allow}
  - {name: fran asks, as: fran, prompt: fs/review, args: {x: 1}, expect: allow}
  - {name: the server may ask for roots, as: fran, request: fs/roots, expect: allow}
  - {name: an extension, as: fran, method: x/y/z, expect: allow, rule: readers/allow/4}
  - {name: the bot, as: bot, list: {lacks: [crm/get_customer]}}
`
	tests, err := toolpolicy.LoadTests("policy_test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if tests.PolicyPath() != "policy.yaml" || tests.ToolsPath() != "tools.lock.json" {
		t.Errorf("paths %q, %q", tests.PolicyPath(), tests.ToolsPath())
	}
	for _, r := range tests.Run(loadPolicy(t)) {
		if r.OK() || !strings.Contains(r.Failures[0], "was not loaded") {
			t.Errorf("%s passed without its catalogue: %v", r.Name, r.Failures)
		}
	}
	tests.UseTools(readCatalogue(t, recordedTools))
	results := tests.Run(loadPolicy(t))
	if len(results) != 10 {
		t.Fatalf("%d results", len(results))
	}
	for i, r := range results {
		if !r.OK() || r.Line != 5+i || r.File != "policy_test.yaml" {
			t.Errorf("%s:%d %s: %v", r.File, r.Line, r.Name, r.Failures)
		}
	}
	broken := tests.Run(func(string) (*toolpolicy.Policy, error) { return nil, errors.New("no such policy") })
	for _, r := range broken {
		if fmt.Sprint(r.Failures) != "[no such policy]" {
			t.Errorf("%s without a policy: %v", r.Name, r.Failures)
		}
	}
}

// Each of these tests must fail, and say why.
func TestTestFileFailures(t *testing.T) {
	const head = "policy: policy.yaml\ncallers: {sam: {groups: [support]}}\ntests:\n  - {name: x, as: sam, "
	for fields, want := range map[string]string{
		`call: crm/get_customer, expect: deny`:                        "expected deny, got allow by support/allow/1 at policy.yaml:7",
		`call: crm/other, expect: allow`:                              "expected allow, got deny: no rule allows it",
		`call: payments/refund, args: {amount: 501}, rule: support/x`: "expected the rule support/x, got support/large-refund",
		`call: crm/other, rule: support/x`:                            "expected the rule support/x, got none",
		`list: {has: [crm/other]}`:                                    "the list lacks crm/other",
		`list: {lacks: [crm/get_customer]}`:                           "the list has crm/get_customer",
		`call: crm/get_customer, result: {content: [{type: text, text: "a \" quote"}]}, result_lacks: ["a \" quote"]`: `the result has "a \" quote"`,
		`call: crm/get_customer, result: {structuredContent: {ssn: abcdefgh}}, result_has: [abcdefgh]`:                `the result lacks "abcdefgh"`,
		`call: crm/get_customer, result: {content: [{type: text, text: "{"}]}, result_has: ["{"]`:                     "the result is withheld:",
		`call: crm/other, result: {structuredContent: {}}, result_lacks: [x]`:                                         "the call is denied, so it has no result: no rule allows it",
	} {
		tests, err := toolpolicy.LoadTests("policy_test.yaml", []byte(head+fields+"}\n"))
		if err != nil {
			t.Errorf("%s: %v", fields, err)
			continue
		}
		results := tests.Run(loadPolicy(t))
		if len(results) != 1 || len(results[0].Failures) != 1 || !strings.HasPrefix(results[0].Failures[0], want) {
			t.Errorf("%s\n got %q\nwant %q", fields, results[0].Failures, want)
		}
	}
}

// Without a catalogue the arguments of a test count as declared; with one, a
// tool that is not in it cannot be called.
func TestTestFileWithoutCatalogue(t *testing.T) {
	const text = "policy: policy.yaml\ncallers: {sam: {groups: [support]}}\ntests:\n" +
		"  - {name: x, as: sam, call: payments/refund, args: {amount: 5, note: y}, expect: allow}\n"
	tests, err := toolpolicy.LoadTests("policy_test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if r := tests.Run(loadPolicy(t)); !r[0].OK() {
		t.Errorf("without a catalogue: %v", r[0].Failures)
	}
	tests.UseTools(readCatalogue(t, recordedTools))
	if r := tests.Run(loadPolicy(t)); r[0].OK() {
		t.Error("note is not declared in the catalogue, and the call is allowed")
	}
	tests.UseTools(readCatalogue(t, `{"crm": {"tools": []}}`))
	if r := tests.Run(loadPolicy(t)); fmt.Sprint(r[0].Failures) != "[the catalogue has no tool payments/refund]" {
		t.Errorf("got %v", r[0].Failures)
	}
}

func readCatalogue(t *testing.T, text string) *toolpolicy.Catalogue {
	t.Helper()
	c, err := toolpolicy.ReadCatalogue("tools.lock.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCataloguesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                        `it must hold {"upstream": {"tools": [...]}}`,
		`{"crm": {}}`:               `upstream "crm": it must hold`,
		`{"crm": {"tools": [{}]}}`:  `upstream "crm": a tool without a name`,
		`{"crm": 1, "crm": 2}`:      "byte ",
		`{"crm": {"tools": [1,]}}}`: "byte ",
	} {
		if _, err := toolpolicy.ReadCatalogue("t.json", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "read the catalogue t.json: "+want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTestFileMistakes(t *testing.T) {
	const text = `polizy: x
callers: {sam: {group: [a]}}
tests:
  - {as: sam, call: a/b, expect: allow}
  - {name: n, call: a/b, expect: allow}
  - {name: n, as: sam, expect: allow}
  - {name: n, as: sam, call: a/b, prompt: a/b, expect: allow}
  - {name: n, as: sam, call: a/b}
  - {name: n, as: sam, list: {has: []}}
  - {name: n, as: sem, call: a/b, expect: allowed}
  - {name: n, as: sam, call: a/b, result_lacks: [x]}
  - {name: n, as: sam, prompt: a/b, result: {}, result_lacks: [x]}
  - {name: n, as: sam, call: b, args: [1], expect: deny}
`
	const want = `t:1:1: a test file has no key "polizy"
t:1:1: the file does not say which policy it tests
t:2:17: a caller has no key "group"
t:4:5: the test has no name
t:5:5: the test does not say who asks
t:6:5: a test is about one of call, resource, prompt, request, method and list
t:7:5: a test is about one of call, resource, prompt, request, method and list
t:8:5: the test expects nothing, so it could not fail
t:9:36: has is empty
t:10:19: callers does not have "sem"
t:10:43: expect is allow, approve or deny, not "allowed"
t:11:5: the test expects something of a result and gives none
t:12:5: only the result of a tool can be tested
t:13:30: call must be written upstream/name, and "b" has no slash
t:13:39: args must be a mapping`
	_, err := toolpolicy.LoadTests("t", []byte(text))
	if got := mistakesOf(t, err).Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, err = toolpolicy.LoadTests("t", []byte("policy: p\n"))
	if got := mistakesOf(t, err).Error(); got != "t:1:1: there are no tests" {
		t.Errorf("got %s", got)
	}
}
