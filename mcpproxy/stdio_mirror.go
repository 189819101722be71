package mcpproxy

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// maxMirrored bounds the tools that are remembered for their headers.
const maxMirrored = 4096

// mirror adds the headers that repeat what a modern message says in its body
// (MCP 2026-07-28, Streamable HTTP; SEP-2243).
func (c *stdioClient) mirror(h http.Header, x *carried) {
	h.Set(mcp.HeaderProtocolVersion, x.version)
	if method, ok := mcp.EncodeHeaderValue(x.frame.method); ok {
		h.Set(mcp.HeaderMethod, method)
	}
	name, named := headerName(&x.frame)
	if !named {
		return
	}
	if value, ok := mcp.EncodeHeaderValue(name); ok {
		h.Set(mcp.HeaderName, value)
	}
	if x.frame.method != "tools/call" {
		return
	}
	c.mu.Lock()
	tool := c.mirrored[name]
	c.mu.Unlock()
	if tool == nil {
		return
	}
	for header, value := range mcp.GenerateParamHeaders(tool, []byte(x.frame.params.Text())) {
		h.Set(header, value)
	}
}

// remember keeps those tools of a list whose arguments are mirrored, and forgets
// what a list no longer says of a tool.
func (c *stdioClient) remember(tools toolcall.JSON) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := tools.Elements(); e.Next(); {
		name, _ := e.Value().Member("name").Str()
		delete(c.mirrored, name)
		if !strings.Contains(e.Value().Member("inputSchema").Text(), `"x-mcp-header"`) || len(c.mirrored) >= maxMirrored {
			continue
		}
		var tool mcp.Tool
		if err := json.Unmarshal([]byte(e.Value().Text()), &tool); err != nil {
			c.log.Warn("the header annotations of a tool cannot be read", "err", err)
			continue
		}
		c.mirrored[name] = &tool
	}
}

// again sends a call once more that was refused for its headers: the client never
// listed the tools, or they have changed since. Nothing was executed. It is false
// where f is the last word.
func (c *stdioClient) again(x *carried, f frame) bool {
	if x.era != modern || x.frame.method != "tools/call" || x.retried || f.err.IsZero() {
		return false
	}
	if f.err.Member("code").Text() != strconv.Itoa(codeHeaderMismatch) {
		return false
	}
	x.retried = true
	if err := c.listTools(x); err != nil {
		c.log.Warn("list the tools for the headers of a call", "err", err)
		return false
	}
	if err := c.exchange(x); err != nil {
		c.failed(x, err)
	}
	return true
}

// listTools lists the tools in the name of the client, as its own call declares
// it.
func (c *stdioClient) listTools(x *carried) error {
	meta := (&exchange{frame: x.frame}).ownMeta()
	cursor := ""
	for range maxPages {
		var b builder
		b.set("jsonrpc", "2.0")
		b.set("id", "mcpguard-stdio-"+strconv.FormatInt(c.ownID.Add(1), 10))
		b.set("method", "tools/list")
		b.raw("params._meta", meta)
		if cursor != "" {
			b.set("params.cursor", cursor)
		}
		text, err := b.done()
		if err != nil {
			return err
		}
		f, err := readFrame(text, toolcall.Limits{Bytes: len(text), Depth: maxLevels})
		if err != nil {
			return err
		}
		own := &carried{frame: f, text: text, era: modern, version: x.version, own: true, ctx: x.ctx}
		if err := c.exchange(own); err != nil {
			return err
		}
		if own.answer.result.IsZero() {
			return errors.New("the endpoint answered with an error")
		}
		var more bool
		if cursor, more = own.answer.result.Member("nextCursor").Str(); !more || cursor == "" {
			return nil
		}
	}
	return errors.New("the list of tools has too many pages")
}
