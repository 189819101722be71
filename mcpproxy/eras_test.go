package mcpproxy_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/mcpproxy"
)

// begin connects mcp-go's client to the rig and lists the tools.
func (r *rig) begin(options ...client.ClientOption) (version string, tools int, err error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	carrier := &http.Transport{}
	defer carrier.CloseIdleConnections()
	http, err := transport.NewStreamableHTTP(r.url+"/mcp", transport.WithHTTPLogger(slog.New(slog.DiscardHandler)),
		transport.WithHTTPBasicClient(&http.Client{Transport: carrier}),
		transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + r.tokens["sam"].Reveal()}))
	if err != nil {
		r.t.Fatal(err)
	}
	c := client.NewClient(http, options...)
	defer func() { _ = c.Close() }() // it holds nothing but the connection
	if err := c.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion, hello.Params.ClientInfo = mcp.LATEST_PROTOCOL_VERSION, mcp.Implementation{Name: "probe", Version: "1"}
	if _, err := c.Initialize(ctx, hello); err != nil {
		return "", 0, err
	}
	list, err := c.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return c.ProtocolVersion(), 0, err
	}
	return c.ProtocolVersion(), len(list.Tools), nil
}

// answersWith is a status and a body; $id is that of the request.
func answersWith(status int, body string) func(http.ResponseWriter, heard) {
	return func(w http.ResponseWriter, m heard) {
		w.Header().Set("Content-Type", "text/plain")
		if strings.HasPrefix(body, "{") {
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "$id", string(m.ID))) // the proxy may be gone by now
	}
}

// A client that probes for the modern era falls back to the legacy one, in every
// way that a legacy server has to say that it does not know server/discover.
func TestModernClientsOfALegacyServer(t *testing.T) {
	for name, say := range map[string]func(http.ResponseWriter, heard){
		"no such method":           answersWith(200, `{"jsonrpc":"2.0","id":$id,"error":{"code":-32601,"message":"Method not found"}}`),
		"no such method, 404":      answersWith(404, `{"jsonrpc":"2.0","id":$id,"error":{"code":-32601,"message":"Method not found"}}`),
		"no session":               answersWith(400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Missing session"}}`),
		"no session, -32000":       answersWith(400, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}`),
		"400 without a message":    answersWith(400, "bad request"),
		"404 without a message":    answersWith(404, "not found"),
		"405 without a message":    answersWith(405, "not allowed"),
		"legacy revisions alone":   answersWith(200, `{"jsonrpc":"2.0","id":$id,"result":{"supportedVersions":["2025-11-25"],"capabilities":{},"serverInfo":{"name":"x","version":"1"}}}`),
		"no revisions":             answersWith(200, `{"jsonrpc":"2.0","id":$id,"result":{"capabilities":{},"serverInfo":{"name":"x","version":"1"}}}`),
		"revisions that are none":  answersWith(200, `{"jsonrpc":"2.0","id":$id,"result":{"supportedVersions":"2026-07-28"}}`),
		"a revision of the future": answersWith(200, `{"jsonrpc":"2.0","id":$id,"result":{"supportedVersions":["2099-01-01"]}}`),
	} {
		t.Run(name, func(t *testing.T) {
			up := newPeer(t)
			up.on["server/discover"] = say
			r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			version, tools, err := r.begin()
			if err != nil || version != legacyVersion || tools == 0 {
				t.Errorf("%s, %d tools: %v", version, tools, err)
			}
			got := r.agent("sam", "/mcp").modern(`{"jsonrpc":"2.0","id":1,"method":"server/discover"}`)
			if got.get("result").Exists() || got.reason() == "" {
				t.Errorf("server/discover: %s", got)
			}
		})
	}
	t.Run("over stdio", func(t *testing.T) {
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{stdioUpstream(t, "crm", "standard")}})
		// It answers nothing at all, and the client waits for so long.
		if version, tools, err := r.begin(client.WithDiscoverTimeout(time.Second / 5)); err != nil || version != legacyVersion || tools == 0 {
			t.Errorf("%s, %d tools: %v", version, tools, err)
		}
	})
}

// A legacy client of a modern server is told so, at once, and has no session.
func TestLegacyClientsOfAModernServer(t *testing.T) {
	const unsupported = `{"jsonrpc":"2.0","id":$id,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2026-07-28"],"requested":"2025-11-25"}}}`
	for name, c := range map[string]struct {
		say  func(http.ResponseWriter, heard)
		hint string
	}{
		"names its revisions":          {answersWith(400, unsupported), "2026-07-28"},
		"names its revisions, 200":     {answersWith(200, unsupported), "2026-07-28"},
		"no such method":               {answersWith(404, `{"jsonrpc":"2.0","id":$id,"error":{"code":-32601,"message":"Method not found"}}`), "Method not found"},
		"400 without a message":        {answersWith(400, "bad request"), "HTTP status 400"},
		"404 without a message":        {answersWith(404, "not found"), "HTTP status 404"},
		"agrees to the modern era":     {answersWith(200, `{"jsonrpc":"2.0","id":$id,"result":{"protocolVersion":"2026-07-28","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}`), "protocol version"},
		"agrees to a revision to come": {answersWith(200, `{"jsonrpc":"2.0","id":$id,"result":{"protocolVersion":"2099-01-01","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}`), "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			up := newPeer(t)
			up.on["initialize"] = c.say
			r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			if version, _, err := r.begin(client.WithProtocolVersion(legacyVersion)); err == nil {
				t.Errorf("the client began a session of %s", version)
			}
			got := r.agent("sam", "/mcp").post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + legacyVersion +
				`","capabilities":{},"clientInfo":{"name":"probe","version":"1"}}}`)
			if got.header.Get("Mcp-Session-Id") != "" || !strings.Contains(got.get("error").Raw, c.hint) {
				t.Errorf("the client got %d %s", got.status, got)
			}
		})
	}
}
