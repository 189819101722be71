package mcpproxy

import (
	"errors"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// frame is one JSON-RPC 2.0 message, strictly read. Its parts are sub-values of
// raw, so an edit is a splice and untouched bytes stay as they came.
type frame struct {
	raw    toolcall.JSON
	kind   frameKind
	id     toolcall.JSON // as received: a string or an integer; zero in notifications
	method string
	params toolcall.JSON // an object, or zero
	result toolcall.JSON
	err    toolcall.JSON
	extra  bool // the envelope has members that the protocol does not know

	// Of a result of an upstream, once it is surveyed.
	surveyed bool
	where    redact.Surface
	parts    resultParts
}

// resultParts are the members of a result that mcpguard itself reads, found in
// the one pass that checks them all.
type resultParts struct{ isError, resultType, task, content, inputRequests, requestState toolcall.JSON }

type frameKind uint8

const (
	noFrame frameKind = iota
	request
	notification
	response
)

// frameError is a message that is no JSON-RPC 2.0. code is the JSON-RPC code to
// answer with.
type frameError struct {
	code   int
	reason string
}

func (e *frameError) Error() string { return e.reason }

func badFrame(reason string) error { return &frameError{codeInvalidRequest, reason} }

// maxID is the longest request id, in bytes of JSON text.
const maxID = 258

// readFrame reads one message. It refuses batches (batch.go), ids that two readers could
// take for different ones, and members that differ from the protocol's only by
// case: encoding/json would read those as the protocol's own.
func readFrame(text string, limits toolcall.Limits) (frame, error) {
	raw, err := readMessage(text, limits)
	if err != nil {
		return frame{}, err
	}
	return frameOf(raw)
}

// readMessage proves the text of a message, or of a batch of them.
func readMessage(text string, limits toolcall.Limits) (toolcall.JSON, error) {
	raw, err := toolcall.ParseLong(text, limits)
	if err != nil && !errors.Is(err, toolcall.ErrTooLarge) {
		err = &frameError{codeParse, "not strict JSON: " + err.Error()}
	}
	return raw, err
}

// frameOf reads the envelope of a proved message.
func frameOf(raw toolcall.JSON) (frame, error) {
	f := frame{raw: raw}
	switch raw.Type() {
	case toolcall.ObjectType:
	case toolcall.ArrayType:
		return frame{}, errNoBatch
	default:
		return frame{}, badFrame("a message must be a JSON object")
	}
	var version, method toolcall.JSON
	for m := raw.Members(); m.Next(); {
		switch name := m.Name(); name {
		case "jsonrpc":
			version = m.Value()
		case "id":
			f.id = m.Value()
		case "method":
			method = m.Value()
		case "params":
			f.params = m.Value()
		case "result":
			f.result = m.Value()
		case "error":
			f.err = m.Value()
		default:
			if p := foldsTo(envelopeNames, name); p != "" {
				return frame{}, badFrame("a member that differs from " + p + " only by case")
			}
			f.extra = true
		}
	}
	if s, _ := version.Str(); s != "2.0" {
		return frame{}, badFrame(`the member jsonrpc must be "2.0"`)
	}
	if err := f.classify(method); err != nil {
		return frame{}, err
	}
	return f, nil
}

func (f *frame) classify(method toolcall.JSON) error {
	if !method.IsZero() {
		name, ok := method.Str()
		switch {
		case !ok || name == "":
			return badFrame("the member method must be a string")
		case !f.result.IsZero() || !f.err.IsZero():
			return badFrame("a message with a method has no result and no error")
		case !f.params.IsZero() && f.params.Type() != toolcall.ObjectType:
			return badFrame("the member params must be an object")
		}
		if err := noFoldedNames(f.params, paramNames); err != nil {
			return err
		}
		f.method, f.kind = name, request
		if f.id.IsZero() {
			f.kind = notification
			return nil
		}
		return checkID(f.id)
	}
	switch {
	case f.result.IsZero() == f.err.IsZero():
		return badFrame("a message needs a method, or a result, or an error")
	case f.id.IsZero():
		return badFrame("a response needs an id")
	case !f.err.IsZero() && f.err.Type() != toolcall.ObjectType:
		return badFrame("the member error must be an object")
	}
	f.kind = response
	if f.id.Type() == toolcall.Null && !f.err.IsZero() {
		return nil // JSON-RPC 2.0, section 5: an error about a request nobody could read
	}
	return checkID(f.id)
}

// bare reports whether a message says nothing but its method.
func (f *frame) bare() bool {
	m := f.params.Members()
	return !f.extra && !m.Next()
}

// terse reports whether a request for a list says nothing but who asks, and where
// to go on.
func (f *frame) terse() bool {
	for m := f.params.Members(); m.Next(); {
		if name := m.Name(); name != "cursor" && name != "_meta" {
			return false
		}
	}
	for m := f.meta().Members(); m.Next(); {
		switch m.Name() {
		case mcp.MetaKeyProtocolVersion, mcp.MetaKeyClientInfo, mcp.MetaKeyClientCapabilities, mcp.MetaKeyLogLevel, "progressToken":
		default:
			return false
		}
	}
	return !f.extra
}

// checkID admits strings and integers (MCP, "Requests"): not null, and no
// number that readers round differently.
func checkID(id toolcall.JSON) error {
	switch {
	case id.Len() > maxID:
		return badFrame("an id of more than 256 bytes")
	case id.Type() == toolcall.StringType:
		return nil
	case id.Type() == toolcall.NumberType && !strings.ContainsAny(id.Text(), ".eE") && id.Text() != "-0":
		return nil
	}
	return badFrame("an id must be a string or an integer")
}

// idKey is equal for ids that mean the same.
func idKey(id toolcall.JSON) string { return string(id.AppendCanonical(nil)) }

// The protocol's own names, in the places where a name that only folds to one of
// them is refused.
var (
	envelopeNames = []string{"jsonrpc", "id", "method", "params", "result", "error"}
	paramNames    = []string{
		"_meta", "argument", "arguments", "capabilities", "clientInfo", "context", "cursor", "inputResponses",
		"level", "message", "name", "notifications", "progress", "progressToken", "protocolVersion", "reason", "ref", "requestId",
		"requestState", "task", "taskId", "total", "uri",
	}
	refNames   = []string{"name", "title", "type", "uri"}
	entryNames = []string{"method", "params"}
	askNames   = []string{
		"_meta", "elicitationId", "includeContext", "maxTokens", "message", "messages", "metadata", "mode", "modelPreferences",
		"requestedSchema", "stopSequences", "systemPrompt", "task", "temperature", "toolChoice", "tools", "url",
	}
	errorNames  = []string{"code", "data", "message"}
	linkNames   = []string{"elicitations"}
	filterNames = []string{"promptsListChanged", "resourceSubscriptions", "resourcesListChanged", "taskIds", "toolsListChanged"}
	resultNames = []string{
		"_meta", "action", "cacheScope", "capabilities", "content", "contents", "inputRequests", "instructions",
		"isError", "messages", "nextCursor", "prompts", "protocolVersion", "requestState", "resourceTemplates",
		"resources", "resultType", "serverInfo", "structuredContent", "supportedVersions", "task", "tools", "ttlMs",
	}
	blockNames = []string{
		"_meta", "annotations", "blob", "content", "data", "description", "mimeType", "name", "resource", "text",
		"title", "type", "uri",
	}
)

// foldsTo is the protocol name that name differs from only by case, or "".
func foldsTo(protocol []string, name string) string {
	for _, p := range protocol {
		if p == name {
			return ""
		}
	}
	for _, p := range protocol {
		if toolcall.SameFolded(p, name) {
			return p
		}
	}
	return ""
}

func noFoldedNames(object toolcall.JSON, protocol []string) error {
	for m := object.Members(); m.Next(); {
		if p := foldsTo(protocol, m.Name()); p != "" {
			return badFrame("a member that differs from " + p + " only by case")
		}
	}
	return nil
}

// readResult refuses results whose protocol members, or whose content blocks,
// could be read as something that no redaction saw, and notes what is read later.
func (f *frame) readResult() error {
	var s survey
	if f.result.Type() == toolcall.ObjectType {
		s.container(f.result, resultNames, true)
	} else {
		s.where.Roots = append(s.where.Roots, f.result)
	}
	if s.folded != "" {
		return badFrame("a member that differs from " + s.folded + " only by case")
	}
	f.where, f.parts, f.surveyed = s.where, s.parts, true
	return nil
}

// note keeps a member of a result that is read later.
func (p *resultParts) note(name string, v toolcall.JSON) {
	switch name {
	case "content":
		p.content = v
	case "isError":
		p.isError = v
	case "resultType":
		p.resultType = v
	case "task":
		p.task = v
	case "inputRequests":
		p.inputRequests = v
	case "requestState":
		p.requestState = v
	}
}

// edited is the message with sub-values replaced.
func (f frame) edited(edits []toolcall.Edit) (frame, error) {
	if len(edits) == 0 {
		return f, nil
	}
	raw, err := toolcall.Splice(f.raw, edits)
	if err != nil {
		return frame{}, err
	}
	return frameOf(raw)
}

// with is the message with one sub-value replaced.
func (f frame) with(at, with toolcall.JSON) (frame, error) {
	return f.edited([]toolcall.Edit{{At: at, With: with}})
}
