package main_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tour is what a client does with a server: calls that succeed, tell progress,
// ask the user and the model, and fail; a resource that is there and one that is
// not; a prompt. What the client prints holds words of each.
type tour struct {
	calls, resource, prompt string
	holds                   []string
}

var (
	structuredTour = tour{
		`[{"name":"echo","arguments":{"message":"good morning"}},{"name":"get-structured-content","arguments":{"location":"Chicago"}}]`,
		"demo://resource/static/document/features.md", "simple-prompt",
		[]string{"good morning", `"structuredContent":{"temperature"`, "simple prompt without arguments"},
	}
	legacyTour = tour{
		`[{"name":"test_simple_text","arguments":{}},{"name":"test_tool_with_progress","arguments":{}},` +
			`{"name":"test_elicitation","arguments":{"message":"who is it?"}},{"name":"test_sampling","arguments":{"prompt":"say something"}},` +
			`{"name":"test_error_handling","arguments":{}}]`,
		"test://static-text", "test_simple_prompt",
		[]string{"2025-11-25", "simple text response", "Completed step 50", "who is it?", "email:sam@example.com", "say something",
			"LLM response: an answer", "intentionally returns an error", "content of the static text", "Resource not found", "simple prompt for testing"},
	}
	modernTour = tour{
		`[{"name":"test_simple_text","arguments":{}},{"name":"test_tool_with_progress","arguments":{}},` +
			`{"name":"test_input_required_result_elicitation","arguments":{}},{"name":"test_input_required_result_sampling","arguments":{}},` +
			`{"name":"test_error_handling","arguments":{}}]`,
		"test://static-text", "test_simple_prompt",
		[]string{modernVersion, "simple text response", "Completed step 50", "What is your name?", "Hello, sam!", "capital of France",
			"Sampling response: an answer", "intentionally returns an error", "content of the static text", "Resource not found", "simple prompt for testing"},
	}
)

// environment is how the clients are told.
func (c tour) environment() []string {
	return []string{"CALLS=" + c.calls, "RESOURCE=" + c.resource, "PROMPT=" + c.prompt}
}

// compareTours lets a client take the tour direct and through mcpguard. What it
// prints must be the same, and hold what the tour is for.
func compareTours(t *testing.T, binary, upstream string, c tour, client func(t *testing.T, url string) string, unsaid ...string) {
	t.Helper()
	want := client(t, upstream)
	for _, words := range c.holds {
		if !strings.Contains(want, words) && !slices.Contains(unsaid, words) {
			t.Errorf("direct: the client does not print %q:\n%s", words, want)
		}
	}
	// No shared cache may keep what was filtered for one caller (DESIGN law 9).
	private := strings.NewReplacer(`"cacheScope":"public"`, `"cacheScope":"private"`, `"cacheScope": "public"`, `"cacheScope": "private"`)
	want = private.Replace(want)
	got := private.Replace(client(t, startGuard(t, binary, allowAll, "--upstream", upstream)))
	if got != want {
		t.Errorf("direct           %s\nthrough mcpguard %s", abridged([]byte(want), []byte(got)), abridged([]byte(got), []byte(want)))
	}
}

// TestInteropTypeScript drives mcpguard with both lines of the TypeScript
// client, which checks every message against its own schemas.
func TestInteropTypeScript(t *testing.T) {
	binary := buildGuard(t)
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "testdata", "peers", "client.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	legacyServer := func(t *testing.T) string { return startEverything(t, true) }
	modernServer := func(t *testing.T) string { return startEverything(t, false) }
	for _, c := range []struct {
		server   string
		upstream func(*testing.T) string
		modes    []string
		tour     tour
	}{
		{"legacy", legacyServer, []string{"v1", "v2:legacy", "v2:auto"}, legacyTour},
		{"modern", modernServer, []string{"v2:auto", "v2:" + modernVersion}, modernTour},
		{"structured", startNPMEverything, []string{"v1", "v2:legacy", "v2:auto"}, structuredTour},
	} {
		for _, mode := range c.modes {
			t.Run(c.server+"/"+mode, func(t *testing.T) {
				var unsaid []string
				if mode == "v1" {
					unsaid = []string{"2025-11-25"} // this client does not tell its version
				}
				compareTours(t, binary, c.upstream(t), c.tour, func(t *testing.T, url string) string {
					t.Helper()
					out, err := runNode(t, string(text), c.tour.environment(), "--input-type=module", "-", mode, url)
					if err != nil {
						t.Fatal(err)
					}
					return out
				}, unsaid...)
			})
		}
	}
}

// TestInteropPython drives mcpguard with the Python SDK, where there is a Python.
func TestInteropPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		lacking(t, "python3", err)
	}
	binary, python := buildGuard(t), peer(t, "py", "bin", "python")
	for _, c := range []struct {
		mode   string
		modern bool
		tour   tour
	}{
		{"legacy", false, legacyTour}, {"auto", false, legacyTour}, {"auto", true, modernTour},
	} {
		name := c.mode + " to a legacy server"
		if c.modern {
			name = c.mode + " to a modern server"
		}
		t.Run(name, func(t *testing.T) {
			compareTours(t, binary, startEverything(t, !c.modern), c.tour, func(t *testing.T, url string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), python, filepath.Join(moduleRoot(t), "testdata", "peers", "client.py"), c.mode, url)
				cmd.Env = append(os.Environ(), c.tour.environment()...)
				var said bytes.Buffer
				cmd.Stderr = &said
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%v\n%s", err, said.String())
				}
				return string(out)
			})
		})
	}
}

// TestInteropRemote drives mcpguard with mcp-remote, which agents that speak
// stdio only are given, and the Inspector behind it.
func TestInteropRemote(t *testing.T) {
	binary := buildGuard(t)
	program, _ := node(t)
	inspector := script(t, "inspector", "clients", "launcher", "build", "index.js")
	remote := peer(t, "peers", "node_modules", "mcp-remote", "dist", "proxy.js")
	scratch := t.TempDir()
	env := []string{"MCP_CATALOG_PATH=" + filepath.Join(scratch, "catalog.json"), "MCP_REMOTE_CONFIG_DIR=" + scratch}
	upstream := startEverything(t, true)
	endpoint := startGuard(t, binary, allowAll, "--upstream", upstream)
	for _, question := range [][]string{
		{"--method", "tools/list"},
		{"--method", "tools/call", "--tool-name", "test_simple_text"},
		{"--method", "tools/call", "--tool-name", "test_error_handling"},
		{"--method", "resources/read", "--uri", "test://static-text"},
		{"--method", "prompts/get", "--prompt-name", "test_simple_prompt"},
	} {
		through := func(url string) string {
			args := append([]string{inspector, "--cli"}, question...)
			out, err := runNode(t, "", env, append(args, "--", program, remote, url, "--allow-http", "--transport", "http-only")...)
			status := new(exec.ExitError)
			if err != nil && (!errors.As(err, &status) || status.ExitCode() != toolFailed) {
				t.Fatalf("%v\n%s", err, out)
			}
			if len(out) < len(`{"tools":[]}`) {
				t.Fatalf("%v: the Inspector printed %q", question, out)
			}
			return strings.ReplaceAll(out, `"cacheScope": "public"`, `"cacheScope": "private"`)
		}
		if want, got := through(upstream), through(endpoint); got != want {
			t.Errorf("%v:\ndirect\n%s\nthrough mcpguard\n%s", question, want, got)
		}
	}
}
