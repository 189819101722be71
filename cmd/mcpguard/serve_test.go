package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/store"
	"mcpguard/toolcall"
)

// announced hears where a server listens.
type announced struct {
	io.Writer
	at chan string
}

func (a announced) Write(p []byte) (int, error) {
	if _, rest, ok := strings.Cut(string(p), "mcpguard is listening: "); ok {
		a.at <- strings.TrimSpace(rest)
	}
	return len(p), nil
}

// A server that is told to stop while a call runs ends the call when the drain
// time is over, records how it ended, and leaves without an error.
func TestServeStopsWhileACallRuns(t *testing.T) {
	called := make(chan struct{})
	echo := echoUpstream(64)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if strings.Contains(string(body), `"tools/call"`) {
			close(called)
			<-r.Context().Done() // hangs until it is hung up on
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		echo.ServeHTTP(w, r)
	}))
	t.Cleanup(up.Close)
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte("version: 1\nroles: {everyone: {allow: [\"*/*\"]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := osEnvironment()
	at := make(chan string, 1)
	env.stderr = announced{io.Discard, at}
	url := "sqlite://" + filepath.Join(dir, "record.db")
	cfg, err := LoadConfig("", overrides{upstream: up.URL + "/mcp", settings: map[string]string{
		"listen": "127.0.0.1:0", "policy": policy, "store": url, "keys": filepath.Join(dir, "keys"),
		"identity.local.trust_loopback": "true",
	}}, env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, cfg, env, 10*time.Millisecond) }()
	base := <-at

	send := func(session, body string) (*http.Response, string) {
		req, err := http.NewRequest(http.MethodPost, base, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return nil, ""
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Mcp-Session-Id", session)
		if session == "" {
			req.Header.Del("Mcp-Session-Id")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err.Error()
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			return res, err.Error()
		}
		return res, string(text)
	}
	hello, text := send("", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	if hello == nil || hello.StatusCode != http.StatusOK {
		t.Fatalf("initialize: %s", text)
	}
	answer := make(chan string, 1)
	go func() {
		_, text := send(hello.Header.Get("Mcp-Session-Id"), `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"marker":"m"}}}`)
		answer <- text
	}()
	<-called
	stop()
	if err := <-ended; err != nil {
		t.Errorf("serve ended with %v", err)
	}
	if text := <-answer; strings.Contains(text, `"result"`) {
		t.Errorf("the caller got a result: %s", text)
	}
	r, err := store.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	found, err := r.Sessions(t.Context(), audit.Filter{})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d sessions, %v", len(found), err)
	}
	all, err := moments(t.Context(), r, found[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	if last.Kind != audit.Intent || last.End == nil || last.End.Outcome != toolcall.OutcomeFailed {
		t.Errorf("the last thing in the record is %s, ended %+v", last.Kind, last.End)
	}
}
