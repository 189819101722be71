package mcpproxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"mcpguard/mcpproxy"
)

// heard is one message as an upstream of the tests hears it.
type heard struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name      string          `json:"name"`
		URI       string          `json:"uri"`
		Cursor    string          `json:"cursor"`
		Arguments json.RawMessage `json:"arguments"`
		Meta      struct {
			ProgressToken json.RawMessage `json:"progressToken"`
		} `json:"_meta"`
		ProtocolVersion string          `json:"protocolVersion"`
		RequestID       json.RawMessage `json:"requestId"`
		RequestState    string          `json:"requestState"`
		Task            json.RawMessage `json:"task"`
		TaskID          string          `json:"taskId"`
	} `json:"params"`

	verb   string      // HTTP method
	header http.Header // nil over stdio
	text   string      // the message as it came
}

// key names what a message is: its method, "response", or the verb of an HTTP
// request without a message.
func (m heard) key() string {
	switch {
	case m.verb != "" && m.verb != http.MethodPost:
		return m.verb
	case m.Method == "":
		return "response"
	}
	return m.Method
}

// result is the response with a result.
func (m heard) result(result string) string {
	return `{"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":` + result + `}`
}

// tools is what the upstreams of the tests offer.
const tools = `{"tools":[` +
	`{"name":"get_customer","inputSchema":{"type":"object","properties":{"id":{"type":"integer"}}}},` +
	`{"name":"refund","inputSchema":{"type":"object","properties":{"amount":{"type":"number"},"currency":{"type":"string"}}}},` +
	`{"name":"echo","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}},` +
	`{"name":"purge","inputSchema":{"type":"object"}}]}`

// standard is what an upstream answers where a test wants nothing special: it
// echoes the arguments of a call as structured content. "" answers nothing.
func standard(m heard) string {
	switch m.key() {
	case "initialize":
		return m.result(`{"protocolVersion":"` + m.Params.ProtocolVersion + `","capabilities":{},"serverInfo":{"name":"crm","version":"1"}}`)
	case "tools/list":
		return m.result(tools)
	case "tools/call":
		return m.result(`{"content":[],"structuredContent":` + string(m.Params.Arguments) + `}`)
	case "ping":
		return m.result(`{}`)
	}
	return ""
}

// peer is an upstream over Streamable HTTP. What a test does not script, it
// answers in the standard way.
type peer struct {
	*httptest.Server
	on map[string]func(http.ResponseWriter, heard) // by key; set before the first request

	mu    sync.Mutex
	heard []heard
}

func newPeer(t testing.TB) *peer {
	p := &peer{on: map[string]func(http.ResponseWriter, heard){}}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

// upstream is the peer as a proxy is told of it.
func (p *peer) upstream(name string) mcpproxy.Upstream {
	return mcpproxy.Upstream{Name: name, URL: p.URL + "/up"}
}

func (p *peer) serve(w http.ResponseWriter, r *http.Request) {
	m, err := hear(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.heard = append(p.heard, m)
	p.mu.Unlock()
	if serve := p.on[m.key()]; serve != nil {
		serve(w, m)
		return
	}
	switch m.verb {
	case http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	text := standard(m)
	if text == "" {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if m.Method == "initialize" {
		w.Header().Set("Mcp-Session-Id", "upstream-session")
	}
	sayJSON(w, text)
}

func hear(r *http.Request) (heard, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return heard{}, err
	}
	m := heard{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &m); err != nil {
			return heard{}, fmt.Errorf("%w in %s", err, body)
		}
	}
	m.verb, m.header, m.text = r.Method, r.Header.Clone(), string(body)
	return m, nil
}

// sayJSON answers with one message.
func sayJSON(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, text) // the proxy may be gone by now: that is a test of its own
}

// sayEvents answers with an event stream of messages.
func sayEvents(w http.ResponseWriter, messages ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, m := range messages {
		_, _ = fmt.Fprintf(w, "data: %s\n\n", m)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
}

// closing closes what a test opened itself.
func closing(t testing.TB, c io.Closer) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// all are the messages of a key so far.
func (p *peer) all(key string) []heard {
	p.mu.Lock()
	defer p.mu.Unlock()
	var some []heard
	for _, m := range p.heard {
		if m.key() == key {
			some = append(some, m)
		}
	}
	return some
}

// everything the upstream was sent, for searching.
func (p *peer) everything() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, m := range p.heard {
		fmt.Fprintln(&b, m.header, m.text)
	}
	return b.String()
}

// everythingHeard are all messages so far, in their order.
func (p *peer) everythingHeard() []heard {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]heard(nil), p.heard...)
}
