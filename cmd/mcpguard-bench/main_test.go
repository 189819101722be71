package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary stand for the harness, which starts itself again
// as the upstream and as the floor.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "upstream" || os.Args[1] == "floor") {
		if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestCompareWithoutGuard(t *testing.T) {
	o, err := parseOptions([]string{"-quick", "-rounds", "1", "-only", "^(call/1x|list)", "-keep", t.TempDir(),
		"-want", "floor call/1x1KiB rate/direct <= 1000",
		"-want", "floor call/1x1KiB rate/direct >= 1000"})
	if err != nil {
		t.Fatal(err)
	}
	o.warm, o.during = 10*time.Millisecond, 100*time.Millisecond
	var out, progress strings.Builder
	err = o.compare(t.Context(), &out, &progress)
	if err == nil || !strings.Contains(err.Error(), "rate/direct >= 1000: missed") {
		t.Errorf("the goal out of reach: %v", err)
	}
	for _, want := range []string{"### `call/1x1KiB`", "### `list/16x200`", "| direct |", "| floor |", "rate/direct <= 1000: kept"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "mcpguard-strict") {
		t.Error("a guard is in the report of a run without one")
	}
}

// A contender slower than the time of a measurement still gets a figure, and one
// that fails gets its error and no figure.
func TestSlowAndFailingContenders(t *testing.T) {
	sc := scenario{kind: kindCall, version: modernVersion, clients: 2, bytes: 1 << 10}
	fixture := newUpstream(listedTools)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(100 * time.Millisecond)
		fixture.ServeHTTP(w, r)
	}))
	defer slow.Close()
	base, err := url.Parse(slow.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := sc.run(&contender{name: "slow", base: base}, 0, time.Millisecond)
	if len(s.errs) > 0 || s.calls == 0 || s.p50 < 100*time.Millisecond || s.elapsed < 100*time.Millisecond {
		t.Errorf("a slow contender: %+v, want a call of 100 ms", s)
	}
	s = sc.run(&contender{name: "leaky", base: base, guards: true}, 0, time.Millisecond)
	if len(s.errs) == 0 || !strings.Contains(s.errs[0].Error(), "a secret came through") {
		t.Errorf("a guard that lets secrets through: %+v, want that error", s.errs)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, args := range [][]string{
		{"-only", "no such scenario"},
		{"-only", "("},
		{"-rounds", "0"},
		{"-d", "0s"},
		{"-guard", "no/such/binary"},
		{"-want", "floor call/1x1KiB speed <= 1"},
		{"left over"},
	} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q: accepted", args)
		}
	}
}

func TestScenarioNamesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, sc := range allScenarios() {
		if seen[sc.name()] {
			t.Errorf("two scenarios are called %s", sc.name())
		}
		seen[sc.name()] = true
	}
	for _, sc := range quickScenarios() {
		if !seen[sc.name()] {
			t.Errorf("%s is in the quick run only", sc.name())
		}
	}
	for _, want := range []string{"call/1x1KiB", "call/64x1MiB", "call-modern/16x1KiB", "list/16x200", "session/16", "idle/1000"} {
		if !seen[want] {
			t.Errorf("no scenario %s", want)
		}
	}
}
