package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"

	"mcpguard/identity"
)

// benchPolicy has twenty rules with argument patterns, and redacts five paths.
const benchPolicy = `version: 1
roles:
  everyone:
    deny:
      - {tool: "*/delete_*"}
      - {tool: "*/drop_*"}
      - {tool: "*/*", id: no-etc, args: {path: {under: /etc}}}
      - {tool: "*/*", id: no-keys, args: {path: {search: "\\.(pem|key)$"}}}
  support:
    groups: [support]
    redact: [pii]
    allow:
      - {tool: bench/other_1, args: {id: {min: 1}}}
      - {tool: bench/other_2, args: {id: {min: 1}}}
      - {tool: bench/other_3, args: {id: {min: 1}}}
      - {tool: bench/other_4, args: {id: {min: 1}}}
      - {tool: bench/other_5, args: {id: {min: 1}}}
      - {tool: bench/write_*, args: {path: {under: /srv/tmp}}}
      - {tool: bench/read_*, args: {path: {under: /srv}}}
      - {tool: bench/pay_*, args: {amount: {above: 0, max: 500}}}
      - {tool: bench/mail_*, args: {to: {matches: "[a-z.]+@example\\.com"}}}
      - {tool: bench/query_*, args: {table: {in: [orders, customers]}}}
      - tool: bench/echo
        id: echo
        reads: true
        args: {marker: {matches: "m[0-9]+"}, bytes: {min: 0, integer: true}, path: {under: /srv/records}}
      - {tool: bench/search_1, args: {q: {len: {max: 80}}}}
      - {tool: bench/search_2, args: {q: {len: {max: 80}}}}
      - {tool: bench/search_3, args: {q: {len: {max: 80}}}}
      - {tool: bench/search_4, args: {q: {len: {max: 80}}}}
      - {tool: bench/search_5, args: {q: {len: {max: 80}}}}
redactions:
  pii: {paths: ["**.ssn", "**.password", "**.email", "**.token", "**.api_key"], replace: mask}
`

// echoUpstream is a legacy MCP server whose one tool answers with rows that hold
// secrets, as structured content and again as text, and with the caller's marker.
func echoUpstream(bytes int) http.Handler {
	row := `{"id":123,"name":"customer","email":"a%d@example.com","ssn":"900-55-%04d","note":"nothing to see here, move along"}`
	var rows []string
	for i, size := 0, 0; size < bytes/2; i++ {
		rows = append(rows, fmt.Sprintf(row, i, i))
		size += len(rows[i])
	}
	structured := `{"marker":"%s","rows":[` + strings.Join(rows, ",") + `]}`
	text := strings.ReplaceAll(structured, `"`, `\"`)
	result := `{"content":[{"type":"text","text":"` + text + `"}],"structuredContent":` + structured + `}`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		id := gjson.GetBytes(body, "id").Raw
		answer := func(result string) {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
		}
		switch gjson.GetBytes(body, "method").Str {
		case "initialize":
			w.Header().Set("Mcp-Session-Id", "up-1")
			answer(`{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}`)
		case "tools/list":
			answer(`{"tools":[{"name":"echo","inputSchema":{"type":"object","properties":{"marker":{"type":"string"},"bytes":{"type":"integer"},"path":{"type":"string"}}}}]}`)
		case "tools/call":
			marker := gjson.GetBytes(body, "params.arguments.marker").Str
			answer(strings.ReplaceAll(result, "%s", marker))
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
}

// benchGuard wires a guard as serve does, in front of an echo server.
func benchGuard(b *testing.B, bytes int, durability string) (url, token string) {
	b.Helper()
	up := httptest.NewServer(echoUpstream(bytes))
	b.Cleanup(up.Close)
	dir := b.TempDir()
	secret := identity.NewToken()
	config := `listen: 127.0.0.1:0
policy: policy.yaml
store: sqlite://record.db
keys: keys/
upstreams: {bench: {url: ` + up.URL + `/mcp}}
identity: {tokens: [{name: agent, owner: sam@example.com, sha256: ` + secret.Digest().String() + `, groups: [support], expires: 2099-12-31}]}
record: {durability: ` + durability + `}
`
	for name, text := range map[string]string{"mcpguard.yaml": config, "policy.yaml": benchPolicy} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	env := osEnvironment()
	cfg, err := LoadConfig(filepath.Join(dir, "mcpguard.yaml"), overrides{}, env)
	if err != nil {
		b.Fatal(err)
	}
	g, err := wire(b.Context(), cfg, env, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	front := httptest.NewServer(g.handler())
	b.Cleanup(func() {
		front.Close()
		if err := g.close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return front.URL + "/mcp", secret.Reveal()
}

// BenchmarkCall is one guarded call after the other, from 64 clients at once,
// through the real wiring: token, policy, redaction, durable record. The time
// holds the load's and the upstream's own work too; see make bench for ratios.
func BenchmarkCall(b *testing.B) {
	for _, durability := range []string{durabilityStrict, durabilityOverlapped} {
		for _, bytes := range []int{1 << 10, 32 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", durability, bytes>>10), func(b *testing.B) {
				url, token := benchGuard(b, bytes, durability)
				client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
				session := post(b, client, url, token, "", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`, "serverInfo")
				b.SetParallelism(32) // times GOMAXPROCS
				b.ReportAllocs()
				var n atomic.Int64
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						id := strconv.FormatInt(n.Add(1), 10)
						post(b, client, url, token, session, `{"jsonrpc":"2.0","id":`+id+`,"method":"tools/call","params":{"name":"echo","arguments":{"marker":"m`+id+`","bytes":1,"path":"/srv/records/a"}}}`, `"marker":"m`+id+`"`)
					}
				})
			})
		}
	}
}

// post sends one message and holds the answer to what it must contain, and to
// what it must not.
func post(b *testing.B, client *http.Client, url, token, session, body, want string) (handle string) {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return ""
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	res, err := client.Do(req)
	if err != nil {
		b.Error(err)
		return ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(text), want) || strings.Contains(string(text), "900-55-") {
		b.Errorf("status %d, error %v, %.300s", res.StatusCode, err, text)
	}
	return res.Header.Get("Mcp-Session-Id")
}
