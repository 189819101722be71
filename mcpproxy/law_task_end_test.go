package mcpproxy_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

// Law 2: making the task is the call's outcome, and how the task ended is another,
// once, durable before the client hears of it. Without an end, nobody knows.
func TestLawTaskEndsAreRecorded(t *testing.T) {
	for _, c := range []struct{ status, method, want string }{
		{"working", "tasks/get", "task"},
		{"completed", "tasks/get", "task ok"},
		{"failed", "tasks/get", "task error"},
		{"cancelled", "tasks/get", "task cancelled"},
		{"completed", "legacy tasks/get", "task"},
		{"completed", "legacy tasks/result", "task ok"},
		{"working", "legacy tasks/cancel", "task cancelled"},
	} {
		t.Run(c.method+" "+c.status, func(t *testing.T) {
			up := newTaskServer(t)
			r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
			sam := r.agent("sam", "/mcp")
			method, legacy := strings.CutPrefix(c.method, "legacy ")
			if legacy {
				sam = r.legacy("sam", "/mcp")
			}
			task := sam.start("1", "echo", say("hi"))
			up.set(c.status)
			sam.about("2", method, task)
			sam.about("3", method, task)
			intents := r.recorded(audit.Intent)
			if len(intents) != 3 {
				t.Fatalf("%d intents, want one of the call and one of each request about its task", len(intents))
			}
			var ends []string
			for _, rec := range r.recorded(audit.Outcome) {
				if rec.Call == intents[0].Call {
					ends = append(ends, rec.Outcome.String())
				}
			}
			if got := strings.Join(ends, " "); got != c.want {
				t.Errorf("the call ended: %s; want %s", got, c.want)
			}
			for _, rec := range intents[1:] {
				if rec.Task != intents[0].Call || rec.Call == rec.Task || rec.Method != method || rec.Target != "echo" {
					t.Errorf("a request about the task is recorded as %s of %q, task %s", rec.Method, rec.Target, rec.Task)
				}
			}
		})
	}
}

// Law 2: what cannot be recorded or remembered is not answered.
func TestLawNoRecordNoTask(t *testing.T) {
	inBothShapes(t, func(t *testing.T, agentOf func(*rig, string) *agent) {
		up := newTaskServer(t)
		broken := toolcall.OutcomeUnknown
		r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams(), watch: func(es []audit.Entry) error {
			if slices.ContainsFunc(es, func(e audit.Entry) bool { return broken != 0 && e.Outcome == broken }) {
				return storetest.ErrDisk
			}
			return nil
		}})
		sam := agentOf(r, "sam")
		task := sam.start("1", "echo", say("hi"))
		up.set("completed")
		broken = toolcall.OutcomeOK
		method := "tasks/result"
		if sam.session == "" {
			method = "tasks/get"
		}
		if got := sam.about("2", method, task); got.get("result").Exists() {
			t.Errorf("an end that is not in the record: %s", got)
		}
	})
}

// Law 7: a task that is not remembered is not told of.
func TestLawForgottenTasksAreWithheld(t *testing.T) {
	inBothShapes(t, func(t *testing.T, agentOf func(*rig, string) *agent) {
		up := newTaskServer(t)
		r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams(),
			archive: func(a archive) mcpproxy.Archive { return forgetful{a} }})
		if got := agentOf(r, "sam").asTask("1", "echo", say("hi")); strings.Contains(got.body, `"taskId"`) || got.reason() == "" {
			t.Errorf("the client got %s", got)
		}
		if got := r.outcomes(); got != "withheld" {
			t.Errorf("outcomes: %s", got)
		}
	})
}

// forgetful keeps no tasks.
type forgetful struct{ archive }

func (forgetful) KeepTask(context.Context, toolcall.Task, int) (toolcall.Task, error) {
	return toolcall.Task{}, storetest.ErrDisk
}

// Law 14: one caller's open tasks are bounded. Beyond that a client that asks for
// a task is refused, and a server is not told that it may make one.
func TestLawOpenTasksAreBounded(t *testing.T) {
	inBothShapes(t, func(t *testing.T, agentOf func(*rig, string) *agent) {
		up := newTaskServer(t)
		r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams(), limits: func(l *mcpproxy.Limits) { l.TasksPerCaller = 2 }})
		sam, fran := agentOf(r, "sam"), agentOf(r, "fran")
		sam.start("1", "echo", say("hi"))
		last := sam.start("2", "echo", say("hi"))
		got := sam.asTask("3", "echo", say("third"))
		if sam.session != "" && got.get("error.code").Int() != -32602 || sam.session == "" && got.get("result.structuredContent.text").Str != "third" {
			t.Errorf("one too many: %s", got)
		}
		if up.count() != 2 {
			t.Errorf("the upstream made %d tasks", up.count())
		}
		if got := fran.asTask("2", "echo", say(strings.Repeat("x", 65<<10))); strings.Contains(got.body, `"taskId"`) {
			t.Errorf("more arguments than are kept: %.200s", got)
		}
		fran.start("1", "echo", say("hi")) // it is not her bound
		up.set("cancelled")
		sam.about("4", "tasks/get", last)
		sam.start("5", "echo", say("hi"))
	})
}

// Law 14: so are the tasks of all callers together.
func TestLawAllOpenTasksAreBounded(t *testing.T) {
	up := newTaskServer(t)
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams(), limits: func(l *mcpproxy.Limits) { l.Tasks = 1 }})
	r.legacy("sam", "/mcp").start("1", "echo", say("hi"))
	if got := r.legacy("fran", "/mcp").asTask("1", "echo", say("hi")); got.get("error.code").Int() != -32602 || up.count() != 1 {
		t.Errorf("one too many: %s", got)
	}
}

