package mcpproxy_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

const (
	legacyVersion = "2025-11-25"
	modernVersion = "2026-07-28"
)

// agent is a client of a rig: one caller at one endpoint.
type agent struct {
	t       testing.TB
	url     string
	token   string // Authorization: Bearer; "" sends none
	session string // Mcp-Session-Id
	client  *http.Client
}

func (r *rig) agent(name, path string) *agent {
	transport := &http.Transport{DisableCompression: true}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &agent{t: r.t, url: r.url + path, token: r.tokens[name].Reveal(), client: &http.Client{Transport: transport}}
}

// legacy is an agent whose session has begun.
func (r *rig) legacy(name, path string) *agent {
	r.t.Helper()
	a := r.agent(name, path)
	a.initialize()
	return a
}

func (a *agent) initialize() {
	a.t.Helper()
	got := a.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + legacyVersion +
		`","capabilities":{},"clientInfo":{"name":"probe","version":"1"}}}`)
	a.session = got.header.Get("Mcp-Session-Id")
	if got.status != http.StatusOK || a.session == "" {
		a.t.Fatalf("initialize: %s", got)
	}
}

// answered is what an agent got.
type answered struct {
	status int
	header http.Header
	body   string
	broken error // of reading the body
}

func (g answered) String() string {
	return http.StatusText(g.status) + " " + g.body
}

// messages are the messages of the answer: its body, or the events of its stream
// that have data.
func (g answered) messages() []string {
	if !strings.HasPrefix(g.header.Get("Content-Type"), "text/event-stream") {
		return []string{g.body}
	}
	var all []string
	for event := range strings.SplitSeq(g.body, "\n\n") {
		var data []string
		for line := range strings.SplitSeq(event, "\n") {
			if rest, ok := strings.CutPrefix(line, "data: "); ok {
				data = append(data, rest)
			}
		}
		if strings.Join(data, "") != "" {
			all = append(all, strings.Join(data, "\n"))
		}
	}
	return all
}

// last is the message that answers the request.
func (g answered) last() string {
	all := g.messages()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// get is a value of the last message, by gjson path.
func (g answered) get(path string) gjson.Result { return gjson.Get(g.last(), path) }

// reason is what the answer says went wrong: of an error, or of a tool result.
func (g answered) reason() string {
	if e := g.get("error.message"); e.Exists() {
		return e.String()
	}
	if g.get("result.isError").Bool() {
		return g.get("result.content.0.text").String()
	}
	return ""
}

// request builds an HTTP request with the headers of a good client; of the extra
// ones, given as "Name: value", an empty value takes a header out.
func (a *agent) request(ctx context.Context, verb, body string, extra ...string) *http.Request {
	a.t.Helper()
	req, err := http.NewRequestWithContext(ctx, verb, a.url, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	if verb == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.session != "" {
		req.Header.Set("Mcp-Session-Id", a.session)
	}
	for _, h := range extra {
		name, value, _ := strings.Cut(h, ":")
		if value = strings.TrimSpace(value); value == "" {
			req.Header.Del(name)
			continue
		}
		req.Header.Set(name, value)
	}
	return req
}

// do sends a request and reads its whole answer.
func (a *agent) do(req *http.Request) answered {
	a.t.Helper()
	res, err := a.client.Do(req)
	if err != nil {
		return answered{broken: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answered{res.StatusCode, res.Header, string(body), err}
}

// post sends one message as it is.
func (a *agent) post(body string, extra ...string) answered {
	a.t.Helper()
	return a.do(a.request(a.t.Context(), http.MethodPost, body, extra...))
}

// call calls a tool in the legacy session.
func (a *agent) call(id, name, args string) answered {
	a.t.Helper()
	return a.post(toolCall(id, name, args))
}

func toolCall(id, name, args string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + name + `","arguments":` + args + `}}`
}

// modern sends a message the modern way: with what a client of 2026-07-28 says
// in _meta and in headers.
func (a *agent) modern(body string, extra ...string) answered {
	a.t.Helper()
	return a.do(a.modernRequest(a.t.Context(), body, extra...))
}

func (a *agent) modernRequest(ctx context.Context, body string, extra ...string) *http.Request {
	a.t.Helper()
	body, headers := modernize(a.t, body)
	return a.request(ctx, http.MethodPost, body, append(headers, extra...)...)
}

func modernize(t testing.TB, body string) (string, []string) {
	t.Helper()
	const meta = `{"io.modelcontextprotocol/protocolVersion":"` + modernVersion + `","io.modelcontextprotocol/clientCapabilities":{}}`
	var err error
	if !gjson.Get(body, "params._meta").Exists() {
		if body, err = sjson.SetRaw(body, "params._meta", meta); err != nil {
			t.Fatal(err)
		}
	}
	headers := []string{"Mcp-Protocol-Version: " + modernVersion, "Mcp-Method: " + gjson.Get(body, "method").String()}
	if name := gjson.Get(body, "params.name").String() + gjson.Get(body, "params.uri").String() + gjson.Get(body, "params.taskId").String(); name != "" {
		headers = append(headers, "Mcp-Name: "+name)
	}
	return body, headers
}

// declaring gives a message the _meta of a modern client that follows tasks.
func declaring(t testing.TB, body string) string {
	t.Helper()
	const meta = `{"io.modelcontextprotocol/protocolVersion":"` + modernVersion + `","io.modelcontextprotocol/clientCapabilities":` +
		`{"extensions":{"io.modelcontextprotocol/tasks":{}}}}`
	body, err := sjson.SetRaw(body, "params._meta", meta)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// stream is an answer that is read as it comes.
type stream struct {
	t      testing.TB
	res    *http.Response
	cancel context.CancelFunc
	text   string
}

// open sends a request and returns when its headers are here.
func (a *agent) open(req *http.Request) *stream {
	a.t.Helper()
	ctx, cancel := context.WithCancel(req.Context())
	res, err := a.client.Do(req.WithContext(ctx)) //nolint:bodyclose // hangUp closes it
	if err != nil {
		cancel()
		a.t.Fatal(err)
	}
	s := &stream{t: a.t, res: res, cancel: cancel}
	a.t.Cleanup(s.hangUp)
	return s
}

// next reads up to the end of the next event with data.
func (s *stream) next() string {
	s.t.Helper()
	for {
		if ev := s.event(); strings.Contains(ev, "data: {") {
			return ev
		}
	}
}

// event reads up to the end of the next event, or of a comment.
func (s *stream) event() string {
	s.t.Helper()
	from := len(s.text)
	for !strings.HasSuffix(s.text[from:], "\n\n") {
		var b [1]byte
		if _, err := io.ReadFull(s.res.Body, b[:]); err != nil {
			s.t.Fatalf("the stream ended after %q: %v", s.text, err)
		}
		s.text += string(b[:])
	}
	return s.text[from:]
}

// eventID is the id that a text of events says first.
func eventID(text string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			return id
		}
	}
	return ""
}

// rest reads to the end.
func (s *stream) rest() string {
	rest, _ := io.ReadAll(s.res.Body) // a stream that is broken off is one that ended
	s.text += string(rest)
	return string(rest)
}

func (s *stream) hangUp() {
	s.cancel()
	s.res.Body.Close()
}
