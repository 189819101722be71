package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	guard "mcpguard/cmd/mcpguard"
)

// Peers are MCP clients, servers and suites that nobody here wrote. `make peers`
// installs them below .cache; testdata/peers/package.json names their versions.

// peer is the path of an installed file below .cache. Where it is missing, the
// test is over: see lacking.
func peer(t *testing.T, path ...string) string {
	t.Helper()
	name := filepath.Join(append([]string{moduleRoot(t), ".cache"}, path...)...)
	if _, err := os.Stat(name); err != nil {
		lacking(t, path[len(path)-1], err)
	}
	return name
}

// lacking ends a test whose peer is not there: see [guard.Lacking].
func lacking(t *testing.T, what string, why error) {
	t.Helper()
	guard.Lacking(t, what, fmt.Errorf("%w (make peers, or make agents, installs it)", why))
}

// node is a Node that the suite and the Inspector run on, and the folder where
// their packages are.
func node(t *testing.T) (program, folder string) {
	t.Helper()
	return peer(t, "peers", "node_modules", "node", "bin", "node"), peer(t, "peers")
}

// script is the path of a program inside an npm package of the peers.
func script(t *testing.T, path ...string) string {
	t.Helper()
	return peer(t, append([]string{"peers", "node_modules", "@modelcontextprotocol"}, path...)...)
}

// moduleRoot is the folder of go.mod.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(filepath.Dir(dir)) // tests run in cmd/mcpguard
}

// buildGuard builds the binary as a user would.
func buildGuard(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "mcpguard")
	build := exec.Command("go", "build", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// allowAll lets everything pass: every selector that policy has.
const allowAll = `version: 1
roles:
  everyone:
    allow:
      - tool: "*/*"
      - resource: "*/*"
      - prompt: "*/*"
      - request: "*/*"
      - method: "*/*"
`

// startGuard starts mcpguard serve under a policy in front of an upstream, which
// args name, and returns its MCP endpoint. Callers need no token.
func startGuard(t *testing.T, binary, policy string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := freeAddress(t)
	serve := exec.Command(binary, append([]string{"serve", "--listen", listen, "--policy", file,
		"--store", "sqlite://" + filepath.Join(dir, "record.db"), "--keys", filepath.Join(dir, "keys"), "--trust-loopback"}, args...)...)
	serve.Dir = dir
	startProcess(t, serve, listen)
	return "http://" + listen + "/mcp"
}

// startProcess starts a server and waits until it listens. The server is told to
// end when the test has, with all that it started; what it said is in the log of
// a test that failed.
func startProcess(t *testing.T, cmd *exec.Cmd, listen string) {
	t.Helper()
	name := filepath.Base(cmd.Path)
	said := new(saying)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // said has what there is to know
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(cmd.Args, " "), said)
		}
		stopGroup(t, name, cmd.Process.Pid, exited)
	})
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for {
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
		select {
		case <-exited:
			t.Fatalf("%s ended before it listened", name)
		case <-deadline.C:
			t.Fatalf("%s does not listen at %s", name, listen)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stopGroup ends a process and all of its group.
func stopGroup(t *testing.T, name string, pid int, exited <-chan struct{}) {
	t.Helper()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(-pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("stop %s: %v", name, err)
		}
		select {
		case <-exited:
			return
		case <-time.After(10 * time.Second):
			t.Errorf("%s does not end on %s", name, signal)
		}
	}
}

// saying is the output of a process, which may still be writing it.
type saying struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *saying) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *saying) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// freeAddress is a loopback address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	// Not one that the system gives away itself: between here and the start of who
	// is to listen there, another test could be given it.
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no port between 20000 and 32000 is free")
	return ""
}

// runNode runs a script of the peers to its end. A status other than 0 is in the
// error, with what the script said.
func runNode(t *testing.T, stdin string, env []string, args ...string) (stdout string, err error) {
	t.Helper()
	program, folder := node(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("node %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}
