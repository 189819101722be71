package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wrapped is a running mcpguard wrap, around a server of the test binary that
// wrote its process id down.
type wrapped struct {
	*exec.Cmd
	in     io.WriteCloser
	out    *os.File
	lines  *bufio.Reader
	said   *saying
	pid    string // file that names the server's process
	server int    // process id
}

const helloLine = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"agent","version":"1"}}}`

// startWrap starts a wrap and initializes a session.
func startWrap(t *testing.T, binary, home string) *wrapped {
	t.Helper()
	w := launchWrap(t, binary, home)
	w.begin(t)
	return w
}

func launchWrap(t *testing.T, binary, home string) *wrapped {
	t.Helper()
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server, pid := filepath.Join(bin, "crm-server"), filepath.Join(bin, "pid")
	if err := os.Symlink(self, server); err != nil { // see TestMain
		t.Fatal(err)
	}
	policy := filepath.Join(bin, "policy.yaml")
	if err := os.WriteFile(policy, []byte(allowAll), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &wrapped{said: new(saying), pid: pid}
	w.Cmd = exec.Command(binary, "wrap", "--name", "crm", "--policy", policy, "--", "sh", "-c", "echo $$ >"+pid+"; exec "+server)
	w.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
	w.Stderr = w.said
	if w.in, err = w.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.out, w.lines, w.Stdout = out, bufio.NewReader(out), stdout
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	if err := stdout.Close(); err != nil { // the child's end
		t.Error(err)
	}
	t.Cleanup(func() {
		_ = w.Process.Kill() // it has ended where all went well
		_ = out.Close()      // some tests have closed it
		if t.Failed() {
			t.Logf("wrap said:\n%s", w.said)
		}
	})
	return w
}

func (w *wrapped) begin(t *testing.T) {
	t.Helper()
	w.say(t, helloLine)
	if line := w.next(t); !strings.Contains(line, `"protocolVersion":"2025-11-25"`) {
		t.Fatalf("initialize: %s", line)
	}
	text, err := os.ReadFile(w.pid)
	if err == nil {
		w.server, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *wrapped) say(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(w.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (w *wrapped) next(t *testing.T) string {
	t.Helper()
	if err := w.out.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	line, err := w.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("read stdout: %v after %q; wrap said:\n%s", err, line, w.said)
	}
	return line
}

// ended waits for the process, and then for its server to be gone.
func (w *wrapped) ended(t *testing.T) error {
	t.Helper()
	late := time.AfterFunc(20*time.Second, func() { _ = w.Process.Kill() }) // Wait says so
	err := w.Wait()
	late.Stop()
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(w.server, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("the server outlives mcpguard by 10 s")
			break
		}
	}
	return err
}

// However the agent ends it, a wrap ends with exit code 0, its session's end is in
// the record, and its server does not outlive it.
func TestWrapEndsWithItsAgent(t *testing.T) {
	binary := buildGuard(t)
	for name, end := range map[string]func(*testing.T, *wrapped) error{
		"stdin closed": func(_ *testing.T, w *wrapped) error { return w.in.Close() },
		"SIGTERM":      func(_ *testing.T, w *wrapped) error { return w.Process.Signal(syscall.SIGTERM) },
		"SIGINT":       func(_ *testing.T, w *wrapped) error { return w.Process.Signal(os.Interrupt) },
		"SIGHUP":       func(_ *testing.T, w *wrapped) error { return w.Process.Signal(syscall.SIGHUP) },
		"stdout closed": func(t *testing.T, w *wrapped) error {
			err := w.out.Close()
			w.say(t, `{"jsonrpc":"2.0","id":1,"method":"ping"}`) // the answer has no reader
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			w := startWrap(t, binary, home)
			if err := end(t, w); err != nil {
				t.Fatal(err)
			}
			if err := w.ended(t); err != nil {
				t.Errorf("wrap ended with %v", err)
			}
			if got := wrapSessions(t, binary, home, 1); !strings.Contains(got, "session end ended by the client") {
				t.Errorf("the record says\n%s", got)
			}
		})
	}
	t.Run("SIGKILL", func(t *testing.T) {
		w := startWrap(t, binary, t.TempDir())
		if err := w.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := w.ended(t); !errors.As(err, &exit) {
			t.Errorf("wrap ended with %v", err)
		}
	})
}

// wrapSessions is what the record of the nth wrap says.
func wrapSessions(t *testing.T, binary, home string, n int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	show := exec.CommandContext(ctx, binary, "sessions", "show", "latest", "--store",
		fmt.Sprintf("sqlite://%s/.local/state/mcpguard/wrap-crm-%d.db", home, n))
	show.Dir = home
	out, err := show.CombinedOutput()
	if err != nil {
		t.Errorf("sessions show: %v", err)
	}
	return string(out)
}

// Agents start their servers all at once, and as often as they like: each wrap has
// a record of its own, and the keys are made once.
func TestWrapsAtTheSameTime(t *testing.T) {
	binary := buildGuard(t)
	home := t.TempDir()
	const many = 6
	all := make([]*wrapped, many)
	for i := range all {
		all[i] = launchWrap(t, binary, home)
	}
	for i, w := range all {
		w.begin(t)
		w.say(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_customer","arguments":{"id":7}}}`)
		if line := w.next(t); !strings.Contains(line, `"id":7`) {
			t.Errorf("wrap %d: %s", i, line)
		}
	}
	for i, w := range all {
		if err := errors.Join(w.in.Close(), w.ended(t)); err != nil {
			t.Errorf("wrap %d ended with %v", i, err)
		}
	}
	for n := 1; n <= many; n++ {
		if got := wrapSessions(t, binary, home, n); !strings.Contains(got, "allow    crm/get_customer") {
			t.Errorf("record %d says\n%s", n, got)
		}
	}
}

// A call that is under way when the agent leaves comes to its recorded end.
func TestWrapDrains(t *testing.T) {
	binary, home := buildGuard(t), t.TempDir()
	w := startWrap(t, binary, home)
	w.say(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_customer","arguments":{"id":7}}}`)
	if err := w.in.Close(); err != nil {
		t.Fatal(err)
	}
	if line := w.next(t); !strings.Contains(line, `"id":1`) {
		t.Errorf("the call got %s", line)
	}
	rest, err := io.ReadAll(w.lines)
	if err != nil || len(bytes.TrimSpace(rest)) > 0 {
		t.Errorf("more was said: %q, %v", rest, err)
	}
	if err := w.ended(t); err != nil {
		t.Errorf("wrap ended with %v", err)
	}
	if got := wrapSessions(t, binary, home, 1); !strings.Contains(got, "ok in") {
		t.Errorf("the record says\n%s", got)
	}
}
