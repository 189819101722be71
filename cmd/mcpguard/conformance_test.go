package main_test

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The official suite's frozen sets of required scenarios. Of the fixture, the
// go-sdk's everything-server, the stateful one serves the first and the
// stateless one the second.
var requirementSets = []struct {
	revision string
	required int
	stateful bool
}{
	{"2025-11-25", 30, true},
	{"2026-07-28", 37, false},
}

// TestConformance runs the official suite direct and through mcpguard with a
// policy that allows everything: whatever passes direct passes through.
func TestConformance(t *testing.T) {
	binary := buildGuard(t)
	for _, set := range requirementSets {
		t.Run(set.revision, func(t *testing.T) {
			upstream := startEverything(t, set.stateful)
			direct := runSuite(t, upstream, set.revision)
			direct.log(t, set.revision+" direct")
			through := runSuite(t, startGuard(t, binary, allowAll, "--upstream", upstream), set.revision)
			through.log(t, set.revision+" through mcpguard")
			if len(direct.required) != set.required || len(direct.failing()) > 0 {
				t.Fatalf("direct: %d required scenarios, failing %v; want %d and none", len(direct.required), direct.failing(), set.required)
			}
			if failing := through.failing(); len(through.required) != set.required || len(failing) > 0 {
				t.Errorf("through mcpguard: %d required scenarios, failing %v; want %d and none", len(through.required), failing, set.required)
			}
			for _, line := range difference(direct, through) {
				t.Error(line)
			}
		})
	}
}

// TestConformancePolicy hides one tool: exactly the scenario that needs it fails.
func TestConformancePolicy(t *testing.T) {
	binary := buildGuard(t)
	const hideOne = allowAll + `    deny:
      - tool: "*/test_error_handling"
`
	for _, set := range requirementSets {
		t.Run(set.revision, func(t *testing.T) {
			upstream := startEverything(t, set.stateful)
			run := runSuite(t, startGuard(t, binary, hideOne, "--upstream", upstream), set.revision)
			run.log(t, set.revision+" without test_error_handling")
			if got, want := run.failing(), []string{"tools-call-error"}; !slices.Equal(got, want) {
				t.Errorf("failing: %v, want %v", got, want)
			}
		})
	}
}

// startEverything starts the suite's fixture and returns its endpoint.
func startEverything(t *testing.T, stateful bool) string {
	t.Helper()
	listen := freeAddress(t)
	startProcess(t, exec.Command(peer(t, "bin", "everything-server"), "-http", listen, "-stateless="+strconv.FormatBool(!stateful)), listen)
	return "http://" + listen + "/"
}

// verdict counts the checks of a scenario.
type verdict struct{ passed, failed int }

// suiteRun is what the suite said.
type suiteRun struct {
	required map[string]verdict
	unscored map[string]verdict // scenarios of extensions and drafts
}

// runSuite runs one set of requirements against a server.
func runSuite(t *testing.T, url, revision string) suiteRun {
	t.Helper()
	out, err := runNode(t, "", nil, script(t, "conformance", "dist", "index.js"),
		"server", "--url", url, "--requirements", revision, "-o", t.TempDir())
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	run, parseErr := parseSuite(out)
	if parseErr != nil {
		t.Fatalf("%v; the suite said (%v):\n%s", parseErr, err, out)
	}
	if failing := run.failing(); (err == nil) != (len(failing) == 0) {
		t.Fatalf("the suite ended with %v, and its summary has failing: %v", err, failing)
	}
	for _, name := range run.failing() {
		t.Logf("%s:\n%s", name, section(out, name))
	}
	return run
}

var (
	scenarioLine = regexp.MustCompile(`(?m)^[✓✗] ([a-z0-9-]+): (\d+) passed, (\d+) failed`)
	unscoredLine = regexp.MustCompile(`(?m)^  [✓✗] ([a-z0-9-]+) \([a-z-]+\)$`)
)

// parseSuite reads the summary that the suite ends with.
func parseSuite(out string) (suiteRun, error) {
	run := suiteRun{required: map[string]verdict{}, unscored: map[string]verdict{}}
	_, summary, ok := strings.Cut(out, "=== SUMMARY ===")
	if !ok {
		return run, errors.New("read the suite's output: no summary")
	}
	scored, unscored, _ := strings.Cut(summary, "Not scored for ")
	for _, m := range scenarioLine.FindAllStringSubmatch(scored, -1) {
		passed, err := strconv.Atoi(m[2])
		if err != nil {
			return run, fmt.Errorf("read the suite's output: %w", err)
		}
		failed, err := strconv.Atoi(m[3])
		if err != nil {
			return run, fmt.Errorf("read the suite's output: %w", err)
		}
		run.required[m[1]] = verdict{passed, failed}
	}
	for _, m := range unscoredLine.FindAllStringSubmatch(unscored, -1) {
		v, ok := run.required[m[1]]
		if !ok {
			return run, fmt.Errorf("read the suite's output: %s is not scored and did not run", m[1])
		}
		run.unscored[m[1]] = v
		delete(run.required, m[1])
	}
	if len(run.required) == 0 {
		return run, errors.New("read the suite's output: no scenario in its summary")
	}
	return run, nil
}

