package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// connect is an agent that is configured as the page says: it lists the tools,
// looks up a customer, and asks for a refund that no rule allows.
func (r *reader) connect(text string) {
	r.t.Helper()
	var config struct {
		Servers map[string]struct {
			URL     string            `json:"url"`
			Headers map[string]string `json:"headers"`
		} `json:"mcpServers"`
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		r.t.Fatalf("%s: %v", r.at, err)
	}
	for name, s := range config.Servers {
		for key, value := range s.Headers {
			s.Headers[key] = strings.ReplaceAll(value, "${MCPGUARD_TOKEN}", r.token)
		}
		if err := drive(strings.ReplaceAll(s.URL, pageGuard, r.guard), s.Headers); err != nil {
			r.t.Errorf("%s: the agent that is given %s: %v", r.at, name, err)
		}
	}
}

func drive(url string, headers map[string]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.NewStreamableHttpClient(url, transport.WithHTTPHeaders(headers), transport.WithHTTPLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	hello.Params.ClientInfo = mcp.Implementation{Name: "agent", Version: "1"}
	if _, err := c.Initialize(ctx, hello); err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	if _, err := c.ListTools(ctx, mcp.ListToolsRequest{}); err != nil {
		return fmt.Errorf("list tools: %w", err)
	}
	for _, ask := range []struct {
		tool    string
		args    map[string]any
		refused bool
	}{
		{"get_customer", map[string]any{"id": 7}, false},
		{"refund", map[string]any{"customer": 7, "amount": 42000, "currency": "EUR"}, true},
	} {
		var call mcp.CallToolRequest
		call.Params.Name, call.Params.Arguments = ask.tool, ask.args
		result, err := c.CallTool(ctx, call)
		if err != nil {
			return fmt.Errorf("call %s: %w", ask.tool, err)
		}
		if result.IsError != ask.refused {
			return fmt.Errorf("call %s: refused %v, want %v", ask.tool, result.IsError, ask.refused)
		}
	}
	return nil
}
