package mcpproxy_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"mcpguard/mcpproxy"
)

// An endpoint far away can fail in more ways than the proxy of a rig: these tests
// script it. A peer is one: it speaks Streamable HTTP.

// A stream that breaks off is taken up where it was; the client sees each message
// once, and the answer in the end.
func TestStdioResumesAStream(t *testing.T) {
	p := newPeer(t)
	p.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "id: 1\nretry: 10\ndata:\n\n", "id: 2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n")
	}
	var mu sync.Mutex
	var asked []string
	p.on[http.MethodGet] = func(w http.ResponseWriter, m heard) {
		id := m.header.Get("Last-Event-Id")
		mu.Lock()
		asked = append(asked, id)
		mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		switch id {
		case "2": // breaks off once more
			fmt.Fprint(w, "id: 3\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n")
		case "3":
			fmt.Fprint(w, "id: 4\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{\"late\":true}}\n\n")
		default:
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	}
	c := startConsole(t, p.URL, nil)
	if got := c.ask(helloLine); gjson.Get(got, "id").Raw != "0" {
		t.Fatalf("initialize: %s", got)
	}
	c.send(toolCall("1", "echo", `{}`))
	for _, want := range []string{"notifications/message", "notifications/progress", `{"jsonrpc":"2.0", "id":1,"result":{"late":true}}`} {
		if got := c.next(); got != want && gjson.Get(got, "method").Str != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(asked, " "); got != "2 3" {
		t.Errorf("asked for what follows %s", got)
	}
	if p.all(http.MethodGet)[0].header.Get("Mcp-Session-Id") != "upstream-session" {
		t.Error("resumed without the session")
	}
}

// Whatever the endpoint does, a request gets one answer with its own id, in words
// that say what was wrong, and the client goes on.
func TestStdioEndpointFaults(t *testing.T) {
	for name, f := range map[string]struct {
		serve func(http.ResponseWriter, heard)
		want  string
	}{
		"who are you": {func(w http.ResponseWriter, m heard) { refuse(w, http.StatusUnauthorized, "send a token") }, "send a token"},
		"no JSON":     {func(w http.ResponseWriter, m heard) { http.Error(w, "gateway", http.StatusBadGateway) }, "HTTP status 502"},
		"redirect": {func(w http.ResponseWriter, m heard) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "HTTP status 307"},
		"empty":            {func(w http.ResponseWriter, m heard) { w.WriteHeader(http.StatusAccepted) }, "HTTP status 202"},
		"broken JSON":      {func(w http.ResponseWriter, m heard) { sayJSON(w, `{"jsonrpc":"2.0","id":1,"id":1,"result":{}}`) }, "no message that can be read"},
		"another's answer": {func(w http.ResponseWriter, m heard) { sayJSON(w, `{"jsonrpc":"2.0","id":99,"result":{}}`) }, "sent no answer"},
		"stream too short": {func(w http.ResponseWriter, m heard) { sayEvents(w) }, "ended the stream before its answer"},
		"stream broken":    {func(w http.ResponseWriter, m heard) { sayEvents(w, `{"jsonrpc":"2.0"`) }, "a message that cannot be read"},
		"too large":        {func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(`"`+strings.Repeat("x", 5000)+`"`)) }, "too large"},
		"event too large":  {func(w http.ResponseWriter, m heard) { sayEvents(w, m.result(`"`+strings.Repeat("x", 5000)+`"`)) }, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t)
			p.on["tools/call"] = f.serve
			c := startConsole(t, p.URL, func(s *mcpproxy.Stdio) { s.Result = 4000; s.Header.Set("Authorization", "Bearer secret-token") })
			c.ask(helloLine)
			got := c.ask(toolCall("1", "echo", `{}`))
			if gjson.Get(got, "id").Raw != "1" || !strings.Contains(reasonOf(got), f.want) {
				t.Errorf("the client got %s, want an error with %q", got, f.want)
			}
			if got := c.ask(`{"jsonrpc":"2.0","id":2,"method":"ping"}`); gjson.Get(got, "result").Raw != `{}` {
				t.Errorf("afterwards: %s", got)
			}
			if rest := c.hangUp(); len(rest) > 0 {
				t.Errorf("more was said: %q", rest)
			}
			if len(p.all("tools/call")) != 1 {
				t.Errorf("the call was sent %d times", len(p.all("tools/call")))
			}
			if strings.Contains(c.logs.String(), "secret-token") {
				t.Errorf("the log has the token:\n%s", c.logs)
			}
		})
	}
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":%q}}`, reason)
}