// section is what the suite said while it ran a scenario.
func section(out, name string) string {
	_, rest, _ := strings.Cut(out, "=== Running scenario: "+name+" ===")
	said, _, _ := strings.Cut(rest, "\n=== ")
	return strings.TrimSpace(said)
}

// failing are the required scenarios with a failed check, or with none at all.
func (r suiteRun) failing() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.required)) {
		if v := r.required[name]; v.failed > 0 || v.passed == 0 {
			names = append(names, name)
		}
	}
	return names
}

func (r suiteRun) log(t *testing.T, what string) {
	t.Helper()
	var checks verdict
	for _, v := range r.required {
		checks.passed += v.passed
		checks.failed += v.failed
	}
	t.Logf("%s: %d/%d required scenarios (%d checks passed, %d failed), and %d not scored",
		what, len(r.required)-len(r.failing()), len(r.required), checks.passed, checks.failed, len(r.unscored))
}

// difference names the scenarios, required or not, with more failed checks
// through mcpguard than direct. Fewer passed ones are no fault: the suite only
// notes what a server may choose, such as an event stream for a single answer.
func difference(direct, through suiteRun) []string {
	var lines []string
	for _, pair := range []struct{ direct, through map[string]verdict }{
		{direct.required, through.required}, {direct.unscored, through.unscored},
	} {
		for _, name := range slices.Sorted(maps.Keys(pair.direct)) {
			want, got := pair.direct[name], pair.through[name]
			if got.failed > want.failed || got.passed+got.failed == 0 && want.passed > 0 {
				lines = append(lines, fmt.Sprintf("%s: through mcpguard %d checks passed and %d failed, direct %d and %d",
					name, got.passed, got.failed, want.passed, want.failed))
			}
		}
	}
	return lines
}

func TestParseSuite(t *testing.T) {
	const out = `
=== Running scenario: ping ===
all is well
=== Running scenario: caching ===
no ttlMs
in the list

=== SUMMARY ===
✓ ping: 2 passed, 0 failed
✗ caching: 7 passed, 1 failed, 2 warnings
✗ tasks-lifecycle: 1 passed, 8 failed
✓ empty: 0 passed, 0 failed

Total: 10 passed, 9 failed

Not scored for 2026-07-28: 1 scenario(s) run, 1 failing. These do not affect conformance.
  ✗ tasks-lifecycle (extension)
`
	run, err := parseSuite(out)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]verdict{"ping": {2, 0}, "caching": {7, 1}, "empty": {0, 0}}; !maps.Equal(run.required, want) {
		t.Errorf("required: %v, want %v", run.required, want)
	}
	if want := map[string]verdict{"tasks-lifecycle": {1, 8}}; !maps.Equal(run.unscored, want) {
		t.Errorf("not scored: %v, want %v", run.unscored, want)
	}
	if got, want := run.failing(), []string{"caching", "empty"}; !slices.Equal(got, want) {
		t.Errorf("failing: %v, want %v: a scenario without a check has not passed", got, want)
	}
	if got, want := section(out, "caching"), "no ttlMs\nin the list"; got != want {
		t.Errorf("what was said about caching: %q, want %q", got, want)
	}
	worse := suiteRun{required: map[string]verdict{"ping": {1, 1}, "caching": {7, 0}}, unscored: map[string]verdict{}}
	got := difference(run, worse)
	if len(got) != 2 || !strings.HasPrefix(got[0], "ping: ") || !strings.HasPrefix(got[1], "tasks-lifecycle: ") {
		t.Errorf("difference: %v, want ping, which fails more, and tasks-lifecycle, which did not run", got)
	}
	for _, broken := range []string{"", "=== SUMMARY ===\n", "=== SUMMARY ===\n✓ ping: 2 passed, 0 failed\nNot scored for x\n  ✗ other (draft)\n"} {
		if _, err := parseSuite(broken); err == nil {
			t.Errorf("%q: read as a summary", broken)
		}
	}
}
