package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// served is the built binary in front of one upstream, with a folder of its own.
type served struct {
	cmd    *exec.Cmd
	policy string     // path of its policy
	record string     // URL of its store
	listen string     // host and port
	url    string     // where agents call
	ended  chan error // how the process ended
}

// startServed starts the binary under a policy, and returns when it has answered a
// first call. What it said is shown where the test fails.
func startServed(ctx context.Context, t *testing.T, binary, upstream, policy string) *served {
	t.Helper()
	dir, listen := t.TempDir(), freeAddress(t)
	s := &served{policy: filepath.Join(dir, "policy.yaml"), record: "sqlite://" + filepath.Join(dir, "record.db"),
		listen: listen, url: "http://" + listen + "/mcp", ended: make(chan error, 1)}
	if err := os.WriteFile(s.policy, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(binary, "serve", "--listen", listen, "--policy", s.policy, "--upstream", upstream, "--store", s.record,
		"--keys", filepath.Join(dir, "keys"), "--trust-loopback")
	s.cmd.Dir = dir
	said := new(saying)
	s.cmd.Stdout, s.cmd.Stderr = said, said
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended, where all went well
		if t.Failed() {
			t.Log(said)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := sendCall(ctx, s.url, drainCall(1, "warm")); err == nil {
			return s
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
