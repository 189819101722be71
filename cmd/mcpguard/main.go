// Command mcpguard stands between AI agents and MCP servers: it decides about
// every tool call, and keeps a record of it.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), osEnvironment(), os.Args[1:]))
}
