package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// localServer is a server of somebody else's that is started over stdio, twice:
// for the client itself, and for mcpguard in front of it.
type localServer struct {
	name    string
	command func(t *testing.T) []string
	env     []string // NAME=value, beside those that mcpguard passes on
	state   string   // what names a file of its own: an environment variable, or stateArgument; see own
	dir     func(t *testing.T) string
	session func(dir string) []string
}

// localServers need no account and no network, or their lists do not.
func localServers() []localServer {
	return []localServer{
		{name: "memory", command: nodeServer("@modelcontextprotocol/server-memory/dist/index.js"), state: "MEMORY_FILE_PATH", session: memorySession},
		{name: "sequential-thinking", command: nodeServer("@modelcontextprotocol/server-sequential-thinking/dist/index.js"), session: thinkingSession},
		{name: "sqlite", command: nodeServer("mcp-server-sqlite-npx/dist/index.js"), state: stateArgument, session: sqliteSession},
		{name: "git", command: nodeServer("@cyanheads/git-mcp-server/dist/index.js"), dir: sampleRepository, session: gitSession},
		{name: "playwright", command: nodeServer("@playwright/mcp/cli.js", "--headless"), session: listsOnly},
		{name: "notion", command: nodeServer("@notionhq/notion-mcp-server/bin/cli.mjs"), env: []string{"NOTION_TOKEN=none"}, session: listsOnly},
		{name: "context7", command: nodeServer("@upstash/context7-mcp/dist/index.js"), session: listsOnly},
		{name: "github", command: nodeServer("@modelcontextprotocol/server-github/dist/index.js"), session: listsOnly},
		{name: "gopls", command: goServer("gopls", "mcp"), dir: sampleModule, session: goplsSession},
		{name: "mcp-go everything", command: goServer("mcp-go/everything"), session: mcpGoSession},
	}
}

// TestInteropServers compares what real servers answer, direct and through
// mcpguard, byte for byte.
func TestInteropServers(t *testing.T) {
	binary := buildGuard(t)
	for _, s := range localServers() {
		t.Run(s.name, func(t *testing.T) {
			dir := t.TempDir()
			if s.dir != nil {
				dir = s.dir(t)
			}
			command, env := s.own(t)
			direct := exec.Command(command[0], command[1:]...)
			direct.Dir, direct.Env = dir, childEnvironment(env)
			command, env = s.own(t)
			endpoint := startGuardFor(t, binary, allowAll, stdioUpstream(t, command, env, dir))
			compareWires(t, startStdioCommand(t, direct), &httpWire{url: endpoint, version: "2025-11-25"}, s.session(dir))
		})
	}

	t.Run("fastmcp", func(t *testing.T) {
		upstream := startFastMCP(t)
		endpoint := startGuard(t, binary, allowAll, "--upstream", upstream)
		compareWires(t, &httpWire{url: upstream, version: "2025-11-25"}, &httpWire{url: endpoint, version: "2025-11-25"}, fastMCPSession())
	})
}

// stateArgument says that a server takes its file as its last argument.
const stateArgument = "the last argument"

// own is the command line and the environment of one instance, with a file of
// its own where the server keeps something.
func (s localServer) own(t *testing.T) (command, env []string) {
	t.Helper()
	command, env = s.command(t), s.env
	file := filepath.Join(t.TempDir(), "state")
	switch s.state {
	case "":
	case stateArgument:
		command = append(command, file)
	default:
		env = append(env[:len(env):len(env)], s.state+"="+file)
	}
	return command, env
}

// nodeServer is a server in an npm package of the peers.
func nodeServer(file string, args ...string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		t.Helper()
		program, folder := node(t)
		path := filepath.Join(folder, "node_modules", filepath.FromSlash(file))
		if _, err := os.Stat(path); err != nil {
			lacking(t, file, err)
		}
		return append([]string{program, path}, args...)
	}
}

// goServer is a server that make peers builds.
func goServer(name string, args ...string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		t.Helper()
		return append([]string{peer(t, "bin", filepath.FromSlash(name))}, args...)
	}
}

// childEnvironment is what mcpguard gives a server process: a few variables of
// its own, and those that are listed.
func childEnvironment(listed []string) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "LANG"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(env, listed...)
}

// stdioUpstream is an upstream's entry in mcpguard.yaml. JSON is YAML.
func stdioUpstream(t *testing.T, command, env []string, dir string) string {
	t.Helper()
	variables := map[string]string{}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		variables[name] = value
	}
	text, err := json.Marshal(map[string]any{"command": command[0], "args": command[1:], "env": variables, "cwd": dir})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// startGuardFor starts mcpguard with a configuration file whose only upstream is
// the given entry.
func startGuardFor(t *testing.T, binary, policy, upstream string) string {
	t.Helper()
	dir := t.TempDir()
	listen := freeAddress(t)
	for name, text := range map[string]string{
		"policy.yaml": policy,
		"mcpguard.yaml": fmt.Sprintf("listen: %s\npolicy: policy.yaml\nstore: sqlite://record.db\nkeys: keys\n"+
			"identity: {local: {trust_loopback: true}}\nupstreams:\n  peer: %s\n", listen, upstream),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve := exec.Command(binary, "serve", "--config", filepath.Join(dir, "mcpguard.yaml"))
	serve.Dir = dir
	startProcess(t, serve, listen)
	return "http://" + listen + "/mcp"
}

// startFastMCP starts a server made with fastmcp and returns its endpoint.
func startFastMCP(t *testing.T) string {
	t.Helper()
	program, folder := node(t)
	nodeServer("fastmcp/package.json")(t)
	text, err := os.Open(filepath.Join(moduleRoot(t), "testdata", "peers", "fastmcp.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := text.Close(); err != nil {
			t.Error(err)
		}
	})
	listen := freeAddress(t)
	_, port, _ := strings.Cut(listen, ":")
	// A module is looked up from where the script is, and from standard input
	// that is the working directory.
	server := exec.Command(program, "--input-type=module", "-", port)
	server.Dir, server.Stdin = folder, text
	startProcess(t, server, listen)
	return "http://" + listen + "/mcp"
}
