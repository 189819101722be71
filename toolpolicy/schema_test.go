package toolpolicy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"mcpguard/toolpolicy"
)

// schemas are the two schemas, compiled.
func schemas(t testing.TB) (policy, tests *jsonschema.Schema) {
	t.Helper()
	compile := func(name, text string) *jsonschema.Schema {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
		s, err := c.Compile(name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return compile("policy.json", toolpolicy.Schema()), compile("tests.json", toolpolicy.TestsSchema())
}

// instance is a YAML text as a validator of JSON sees it.
func instance(text []byte) (any, error) {
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(strings.NewReader(string(out)))
}

// The schema accepts what compiles: policies and tests of the house, and random
// policies.
func TestSchemaAcceptsWhatCompiles(t *testing.T) {
	policy, tests := schemas(t)
	accepted := 0
	for name, text := range everyYAML(t) {
		schema := policy
		if _, err := toolpolicy.Compile("policy.yaml", text); err != nil {
			// a rule's profile may stand in another file of a folder
			if _, err := toolpolicy.LoadTests("policy_test.yaml", text); err != nil {
				continue
			}
			schema = tests
		}
		doc, err := instance(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		accepted++
	}
	if accepted < 50 {
		t.Errorf("only %d files", accepted)
	}
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(seed, 13))}
		text := []byte(g.policy().yaml())
		doc, err := instance(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := policy.Validate(doc); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
	}
}

// The schema refuses what is misspelt or has the wrong form.
func TestSchemaRefuses(t *testing.T) {
	policy, tests := schemas(t)
	const role = "version: 1\nroles: {r: {groups: [g], %s}}"
	const rule = "allow: [{tool: a/b, %s}]"
	refused := map[string]string{
		"no version":          `roles: {}`,
		"another version":     `version: 2`,
		"a key":               "version: 1\nrolls: {}",
		"a role nobody has":   "version: 1\nroles: {r: {allow: [a/b]}}",
		"everyone in a group": "version: 1\nroles: {everyone: {groups: [g]}}",
		"no slash":            fmt.Sprintf(role, "allow: [tool]"),
		"no selector":         fmt.Sprintf(role, "allow: [{id: x}]"),
		"two selectors":       fmt.Sprintf(role, "allow: [{tool: a/b, prompt: a/b}]"),
		"an empty list":       fmt.Sprintf(role, "allow: []"),
		"nobody to ask":       fmt.Sprintf(role, "approve: [{tool: a/b}]"),
		"a bare approve":      fmt.Sprintf(role, "approve: [a/b]"),
		"hide on allow":       fmt.Sprintf(role, fmt.Sprintf(rule, "hide: true")),
		"reads on deny":       fmt.Sprintf(role, "deny: [{tool: a/b, reads: true}]"),
		"a matcher":           fmt.Sprintf(role, fmt.Sprintf(rule, "args: {a: {maxx: 1}}")),
		"a number as text":    fmt.Sprintf(role, fmt.Sprintf(rule, `args: {a: {max: "1"}}`)),
		"a matcher in a tree": fmt.Sprintf(role, fmt.Sprintf(rule, `args: {a: {not: {any_of: [{maxx: 1}]}}}`)),
		"no conditions":       fmt.Sprintf(role, fmt.Sprintf(rule, `args: {a: {}}`)),
		"not_glob alone":      fmt.Sprintf(role, fmt.Sprintf(rule, `args: {a: {not_glob: x}}`)),
		"a shell construct":   fmt.Sprintf(role, fmt.Sprintf(rule, `args: {a: {shell: {programs: [ls], allow: [pipes]}}}`)),
		"a class":             fmt.Sprintf(role, fmt.Sprintf(rule, `args: {a: {detect: [secret]}}`)),
		"a level":             fmt.Sprintf(role, "explain: all"),
		"a boolean as text":   fmt.Sprintf(role, fmt.Sprintf(rule, `observe: "yes"`)),
		"a replacement":       "version: 1\nredactions: {p: {paths: [a], replace: hash}}",
		"a name":              "version: 1\nroles: {\"a b\": {groups: [g]}}",
	}
	for name, text := range refused {
		doc, err := instance([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if policy.Validate(doc) == nil {
			t.Errorf("%s: the schema accepts %s", name, text)
		}
		if _, err := toolpolicy.Compile("policy.yaml", []byte(text)); err == nil {
			t.Errorf("%s: it compiles, so the schema must accept it: %s", name, text)
		}
	}
	for _, text := range []string{
		`policy: p.yaml`, `{policy: p.yaml, tests: []}`, `{policy: p.yaml, tests: [{name: a, as: b, call: x}]}`,
		`{policy: p.yaml, tests: [{name: a, as: b, call: a/b, expects: allow}]}`, `{policy: p.yaml, tests: [{name: a, as: b, call: a/b, list: {has: [a/b]}}]}`,
	} {
		doc, err := instance([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if tests.Validate(doc) == nil {
			t.Errorf("the schema accepts %s", text)
		}
	}
}

// probes are texts with a key that nobody knows, by the place that the mistake
// names, and where the schema says what may stand there.
var probes = map[string]struct{ text, at string }{
	"a policy":            {"zzzzzzzzzzzz: 1", "/properties"},
	"a role":              {"version: 1\nroles: {r: {zzzzzzzzzzzz: 1}}", "/$defs/role/properties"},
	"a rule":              {"version: 1\nroles: {r: {allow: [{zzzzzzzzzzzz: 1}]}}", "/$defs/rule/properties"},
	"a condition":         {"version: 1\nroles: {r: {allow: [{tool: a/b, args: {a: {zzzzzzzzzzzz: 1}}}]}}", "/$defs/conditions/properties"},
	"len":                 {"version: 1\nroles: {r: {allow: [{tool: a/b, args: {a: {len: {zzzzzzzzzzzz: 1}}}}]}}", "/$defs/conditions/properties/len/oneOf/1/properties"},
	"shell":               {"version: 1\nroles: {r: {allow: [{tool: a/b, args: {a: {shell: {zzzzzzzzzzzz: 1}}}}]}}", "/$defs/conditions/properties/shell/properties"},
	"argv":                {"version: 1\nroles: {r: {allow: [{tool: a/b, args: {a: {argv: {zzzzzzzzzzzz: 1}}}}]}}", "/$defs/conditions/properties/argv/properties"},
	"a program":           {"version: 1\nroles: {r: {allow: [{tool: a/b, args: {a: {argv: {programs: [{zzzzzzzzzzzz: 1}]}}}}]}}", "/$defs/programs/items/anyOf/1/properties"},
	"under":               {"version: 1\nroles: {r: {allow: [{tool: a/b, args: {a: {under: {zzzzzzzzzzzz: 1}}}}]}}", "/$defs/conditions/properties/under/anyOf/1/properties"},
	"url":                 {"version: 1\nroles: {r: {allow: [{tool: a/b, args: {a: {url: {zzzzzzzzzzzz: 1}}}}]}}", "/$defs/conditions/properties/url/properties"},
	"sql":                 {"version: 1\nroles: {r: {allow: [{tool: a/b, args: {a: {sql: {zzzzzzzzzzzz: 1}}}}]}}", "/$defs/conditions/properties/sql/properties"},
	"email":               {"version: 1\nroles: {r: {allow: [{tool: a/b, args: {a: {email: {zzzzzzzzzzzz: 1}}}}]}}", "/$defs/conditions/properties/email/properties"},
	"a limit":             {"version: 1\nroles: {r: {limit: {zzzzzzzzzzzz: 1}}}", "/$defs/limit/anyOf/1/properties"},
	"a redaction profile": {"version: 1\nredactions: {p: {zzzzzzzzzzzz: 1}}", "/$defs/profile/properties"},
	"a test file":         {"zzzzzzzzzzzz: 1", "tests/properties"},
	"a caller":            {"callers: {a: {zzzzzzzzzzzz: 1}}", "tests/$defs/caller/properties"},
	"a test":              {"tests: [{zzzzzzzzzzzz: 1}]", "tests/$defs/test/properties"},
	"list":                {"tests: [{list: {zzzzzzzzzzzz: 1}}]", "tests/$defs/test/properties/list/properties"},
}

// At every place where the compiler knows keys, the schema knows the same.
func TestSchemaHasTheSameKeys(t *testing.T) {
	for _, what := range placesOfKeys(t) {
		if what == "a call" {
			continue // of a file of calls, a JSON object a line, which no editor completes
		}
		probe, ok := probes[what]
		if !ok {
			t.Errorf("no probe for %s: say above where the schema describes it", what)
			continue
		}
		known := knownKeys(t, what, probe.text)
		at, inTests := strings.CutPrefix(probe.at, "tests")
		schema := toolpolicy.Schema()
		if inTests {
			schema = toolpolicy.TestsSchema()
		}
		described := keysAt(t, schema, at)
		slices.Sort(known)
		if !slices.Equal(known, described) {
			t.Errorf("%s: the compiler knows %v, the schema %v", what, known, described)
		}
	}
}

// placesOfKeys are what the sources call the places where unknown keys are
// mistakes.
func placesOfKeys(t *testing.T) []string {
	t.Helper()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	call := regexp.MustCompile(`\.unknown\(key, "([^"]+)"`)
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			places = append(places, m[1])
		}
	}
	if len(places) < len(probes) {
		t.Errorf("found %v in the sources, expected %d", places, len(probes))
	}
	return places
}

// knownKeys are the keys that the mistake about an unknown one proposes.
func knownKeys(t *testing.T, what, text string) []string {
	t.Helper()
	_, err := toolpolicy.Compile("policy.yaml", []byte(text))
	if strings.HasPrefix(probes[what].at, "tests") {
		_, err = toolpolicy.LoadTests("policy_test.yaml", []byte(text))
	}
	var mistakes toolpolicy.Mistakes
	if !errors.As(err, &mistakes) {
		t.Fatalf("%s: %v", what, err)
	}
	for _, m := range mistakes {
		if m.Message == what+` has no key "zzzzzzzzzzzz"` {
			return strings.Split(m.Hint, ", ")
		}
	}
	t.Fatalf("%s: no mistake names the key: %v", what, mistakes)
	return nil
}

func keysAt(t *testing.T, schema, pointer string) []string {
	t.Helper()
	var at any
	if err := json.Unmarshal([]byte(schema), &at); err != nil {
		t.Fatal(err)
	}
	for _, step := range strings.Split(pointer, "/")[1:] {
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			at = v[slices.Index([]string{"0", "1", "2"}, step)]
		}
	}
	properties, ok := at.(map[string]any)
	if !ok {
		t.Fatalf("the schema has nothing at %s", pointer)
	}
	var keys []string
	for key := range properties {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// What compiles, the schema accepts.
func FuzzSchema(f *testing.F) {
	policy, _ := schemas(f)
	for _, text := range everyYAML(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := toolpolicy.Compile("policy.yaml", text); err != nil {
			return
		}
		doc, err := instance(text)
		if err != nil {
			return // a number that encoding/json cannot hold
		}
		if err := policy.Validate(doc); err != nil {
			t.Fatal(err)
		}
	})
}
