package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// The protocol revisions that the fixture speaks: the newest with sessions and
// the first without.
const (
	legacyVersion = "2025-11-25"
	modernVersion = "2026-07-28"

	sessionHeader = "Mcp-Session-Id"
	versionHeader = "Mcp-Protocol-Version"
)

// Where the fixture serves: /mcp/bench has the echo tool, /mcp/big a long list.
// mcpguard serves upstreams under the same paths, so that all contenders have
// the same addresses.
const (
	benchPath = "/mcp/bench"
	bigPath   = "/mcp/big"
)

// upstream is an MCP server over Streamable HTTP in both eras, whose answers
// are rendered beforehand so that it takes as little of the machine as it can.
type upstream struct {
	lists    map[string][]byte // path -> tools/list result without its end
	payloads sync.Map          // bytes -> *payload
	sessions sync.Map          // legacy session id -> struct{}
}

func newUpstream(listed int) *upstream {
	return &upstream{lists: map[string][]byte{benchPath: toolList(echoTool), bigPath: toolList(searchTools(listed)...)}}
}

// request is what the fixture needs of a JSON-RPC message.
type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		ProtocolVersion string `json:"protocolVersion"`
		Arguments       struct {
			Marker string `json:"marker"`
			Bytes  int    `json:"bytes"`
		} `json:"arguments"`
	} `json:"params"`
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	list, ok := u.lists[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	session := r.Header.Get(sessionHeader)
	switch r.Method {
	case http.MethodPost:
	case http.MethodDelete:
		u.sessions.Delete(session)
		return
	default:
		w.Header().Set("Allow", "POST, DELETE")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		http.Error(w, "parse the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	modern := r.Header.Get(versionHeader) == modernVersion
	if !modern {
		if !u.admit(w, session, q.Method) {
			return
		}
	}
	if len(q.ID) == 0 {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf = u.answer((*buf)[:0], &q, list, modern)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(*buf)))
	if _, err := w.Write(*buf); err != nil {
		return // the client is gone: nobody is left to tell
	}
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// admit opens a session for initialize and asks every other legacy message for
// one; when it reports false the refusal is written.
func (u *upstream) admit(w http.ResponseWriter, session, method string) bool {
	if method == "initialize" {
		var raw [16]byte
		if _, err := rand.Read(raw[:]); err != nil {
			http.Error(w, "make a session id: "+err.Error(), http.StatusInternalServerError)
			return false
		}
		id := hex.EncodeToString(raw[:])
		u.sessions.Store(id, struct{}{})
		w.Header().Set(sessionHeader, id)
		return true
	}
	if method == "server/discover" {
		return true // answered with method not found: this request is legacy
	}
	if session == "" {
		http.Error(w, "no "+sessionHeader, http.StatusBadRequest)
		return false
	}
	if _, ok := u.sessions.Load(session); !ok {
		http.Error(w, "unknown session", http.StatusNotFound)
		return false
	}
	return true
}

// answer appends the response to q.
func (u *upstream) answer(b []byte, q *request, list []byte, modern bool) []byte {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, q.ID...)
	fail := func(code int, message string) []byte {
		return fmt.Appendf(b, `,"error":{"code":%d,"message":%q}}`, code, message)
	}
	result := append(b, `,"result":`...)
	hints := `,"ttlMs":60000,"cacheScope":"public"`
	switch {
	case q.Method == "tools/call":
		p, err := u.payload(q.Params.Arguments.Bytes)
		if err != nil {
			return fail(-32602, err.Error())
		}
		result = p.appendTo(result, plain(q.Params.Arguments.Marker))
		hints = ""
	case q.Method == "tools/list":
		result = append(result, list...)
	case q.Method == "initialize" && !modern:
		result = append(result, `{"protocolVersion":"`+legacyVersion+`","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}`...)
	case q.Method == "server/discover" && modern:
		result = append(result, `{"supportedVersions":["`+modernVersion+`","`+legacyVersion+`"],"capabilities":{"tools":{}},`+
			`"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"bench","version":"1"}}}`...)
	case q.Method == "ping" && !modern:
		result = append(result, `{}`...)
	default:
		return fail(-32601, "method not found")
	}
	if modern {
		result = append(result[:len(result)-1], `,"resultType":"complete"`+hints+`}`...)
	}
	return append(result, '}')
}

// maxPayload bounds what one call can ask the fixture for.
const maxPayload = 64 << 20

func (u *upstream) payload(size int) (*payload, error) {
	if size < 0 || size > maxPayload {
		return nil, fmt.Errorf("a result of %d bytes is not between 0 and %d", size, maxPayload)
	}
	if p, ok := u.payloads.Load(size); ok {
		return p.(*payload), nil
	}
	p, err := newPayload(size)
	if err != nil {
		return nil, err
	}
	u.payloads.Store(size, p)
	return p, nil
}

// plain drops what could not stand in a JSON string as it is.
func plain(marker string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, marker)
}

// echoTool declares every argument that the policy's rules name.
const echoTool = `{"name":"echo","description":"Returns orders, with the marker of the call.","inputSchema":{"type":"object","properties":{` +
	`"marker":{"type":"string"},"bytes":{"type":"integer","minimum":0},"path":{"type":"string"},"query":{"type":"string"},"region":{"type":"string"}},` +
	`"required":["marker"]},"annotations":{"readOnlyHint":true}}`

// hiddenTools is how many of the tools at bigPath the policy hides.
const hiddenTools = 20

func searchTools(n int) []string {
	tools := make([]string, n)
	for i := range tools {
		name := fmt.Sprintf("search_%03d", i)
		if i >= n-hiddenTools {
			name = fmt.Sprintf("admin_%03d", i)
		}
		tools[i] = fmt.Sprintf(`{"name":"%s","description":"Searches the records of department %d and returns whom it finds, a page at a time, with what may be shown of them.",`+
			`"inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"Words to look for"},"page":{"type":"integer","minimum":1},`+
			`"filter":{"type":"object","properties":{"city":{"type":"string"},"paid":{"type":"boolean"}}}},"required":["query"]},"annotations":{"readOnlyHint":true}}`, name, i)
	}
	return tools
}

func toolList(tools ...string) []byte { return []byte(`{"tools":[` + strings.Join(tools, ",") + `]}`) }
