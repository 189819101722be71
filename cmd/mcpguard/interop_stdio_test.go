package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// wrapCommand is mcpguard wrap, with nothing refused, around a server.
func wrapCommand(t *testing.T, binary string, server ...string) []string {
	t.Helper()
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(allowAll), 0o600); err != nil {
		t.Fatal(err)
	}
	wrap := []string{binary, "wrap", "--name", "upstream", "--policy", policy,
		"--store", "sqlite://" + filepath.Join(dir, "record.db"), "--keys", filepath.Join(dir, "keys"), "--"}
	return append(wrap, server...)
}

// bridgeCommand is mcpguard bridge to an endpoint.
func bridgeCommand(binary, endpoint string) []string {
	return []string{binary, "bridge", "--url", endpoint}
}

// everythingOverStdio is a server of both eras.
func everythingOverStdio(t *testing.T) []string {
	t.Helper()
	return []string{peer(t, "bin", "everything-server")}
}

// TestInteropStdioBytes compares the very bytes of every answer over stdio: of a
// server itself, of mcpguard around it, and of mcpguard far away.
func TestInteropStdioBytes(t *testing.T) {
	binary := buildGuard(t)
	program, _ := node(t)
	for _, c := range []struct {
		name    string
		server  func(*testing.T) []string
		session func(*testing.T) []string
	}{
		{"legacy", func(t *testing.T) []string {
			return []string{program, script(t, "server-everything", "dist", "index.js"), "stdio"}
		}, func(*testing.T) []string { return everythingSession("2025-11-25") }},
		{"modern", everythingOverStdio, func(*testing.T) []string { return modernRequests() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := c.server(t)
			endpoint := startGuard(t, binary, allowAll, "--upstream-cmd", strings.Join(server, " "))
			for way, command := range map[string][]string{"wrap": wrapCommand(t, binary, server...), "bridge": bridgeCommand(binary, endpoint)} {
				t.Run(way, func(t *testing.T) {
					compareWires(t, startStdio(t, server[0], server[1:]...), startStdio(t, command[0], command[1:]...), c.session(t))
				})
			}
		})
	}
}

// TestInteropStdioInspector has the official Inspector start mcpguard as its
// server.
func TestInteropStdioInspector(t *testing.T) {
	binary := buildGuard(t)
	program, _ := node(t)
	inspector := script(t, "inspector", "clients", "launcher", "build", "index.js")
	catalog := "MCP_CATALOG_PATH=" + filepath.Join(t.TempDir(), "catalog.json")
	inspect := func(t *testing.T, era string, server []string, question ...string) string {
		t.Helper()
		args := append([]string{inspector, "--cli", "--protocol-era", era}, question...)
		out, err := runNode(t, "", []string{catalog}, append(append(args, "--"), server...)...)
		status := 0
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			status = exit.ExitCode()
		}
		if err != nil && status != toolFailed || len(out) < len(`{"tools":[]}`) {
			t.Fatalf("%v: %v\n%s", question, err, out)
		}
		return fmt.Sprintf("%sstatus %d", out, status)
	}
	files := sampleFiles(t)
	filesystem := []string{program, script(t, "server-filesystem", "dist", "index.js"), files}
	for _, c := range []struct {
		name      string
		server    []string
		eras      []string
		questions [][]string
	}{
		{"filesystem", filesystem, []string{"legacy", "auto"}, [][]string{
			{"--method", "tools/list"},
			{"--method", "tools/call", "--tool-name", "read_text_file", "--tool-arg", "path=" + filepath.Join(files, "notes.txt")},
			{"--method", "tools/call", "--tool-name", "read_text_file", "--tool-arg", "path=/etc/hostname"},
		}},
		{"everything", everythingOverStdio(t), []string{"modern"}, [][]string{
			{"--method", "tools/list"},
			{"--method", "tools/call", "--tool-name", "test_simple_text"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			endpoint := startGuard(t, binary, allowAll, "--upstream-cmd", strings.Join(c.server, " "))
			for _, era := range c.eras {
				for _, question := range c.questions {
					want := inspect(t, era, c.server, question...)
					if got := inspect(t, era, wrapCommand(t, binary, c.server...), question...); got != want {
						t.Errorf("%v, %s:\ndirect\n%s\nthrough wrap\n%s", question, era, want, got)
					}
					if got := inspect(t, era, bridgeCommand(binary, endpoint), question...); got != want {
						t.Errorf("%v, %s:\ndirect\n%s\nthrough bridge\n%s", question, era, want, got)
					}
				}
			}
		})
	}
}

// TestInteropStdioTypeScript has both lines of the TypeScript client start
// mcpguard as their server.
func TestInteropStdioTypeScript(t *testing.T) {
	binary := buildGuard(t)
	program, _ := node(t)
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "testdata", "peers", "client.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(t *testing.T, mode string, command []string, calls string) string {
		t.Helper()
		server, err := json.Marshal(command)
		if err != nil {
			t.Fatal(err)
		}
		out, err := runNode(t, string(text), []string{"CALLS=" + calls}, "--input-type=module", "-", mode, string(server))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, c := range []struct {
		name   string
		server []string
		modes  []string
		calls  string
		has    string
	}{
		{
			"legacy", []string{program, script(t, "server-everything", "dist", "index.js"), "stdio"}, []string{"v1", "v2:legacy", "v2:auto"},
			`[{"name":"echo","arguments":{"message":"good morning"}},{"name":"get-structured-content","arguments":{"location":"Chicago"}}]`,
			"good morning",
		},
		{
			"modern", everythingOverStdio(t), []string{"v2:auto", "v2:" + modernVersion},
			`[{"name":"test_simple_text","arguments":{}},{"name":"test_error_handling","arguments":{}},{"name":"test_x_mcp_header","arguments":{"region":"eu"}}]`,
			`"version":"` + modernVersion + `"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			endpoint := startGuard(t, binary, allowAll, "--upstream-cmd", strings.Join(c.server, " "))
			for _, mode := range c.modes {
				want := ask(t, mode, c.server, c.calls)
				if !strings.Contains(want, c.has) {
					t.Errorf("%s: %q is not in what came direct:\n%s", mode, c.has, want)
				}
				if got := ask(t, mode, wrapCommand(t, binary, c.server...), c.calls); got != want {
					t.Errorf("%s:\ndirect\n%s\nthrough wrap\n%s", mode, want, got)
				}
				if got := ask(t, mode, bridgeCommand(binary, endpoint), c.calls); got != want {
					t.Errorf("%s:\ndirect\n%s\nthrough bridge\n%s", mode, want, got)
				}
			}
		})
	}
}
