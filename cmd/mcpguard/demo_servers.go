package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// demoVersion is the version that the demo's servers give.
const demoVersion = "1.0.0"

// demoCustomer is a row of the demo's CRM. The numbers are test numbers.
type demoCustomer struct {
	ID       int        `json:"id"`
	Name     string     `json:"name"`
	Plan     string     `json:"plan"`
	SSN      string     `json:"ssn"`
	Cards    []demoCard `json:"cards"`
	APIToken string     `json:"api_token"`
}

type demoCard struct {
	Brand  string `json:"brand"`
	Number string `json:"number"`
}

var demoCustomers = map[int]demoCustomer{
	7: {
		ID: 7, Name: "Sam Example", Plan: "team", SSN: "078-05-1120",
		Cards:    []demoCard{{"visa", "4111 1111 1111 1111"}, {"mastercard", "5555 5555 5555 4444"}},
		APIToken: "crm-live-0a1b2c3d4e5f",
	},
	8: {ID: 8, Name: "Fran Example", Plan: "free", SSN: "219-09-9999", APIToken: "crm-live-6a7b8c9d0e1f"},
}

// newDemoCRM is a server whose answers hold secrets twice: as structured content,
// and again as JSON inside text, as the specification advises servers to do.
func newDemoCRM() *server.MCPServer {
	s := server.NewMCPServer("demo-crm", demoVersion)
	s.AddTool(mcp.NewTool("get_customer",
		mcp.WithDescription("Look up a customer"),
		mcp.WithNumber("id", mcp.Required()),
		mcp.WithOutputSchema[demoCustomer](),
	), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		c, ok := demoCustomers[r.GetInt("id", 0)]
		if !ok {
			return mcp.NewToolResultError("no such customer"), nil
		}
		text, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		return mcp.NewToolResultStructured(c, string(text)), nil
	})
	s.AddTool(mcp.NewTool("refund",
		mcp.WithDescription("Pay money back to a customer"),
		mcp.WithNumber("customer", mcp.Required()),
		mcp.WithNumber("amount", mcp.Required()),
		mcp.WithString("currency", mcp.Required()),
	), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(fmt.Sprintf("refunded %v %s to customer %d",
			r.GetFloat("amount", 0), r.GetString("currency", ""), r.GetInt("customer", 0))), nil
	})
	s.AddTool(mcp.NewTool("delete_customer",
		mcp.WithDescription("Delete a customer and everything about them"),
		mcp.WithNumber("id", mcp.Required()),
	), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("deleted"), nil
	})
	return s
}

// demoFiles is the file server's disk.
var demoFiles = map[string]string{
	"/srv/projects/README.md":   "# Projects\nNothing secret here.",
	"/srv/projects/deploy.json": `{"region": "eu-1", "token": "deploy-9f8e7d6c5b4a"}`,
	"/srv/projects/.env":        "TOKEN=never-shown",
	"/etc/shadow":               "root:x:never-shown",
}

// newDemoFiles is a file server that would hand out everything it has.
func newDemoFiles() *server.MCPServer {
	s := server.NewMCPServer("demo-files", demoVersion)
	s.AddTool(mcp.NewTool("read_file",
		mcp.WithDescription("Read a file"),
		mcp.WithString("path", mcp.Required()),
		mcp.WithReadOnlyHintAnnotation(true),
	), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		text, ok := demoFiles[path.Clean(r.GetString("path", ""))]
		if !ok {
			return mcp.NewToolResultError("no such file"), nil
		}
		return mcp.NewToolResultText(text), nil
	})
	return s
}
