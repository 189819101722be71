package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// After kill -9 at any moment, and as often as that happens, the upstream has run
// no more calls than the limits gave, over all processes together.
func TestKillNineGivesNoLimitAway(t *testing.T) {
	const most = 60
	var ran atomic.Int64
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		text, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(text, &m) != nil {
			return
		}
		result := `{"resultType":"complete","content":[]}`
		switch m.Method {
		case "tools/list":
			result = `{"tools":[{"name":"echo","inputSchema":{"type":"object","properties":{"do":{}}}}],"ttlMs":60000,"cacheScope":"private"}`
		case "tools/call":
			ran.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result) // mcpguard may be dead
	}))
	defer up.Close()
	binary, dir := buildGuard(t), t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	text := fmt.Sprintf("version: 1\nroles: {everyone: {limit: {calls: %d, every: 30d, per: caller}, allow: ['*/echo']}}\n", most)
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := int64(0)
	for i := range 8 {
		refused += killWhileCalling(t, binary, dir, policy, up.URL, 3+4*i)
	}
	if n := ran.Load(); n > most {
		t.Errorf("the upstream ran %d calls, the limit is %d", n, most)
	} else if n < most/2 {
		t.Errorf("the upstream ran %d calls only: nothing was tested", n)
	}
	if refused == 0 {
		t.Error("the limit was never reached")
	}
}

// killWhileCalling starts the binary, lets 8 clients call through it, and kills it
// after so many answers. It returns how many calls were refused by the limit.
func killWhileCalling(t *testing.T, binary, dir, policy, upstream string, after int) (refused int64) {
	t.Helper()
	listen := freeAddress(t)
	cmd := exec.Command(binary, "serve", "--listen", listen, "--policy", policy, "--upstream", upstream,
		"--store", "sqlite://"+filepath.Join(dir, "record.db"), "--keys", filepath.Join(dir, "keys"), "--trust-loopback")
	cmd.Dir = dir
	startProcess(t, cmd, listen)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	answers := make(chan bool, 1024)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for i := range 100 {
				text, err := sendCall(ctx, "http://"+listen+"/mcp", drainCall(i+1, "work"))
				if err != nil {
					return // it was killed
				}
				answers <- strings.Contains(text, "are used up")
			}
		})
	}
	for range after {
		select {
		case used := <-answers:
			if used {
				refused++
			}
		case <-ctx.Done():
			t.Fatal("no answers")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	for deadline := time.Now().Add(20 * time.Second); syscall.Kill(cmd.Process.Pid, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it was killed, and is there")
		}
	}
	return refused
}
