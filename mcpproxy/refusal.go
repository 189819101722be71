package mcpproxy

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/tidwall/sjson"

	"mcpguard/toolcall"
)

// JSON-RPC and MCP error codes, and one of our own outside the reserved range
// -32768..-32000.
const (
	codeParse              = mcp.PARSE_ERROR
	codeInvalidRequest     = mcp.INVALID_REQUEST
	codeMethodNotFound     = mcp.METHOD_NOT_FOUND
	codeInvalidParams      = mcp.INVALID_PARAMS
	codeInternal           = mcp.INTERNAL_ERROR
	codeResourceNotFound   = mcp.RESOURCE_NOT_FOUND
	codeHeaderMismatch     = mcp.HEADER_MISMATCH
	codeMissingCapability  = mcp.MISSING_REQUIRED_CLIENT_CAPABILITY
	codeUnsupportedVersion = mcp.UNSUPPORTED_PROTOCOL_VERSION

	codeRefused = -1 // to an upstream that asked the client for something it may not have
)

// A Refusal is an answer that mcpguard gives in the upstream's place, in words
// meant for the caller. Every other error is "internal error" to the caller, and
// detail to the operator's log.
type Refusal struct {
	Stage  string // where the walk ended
	Code   int    // JSON-RPC code; 0 makes it a tool result with isError: true
	Status int    // HTTP status; 0 means 200, or what the era asks of Code
	Reason string
	Rule   string // of a denial by policy
	File   string
	Line   int
	Miss   toolcall.Miss
	Hidden bool // the caller is told that the target does not exist
	Failed bool // the upstream's fault, not policy's
	Ran    bool // the upstream has executed the call: only its answer is refused

	RetryAfter time.Duration // the same call could pass then; 0: nobody knows

	recorded string // the reason that the record keeps; "" where it is Reason
	err      error  // detail for the operator
}

func (r *Refusal) Error() string {
	if r.err != nil {
		return r.Stage + ": " + r.err.Error()
	}
	return r.Stage + ": " + r.Reason
}

func (r *Refusal) Unwrap() error { return r.err }

// refusalOf is the one place where an error becomes words for the caller.
func refusalOf(err error) *Refusal {
	var r *Refusal
	var f *frameError
	var v *versionError
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &f):
		return &Refusal{Stage: "frame", Code: f.code, Status: http.StatusBadRequest, Reason: f.reason}
	case errors.As(err, &v):
		return &Refusal{Stage: "frame", Code: codeUnsupportedVersion, Status: http.StatusBadRequest, Reason: v.Error(), err: v}
	case errors.Is(err, toolcall.ErrTooLarge):
		return &Refusal{Stage: "frame", Code: codeInvalidRequest, Status: http.StatusRequestEntityTooLarge, Reason: "the message is too large: " + err.Error()}
	}
	return &Refusal{Stage: "internal", Code: codeInternal, Status: http.StatusInternalServerError, Reason: "internal error of mcpguard; its log has the detail", err: err}
}

// status is the HTTP status that goes with a refusal. Modern HTTP ties some
// codes to a status (MCP 2026-07-28, Streamable HTTP); legacy answers with 200,
// because there a 404 means that the session is over.
func (r *Refusal) status(e era) int {
	if r.Status != 0 {
		return r.Status
	}
	if e == modern {
		return modernStatus(r.Code)
	}
	return http.StatusOK
}

func modernStatus(code int) int {
	switch code {
	case codeMethodNotFound:
		return http.StatusNotFound
	case codeHeaderMismatch, codeUnsupportedVersion, codeMissingCapability, codeParse, codeInvalidRequest:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// reply is the JSON-RPC message of a refusal.
func (r *Refusal) reply(id toolcall.JSON, e era, call toolcall.ID) (string, error) {
	b := builder{}
	b.set("jsonrpc", "2.0")
	b.raw("id", idText(id))
	if r.Code != 0 {
		b.set("error.code", r.Code)
		b.set("error.message", r.Reason)
		if r.RetryAfter > 0 {
			b.set("error.data.retryAfter", seconds(r.RetryAfter))
		}
		var v *versionError
		if errors.As(r.err, &v) {
			b.set("error.data.supported", supportedVersions())
			b.set("error.data.requested", v.requested)
		}
		if errors.Is(r.err, errNeedsTasks) {
			b.raw("error.data.requiredCapabilities.extensions."+strings.ReplaceAll(tasksExtension, ".", `\.`), "{}")
		}
		return b.done()
	}
	if e == modern {
		b.set("result.resultType", "complete")
	}
	b.set("result.content.0.type", "text")
	b.set("result.content.0.text", r.text())
	b.set("result.isError", true)
	r.denial(&b, call)
	return b.done()
}

// refusalText is the message of a refusal; where it cannot be built, a plainer one.
func (p *Proxy) refusalText(r *Refusal, id toolcall.JSON, e era, call toolcall.ID) string {
	text, err := r.reply(id, e, call)
	if err != nil {
		p.log.Error("build a refusal", "err", err)
		return errorReply(id, codeInternal, "internal error of mcpguard")
	}
	return text
}

// text is what the model reads: the rule, the argument, and what would pass.
func (r *Refusal) text() string {
	switch {
	case r.Ran:
		return "mcpguard: the call was executed, and its answer is withheld: " + r.Reason
	case r.Failed:
		return "mcpguard: " + r.Reason
	}
	text := "Denied by mcpguard"
	if r.Rule != "" {
		text += " (rule " + r.Rule + ")"
	}
	return text + ": " + r.Reason
}

// denial is the machine-readable copy of text.
func (r *Refusal) denial(b *builder, call toolcall.ID) {
	const at = "result._meta.mcpguard/denial."
	b.set(at+"stage", r.Stage)
	b.set(at+"reason", r.Reason)
	for _, part := range [...]struct{ name, value string }{
		{"rule", r.Rule}, {"nearest", r.Miss.Rule}, {"argument", r.Miss.Path}, {"want", r.Miss.Want}, {"got", r.Miss.Got},
	} {
		if part.value != "" {
			b.set(at+part.name, part.value)
		}
	}
	b.set(at+"retryable", r.Failed || r.RetryAfter > 0)
	if r.RetryAfter > 0 {
		b.set(at+"retryAfter", seconds(r.RetryAfter))
	}
	if !call.IsZero() {
		b.set(at+"call", call.String())
	}
}

// builder makes one of our own messages.
type builder struct {
	text string
	err  error
}

func (b *builder) set(path string, value any) {
	if b.err == nil {
		b.text, b.err = sjson.Set(b.text, path, value)
	}
}

func (b *builder) raw(path, value string) {
	if b.err == nil {
		b.text, b.err = sjson.SetRaw(b.text, path, value)
	}
}

func (b *builder) done() (string, error) { return b.text, b.err }

// errorReply is a plain JSON-RPC error that needs no builder.
func errorReply(id toolcall.JSON, code int, reason string) string {
	return `{"jsonrpc":"2.0","id":` + idText(id) + `,"error":{"code":` + strconv.Itoa(code) +
		`,"message":` + toolcall.Quote(reason).Text() + `}}`
}

func idText(id toolcall.JSON) string {
	if id.IsZero() {
		return "null"
	}
	return id.Text()
}
