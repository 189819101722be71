package mcpproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"mcpguard/mcpproxy"
)

// The headers of a modern request that repeat its body (MCP 2026-07-28,
// Streamable HTTP; SEP-2243): somebody on the way may have decided by them, so
// they must say what policy reads.

const annotatedTools = `{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[{"name":"ship","inputSchema":{"type":"object","properties":{` +
	`"region":{"type":"string","x-mcp-header":"Region"},"count":{"type":"integer","x-mcp-header":"Count"},"fast":{"type":"boolean","x-mcp-header":"Fast"},` +
	`"to":{"type":"object","properties":{"city":{"type":"string","x-mcp-header":"City"}}}}}}]}`

// newAnnotated is an upstream with a tool whose arguments are repeated in headers.
func newAnnotated(t *testing.T) *peer {
	up := newPeer(t)
	up.on["tools/list"] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(annotatedTools)) }
	return up
}

// A request whose headers do not say what its body says is refused with 400 and
// -32020, and reaches nobody.
func TestMirroredHeadersEqualTheBody(t *testing.T) {
	up := newAnnotated(t)
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	sam := r.agent("sam", "/mcp")
	const (
		prompt   = `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"greet"}}`
		resource = `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a b"}}`
		list     = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	)
	ship := func(args string) string { return toolCall("1", "ship", args) }
	asTask := func(method string) string {
		return declaring(t, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{"taskId":"t-1"}}`)
	}
	for _, c := range []struct {
		name, body string
		headers    []string // as agent.request takes them; two of one name stand both
		passes     bool
	}{
		{"a method that is missing", list, []string{"Mcp-Method:"}, false},
		{"another method", list, []string{"Mcp-Method: tools/call"}, false},
		{"a method in other case", list, []string{"Mcp-Method: Tools/List"}, false},
		{"a method twice", list, []string{"Mcp-Method: tools/list", "Mcp-Method: tools/list"}, false},
		{"a name that is missing", ship(`{}`), []string{"Mcp-Name:"}, false},
		{"another name", ship(`{}`), []string{"Mcp-Name: echo"}, false},
		{"a name in other case", ship(`{}`), []string{"Mcp-Name: Ship"}, false},
		{"a name twice", ship(`{}`), []string{"Mcp-Name: ship", "Mcp-Name: echo"}, false},
		{"a name in base64", ship(`{}`), []string{"Mcp-Name: =?base64?c2hpcA==?="}, true},
		{"another name in base64", ship(`{}`), []string{"Mcp-Name: =?base64?ZWNobw==?="}, false},
		{"a name in base64, markers in other case", ship(`{}`), []string{"Mcp-Name: =?BASE64?c2hpcA==?="}, false},
		{"a name in broken base64", ship(`{}`), []string{"Mcp-Name: =?base64?c2hpcA?="}, false},
		{"a prompt's name that is missing", prompt, []string{"Mcp-Name:"}, false},
		{"another prompt's name", prompt, []string{"Mcp-Name: bye"}, false},
		{"a URI that is missing", resource, []string{"Mcp-Name:"}, false},
		{"a URI that is encoded otherwise", resource, []string{"Mcp-Name: file:///a%20b"}, false},
		{"a task that is missing", asTask("tasks/get"), []string{"Mcp-Name:"}, false},
		{"another task, get", asTask("tasks/get"), []string{"Mcp-Name: t-2"}, false},
		{"another task, update", asTask("tasks/update"), []string{"Mcp-Name: t-2"}, false},
		{"another task, cancel", asTask("tasks/cancel"), []string{"Mcp-Name: t-2"}, false},
		{"no version", list, []string{"Mcp-Protocol-Version:"}, false},
		{"another version", list, []string{"Mcp-Protocol-Version: 2025-11-25"}, false},

		{"a text", ship(`{"region":"eu"}`), []string{"Mcp-Param-Region: eu"}, true},
		{"a text in base64", ship(`{"region":"grün"}`), []string{"Mcp-Param-Region: =?base64?Z3LDvG4=?="}, true},
		{"a text that is missing", ship(`{"region":"eu"}`), nil, false},
		{"another text", ship(`{"region":"eu"}`), []string{"Mcp-Param-Region: us"}, false},
		{"a text, markers in other case", ship(`{"region":"eu"}`), []string{"Mcp-Param-Region: =?Base64?ZXU=?="}, false},
		{"a text twice", ship(`{"region":"eu"}`), []string{"Mcp-Param-Region: eu", "Mcp-Param-Region: us"}, false},
		{"a text twice that is not in the body", ship(`{}`), []string{"Mcp-Param-Region: eu", "Mcp-Param-Region: us"}, false},
		{"a text that is not in the body", ship(`{}`), []string{"Mcp-Param-Region: eu"}, false},
		{"a text where the body has null", ship(`{"region":null}`), []string{"Mcp-Param-Region: eu"}, false},
		{"an object in the place of a text", ship(`{"region":{"a":1}}`), []string{"Mcp-Param-Region: eu"}, false},
		{"a text further down", ship(`{"to":{"city":"Oslo"}}`), []string{"Mcp-Param-City: Oslo"}, true},
		{"another text further down", ship(`{"to":{"city":"Oslo"}}`), []string{"Mcp-Param-City: Rome"}, false},
		{"a number", ship(`{"count":42}`), []string{"Mcp-Param-Count: 42"}, true},
		{"a number, said in another way", ship(`{"count":42}`), []string{"Mcp-Param-Count: 42.0"}, true},
		{"another number", ship(`{"count":42}`), []string{"Mcp-Param-Count: 43"}, false},
		{"a number that no JSON has", ship(`{"count":42}`), []string{"Mcp-Param-Count: 0x2Ap0"}, false},
		{"a number with a sign that no JSON has", ship(`{"count":42}`), []string{"Mcp-Param-Count: +42"}, false},
		{"a number that is one when rounded", ship(`{"count":42.00000000000000000001}`), []string{"Mcp-Param-Count: 42"}, false},
		{"a header that is the number when rounded", ship(`{"count":42}`), []string{"Mcp-Param-Count: 42.00000000000000000001"}, false},
		{"a number that is not whole", ship(`{"count":1.5}`), []string{"Mcp-Param-Count: 1.5"}, false},
		{"a number beyond 2^53", ship(`{"count":9007199254740993}`), []string{"Mcp-Param-Count: 9007199254740993"}, false},
		{"a number said in words", ship(`{"count":42}`), []string{"Mcp-Param-Count: forty-two"}, false},
		{"true", ship(`{"fast":true}`), []string{"Mcp-Param-Fast: true"}, true},
		{"true in capitals", ship(`{"fast":true}`), []string{"Mcp-Param-Fast: TRUE"}, false},
		{"true for a number", ship(`{"fast":1}`), []string{"Mcp-Param-Fast: true"}, false},
		{"what no argument is declared for", ship(`{}`), []string{"Mcp-Param-Other: x"}, true},
	} {
		before := len(up.everythingHeard()) - len(up.all("tools/list"))
		req := sam.modernRequest(t.Context(), c.body)
		for _, h := range c.headers {
			name, _, _ := strings.Cut(h, ":")
			req.Header.Del(name)
		}
		for _, h := range c.headers {
			if name, value, _ := strings.Cut(h, ": "); value != "" {
				req.Header.Add(name, value)
			}
		}
		got := sam.do(req)
		reached := len(up.everythingHeard()) - len(up.all("tools/list")) - before
		mismatch := got.status == http.StatusBadRequest && (got.get("error.code").Int() == -32020 || strings.Contains(got.reason(), "twice"))
		switch {
		case c.passes && (got.status != http.StatusOK || got.reason() != "" || reached != 1):
			t.Errorf("%s: %d %s", c.name, got.status, got)
		case !c.passes && (!mismatch || reached != 0):
			t.Errorf("%s: %d %s; %d messages reached the upstream", c.name, got.status, got, reached)
		}
	}
	if sent := up.everything(); strings.Contains(sent, "Mcp-Param-Other") {
		t.Error("a header that mirrors nothing went upstream")
	}
}

// What goes upstream is mirrored anew: the upstream's own handles stand in body
// and header, and what a header said in another way is said in the usual one.
func TestMirroredHeadersAreMadeAnew(t *testing.T) {
	same := func(t *testing.T, m heard, member string) {
		t.Helper()
		if got, want := m.header.Get("Mcp-Name"), gjson.Get(m.text, "params."+member).Str; got != want || want == "" {
			t.Errorf("%s: Mcp-Name %q, in the body %q", m.Method, got, want)
		}
		if got := m.header.Values("Mcp-Method"); len(got) != 1 || got[0] != m.Method {
			t.Errorf("%s: Mcp-Method %q", m.Method, got)
		}
	}
	t.Run("tasks", func(t *testing.T) {
		up := newTaskServer(t)
		r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
		sam := r.agent("sam", "/mcp")
		task := sam.start("1", "echo", say("hi"))
		for i, method := range []string{"tasks/get", "tasks/update", "tasks/cancel"} {
			if got := sam.about(string(rune('2'+i)), method, task); got.reason() != "" {
				t.Fatalf("%s: %s", method, got)
			}
			heard := up.all(method)
			if len(heard) != 1 || heard[0].Params.TaskID != "up-0" {
				t.Fatalf("the upstream heard %+v", heard)
			}
			same(t, heard[0], "taskId")
		}
	})
	t.Run("states", func(t *testing.T) {
		r, crm := twoUpstreams(t, setup{})
		sam := r.agent("sam", "/mcp/crm")
		state := sam.modern(toolCall("1", "echo", say("hi"))).get("result.requestState").Str
		if got := sam.modern(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{},"requestState":"` + state + `"}}`); got.reason() != "" {
			t.Fatal(got)
		}
		calls := crm.all("tools/call")
		if len(calls) != 2 || calls[1].Params.RequestState != "own state" {
			t.Fatalf("the upstream heard %+v", calls)
		}
		same(t, calls[1], "name")
	})
	t.Run("cursors", func(t *testing.T) {
		r, crm := twoUpstreams(t, setup{})
		sam := r.agent("sam", "/mcp/crm")
		cursor := sam.modern(`{"jsonrpc":"2.0","id":1,"method":"prompts/list"}`).get("result.nextCursor").Str
		if got := sam.modern(`{"jsonrpc":"2.0","id":2,"method":"prompts/list","params":{"cursor":"` + cursor + `"}}`); got.reason() != "" {
			t.Fatal(got)
		}
		lists := crm.all("prompts/list")
		if len(lists) != 4 { // the first list is read whole by mcpguard besides
			t.Fatalf("the upstream heard %+v", lists)
		}
		if last := lists[3]; last.Params.Cursor != "own cursor" || last.header.Get("Mcp-Method") != "prompts/list" || last.header.Get("Mcp-Name") != "" {
			t.Fatalf("the upstream heard %+v", last)
		}
	})
	t.Run("arguments", func(t *testing.T) {
		up := newAnnotated(t)
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
		got := r.agent("sam", "/mcp").modern(toolCall("1", "ship", `{"region":"eu","count":42.0}`),
			"Mcp-Name: =?base64?c2hpcA==?=", "Mcp-Param-Region: =?base64?ZXU=?=", "Mcp-Param-Count: 4.2e1", "Mcp-Param-City:")
		calls := up.all("tools/call")
		if got.reason() != "" || len(calls) != 1 {
			t.Fatalf("%s; %d calls", got, len(calls))
		}
		h := calls[0].header
		if h.Get("Mcp-Name") != "ship" || h.Get("Mcp-Param-Region") != "eu" || h.Get("Mcp-Param-Count") != "42" || len(h.Values("Mcp-Param-City")) != 0 {
			t.Errorf("the upstream got %v", h)
		}
	})
}

// A legacy request has no such headers: what it carries is not held to anything,
// and goes no further.
func TestLegacyRequestsMirrorNothing(t *testing.T) {
	up := newAnnotated(t)
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	got := r.legacy("sam", "/mcp").post(toolCall("1", "ship", `{"region":"eu"}`), "Mcp-Method: tools/list", "Mcp-Name: purge", "Mcp-Param-Region: us")
	calls := up.all("tools/call")
	if got.reason() != "" || len(calls) != 1 {
		t.Fatalf("%s; %d calls", got, len(calls))
	}
	for name := range calls[0].header {
		if name == "Mcp-Method" || name == "Mcp-Name" || strings.HasPrefix(name, "Mcp-Param-") {
			t.Errorf("the upstream got %s: %s", name, calls[0].header.Get(name))
		}
	}
}
