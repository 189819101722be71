package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// A port that is taken is not only reported: the words say what to do.
func TestListenWhereSomebodyElseDoes(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, _, err := listen(&Config{Listen: other.Listener.Addr().String()})
	var said strings.Builder
	report(&said, err)
	if exitCode(err) != exitFailure || !strings.Contains(said.String(), "listen for agents: ") || !strings.Contains(said.String(), "\ntry: --listen 127.0.0.1:0") {
		t.Errorf("exit code %d, %s", exitCode(err), &said)
	}
}

// Nor is a port that this user may not have.
func TestListenWhereOnlyRootMay(t *testing.T) {
	err := listenFailure(&net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)})
	var said strings.Builder
	report(&said, err)
	if exitCode(err) != exitFailure || !strings.Contains(said.String(), "bind: permission denied\ntry: a port above 1023") {
		t.Errorf("exit code %d, %s", exitCode(err), &said)
	}
}

// A server that cannot be started is told of before the first call.
func TestProgramsThatAreNotThere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "server"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		upstream Upstream
		want     string // "": nothing is said
	}{
		"over HTTP":               {Upstream{}, ""},
		"in PATH":                 {Upstream{Command: "sh"}, ""},
		"in its folder":           {Upstream{Command: "./server", Cwd: dir}, ""},
		"elsewhere":               {Upstream{Command: filepath.Join(dir, "server"), Cwd: "/"}, ""},
		"in no folder":            {Upstream{Command: "./server", Cwd: "/"}, "/server: no such file"},
		"nowhere":                 {Upstream{Command: "no-such-server"}, "executable file not found"},
		"with arguments":          {Upstream{Command: "no-such-server -y"}, "arguments go into args"},
		"no name of its folder's": {Upstream{Command: "server", Cwd: dir}, "executable file not found"},
	} {
		var said strings.Builder
		warnOfPrograms(&Config{Upstreams: []Upstream{c.upstream}}, slog.New(slog.NewTextHandler(&said, nil)))
		if (c.want == "") != (said.Len() == 0) || !strings.Contains(said.String(), c.want) {
			t.Errorf("%s: said %q, want %q", name, &said, c.want)
		}
	}
}

// A store that cannot be written comes with what to do about it.
func TestStoresThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), "sqlite://"+filepath.Join(dir, "taken.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, want := range map[string]string{
		"taken.db":      "another mcpguard writes this store\ntry: --store sqlite://PATH",
		"nowhere/it.db": "no such file or directory\ntry: make the store's folder first",
	} {
		_, err := store.Open(t.Context(), "sqlite://"+filepath.Join(dir, name))
		var said strings.Builder
		report(&said, storeFailure(err))
		if code := exitCode(storeFailure(err)); code != exitFailure || !strings.Contains(said.String(), want) {
			t.Errorf("%s: exit code %d, %s; want %q", name, code, &said, want)
		}
	}
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
	for name, text := range map[string]string{
		"policy.yaml": "version: 1\nroles: {everyone: {allow: [\"*/*\"]}}\n",
		"mcpguard.yaml": "listen: 127.0.0.1:0\npolicy: policy.yaml\nstore: sqlite://record.db\nkeys: keys/\n" +
			"upstreams: {echo: {url: " + up.URL + "/mcp}}\nidentity: {local: {trust_loopback: true}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := osEnvironment()
	at := make(chan string, 1)
	env.stderr = announced{io.Discard, at}
	url := "sqlite://" + filepath.Join(dir, "record.db")
	cfg, err := LoadConfig(filepath.Join(dir, "mcpguard.yaml"), overrides{}, env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, cfg, env, 10*time.Millisecond) }()
	base := <-at

	send := func(session, body string) (handle, text string) {
		req, err := http.NewRequest(http.MethodPost, base, strings.NewReader(body))
		if err != nil {
			return "", err.Error()
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Mcp-Session-Id", session)
		if session == "" {
			req.Header.Del("Mcp-Session-Id")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err.Error()
		}
		defer res.Body.Close()
		said, err := io.ReadAll(res.Body)
		if err != nil {
			return "", err.Error()
		}
		return res.Header.Get("Mcp-Session-Id"), string(said)
	}
	handle, text := send("", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	if handle == "" {
		t.Fatalf("initialize: %s", text)
	}
	answer := make(chan string, 1)
	go func() {
		_, text := send(handle, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"marker":"m"}}}`)
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
