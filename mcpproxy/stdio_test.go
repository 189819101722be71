package mcpproxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

const stdioPolicy = `version: 1
roles:
  everyone:
    allow: [crm/get_customer, crm/echo, {request: crm/elicitation}]
`

// One way in: a message over stdio gets the answer, and leaves the record, that
// it has over HTTP. What is hidden is as unknown here as there.
func TestStdioIsTheSameDoor(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: stdioPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	calls := []string{
		toolCall("1", "get_customer", `{"id":9007199254740993, "é":"\u00e9"}`),
		toolCall("2", "refund", `{"amount":1}`),
		toolCall("3", "no_such_tool", `{}`),
		`{"jsonrpc":"2.0","id":4,"method":"tools/list"}`,
		`{"jsonrpc":"2.0","id":5,"method":"no/such/method"}`,
		`{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"echo","arguments":{"text":"a"},"arguments":{}}}`,
	}
	seen := func(from int) (all []string) {
		for _, rec := range r.records()[from:] {
			if rec.Kind == audit.Catalogue { // fetched once for both
				continue
			}
			all = append(all, fmt.Sprint(rec.Kind, rec.Method, rec.Target, rec.Effect, rec.Rule, rec.Outcome, rec.Reason, rec.Args, rec.Result))
		}
		return all
	}
	http := r.legacy("sam", "/mcp")
	var want []string
	for _, call := range calls {
		want = append(want, http.post(call).last())
	}
	wantRecords, from := seen(0), len(r.records())

	c := r.stdio("sam", "/mcp", nil)
	if got := c.ask(helloLine); gjson.Get(got, "result.serverInfo.name").Str != "crm" {
		t.Fatalf("initialize: %s", got)
	}
	for i, call := range calls {
		if got := c.ask(call); got != want[i] && !strings.Contains(want[i], `"call"`) {
			t.Errorf("%s:\nover HTTP  %s\nover stdio %s", call, want[i], got)
		}
	}
	if got := seen(from); !slices.Equal(got, wantRecords) {
		t.Errorf("the record over HTTP\n%s\nand over stdio\n%s", strings.Join(wantRecords, "\n"), strings.Join(got, "\n"))
	}
	if rest := c.hangUp(); len(rest) > 0 {
		t.Errorf("more was said: %q", rest)
	}
	ends := r.recorded(audit.SessionEnd)
	if len(ends) != 1 || ends[0].Reason.String() != "ended by the client" {
		t.Errorf("the end of the session: %+v", ends)
	}
}

// A client may write without waiting: what follows initialize is sent when there
// is a session, and a notification is through before what follows it.
func TestStdioKeepsTheOrderThatMatters(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: stdioPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	c := r.stdio("sam", "/mcp", nil)
	c.send(helloLine, initializedLine, toolCall(`"a"`, "echo", `{"text":"1"}`))
	if got := gjson.Get(c.next(), "id").Raw + gjson.Get(c.next(), "id").Raw; got != `0"a"` {
		t.Errorf("answers to %s", got)
	}
	var order []string
	for _, m := range up.everythingHeard() {
		order = append(order, m.key())
	}
	if got := strings.Join(order, " "); !strings.HasPrefix(got, "initialize notifications/initialized ") {
		t.Errorf("the upstream heard %s", got)
	}
}

