package main

import (
	"bufio"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stubborn is a stdio server behind a wrapper, as npx is one. Neither it nor
// what it started reads its stdin or cares for a signal that can be ignored.
const stubborn = `trap "" HUP INT TERM
sh -c 'trap "" HUP INT TERM; echo $$ > grandchild.tmp; mv grandchild.tmp grandchild; while :; do sleep 1; done' &
echo $$ > child.tmp; mv child.tmp child
while :; do sleep 1; done
`

// However mcpguard dies, nothing that it started outlives it.
func TestNoOrphans(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range map[string]string{
				"server.sh":   stubborn,
				"policy.yaml": "version: 1\nroles: {everyone: {allow: [\"*/*\"]}}\n",
				"mcpguard.yaml": "listen: 127.0.0.1:0\npolicy: policy.yaml\nstore: sqlite://record.db\nkeys: keys/\n" +
					"upstreams: {wrapped: {command: sh, args: [server.sh], cwd: .}}\nidentity: {local: {trust_loopback: true}}\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			guard := exec.Command(self)
			guard.Args = []string{"mcpguard", "serve", "--config", filepath.Join(dir, "mcpguard.yaml")}
			logs, err := guard.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := guard.Start(); err != nil {
				t.Fatal(err)
			}
			var at string
			for lines := bufio.NewScanner(logs); at == "" && lines.Scan(); {
				_, at, _ = strings.Cut(lines.Text(), "mcpguard is listening: ")
			}
			go func() { // its first call, which is never answered
				req, err := http.NewRequest(http.MethodPost, at, strings.NewReader(
					`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/json")
				if res, err := http.DefaultClient.Do(req); err == nil { // mcpguard dies meanwhile
					_ = res.Body.Close()
				}
			}()
			pids := []int{pidIn(t, filepath.Join(dir, "child")), pidIn(t, filepath.Join(dir, "grandchild"))}
			for _, pid := range pids {
				if gone(pid) {
					t.Fatalf("process %d does not run: the test shows nothing", pid)
				}
			}
			dogs := childrenOf(guard.Process.Pid)
			if err := guard.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = guard.Wait() // it was killed
			pids = append(pids, dogs...)
			deadline := time.Now().Add(30 * time.Second)
			for slices.ContainsFunc(pids, func(pid int) bool { return !gone(pid) }) {
				if time.Now().After(deadline) {
					for _, pid := range pids {
						if !gone(pid) {
							_ = syscall.Kill(pid, syscall.SIGKILL) // so that the test leaves none either
							t.Errorf("process %d outlived mcpguard", pid)
						}
					}
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}

func pidIn(t *testing.T, file string) int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	t.Fatalf("%s never came", file)
	return 0
}

// gone reports whether a process has ended. One that nobody reaped has.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false // no /proc: it is there
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

// childrenOf lists a process's children, where /proc can tell.
func childrenOf(pid int) []int {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	var all []int
	for _, file := range tasks {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

// The watchdog kills what it was told of, and nothing that could be everybody.
func TestWatch(t *testing.T) {
	var killed []int
	err := watch(strings.NewReader("+100\n+200\nnonsense\n+1\n+0\n+-1\n-100\n+300\n\n"), func(group int) { killed = append(killed, group) })
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(killed)
	if !slices.Equal(killed, []int{200, 300}) {
		t.Errorf("killed %v", killed)
	}
}

// A watchdog that died is replaced, and the new one knows of the old one's groups.
func TestWatchdogIsReplaced(t *testing.T) {
	sleeper := exec.Command("sleep", "600")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill() }() // when the watchdog did not
	w := newWatchdog(slog.New(slog.DiscardHandler))
	if _, err := w.Watch(sleeper.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	state, err := w.cmd.Process.Wait()
	if err != nil || state.Success() {
		t.Fatalf("the first watchdog: %v, %v", state, err)
	}
	other := exec.Command("true")
	other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := other.Run(); err != nil {
		t.Fatal(err)
	}
	unwatch, err := w.Watch(other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	unwatch()
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	if err := sleeper.Wait(); err == nil {
		t.Error("the group of the first watchdog was forgotten")
	}
}
