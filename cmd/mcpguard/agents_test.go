package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The agents' tests give the command lines of real agents the entry that connect
// prints, in a home of their own and without an account, and have them look for
// mcpguard: over HTTP with a token, and as a command around a server.

// agentHome is where an agent finds nothing but what a test put there.
type agentHome struct {
	t      *testing.T
	dir    string
	binary string   // mcpguard
	env    []string // of the agent
	record string   // of the mcpguard that listens
}

// entries are the ways in which an agent is pointed at mcpguard; the name of the
// server is the same in all.
func (h *agentHome) entries(client string) map[string]string {
	h.t.Helper()
	policy := filepath.Join(h.dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(allowAll), 0o600); err != nil {
		h.t.Fatal(err)
	}
	server := everythingOverStdio(h.t)
	endpoint, token := startGuardWithToken(h.t, h.binary, h.dir, policy, server[0])
	h.env = append(h.env, "MCPGUARD_TOKEN="+token)
	h.record = filepath.Join(h.dir, "record.db")
	return map[string]string{
		"http": h.connect(client, "--url", endpoint),
		"wrap": h.connect(client, "--command", h.binary, "--policy", policy, "--", server[0]),
	}
}

// connect is what mcpguard connect prints.
func (h *agentHome) connect(client string, args ...string) string {
	h.t.Helper()
	out, err := exec.Command(h.binary, append([]string{"connect", "--print", client, "--name", "guarded"}, args...)...).Output()
	if err != nil {
		h.t.Fatal(err)
	}
	return string(out)
}

// startGuardWithToken is mcpguard serve in front of a server, for the local user.
func startGuardWithToken(t *testing.T, binary, dir, policy, server string) (endpoint, token string) {
	t.Helper()
	listen := freeAddress(t)
	serve := exec.Command(binary, "serve", "--listen", listen, "--policy", policy, "--upstream-cmd", server,
		"--store", "sqlite://"+filepath.Join(dir, "record.db"), "--keys", filepath.Join(dir, "keys"))
	serve.Dir = dir
	startProcess(t, serve, listen)
	text, err := os.ReadFile(filepath.Join(dir, "local.token"))
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + listen + "/mcp", strings.TrimSpace(string(text))
}

// newAgentHome is a home; name is the agent's program.
func newAgentHome(t *testing.T, name string) (h *agentHome, program []string) {
	t.Helper()
	nodeProgram, _ := node(t)
	agent := peer(t, "agents", "node_modules", ".bin", name)
	dir := t.TempDir()
	h = &agentHome{t: t, dir: dir, binary: buildGuard(t), env: []string{
		"PATH=" + filepath.Dir(nodeProgram) + ":" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + t.TempDir(), "NO_COLOR=1",
		"CLAUDE_CONFIG_DIR=" + filepath.Join(dir, ".claude"), "DISABLE_AUTOUPDATER=1", "CODEX_HOME=" + filepath.Join(dir, ".codex"),
	}}
	return h, []string{agent}
}

func (h *agentHome) write(text string, path ...string) {
	h.t.Helper()
	name := filepath.Join(append([]string{h.dir}, path...)...)
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// run is what the agent says, on both of its outputs.
func (h *agentHome) run(args ...string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := h.command(ctx, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// command is a process group that ends as a whole.
func (h *agentHome) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = h.dir, h.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// seen checks that a client of that name has a session in a record.
func (h *agentHome) seen(way, client string) {
	h.t.Helper()
	record := h.record
	if way == "wrap" {
		record = filepath.Join(h.dir, ".local", "state", "mcpguard", "wrap-guarded-1.db")
	}
	out, err := exec.Command(h.binary, "sessions", "ls", "--store", "sqlite://"+record).CombinedOutput()
	if err != nil || !strings.Contains(string(out), client) {
		h.t.Errorf("%s: no session of %s in the record (%v):\n%s", way, client, err, out)
	}
}

func TestInteropClaudeCode(t *testing.T) {
	h, claude := newAgentHome(t, "claude")
	for way, entry := range h.entries("claude-code") {
		h.write(entry, ".claude", ".claude.json")
		if out := h.run(append(claude, "mcp", "list")...); !strings.Contains(out, "guarded: ") || !strings.Contains(out, "✔ Connected") {
			t.Errorf("%s: claude mcp list says\n%s", way, out)
		}
		h.seen(way, "claude-code")
	}
}

func TestInteropGeminiCLI(t *testing.T) {
	h, gemini := newAgentHome(t, "gemini")
	h.write(`{"`+h.dir+`":"TRUST_FOLDER"}`, ".gemini", "trustedFolders.json")
	for way, entry := range h.entries("gemini") {
		h.write(entry, ".gemini", "settings.json")
		if out := h.run(append(gemini, "mcp", "list")...); !strings.Contains(out, "✓ guarded: ") {
			t.Errorf("%s: gemini mcp list says\n%s", way, out)
		}
		h.seen(way, "mcp-test-client") // as it calls itself there
	}
}

// Codex lists servers without a look at them; its app server tells their tools.
func TestInteropCodex(t *testing.T) {
	h, codex := newAgentHome(t, "codex")
	server := everythingOverStdio(t)
	direct := startStdio(t, server[0])
	for _, line := range legacyOpening("2025-11-25") {
		direct.send(t, line)
	}
	var offered struct {
		Result struct{ Tools []struct{ Name string } }
	}
	if err := json.Unmarshal(direct.send(t, ask(1, "tools/list", `{}`)), &offered); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, tool := range offered.Result.Tools {
		want = append(want, tool.Name)
	}
	slices.Sort(want)
	for way, entry := range h.entries("codex") {
		h.write(entry, ".codex", "config.toml")
		if out := h.run(append(codex, "mcp", "list")...); !strings.Contains(out, "guarded") || !strings.Contains(out, "enabled") {
			t.Errorf("%s: codex mcp list says\n%s", way, out)
		}
		if got := h.codexTools(codex); !slices.Equal(got, want) {
			t.Errorf("%s: codex sees the tools %v, want %v", way, got, want)
		}
		h.seen(way, "codex")
	}
}

// codexTools asks Codex for the tools of its server.
func (h *agentHome) codexTools(codex []string) []string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	cmd := h.command(ctx, append(codex, "app-server")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		_ = in.Close()   // it ends
		_ = cmd.Cancel() // and all that it started
		_ = cmd.Wait()   // was killed
		_, _ = io.Copy(io.Discard, out)
	}()
	for _, line := range []string{
		`{"id":1,"method":"initialize","params":{"clientInfo":{"name":"test","title":"test","version":"1"}}}`,
		`{"method":"initialized"}`,
		`{"id":2,"method":"mcpServerStatus/list","params":{}}`,
	} {
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			h.t.Fatal(err)
		}
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			h.t.Fatalf("codex app-server: %v", errors.Join(err, ctx.Err()))
		}
		var m struct {
			ID     int
			Result struct {
				Data []struct {
					Name  string
					Tools map[string]struct{}
				}
			}
		}
		if err := json.Unmarshal(line, &m); err != nil {
			h.t.Fatalf("codex app-server said %s: %v", line, err)
		}
		if m.ID != 2 {
			continue
		}
		var names []string
		for _, s := range m.Result.Data {
			if s.Name == "guarded" {
				for name := range s.Tools {
					names = append(names, name)
				}
			}
		}
		slices.Sort(names)
		return names
	}
}
