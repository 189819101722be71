package mcpproxy_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/mark3labs/mcp-go/server/servertest"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

// Each process of a stdio server counts its tasks for itself: an id is good in the
// session whose process gave it.
func TestTasksOfAProcessStayInItsSession(t *testing.T) {
	r := newRig(t, setup{policy: taskPolicy, upstreams: []mcpproxy.Upstream{stdioUpstream(t, "crm", "standard")}})
	one, other := r.legacy("sam", "/mcp"), r.legacy("sam", "/mcp")
	first := one.start("1", "echo", say("task"))
	second := other.start("1", "echo", say("task"))
	if first == second {
		t.Fatal("two tasks have one id")
	}
	a, b := one.about("2", "tasks/result", first), other.about("2", "tasks/result", second)
	if pid := a.get("result.structuredContent.pid").Int(); pid == 0 || pid == b.get("result.structuredContent.pid").Int() {
		t.Errorf("the results: %s\n%s", a, b)
	}
	if got := other.about("3", "tasks/result", first); !notFound(got) {
		t.Errorf("in another session: %s", got)
	}
}

// A task says nothing that the protocol does not have in its place.
func TestTaskStatesThatAreNone(t *testing.T) {
	const head = `"resultType":"complete","taskId":"up-0",`
	for name, state := range map[string]string{
		"another task":                      `"resultType":"complete","taskId":"up-1","status":"working"`,
		"no task":                           `"resultType":"complete","status":"working"`,
		"a task in a task":                  `"resultType":"task","taskId":"up-0","status":"working"`,
		"a result while it works":           head + `"status":"working","result":{"content":[]}`,
		"an error when it is done":          head + `"status":"completed","result":{"content":[]},"error":{"code":1,"message":"x"}`,
		"a result that is none":             head + `"status":"completed","result":[1]`,
		"a result with a name twice folded": head + `"status":"completed","result":{"content":[],"StructuredContent":{"ssn":"x"}}`,
		"a state with a folded name":        head + `"status":"completed","Result":{"content":[]}`,
		"a result that asks":                head + `"status":"completed","result":{"inputRequests":{"a":{"method":"roots/list"}}}`,
		"a result that is a task":           head + `"status":"completed","result":{"resultType":"task","taskId":"up-9"}`,
		"questions when it works":           head + `"status":"working","inputRequests":{"a":{"method":"roots/list"}}`,
		"questions as an array":             head + `"status":"input_required","inputRequests":[1]`,
		"a request state":                   head + `"status":"input_required","inputRequests":{},"requestState":"raw"`,
	} {
		t.Run(name, func(t *testing.T) {
			up := newTaskServer(t)
			up.on["tasks/get"] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result("{"+state+"}")) }
			r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
			sam := r.agent("sam", "/mcp")
			task := sam.start("1", "echo", say("hi"))
			if got := sam.about("2", "tasks/get", task); !got.get("error").Exists() || got.get("result").Exists() {
				t.Errorf("the client got %s", got)
			}
			if got := r.outcomes(); got != "task withheld" {
				t.Errorf("outcomes: %s", got)
			}
		})
	}
}

// A call is a task only where the client said that it can be one.
func TestTasksThatNobodyAskedFor(t *testing.T) {
	up := newTaskServer(t)
	up.on["tools/call"] = up.call
	up.on["prompts/get"] = func(w http.ResponseWriter, m heard) {
		sayJSON(w, m.result(`{"resultType":"task","taskId":"up-7","status":"working"}`))
	}
	r := newRig(t, setup{policy: strings.Replace(taskPolicy, "crm/echo,", `crm/echo, {prompt: "crm/*"}, {method: "crm/*"},`, 1), upstreams: up.upstreams()})
	sam := r.agent("sam", "/mcp")
	got := sam.modern(declaring(t, `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"reply"}}`))
	if strings.Contains(got.body, "up-7") {
		t.Errorf("a prompt became a task: %s", got)
	}
	got = sam.modern(declaring(t, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{},"task":{}}}`))
	if !got.get("error").Exists() {
		t.Errorf("params.task in 2026-07-28: %s", got)
	}
	old := r.agent("sam", "/mcp")
	begun := old.post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"probe","version":"1"}}}`)
	old.session = begun.header.Get("Mcp-Session-Id")
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{},"task":{}}}`,
		`{"jsonrpc":"2.0","id":4,"method":"vendor/thing","params":{"task":{}}}`,
		`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"echo","arguments":{},"task":1}}`,
	} {
		if got := old.post(body); !got.get("error").Exists() {
			t.Errorf("%s: %s", body, got)
		}
	}
	if n := len(up.all("tools/call")) + len(up.all("vendor/thing")); n != 0 {
		t.Errorf("%d of them reached the upstream", n)
	}
}

// A server that asks the client for something as a task of the client is refused.
func TestClientsTasksAreRefused(t *testing.T) {
	up := newTaskServer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage","params":{"messages":[],"task":{}}}`, standard(m))
	}
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
	if got := r.legacy("sam", "/mcp").call("1", "echo", say("hi")); strings.Contains(got.body, "sampling") {
		t.Errorf("the client was asked: %s", got)
	}
	eventually(t, "the server has its answer", func() bool { return strings.Contains(up.everything(), `"id":5,"error"`) })
}

