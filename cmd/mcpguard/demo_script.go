package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// play lets two agents call tools, and then reads the record.
func (d *demo) play(ctx context.Context) error {
	w := d.env.stdout
	fmt.Fprintln(w, "mcpguard stands between agents and two MCP servers, a CRM and a file server.")

	support, err := d.connect(ctx, "crm", "support-agent")
	if err != nil {
		return err
	}
	defer support.close()
	support.heading("The CRM has 3 tools: get_customer, refund, delete_customer. A support agent sees what it may call:")
	if err := support.list(ctx); err != nil {
		return err
	}
	support.heading("1. Allowed, and redacted: the answer's SSN, card numbers and token never reach the agent.")
	support.call(ctx, "get_customer", map[string]any{"id": 7})
	support.heading("2. Allowed: a small refund.")
	support.call(ctx, "refund", map[string]any{"customer": 7, "amount": 42, "currency": "EUR"})
	support.heading("3. Denied for an argument. Nothing reached the CRM.")
	support.call(ctx, "refund", map[string]any{"customer": 7, "amount": 42, "currency": "BTC"})
	support.heading("4. Held: a large refund needs a person of the group finance.")
	support.call(ctx, "refund", map[string]any{"customer": 7, "amount": 42000, "currency": "EUR"})
	support.heading("5. Hidden: the same answer as for a tool that does not exist.")
	support.call(ctx, "delete_customer", map[string]any{"id": 7})
	support.call(ctx, "no_such_tool", map[string]any{"id": 7})

	build, err := d.connect(ctx, "files", "build-agent")
	if err != nil {
		return err
	}
	defer build.close()
	build.heading("6. Another agent, another role: files under /srv/projects, and only there.")
	build.call(ctx, "read_file", map[string]any{"path": "/srv/projects/deploy.json"})
	build.call(ctx, "read_file", map[string]any{"path": "/srv/projects/../../etc/shadow"})
	if build.err == nil {
		build.err = support.err
	}
	if build.err != nil {
		return build.err
	}
	return d.replay(ctx)
}

// demoAgent is an MCP client that prints what it does and what it gets.
type demoAgent struct {
	name   string
	w      io.Writer
	client *client.Client
	err    error // the first fault of the demo itself: refusals are none
}

func (d *demo) connect(ctx context.Context, upstream, token string) (*demoAgent, error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	c, err := client.NewStreamableHttpClient(d.base+"/mcp/"+upstream,
		transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + d.tokens[token].Reveal()}),
		transport.WithHTTPLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	hello.Params.ClientInfo = mcp.Implementation{Name: token, Version: demoVersion}
	if _, err := c.Initialize(ctx, hello); err != nil {
		return nil, fmt.Errorf("connect %s to %s: %w", token, upstream, err)
	}
	return &demoAgent{name: token, w: d.env.stdout, client: c}, nil
}

func (a *demoAgent) close() { _ = a.client.Close() } // the demo's servers go next

func (a *demoAgent) heading(text string) { fmt.Fprintf(a.w, "\n%s\n", text) }

func (a *demoAgent) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	tools, err := a.client.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return fmt.Errorf("list tools: %w", err)
	}
	var names []string
	for _, t := range tools.Tools {
		names = append(names, t.Name)
	}
	fmt.Fprintf(a.w, "  %s> tools/list\n", a.name)
	indented(a.w, strings.Join(names, ", "))
	return nil
}

// call makes one call and prints the answer, whatever it is.
func (a *demoAgent) call(ctx context.Context, tool string, args map[string]any) {
	if a.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	said, err := json.Marshal(args)
	if err != nil {
		a.err = err
		return
	}
	fmt.Fprintf(a.w, "  %s> %s %s\n", a.name, tool, said)
	var r mcp.CallToolRequest
	r.Params.Name, r.Params.Arguments = tool, args
	result, err := a.client.CallTool(ctx, r)
	if err != nil {
		if ctx.Err() != nil {
			a.err = fmt.Errorf("call %s: %w", tool, err)
		}
		indented(a.w, "error: "+err.Error())
		return
	}
	for _, c := range result.Content {
		if text, ok := c.(mcp.TextContent); ok {
			indented(a.w, text.Text)
		}
	}
	if result.StructuredContent != nil {
		structured, err := json.Marshal(result.StructuredContent)
		if err != nil {
			a.err = err
			return
		}
		indented(a.w, "structured: "+string(structured))
	}
}
