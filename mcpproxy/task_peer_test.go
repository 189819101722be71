package mcpproxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mcpguard/mcpproxy"
)

// taskServer is an upstream that makes tasks of calls, in both shapes: of a legacy
// call with params.task, and of every modern call whose client follows tasks. It
// knows no callers: whoever has an id has the task, and tasks/list lists all.
type taskServer struct {
	*peer
	secret string // what every result and every status message holds

	mu    sync.Mutex
	tasks []string // status of each; its id is "up-" and its place
	next  string   // the next id; "" counts
}

func newTaskServer(t testing.TB) *taskServer {
	s := &taskServer{peer: newPeer(t), secret: `"ssn":"123-45-6789"`}
	s.on["tools/call"] = s.call
	s.on["tasks/get"] = func(w http.ResponseWriter, m heard) { s.answer(w, m, s.state(m, m.Params.TaskID)) }
	s.on["tasks/cancel"] = s.cancel
	s.on["tasks/update"] = func(w http.ResponseWriter, m heard) { s.answer(w, m, `{"resultType":"complete"}`) }
	s.on["tasks/result"] = func(w http.ResponseWriter, m heard) {
		s.answer(w, m, `{"content":[{"type":"text","text":"done"}],"structuredContent":{`+s.secret+`},`+
			`"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"`+m.Params.TaskID+`"}}}`)
	}
	s.on["tasks/list"] = func(w http.ResponseWriter, m heard) {
		var all []string
		for i := range s.count() {
			all = append(all, s.state(m, fmt.Sprintf("up-%d", i)))
		}
		s.answer(w, m, `{"tasks":[`+strings.Join(all, ",")+`]}`)
	}
	return s
}

func (s *taskServer) upstreams() []mcpproxy.Upstream { return []mcpproxy.Upstream{s.upstream("crm")} }

func (s *taskServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks)
}

// set gives all tasks a status.
func (s *taskServer) set(status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.tasks {
		s.tasks[i] = status
	}
}

func (s *taskServer) answer(w http.ResponseWriter, m heard, result string) {
	if result == "" {
		sayJSON(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"error":{"code":-32602,"message":"Task not found"}}`)
		return
	}
	sayJSON(w, m.result(result))
}

func isModern(m heard) bool {
	return strings.Contains(m.text, `"io.modelcontextprotocol/protocolVersion"`)
}

func (s *taskServer) call(w http.ResponseWriter, m heard) {
	if len(m.Params.Task) == 0 && !strings.Contains(m.text, `"io.modelcontextprotocol/tasks"`) {
		sayJSON(w, standard(m))
		return
	}
	s.mu.Lock()
	id := fmt.Sprintf("up-%d", len(s.tasks))
	if s.next != "" {
		id = s.next
	}
	s.tasks = append(s.tasks, "working")
	s.mu.Unlock()
	state := fmt.Sprintf(`"taskId":%q,"status":"working","createdAt":"2026-09-01T12:00:00Z","lastUpdatedAt":"2026-09-01T12:00:00Z"`, id)
	if isModern(m) {
		s.answer(w, m, `{"resultType":"task",`+state+`,"ttlMs":60000}`)
		return
	}
	s.answer(w, m, `{"task":{`+state+`,"ttl":60000}}`)
}

// state is the state of a task as its shape has it; "" is none.
func (s *taskServer) state(m heard, id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int
	if _, err := fmt.Sscanf(id, "up-%d", &n); err != nil || n >= len(s.tasks) {
		return ""
	}
	status := s.tasks[n]
	text := fmt.Sprintf(`{"taskId":%q,"status":%q,"statusMessage":%q,"createdAt":"2026-09-01T12:00:00Z","lastUpdatedAt":"2026-09-01T12:00:00Z"`,
		id, status, "{"+s.secret+"}")
	if !isModern(m) {
		return text + `,"ttl":null}`
	}
	text += `,"resultType":"complete","ttlMs":null`
	switch status {
	case "completed":
		text += `,"result":{"content":[{"type":"text","text":"done"}],"structuredContent":{` + s.secret + `}}`
	case "failed":
		text += `,"error":{"code":-32603,"message":"no","data":{` + s.secret + `}}`
	case "input_required":
		text += `,"inputRequests":{"who":{"method":"elicitation/create","params":{"message":"who?","about":{` + s.secret + `}}}}`
	}
	return text + "}"
}

func (s *taskServer) cancel(w http.ResponseWriter, m heard) {
	s.set("cancelled")
	if isModern(m) {
		s.answer(w, m, `{"resultType":"complete"}`)
		return
	}
	s.answer(w, m, s.state(m, m.Params.TaskID))
}

// start calls a tool as a task and returns the task's id as the agent has it.
func (a *agent) start(id, tool, args string) string {
	a.t.Helper()
	got := a.asTask(id, tool, args)
	task := got.get("result.task.taskId").String() + got.get("result.taskId").String()
	if task == "" {
		a.t.Fatalf("%s as a task: %s", tool, got)
	}
	return task
}

// asTask calls a tool that may become a task, in the shape of the agent's era.
func (a *agent) asTask(id, tool, args string) answered {
	a.t.Helper()
	if a.session == "" {
		return a.modern(declaring(a.t, toolCall(id, tool, args)))
	}
	return a.post(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + args + `,"task":{"ttl":60000}}}`)
}

// about sends a request about a task.
func (a *agent) about(id, method, task string) answered {
	a.t.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{"taskId":%q}}`, id, method, task)
	if a.session == "" {
		return a.modern(declaring(a.t, body))
	}
	return a.post(body)
}
