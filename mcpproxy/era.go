package mcpproxy

import (
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// era tells the two families of the protocol apart. Legacy revisions (to
// 2025-11-25) have initialize and sessions; modern ones (from 2026-07-28) carry
// everything in each request.
type era uint8

const (
	legacy era = iota + 1
	modern
)

func (e era) String() string {
	if e == modern {
		return "modern"
	}
	return "legacy"
}

// versionError is a protocol revision that mcpguard does not know. It is never
// negotiated: nobody could say what its messages mean.
type versionError struct{ requested string }

func (e *versionError) Error() string {
	return "protocol version not supported; supported are " + strings.Join(supportedVersions(), ", ")
}

func supportedVersions() []string { return mcp.ValidProtocolVersions }

func known(version string) bool {
	for _, v := range mcp.ValidProtocolVersions {
		if v == version {
			return true
		}
	}
	return false
}

// meta is params._meta of a message.
func (f *frame) meta() toolcall.JSON { return f.params.Member("_meta") }

// eraOf says which era a POSTed message belongs to. A modern request says so in
// its body; a header alone does so too, and is then held to it by checkModern.
func eraOf(h http.Header, f *frame) (era, string, error) {
	header := h.Get(mcp.HeaderProtocolVersion)
	body, inBody := f.meta().Member(mcp.MetaKeyProtocolVersion).Str()
	version := header
	if inBody {
		version = body
	}
	switch {
	case inBody && header != "" && header != body:
		return modern, body, headerMismatch(mcp.HeaderProtocolVersion)
	case version == "":
		return legacy, "", nil
	case !known(version):
		return modern, version, &versionError{version}
	case mcp.IsModernProtocol(version):
		return modern, version, nil
	case f.kind == request && f.method == "server/discover":
		return modern, version, nil
	}
	return legacy, version, nil
}

// checkModern holds the headers of a modern request to its body (MCP
// 2026-07-28, Streamable HTTP; SEP-2243). Policy reads the body only; a header
// that says otherwise could make somebody else on the way decide differently.
func checkModern(h http.Header, f *frame) error {
	if f.kind == request {
		body, ok := f.meta().Member(mcp.MetaKeyProtocolVersion).Str()
		if !ok {
			return &Refusal{Stage: "frame", Code: codeInvalidParams, Status: http.StatusBadRequest,
				Reason: "params._meta needs " + mcp.MetaKeyProtocolVersion}
		}
		if h.Get(mcp.HeaderProtocolVersion) != body {
			return headerMismatch(mcp.HeaderProtocolVersion)
		}
		if f.meta().Member(mcp.MetaKeyClientCapabilities).Type() != toolcall.ObjectType {
			return &Refusal{Stage: "frame", Code: codeInvalidParams, Status: http.StatusBadRequest,
				Reason: "params._meta needs the object " + mcp.MetaKeyClientCapabilities}
		}
	}
	if got, ok := mcp.DecodeHeaderValue(h.Get(mcp.HeaderMethod)); !ok || got != f.method {
		return headerMismatch(mcp.HeaderMethod)
	}
	if name, needed := headerName(f); needed {
		if got, ok := mcp.DecodeHeaderValue(h.Get(mcp.HeaderName)); !ok || got != name {
			return headerMismatch(mcp.HeaderName)
		}
	}
	return nil
}

func headerMismatch(name string) *Refusal {
	return &Refusal{Stage: "frame", Code: codeHeaderMismatch, Status: http.StatusBadRequest,
		Reason: "the header " + name + " is missing or differs from the body"}
}

// headerName is what Mcp-Name mirrors: params.name, params.uri or
// params.taskId.
func headerName(f *frame) (string, bool) {
	var member string
	switch f.method {
	case "tools/call", "prompts/get":
		member = "name"
	case "resources/read":
		member = "uri"
	case "tasks/get", "tasks/update", "tasks/cancel": // ext-tasks 2026-07-28, "Routing Headers"
		member = "taskId"
	default:
		return "", false
	}
	name, _ := f.params.Member(member).Str()
	return name, true
}