// tasks/result comes when the task has ended, however long that takes; a client
// that has gone is not waited for.
func TestTaskResultsAreWaitedFor(t *testing.T) {
	up := newTaskServer(t)
	gone := make(chan struct{})
	up.on["tasks/result"] = func(w http.ResponseWriter, m heard) {
		if m.Params.TaskID == "up-0" {
			time.Sleep(2500 * time.Millisecond) // longer than the upstream may be silent
			sayJSON(w, m.result(`{"content":[]}`))
			return
		}
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"waiting"}}`)
		flush := http.NewResponseController(w)
		for range 20_000 { // until the proxy has hung up
			if _, err := w.Write([]byte(": \n\n")); err != nil || flush.Flush() != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		close(gone)
	}
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams(), limits: func(l *mcpproxy.Limits) { l.Timeout = 2 * time.Second }})
	sam := r.legacy("sam", "/mcp")
	first, second := sam.start("1", "echo", say("hi")), sam.start("2", "echo", say("hi"))
	if got := sam.about("3", "tasks/result", first); !got.get("result.content").Exists() {
		t.Errorf("a slow task: %s", got)
	}
	s := sam.open(sam.request(t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":4,"method":"tasks/result","params":{"taskId":"`+second+`"}}`))
	s.next()
	s.hangUp()
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Fatal("the upstream is still waited for")
	}
	eventually(t, "the wait is in the record", func() bool { return r.outcomes() == "task task ok ok cancelled" })
}

// A server of mcp-go that makes tasks works through the proxy as it is.
func TestTasksOfAnMCPGoServer(t *testing.T) {
	s := server.NewMCPServer("crm", "1", server.WithTaskCapabilities(true, true, true))
	tool := mcp.NewTool("echo", mcp.WithString("text"), mcp.WithTaskSupport(mcp.TaskSupportOptional))
	s.AddTaskTool(tool, func(context.Context, mcp.CallToolRequest) (*mcp.CreateTaskResult, error) {
		return &mcp.CreateTaskResult{StructuredContent: map[string]any{"ssn": theSecret},
			Content: []mcp.Content{mcp.NewTextContent(`{"ssn":"` + theSecret + `"}`)}}, nil
	})
	door := servertest.NewTestStreamableHTTPServer(s)
	t.Cleanup(door.Close)
	r := newRig(t, setup{policy: taskPolicy, upstreams: []mcpproxy.Upstream{{Name: "crm", URL: door.URL + "/mcp"}}})
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	made := sam.post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},"task":{}}}`)
	task := made.get("result.task.taskId").String() // without a ttl: mcp-go would sleep for it
	eventually(t, "the task is done", func() bool {
		got := sam.about("2", "tasks/get", task)
		if got.get("result.taskId").String() != task {
			t.Fatalf("tasks/get: %s", got)
		}
		return got.get("result.status").String() == "completed"
	})
	got := sam.about("3", "tasks/result", task)
	if got.get("result.structuredContent.ssn").String() != "[redacted]" || strings.Contains(got.body, theSecret) {
		t.Errorf("tasks/result: %s", got)
	}
	if got := sam.post(`{"jsonrpc":"2.0","id":4,"method":"tasks/list"}`); got.get("result.tasks.0.taskId").String() != task {
		t.Errorf("tasks/list: %s", got)
	}
	if got := fran.about("3", "tasks/result", task); !notFound(got) {
		t.Errorf("somebody else: %s", got)
	}
	if n := len(r.recorded(audit.Refusal)); n != 1 {
		t.Errorf("%d refusals, want the one of somebody else", n)
	}
}
