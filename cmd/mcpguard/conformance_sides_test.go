package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestConformanceStdio runs the suite over HTTP against a server that speaks
// stdio only: mcpguard bridges the two, for both eras.
func TestConformanceStdio(t *testing.T) {
	binary := buildGuard(t)
	for _, set := range requirementSets {
		t.Run(set.revision, func(t *testing.T) {
			server := peer(t, "bin", "everything-server")
			run := runSuite(t, startGuard(t, binary, allowAll, "--upstream-cmd", server), set.revision)
			run.log(t, set.revision+" over stdio")
			if got := run.failing(); len(run.required) != set.required || !slices.Equal(got, stdioGaps[set.revision]) {
				t.Errorf("%d required scenarios, failing %v; want %d and %v", len(run.required), got, set.required, stdioGaps[set.revision])
			}
			// There is no HTTP behind mcpguard: who checks the headers is mcpguard.
			for _, scenario := range headerScenarios[set.revision] {
				v, ok := run.unscored[scenario]
				if !ok {
					v = run.required[scenario]
				}
				if v.passed == 0 || v.failed > 0 {
					t.Errorf("%s: %d checks passed and %d failed", scenario, v.passed, v.failed)
				}
			}
		})
	}
}

// headerScenarios are those about headers that must equal the body, by revision.
var headerScenarios = map[string][]string{
	modernVersion: {"http-header-validation", "http-custom-header-server-validation"},
}

// stdioGaps are the required scenarios that a stdio server cannot pass over
// HTTP, by revision.
var stdioGaps = map[string][]string{}

// TestConformanceUpstreamSide has the suite play the server and judge how
// mcpguard behaves as its client, with a client behind mcpguard that is known to
// be good. The suite's authorization scenarios are left out: a server's tokens
// are not the caller's (DESIGN law 11), and the suite's metadata names itself.
func TestConformanceUpstreamSide(t *testing.T) {
	binary := buildGuard(t)
	client := peer(t, "bin", "everything-client")
	suite := script(t, "conformance", "dist", "index.js")
	for _, c := range []struct {
		revision  string
		scenarios []string
	}{
		{"2025-11-25", []string{"initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"}},
		{modernVersion, []string{
			"tools_call", "request-metadata", "sep-2322-client-request-state", "http-standard-headers", "http-custom-headers",
			"http-invalid-tool-headers", "json-schema-ref-no-deref", "json-schema-2020-12-preservation",
		}},
	} {
		for _, scenario := range c.scenarios {
			t.Run(c.revision+"/"+scenario, func(t *testing.T) {
				command := viaGuard(t, binary, client)
				out, err := runNode(t, "", nil, suite, "client", "--command", command, "--scenario", scenario,
					"--spec-version", c.revision, "-o", t.TempDir())
				if err != nil { // some check failed: the suite says which
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// viaGuard is a command that starts mcpguard in front of the server whose URL is
// its argument, and runs a client against mcpguard.
func viaGuard(t *testing.T, binary, client string) string {
	t.Helper()
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(allowAll), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := freeAddress(t)
	host, port, _ := strings.Cut(listen, ":")
	command := filepath.Join(dir, "via-guard.sh")
	text := fmt.Sprintf(`#!/bin/bash
cd %[1]q || exit 1
%[2]q serve --listen %[3]s --upstream "$1" --policy %[4]q --store sqlite://%[1]s/record.db --keys %[1]s/keys --trust-loopback >guard.log 2>&1 &
guard=$!
until (exec 3<>/dev/tcp/%[5]s/%[6]s) 2>/dev/null; do
	kill -0 $guard || { cat guard.log >&2; exit 1; }
	sleep 0.05
done
%[7]q http://%[3]s/mcp
status=$?
kill $guard
wait $guard
[ $status -eq 0 ] || cat guard.log >&2
exit $status
`, dir, binary, listen, policy, host, port, client)
	if err := os.WriteFile(command, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("bash"); err != nil {
		lacking(t, "bash", err)
	}
	return command
}