// In the modern era the headers that repeat the body are made here, those of
// arguments too, even when the client never listed the tools.
func TestStdioMirrorsModernHeaders(t *testing.T) {
	const annotated = `{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[{"name":"echo","inputSchema":{"type":"object","properties":{` +
		`"text":{"type":"string","x-mcp-header":"Text"}}}}]}`
	for _, listed := range []bool{true, false} {
		t.Run(fmt.Sprintf("listed %v", listed), func(t *testing.T) {
			up := newPeer(t)
			up.on["tools/list"] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(annotated)) }
			r := newRig(t, setup{policy: stdioPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			c := r.stdio("sam", "/mcp", nil)
			if listed {
				c.ask(modernLine(t, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
			}
			if got := c.ask(modernLine(t, toolCall("2", "echo", `{"text":"grüße"}`))); gjson.Get(got, "result.structuredContent.text").Str != "grüße" {
				t.Errorf("the call: %s", got)
			}
			calls := up.all("tools/call")
			if len(calls) != 1 || calls[0].header.Get("Mcp-Param-Text") == "" || calls[0].header.Get("Mcp-Name") != "echo" {
				t.Errorf("the upstream got %d calls: %+v", len(calls), calls)
			}
			if rest := c.hangUp(); len(rest) > 0 {
				t.Errorf("more was said: %q", rest)
			}
		})
	}
}

// What is no message gets an error, leaves evidence where it reached the door,
// and the session goes on. Nothing but messages is ever on stdout.
func TestStdioBrokenLines(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: stdioPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}, limits: func(l *mcpproxy.Limits) { l.Request = 2000 }})
	c := r.stdio("sam", "/mcp", func(s *mcpproxy.Stdio) { s.Request = 70_000 })
	c.begin()
	for _, b := range []struct{ line, id, reason string }{
		{`garbage`, "null", "not strict JSON"},
		{`{"jsonrpc":"2.0","id":1,"method":"ping"`, "null", "not strict JSON"},
		{`{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, "null", "not strict JSON"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xff\"}", "null", "not strict JSON"},
		{`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, "null", "batch"},
		{`"text"`, "null", "a message must be a JSON object"},
		{`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` + strings.Repeat("x", 3000) + `"}}}`, "7", "too large"},
		{`{"jsonrpc":"2.0","id":8,"method":"` + strings.Repeat("x", 90_000) + `"}`, "null", "too large"},
		{`{"jsonrpc":"2.0","id":9,"method":"initialize","params":{}}`, "9", "protocolVersion"},
	} {
		got := c.ask(b.line)
		if gjson.Get(got, "id").Raw != b.id || !strings.Contains(reasonOf(got), b.reason) {
			t.Errorf("%.60q: %s", b.line, got)
		}
		c.send("", "  \r")
	}
	if got := c.ask(toolCall("10", "echo", `{"text":"still there"}`) + "\r"); gjson.Get(got, "result.structuredContent.text").Str != "still there" {
		t.Errorf("afterwards: %s", got)
	}
	if rest := c.hangUp(); len(rest) > 0 {
		t.Errorf("more was said: %q", rest)
	}
	if n := len(r.recorded(audit.Refusal)); n != 8 {
		t.Errorf("%d refusals are recorded", n)
	}
}

// A client of the one revision that has batches may send them over stdio too, and
// each request of one is answered.
func TestStdioTakesBatches(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: stdioPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	c := r.stdio("sam", "/mcp", nil)
	if got := c.ask(strings.ReplaceAll(helloLine, legacyVersion, "2025-03-26")); gjson.Get(got, "result.protocolVersion").Str != "2025-03-26" {
		t.Fatalf("initialize: %s", got)
	}
	c.send(initializedLine)
	got := c.ask("[" + toolCall("1", "echo", `{"text":"one"}`) + `,{"jsonrpc":"2.0","method":"notifications/roots/list_changed"},` + toolCall("2", "echo", `{"text":"two"}`) + "]")
	if gjson.Get(got, "#.id").Raw != "[1,2]" || gjson.Get(got, "#.result.structuredContent.text").Raw != `["one","two"]` {
		t.Errorf("the answer: %s", got)
	}
	c.send(`[{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}]`)
	eventually(t, "a batch of notifications goes on", func() bool { return len(up.all("notifications/roots/list_changed")) == 2 })
	if rest := c.hangUp(); len(rest) > 0 {
		t.Errorf("more was said: %q", rest)
	}
}