// A policy that comes while an answer is waited for judges it, and masks it.
func TestLawTasksAreJudgedAtTheirAnswer(t *testing.T) {
	for name, c := range map[string]struct{ policy, want string }{
		"denied": {`{version: 1, roles: {everyone: {allow: [crm/get_customer]}}}`, ""},
		"masked": {`{version: 1, roles: {everyone: {allow: ["crm/*"], redact: [more]}}, redactions: {pii: {paths: ["**.ssn"]}, more: {paths: ["**.name"]}}}`,
			`{"ssn":"[redacted]","name":"[redacted]"}`},
	} {
		t.Run(name, func(t *testing.T) {
			up := newTaskServer(t)
			up.secret += `,"name":"Ada Lovelace"`
			r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
			sam := r.legacy("sam", "/mcp")
			task := sam.start("1", "echo", say("hi"))
			answer := up.on["tasks/result"]
			up.on["tasks/result"] = func(w http.ResponseWriter, m heard) {
				r.engine.Swap(compile(t, c.policy))
				answer(w, m)
			}
			got := sam.about("2", "tasks/result", task)
			if strings.Contains(got.body, theSecret) || strings.Contains(got.body, "Ada") || got.get("result.structuredContent").Raw != c.want {
				t.Errorf("the answer: %s", got)
			}
		})
	}
}

// A tool that its upstream does not offer any more has no tasks.
func TestTasksGoWithTheirTool(t *testing.T) {
	up := newTaskServer(t)
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
	sam := r.agent("sam", "/mcp")
	task := sam.start("1", "echo", say("hi"))
	up.on["tools/list"] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(`{"tools":[]}`)) }
	r.clock.forward(6 * time.Minute) // the catalogue is old
	if got := sam.about("2", "tasks/get", task); !notFound(got) {
		t.Errorf("tasks/get: %s", got)
	}
}

// Servers quote the id that they were asked for: the client finds its own there.
func TestErrorsQuoteTheClientsTaskID(t *testing.T) {
	up := newTaskServer(t)
	up.next = "the-upstreams-id"
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
	sam := r.legacy("sam", "/mcp")
	task := sam.start("1", "echo", say("hi"))
	up.on["tasks/get"] = func(w http.ResponseWriter, m heard) {
		sayJSON(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"error":{"code":-32602,"message":"Task not found: `+m.Params.TaskID+`"}}`)
	}
	if got := sam.about("2", "tasks/get", task).reason(); got != "Task not found: "+task {
		t.Errorf("the error: %s", got)
	}
}

// An error of tasks/result is how the call ended, unless it says that the upstream
// does not know the task (any more): then nobody knows.
func TestErrorsOfTaskResults(t *testing.T) {
	for code, want := range map[string]string{"-32603": "task error error", "-32602": "task error"} {
		t.Run(code, func(t *testing.T) {
			up := newTaskServer(t)
			r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
			sam := r.legacy("sam", "/mcp")
			task := sam.start("1", "echo", say("hi"))
			up.on["tasks/result"] = func(w http.ResponseWriter, m heard) {
				sayJSON(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"error":{"code":`+code+`,"message":"no"}}`)
			}
			if got := sam.about("2", "tasks/result", task); got.reason() != "no" {
				t.Errorf("the client got %s", got)
			}
			if got := r.outcomes(); got != want {
				t.Errorf("outcomes: %s; want %s", got, want)
			}
		})
	}
}

// A refusal of a call as a task is an error: a result of the tool would be no
// answer to it.
func TestRefusedTasksAreErrors(t *testing.T) {
	up := newTaskServer(t)
	r := newRig(t, setup{policy: strings.Replace(taskPolicy, "crm/echo,", "{tool: crm/echo, args: {text: {equals: hi}}},", 1), upstreams: up.upstreams()})
	sam := r.legacy("sam", "/mcp")
	got := sam.asTask("1", "echo", say("no"))
	if got.get("error.code").Int() != -32602 || !strings.HasPrefix(got.reason(), "Denied by mcpguard") {
		t.Errorf("denied: %s", got)
	}
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(`{"task":{"status":"working"}}`)) }
	if got := sam.asTask("2", "echo", say("hi")); !got.get("error").Exists() {
		t.Errorf("withheld: %s", got)
	}
}

// An id that an upstream gives to two callers' calls belongs to neither: each could
// read what is the other's.
func TestLawATaskIDGivenTwiceIsNobodys(t *testing.T) {
	inBothShapes(t, func(t *testing.T, agentOf func(*rig, string) *agent) {
		up := newTaskServer(t)
		up.next = "up-0"
		r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
		sam, fran := agentOf(r, "sam"), agentOf(r, "fran")
		task := sam.start("1", "echo", say("hi"))
		if again := sam.start("2", "echo", say("hi")); again != task {
			t.Error("the same task of the same caller has two ids")
		}
		if got := sam.asTask("8", "echo", say("other")); strings.Contains(got.body, `"taskId"`) {
			t.Errorf("another call of the same caller: %s", got)
		}
		task = sam.start("9", "echo", say("hi"))
		if got := fran.asTask("1", "echo", say("hi")); strings.Contains(got.body, `"taskId"`) {
			t.Errorf("the second caller: %s", got)
		}
		if got := sam.about("3", "tasks/get", task); !notFound(got) {
			t.Errorf("the first caller: %s", got)
		}
		theirs := fran.start("2", "echo", say("hi"))
		if got := sam.about("4", "tasks/get", task); !notFound(got) {
			t.Errorf("the first caller has the third task: %s", got)
		}
		if got := fran.about("3", "tasks/get", theirs); got.get("result.taskId").String() != theirs {
			t.Errorf("the third task: %s", got)
		}
	})
}