// An endpoint that knows the session no more says so to the request that finds
// out, and the client has to start again, as with a server that died.
func TestStdioEndsWithItsSession(t *testing.T) {
	p := newPeer(t)
	p.on["tools/call"] = func(w http.ResponseWriter, m heard) { refuse(w, http.StatusNotFound, "no such session") }
	c := startConsole(t, p.URL, nil)
	c.ask(helloLine)
	if got := c.ask(toolCall("1", "echo", `{}`)); gjson.Get(got, "id").Raw != "1" || reasonOf(got) != "no such session" {
		t.Errorf("the client got %s", got)
	}
	if err := <-c.done; !errors.Is(err, mcpproxy.ErrSessionOver) {
		t.Errorf("Serve: %v", err)
	}
}

// A client that does not read holds up nobody's end.
func TestStdioClientThatDoesNotRead(t *testing.T) {
	p := newPeer(t)
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	c := startConsole(t, p.URL, func(s *mcpproxy.Stdio) { s.Out = stuckPipe(stuck); s.Request = 500 })
	c.send(`{"jsonrpc":"2.0","id":1,"method":"`+strings.Repeat("x", 600)+`"}`, toolCall("1", "echo", `{}`), toolCall("1", "echo", `{}`))
	eventually(t, "the call is answered", func() bool { return len(p.all("tools/call")) == 1 })
	c.stop()
	if err := <-c.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

type stuckPipe chan struct{}

func (p stuckPipe) Write(b []byte) (int, error) {
	<-p
	return len(b), nil
}

// An endpoint that is not there is an error for each request, and no reason to end.
func TestStdioEndpointIsDown(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c := startConsole(t, gone.URL+"/secret/path", nil)
	for range 2 {
		got := c.ask(helloLine)
		if gjson.Get(got, "id").Raw != "0" || !strings.Contains(reasonOf(got), "cannot be reached") || strings.Contains(got, "secret") {
			t.Errorf("the client got %s", got)
		}
	}
	c.hangUp()
}

// Two requests with one id could not be told apart: the second is refused.
func TestStdioRefusesAnIdTwice(t *testing.T) {
	p := newPeer(t)
	asked, release := make(chan struct{}), make(chan struct{})
	p.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		close(asked)
		<-release
		sayJSON(w, standard(m))
	}
	c := startConsole(t, p.URL, nil)
	c.send(toolCall(`"a"`, "echo", `{"n":1}`))
	<-asked
	if got := c.ask(toolCall(`"\u0061"`, "echo", `{"n":2}`)); !strings.Contains(reasonOf(got), "still running") {
		t.Errorf("the second: %s", got)
	}
	close(release)
	if got := c.next(); gjson.Get(got, "result.structuredContent.n").Raw != "1" {
		t.Errorf("the first: %s", got)
	}
}

// A client that no longer reads ends the door: there is nobody to serve.
func TestStdioEndsWithItsOutput(t *testing.T) {
	p := newPeer(t)
	c := startConsole(t, p.URL, func(s *mcpproxy.Stdio) { s.Out = closedPipe{} })
	c.send(helloLine)
	if err := <-c.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// What is missing is said, not guessed.
func TestStdioZeroRefuses(t *testing.T) {
	if err := (mcpproxy.Stdio{}).Serve(t.Context()); err == nil {
		t.Error("the zero Stdio serves")
	}
}
