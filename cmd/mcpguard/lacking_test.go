package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Lacking ends a test whose real dependency is not there: skipped, saying why, or
// failed where MCPGUARD_TEST_REQUIRE=all says that nothing may be missing. It is for
// the tests that drive the binary as well.
func Lacking(t *testing.T, what string, why error) {
	t.Helper()
	message, fails := whenLacking(os.Getenv("MCPGUARD_TEST_REQUIRE"), what, why)
	if fails {
		t.Fatal(message)
	}
	t.Skip(message)
}

func whenLacking(require, what string, why error) (message string, fails bool) {
	if require == "all" {
		return fmt.Sprintf("%s is missing, and MCPGUARD_TEST_REQUIRE=all: %v", what, why), true
	}
	return fmt.Sprintf("SKIP: %s is missing: %v", what, why), false
}

func TestWhenLacking(t *testing.T) {
	why := errors.New("no such file")
	message, fails := whenLacking("", "everything-server", why)
	if fails || message != "SKIP: everything-server is missing: no such file" {
		t.Errorf("%q, fails %v; want a skip that says what and why", message, fails)
	}
	if message, fails := whenLacking("all", "everything-server", why); !fails || !strings.Contains(message, "no such file") {
		t.Errorf("where all is required: %q, fails %v; want a failure that says why", message, fails)
	}
}
