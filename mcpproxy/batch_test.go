package mcpproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

// batching is a session of the one revision that has batches.
func batching(r *rig) *agent {
	r.t.Helper()
	a := r.agent("sam", "/mcp")
	got := a.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"old","version":"1"}}}`)
	if a.session = got.header.Get("Mcp-Session-Id"); a.session == "" {
		r.t.Fatalf("initialize: %d %s", got.status, got)
	}
	return a
}

func batchOf(n int, message string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.ReplaceAll(message, "$n", strings.Repeat("1", i+1))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// Law 14: a batch is bounded.
func TestLawBatchesAreBounded(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := batching(r)
	if got := a.post(batchOf(64, `{"jsonrpc":"2.0","id":"$n","method":"ping"}`)); got.status != http.StatusOK || strings.Count(got.body, `"result"`) != 64 {
		t.Errorf("64 messages: %d %s", got.status, got)
	}
	heard := len(up.all("ping"))
	if got := a.post(batchOf(65, `{"jsonrpc":"2.0","id":"$n","method":"ping"}`)); got.status != http.StatusBadRequest || !strings.Contains(got.reason(), "more than 64") {
		t.Errorf("65 messages: %d %s", got.status, got)
	}
	if n := len(up.all("ping")); n != heard {
		t.Errorf("%d messages of it went on", n-heard)
	}
}

// Answers too long to be held go out one by one, as events.
func TestLongAnswersOfABatchAreNotHeld(t *testing.T) {
	up := newPeer(t)
	long := strings.Repeat("x", 3000)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayJSON(w, m.result(`{"content":[{"type":"text","text":"`+long+`"}]}`))
	}
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.Request = 4096 }})
	got := batching(r).post("[" + toolCall("1", "echo", `{}`) + "," + toolCall("2", "echo", `{}`) + "," + toolCall("3", "echo", `{}`) + "]")
	if kind := got.header.Get("Content-Type"); kind != "text/event-stream" || strings.Count(got.body, long) != 3 || len(got.messages()) != 3 {
		t.Errorf("%s, %d messages", kind, len(got.messages()))
	}
}

// Law 7: within a batch, as anywhere, a message that names a task which is not the
// caller's goes nowhere.
func TestLawBatchesNameNoStrangersTask(t *testing.T) {
	const related = `"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"up-0"}}`
	up := newPeer(t)
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := batching(r)
	a.call("0", "echo", `{}`)
	got := a.post(`[{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1,` + related + `}},` +
		`{"jsonrpc":"2.0","id":1,"method":"ping","params":{` + related + `}},` +
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{},` + related + `}}]`)
	if strings.Count(got.body, "Task not found") != 2 {
		t.Errorf("the client got %d %s", got.status, got)
	}
	if strings.Contains(up.everything(), "up-0") {
		t.Errorf("the upstream heard of the task: %s", up.everything())
	}
}

// Law 2: a message of a batch goes nowhere without its record.
func TestLawNoRecordNoBatch(t *testing.T) {
	for fault, fail := range faults {
		t.Run(fault, func(t *testing.T) {
			up := newPeer(t)
			r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			a := batching(r)
			if got := a.call("0", "echo", `{}`); got.reason() != "" {
				t.Fatal(got)
			}
			heard := up.everything()
			fail(r.store)
			got := a.post("[" + toolCall("1", "echo", `{}`) + `,{"jsonrpc":"2.0","id":2,"method":"ping","params":{"psst":1}}]`)
			if strings.Count(got.body, "record cannot be kept") != 2 {
				t.Errorf("the client got %d %s", got.status, got)
			}
			if now := up.everything(); now != heard {
				t.Errorf("the upstream heard of it:\n%s", strings.TrimPrefix(now, heard))
			}
		})
	}
}

// What a server asks within a batch reaches the client while the batch waits.
func TestQuestionsWithinABatch(t *testing.T) {
	up := newPeer(t)
	answered := make(chan struct{})
	up.on["response"] = func(w http.ResponseWriter, m heard) { close(answered); w.WriteHeader(http.StatusAccepted) }
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","id":"q","method":"roots/list"}`)
		<-answered
		sayEvents(w, standard(m))
	}
	r := newRig(t, setup{upstreams: []mcpproxy.Upstream{up.upstream("crm")}, policy: `version: 1
roles: {everyone: {allow: ["crm/*", {request: crm/roots}]}}
`})
	a := batching(r)
	s := a.open(a.request(t.Context(), http.MethodPost, `[{"jsonrpc":"2.0","id":1,"method":"ping"},`+toolCall("2", "echo", `{"text":"late"}`)+`]`))
	if line := s.next(); !strings.Contains(line, `"id":1,"result"`) {
		t.Errorf("first came %s", line)
	}
	if line := s.next(); !strings.Contains(line, "roots/list") {
		t.Errorf("then came %s", line)
	}
	if got := a.post(`[{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}]`); got.status != http.StatusAccepted {
		t.Errorf("the answer: %d %s", got.status, got)
	}
	if rest := s.rest(); !strings.Contains(rest, "late") {
		t.Errorf("at last came %s", rest)
	}
	if n := len(r.recorded(audit.Outcome)); n != 2 {
		t.Errorf("%d outcomes", n)
	}
}

// Law 7: a message of a batch names nobody else's task either.
func TestLawBatchesNameOnlyOwnTasks(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := batching(r)
	const related = `"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"up-0"}}`
	alone := a.post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},` + related + `}}`)
	if !notFound(alone) {
		t.Fatalf("alone: %s", alone)
	}
	got := a.post(`[{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{},` + related + `}},` +
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1,` + related + `}}]`)
	if !strings.Contains(got.body, "Task not found") {
		t.Errorf("in a batch: %s", got)
	}
	if heard := up.everything(); strings.Contains(heard, "up-0") {
		t.Errorf("the upstream heard:\n%s", heard)
	}
}

// Law 14: the answers of a batch that wait for the others are in the budget of
// memory, and go out when it has no room for them.
func TestLawHeldAnswersOfABatchAreCounted(t *testing.T) {
	const request, result = 256 << 10, 64 << 10
	up := newPeer(t)
	long := strings.Repeat("x", result/2)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayJSON(w, m.result(`{"content":[{"type":"text","text":"`+long+`"}]}`))
	}
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.Request, l.Result, l.Memory = request, result, request+4*result }})
	a := batching(r)
	calls := func(n int) string { return batchOf(n, toolCall(`"$n"`, "echo", `{}`)) }
	for range 20 { // each time all of it comes back
		if got := a.post(calls(2)); got.header.Get("Content-Type") != "application/json" || strings.Count(got.body, long) != 2 {
			t.Fatalf("two answers: %s %.300s", got.header.Get("Content-Type"), got)
		}
		if got := a.post(calls(6)); got.header.Get("Content-Type") != "text/event-stream" || strings.Count(got.body, long) != 6 {
			t.Fatalf("six answers: %s %.300s", got.header.Get("Content-Type"), got)
		}
	}
}
