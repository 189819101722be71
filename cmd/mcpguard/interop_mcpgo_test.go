package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// TestInteropMCPGo drives mcpguard with mcp-go's client. The one that probes for
// the modern era finds a legacy server behind mcpguard. Direct, this client takes
// the server for a modern one, whose server/discover names legacy revisions alone,
// and fails: there it is told.
func TestInteropMCPGo(t *testing.T) {
	binary := buildGuard(t)
	legacy := client.WithProtocolVersion("2025-11-25")
	for _, c := range []struct {
		name            string
		stateful        bool // the server is of the legacy era
		tour            tour
		direct, through []client.ClientOption
	}{
		{"legacy to a legacy server", true, legacyTour, []client.ClientOption{legacy}, []client.ClientOption{legacy}},
		{"auto to a legacy server", true, legacyTour, []client.ClientOption{legacy}, nil},
		{"auto to a modern server", false, modernTour, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := startEverything(t, c.stateful)
			compareTours(t, binary, upstream, c.tour, func(t *testing.T, url string) string {
				t.Helper()
				if url == upstream {
					return takeTour(t, url, c.tour, c.direct...)
				}
				return takeTour(t, url, c.tour, c.through...)
			})
		})
	}
}

// host is what a client answers a server with, and what it heard.
type host struct {
	mu    sync.Mutex
	asked []any
	told  []any
}

func (h *host) Elicit(_ context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, r.Params.Message)
	return &mcp.ElicitationResult{ElicitationResponse: mcp.ElicitationResponse{Action: mcp.ElicitationResponseActionAccept,
		Content: map[string]any{"username": "sam", "email": "sam@example.com", "name": "sam"}}}, nil
}

func (h *host) CreateMessage(_ context.Context, r mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, r.Messages)
	return &mcp.CreateMessageResult{Model: "none", SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: mcp.NewTextContent("an answer")}}, nil
}

func (h *host) hear(n mcp.JSONRPCNotification) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, n)
}

// takeTour is what mcp-go's client prints on the tour.
func takeTour(t *testing.T, url string, on tour, options ...client.ClientOption) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	http, err := transport.NewStreamableHTTP(url, transport.WithHTTPLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	var h host
	c := client.NewClient(http, append(options, client.WithElicitationHandler(&h), client.WithSamplingHandler(&h))...)
	defer func() { _ = c.Close() }() // the server's process ends with the test anyway
	c.OnNotification(h.hear)
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion, hello.Params.ClientInfo = mcp.LATEST_PROTOCOL_VERSION, mcp.Implementation{Name: "peer", Version: "1"}
	server, err := c.Initialize(ctx, hello)
	if err != nil {
		t.Fatalf("initialize: %v", err)
	}
	var out strings.Builder
	print := func(what string, result any, err error) {
		t.Helper()
		if err != nil {
			result = map[string]any{"failed": err.Error()}
		}
		text, err := json.Marshal(result)
		if err != nil {
			t.Fatal(errors.Join(errors.New(what), err))
		}
		out.WriteString(what + " " + string(text) + "\n")
	}
	print("server", server, nil)
	print("version", c.ProtocolVersion(), nil)
	tools, err := c.ListTools(ctx, mcp.ListToolsRequest{})
	print("tools", tools, err)
	var calls []mcp.CallToolParams
	if err := json.Unmarshal([]byte(on.calls), &calls); err != nil {
		t.Fatal(err)
	}
	for _, call := range calls {
		call.Meta = &mcp.Meta{ProgressToken: "progress of " + call.Name}
		result, err := c.CallTool(ctx, mcp.CallToolRequest{Params: call})
		print(call.Name, result, err)
	}
	for _, uri := range []string{on.resource, on.resource + "/none"} {
		var read mcp.ReadResourceRequest
		read.Params.URI = uri
		result, err := c.ReadResource(ctx, read)
		print(uri, result, err)
	}
	var prompt mcp.GetPromptRequest
	prompt.Params.Name = on.prompt
	words, err := c.GetPrompt(ctx, prompt)
	print(on.prompt, words, err)
	resources, err := c.ListResources(ctx, mcp.ListResourcesRequest{})
	print("resources", resources, err)
	prompts, err := c.ListPrompts(ctx, mcp.ListPromptsRequest{})
	print("prompts", prompts, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	print("asked", h.asked, nil)
	print("told", h.told, nil)
	return out.String()
}
