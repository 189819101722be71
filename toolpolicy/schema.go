package toolpolicy

import _ "embed" // the schemas

//go:embed schema/policy.schema.json
var policySchema string

//go:embed schema/policy_test.schema.json
var testsSchema string

// Schema is the JSON Schema (2020-12) of a policy, for editors. It accepts every
// policy that compiles, and has the same keys as the compiler, which tests hold it to.
// What no schema can say (names that are defined elsewhere, patterns, bounds
// between which nothing lies) it leaves to the compiler.
func Schema() string { return policySchema }

// TestsSchema is the JSON Schema (2020-12) of a policy_test.yaml.
func TestsSchema() string { return testsSchema }