// A server's question goes to the client, and the client's answer back.
func TestStdioAsksTheClient(t *testing.T) {
	r := newRig(t, setup{policy: strings.ReplaceAll(stdioPolicy, "crm/", "standard/"), upstreams: []mcpproxy.Upstream{stdioUpstream(t, "standard", "standard")}})
	c := r.stdio("sam", "/mcp", nil)
	c.begin()
	asked := c.reply(toolCall("1", "echo", say("ask")))
	if gjson.Get(asked, "method").Str != "elicitation/create" {
		t.Fatalf("the client was asked %s", asked)
	}
	got := c.reply(`{"jsonrpc":"2.0","id":"q","result":{"action":"accept","content":{"name":"sam"}}}`)
	if gjson.Get(got, "result.structuredContent.result.content.name").Str != "sam" {
		t.Errorf("the answer: %s", got)
	}
	c.send(`{"jsonrpc":"2.0","id":"nobody asked","result":{}}`)
	if got := c.reply(`{"jsonrpc":"2.0","id":2,"method":"ping"}`); gjson.Get(got, "id").Raw != "2" {
		t.Errorf("an answer to no question brings %s", got)
	}
}

// What a server says unasked comes over the session's own stream.
func TestStdioHearsTheSessionsStream(t *testing.T) {
	up := newPeer(t)
	up.on[http.MethodGet] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
	}
	r := newRig(t, setup{policy: stdioPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	c := r.stdio("sam", "/mcp", nil)
	c.begin()
	if got := c.next(); gjson.Get(got, "method").Str != "notifications/tools/list_changed" {
		t.Errorf("the stream says %s", got)
	}
}

// A client that cancels gets no answer any more, in either era, and the upstream
// hears of it.
func TestStdioCancels(t *testing.T) {
	for _, e := range []string{"legacy", "modern"} {
		t.Run(e, func(t *testing.T) {
			r := newRig(t, setup{policy: strings.ReplaceAll(stdioPolicy, "crm/", "standard/"), upstreams: []mcpproxy.Upstream{stdioUpstream(t, "standard", "standard")}})
			c := r.stdio("sam", "/mcp", nil)
			line := func(body string) string { return modernLine(t, body) }
			if e == "legacy" {
				c.begin()
				line = func(body string) string { return body }
			}
			c.send(line(toolCall(`"long"`, "echo", say("hold it"))))
			eventually(t, "the call is under way", func() bool { return len(r.recorded(audit.Intent)) == 1 })
			c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"long"}}`)
			eventually(t, "the outcome is recorded", func() bool { return r.outcomes() == "cancelled" })
			got := c.reply(line(toolCall("2", "echo", say("cancelled"))))
			if gjson.Get(got, "result.structuredContent").Raw != `["hold it"]` {
				t.Errorf("the server was told to cancel %s", got)
			}
			if rest := slices.DeleteFunc(c.hangUp(), isLogLine); len(rest) > 0 {
				t.Errorf("more was said: %q", rest)
			}
		})
	}
}

// When stdin ends, what is under way comes to its end and is answered.
func TestStdioEndsWithItsInput(t *testing.T) {
	up := newPeer(t)
	asked, release := make(chan struct{}), make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		close(asked)
		<-release
		sayJSON(w, standard(m))
	}
	r := newRig(t, setup{policy: stdioPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	c := r.stdio("sam", "/mcp", nil)
	c.begin()
	c.send(toolCall("1", "echo", `{"text":"late"}`))
	<-asked
	_ = c.in.Close() // never fails
	close(release)
	if rest := c.hangUp(); len(rest) != 1 || gjson.Get(rest[0], "result.structuredContent.text").Str != "late" {
		t.Errorf("the last words: %q", rest)
	}
	if r.outcomes() != "ok" {
		t.Errorf("outcomes: %s", r.outcomes())
	}
}

// A signal cuts what does not end soon: the client is told that nobody knows.
func TestStdioIsCut(t *testing.T) {
	up := newPeer(t)
	asked := make(chan struct{})
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	up.on["tools/call"] = func(http.ResponseWriter, heard) {
		close(asked)
		<-hung
	}
	r := newRig(t, setup{policy: stdioPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	c := r.stdio("sam", "/mcp", nil)
	c.begin()
	c.send(toolCall("1", "echo", `{"text":"hangs"}`))
	<-asked
	c.stop()
	if got := c.next(); gjson.Get(got, "id").Raw != "1" || !strings.Contains(reasonOf(got), "whether the request was executed is not known") {
		t.Errorf("the client got %s", got)
	}
	if err := <-c.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	r.stop()
	if r.outcomes() != "failed" {
		t.Errorf("outcomes: %s", r.outcomes())
	}
}
