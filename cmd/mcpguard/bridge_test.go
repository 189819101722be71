package main_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// runBridge gives a bridge one line, and returns what it says on each output.
func runBridge(t *testing.T, binary, home, endpoint string, env ...string) (out, logs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	bridge := exec.CommandContext(ctx, binary, "bridge", "--url", endpoint, "--token-file", "~/token")
	bridge.Dir = home
	bridge.Env = append([]string{"HOME=" + home}, env...)
	bridge.Stdin = strings.NewReader(helloLine + "\n")
	var stdout, stderr bytes.Buffer
	bridge.Stdout, bridge.Stderr = &stdout, &stderr
	if err := bridge.Run(); err != nil {
		t.Errorf("bridge ended with %v", err)
	}
	return stdout.String(), stderr.String()
}

// The token goes to the endpoint alone: over TLS whose certificate is good, and
// not where an answer would redirect it.
func TestBridgeGuardsTheToken(t *testing.T) {
	binary, home := buildGuard(t), t.TempDir()
	const token = "mcpg_bridge-token"
	if err := os.WriteFile(filepath.Join(home, "token"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked, elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	endpoint := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "Bearer "+token {
			t.Errorf("the endpoint got %q", r.Header.Get("Authorization"))
		}
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}`) // the bridge may be gone
	}))
	t.Cleanup(endpoint.Close)
	trusted := filepath.Join(home, "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: endpoint.Certificate().Raw})
	if err := os.WriteFile(trusted, cert, 0o600); err != nil {
		t.Fatal(err)
	}

	if out, logs := runBridge(t, binary, home, endpoint.URL+"/mcp", "SSL_CERT_FILE="+trusted); !strings.Contains(out, `"result":{"protocolVersion"`) {
		t.Errorf("with a good certificate: %s\n%s", out, logs)
	}
	before := asked.Load()
	out, logs := runBridge(t, binary, home, endpoint.URL+"/mcp", "SSL_CERT_FILE="+filepath.Join(home, "token"))
	if !strings.Contains(out, "certificate") || asked.Load() != before {
		t.Errorf("with a certificate of nobody: %s\n%s", out, logs)
	}
	out, logs = runBridge(t, binary, home, endpoint.URL+"/moved", "SSL_CERT_FILE="+trusted)
	if !strings.Contains(out, "HTTP status 307") || elsewhere.Load() != 0 {
		t.Errorf("redirected: %s\n%s\n%d requests elsewhere", out, logs, elsewhere.Load())
	}
	if strings.Contains(out+logs, token) {
		t.Errorf("the token is printed:\n%s\n%s", out, logs)
	}
}
