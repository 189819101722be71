package mcpproxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

// oldServer speaks HTTP+SSE as 2024-11-05 has it, and nothing else.
type oldServer struct {
	*httptest.Server
	endpoint string      // what it names; $URL is its own address, $N the number of the stream
	before   string      // what it says first
	deaf     atomic.Bool // it takes messages and answers none

	mu      sync.Mutex
	streams []oldStream
	heard   []heard
}

type oldStream struct {
	say  chan string
	drop func()
}

// nth is a stream, from 1.
func (s *oldServer) nth(n int) oldStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[n-1]
}

func (s *oldServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

func newOldServer(t *testing.T, endpoint string) *oldServer {
	s := &oldServer{endpoint: endpoint}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *oldServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/sse":
		s.stream(w, r)
	case r.Method == http.MethodPost && r.URL.Path == "/messages":
		m, err := hear(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.heard = append(s.heard, m)
		s.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		n, err := strconv.Atoi(r.URL.Query().Get("session"))
		if text := standard(m); err == nil && text != "" && !s.deaf.Load() {
			s.nth(n).say <- text
		}
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (s *oldServer) stream(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	say := make(chan string, 16)
	s.mu.Lock()
	s.streams = append(s.streams, oldStream{say, cancel})
	endpoint := strings.NewReplacer("$URL", s.URL, "$N", strconv.Itoa(len(s.streams))).Replace(s.endpoint)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, s.before+"event: endpoint\r\ndata: "+endpoint+"\r\n\r\n") // the proxy may hang up
	for {
		w.(http.Flusher).Flush()
		select {
		case text := <-say:
			_, _ = fmt.Fprintf(w, "event: message\ndata: %s\n\n", text)
		case <-ctx.Done():
			return
		}
	}
}

func (s *oldServer) upstream(transport mcpproxy.Transport) mcpproxy.Upstream {
	return mcpproxy.Upstream{Name: "crm", URL: s.URL + "/sse", Transport: transport,
		Header: http.Header{"Authorization": {"Bearer upstream-key"}}}
}

// An upstream that only knows HTTP+SSE is found out, or is one because the
// configuration says so; a session over it is like every other.
func TestHTTPWithSSE(t *testing.T) {
	for _, transport := range []mcpproxy.Transport{mcpproxy.TransportAuto, mcpproxy.TransportSSE} {
		for _, endpoint := range []string{"/messages?session=$N", "messages?session=$N", "$URL/messages?session=$N#x"} {
			t.Run(fmt.Sprint(transport, " ", endpoint), func(t *testing.T) {
				up := newOldServer(t, endpoint)
				r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream(transport)}})
				sam, fran := r.with("sam", "2024-11-05", `{}`), r.with("fran", "2024-11-05", `{}`)
				if n := up.count(); n != 2 {
					t.Errorf("%d streams for two sessions", n)
				}
				if got := up.heard[0].header; got.Get("Authorization") != "Bearer upstream-key" || got.Get("Mcp-Session-Id") != "" {
					t.Errorf("headers: %v", got)
				}
				up.nth(2).drop()
				eventually(t, "one session ends", func() bool { return fran.call("9", "echo", say("x")).status == http.StatusNotFound })
				for i := range 3 {
					text := fmt.Sprint("call ", i)
					if got := sam.call("1", "echo", say(text)); got.get("result.structuredContent.text").Str != text || got.get("id").Raw != "1" {
						t.Errorf("%s: %s", text, got)
					}
				}
				s := sam.open(sam.request(t.Context(), http.MethodGet, ""))
				up.nth(1).say <- `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
				if line := s.next(); !strings.Contains(line, "tools/list_changed") {
					t.Errorf("the stream: %s", line)
				}
				if got := sam.do(sam.request(t.Context(), http.MethodDelete, "")); got.status != http.StatusNoContent {
					t.Errorf("DELETE: %s", got)
				}
				if got := r.agent("sam", "/mcp").modern(toolCall("1", "echo", `{}`)); got.status < 400 || got.reason() == "" {
					t.Errorf("a modern call, from which the client learns that the server is legacy: %d %s", got.status, got)
				}
			})
		}
	}
}

// Where calls and the upstream's credential go is not the upstream's to say.
func TestEndpointOfAnotherOrigin(t *testing.T) {
	var strays atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { strays.Add(1) }))
	t.Cleanup(other.Close)
	for _, endpoint := range []string{
		other.URL + "/messages", strings.Replace(other.URL, "http:", "", 1) + "/messages", "http://169.254.169.254/latest/meta-data", "https://127.0.0.1/x",
		"http://user:secret@127.0.0.1/x", "file:///etc/passwd", "http:messages", "http://[::1", "\x01", strings.Repeat("/a", 5000),
	} {
		up := newOldServer(t, endpoint)
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream(mcpproxy.TransportSSE)}})
		got := r.agent("sam", "/mcp").post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		if got.reason() != "upstream crm named an endpoint that is not used: it must be of the same origin" || strings.Contains(r.logs.String(), "secret") {
			t.Errorf("%.60q: %s", endpoint, got)
		}
		if len(up.heard) != 0 {
			t.Errorf("%.60q: a message was sent", endpoint)
		}
	}
	if strays.Load() != 0 {
		t.Errorf("%d requests went to another origin", strays.Load())
	}
}

// A stream that says other things first, or nothing, or that breaks off.
func TestHTTPWithSSEFaults(t *testing.T) {
	t.Run("speaks first", func(t *testing.T) {
		up := newOldServer(t, "/messages?session=$N")
		up.before = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream(mcpproxy.TransportSSE)}})
		got := r.agent("sam", "/mcp").post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		if got.reason() != "upstream crm spoke before it named an endpoint" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("breaks off in a call", func(t *testing.T) {
		up := newOldServer(t, "/messages?session=$N")
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream(mcpproxy.TransportSSE)}})
		a := r.legacy("sam", "/mcp")
		a.ask("warm")
		up.deaf.Store(true)
		got := make(chan answered, 1)
		go func() { got <- a.call("1", "echo", say("x")) }()
		eventually(t, "the call is under way", func() bool { return len(r.recorded(audit.Intent)) == 2 })
		up.nth(1).drop()
		if answer := <-got; answer.reason() != "upstream crm ended while a call was running" {
			t.Errorf("the call: %s", answer)
		}
		if got := a.call("2", "echo", say("x")); got.status != http.StatusNotFound {
			t.Errorf("the session goes on: %s", got)
		}
		if r.outcomes() != "ok failed" {
			t.Errorf("outcomes: %s", r.outcomes())
		}
	})
	t.Run("not even that", func(t *testing.T) {
		up := newPeer(t)
		up.on["initialize"] = func(w http.ResponseWriter, m heard) { w.WriteHeader(http.StatusNotFound) }
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
		got := r.agent("sam", "/mcp").post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		if got.reason() != "upstream crm answered with HTTP status 404" || len(up.all("GET")) != 1 {
			t.Errorf("got %s", got)
		}
	})
	t.Run("streamable alone", func(t *testing.T) {
		up := newOldServer(t, "/messages?session=$N")
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream(mcpproxy.TransportStreamable)}})
		got := r.agent("sam", "/mcp").post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		if got.reason() != "upstream crm answered with HTTP status 405" || up.count() != 0 {
			t.Errorf("got %s", got)
		}
	})
}

// A session over HTTP+SSE ends with the mcpguard that has its stream: its handle is
// worth nothing to the next.
func TestSSESessionsAreNotRevived(t *testing.T) {
	up := newOldServer(t, "/messages?session=$N")
	s := setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream(mcpproxy.TransportSSE)}}
	first := newRig(t, s)
	a := first.legacy("sam", "/mcp")
	s.store, s.keys = first.store, first.keys
	first.close()
	second := newRig(t, s)
	b := second.agent("sam", "/mcp")
	b.session = a.session
	if got := b.call("1", "echo", say("x")); got.status != http.StatusNotFound {
		t.Errorf("the handle is good: %s", got)
	}
}

// mcp-go's own server of that transport.
func TestHTTPWithSSEOfMCPGo(t *testing.T) {
	s := server.NewMCPServer("old", "1")
	s.AddTool(mcp.NewTool("echo", mcp.WithString("text")), func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("heard " + req.GetString("text", "")), nil
	})
	sse := server.NewSSEServer(s)
	at := httptest.NewServer(sse)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = sse.Shutdown(ctx) // it does not listen by itself
		at.CloseClientConnections()
		at.Close()
	})
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{{Name: "crm", URL: at.URL + "/sse"}}})
	for _, name := range []string{"sam", "fran"} {
		a := r.with(name, "2024-11-05", `{}`)
		a.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
		if got := a.call(`"x"`, "echo", say(name)); got.get("result.content.0.text").Str != "heard "+name || got.get("id").Str != "x" {
			t.Errorf("%s got %s", name, got)
		}
	}
}
