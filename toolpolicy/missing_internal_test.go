package toolpolicy

import (
	"os"
	"testing"
)

// missing ends a test whose real dependency is not there: skipped, saying why,
// or failed where MCPGUARD_TEST_REQUIRE=all says that nothing may be missing.
func missing(t *testing.T, what string, why error) {
	t.Helper()
	if os.Getenv("MCPGUARD_TEST_REQUIRE") == "all" {
		t.Fatalf("%s is missing, and MCPGUARD_TEST_REQUIRE=all: %v", what, why)
	}
	t.Skipf("SKIP: %s is missing: %v", what, why)
}
