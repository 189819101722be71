package mcpproxy_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the stdio server of the tests: started with
// childEnv set, it speaks MCP on its stdin and stdout instead of running tests.
func TestMain(m *testing.M) {
	if kind := os.Getenv(childEnv); kind != "" {
		os.Exit(runChild(kind))
	}
	goleak.VerifyTestMain(m)
}
