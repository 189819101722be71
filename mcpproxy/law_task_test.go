package mcpproxy_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/mcpproxy"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

const taskPolicy = `version: 1
roles:
  support: {groups: [support], redact: [pii], allow: [crm/get_customer, crm/echo, {request: crm/*}]}
  finance: {groups: [finance], redact: [pii], allow: ["crm/*", {request: crm/*}]}
redactions:
  pii: {paths: ["**.ssn"], replace: mask}
`

const theSecret = "123-45-6789"

// notFound is what everybody gets about a task that is not theirs.
func notFound(got answered) bool {
	return got.get("error.code").Int() == -32602 && got.reason() == "Task not found"
}

// inBothShapes runs a test with an agent of each era.
func inBothShapes(t *testing.T, test func(t *testing.T, agentOf func(r *rig, name string) *agent)) {
	t.Run("legacy", func(t *testing.T) {
		test(t, func(r *rig, name string) *agent { return r.legacy(name, "/mcp") })
	})
	t.Run("modern", func(t *testing.T) {
		test(t, func(r *rig, name string) *agent { return r.agent(name, "/mcp") })
	})
}

// Law 7: a task belongs to the caller whose call made it, in all their sessions.
// For anybody else, and by the upstream's own id, it does not exist; nothing of
// that goes upstream.
func TestLawTasksBelongToTheirCaller(t *testing.T) {
	inBothShapes(t, func(t *testing.T, agentOf func(*rig, string) *agent) {
		up := newTaskServer(t)
		r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
		sam, again, fran := agentOf(r, "sam"), agentOf(r, "sam"), agentOf(r, "fran")
		task := sam.start("1", "echo", say("hi"))
		methods := []string{"tasks/get", "tasks/cancel", "tasks/result"}
		if sam.session == "" {
			methods[2] = "tasks/update"
		}
		for _, method := range methods {
			for what, got := range map[string]answered{
				"somebody else":    fran.about("2", method, task),
				"the upstream's":   sam.about("3", method, "up-0"),
				"a changed id":     sam.about("4", method, task[:len(task)-2]+"AA"),
				"an empty id":      sam.about("5", method, ""),
				"no sealed string": sam.about("6", method, "%"),
			} {
				if !notFound(got) {
					t.Errorf("%s with %s: %s", method, what, got)
				}
			}
			if n := len(up.all(method)); n != 0 {
				t.Errorf("%s reached the upstream %d times", method, n)
			}
		}
		if got := again.about("7", "tasks/get", task); got.get("result.taskId").String() != task {
			t.Errorf("the caller's other session: %s", got)
		}
		if strings.Contains(sam.about("8", "tasks/get", task).body, `"up-0"`) {
			t.Error("the upstream's id reached the client")
		}
	})
}

// Law 7: tasks/list has the caller's own tasks, under the ids that they were given.
func TestLawTaskListsAreTheCallersOwn(t *testing.T) {
	up := newTaskServer(t)
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	first := sam.start("1", "echo", say("hi"))
	theirs := fran.start("1", "refund", `{"amount":1}`)
	second := sam.start("2", "get_customer", `{"id":7}`)
	list := func(a *agent) string {
		got := a.post(`{"jsonrpc":"2.0","id":9,"method":"tasks/list"}`)
		if strings.Contains(got.body, "up-") || strings.Contains(got.body, theSecret) {
			t.Errorf("the list gives away what it should not: %s", got)
		}
		return got.get("result.tasks.#.taskId").String()
	}
	if got, want := list(sam), fmt.Sprintf("[%q,%q]", first, second); got != want {
		t.Errorf("sam's tasks: %s\nwant %s", got, want)
	}
	if got, want := list(fran), fmt.Sprintf("[%q]", theirs); got != want {
		t.Errorf("fran's tasks: %s\nwant %s", got, want)
	}
}

// Law 6: whatever an upstream says of a task is redacted like an answer to the
// call that made it, on every road.
func TestLawTasksAreRedacted(t *testing.T) {
	inBothShapes(t, func(t *testing.T, agentOf func(*rig, string) *agent) {
		up := newTaskServer(t)
		r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
		sam := agentOf(r, "sam")
		task := sam.start("1", "echo", say("hi"))
		id := 2
		check := func(what, method string) {
			t.Helper()
			id++
			got := sam.about(fmt.Sprint(id), method, task)
			if got.get("error.code").Exists() || strings.Contains(got.body, theSecret) {
				t.Errorf("%s: %s", what, got)
			}
		}
		statuses := []string{"working", "completed", "failed", "cancelled"}
		if sam.session == "" {
			statuses = append(statuses, "input_required")
		} else {
			check("the result", "tasks/result")
		}
		for _, status := range statuses {
			up.set(status)
			check(status, "tasks/get")
		}
		check("a cancellation", "tasks/cancel")
		for _, rec := range r.records() {
			if strings.Contains(rec.Result.String()+rec.Args.String(), theSecret) {
				t.Errorf("the record has the secret: %+v", rec.Result)
			}
		}
	})
}

// Law 6: notifications about a task, and messages that belong to one, reach its
// caller alone, redacted.
func TestLawTaskNotificationsReachTheirCallerAlone(t *testing.T) {
	up := newTaskServer(t)
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	task := sam.start("1", "echo", say("hi"))
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		const related = `"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"up-0"}}`
		sayEvents(w,
			`{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"up-0","status":"working","statusMessage":"{\"ssn\":\"123-45-6789\"}"}}`,
			`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"ssn":"123-45-6789"},`+related+`}}`,
			`{"jsonrpc":"2.0","id":5,"method":"elicitation/create","params":{"message":"{\"ssn\":\"123-45-6789\"}",`+related+`}}`,
			standard(m))
	}
	got := sam.call("2", "echo", say("there"))
	if strings.Count(got.body, task) != 3 || strings.Contains(got.body, "up-0") || strings.Contains(got.body, theSecret) {
		t.Errorf("the task's caller hears %s", got)
	}
	got = fran.call("2", "echo", say("there"))
	if len(got.messages()) != 1 || strings.Contains(got.body, "up-0") {
		t.Errorf("somebody else hears %s", got)
	}
	eventually(t, "the question to somebody else is answered", func() bool { return strings.Contains(up.everything(), `"id":5,"error"`) })
}

// Law 6: the profiles that applied to the call apply to its task, whatever the
// policy says later; with one that is gone, nothing leaves.
func TestLawTasksKeepTheirRedactions(t *testing.T) {
	inBothShapes(t, func(t *testing.T, agentOf func(*rig, string) *agent) {
		up := newTaskServer(t)
		r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
		sam := agentOf(r, "sam")
		task := sam.start("1", "echo", say("hi"))
		up.set("completed")
		fetch := "tasks/result"
		if sam.session == "" {
			fetch = "tasks/get"
		}
		r.engine.Swap(compile(t, `{version: 1, roles: {everyone: {allow: ["crm/*"], redact: [text]}},
			redactions: {pii: {paths: ["**.ssn"]}, text: {paths: ["**.text", "content.0.text"]}}}`))
		got := sam.about("2", fetch, task)
		if got.get("error").Exists() || strings.Contains(got.body, theSecret) {
			t.Errorf("the profile of then does not apply: %s", got)
		}
		r.engine.Swap(compile(t, `{version: 1, roles: {everyone: {allow: ["crm/*"]}}}`))
		if got := sam.about("3", fetch, task); !got.get("error").Exists() || strings.Contains(got.body, theSecret) {
			t.Errorf("with a profile that is gone: %s", got)
		}
	})
}

// Law 4: today's policy judges a task as the call that made it. Whoever may not
// make that call any more has no such task, on any road.
func TestLawTasksAreJudgedToday(t *testing.T) {
	for name, policy := range map[string]string{
		"the tool is hidden":         `{version: 1, roles: {everyone: {allow: [crm/get_customer]}}}`,
		"the tool is denied":         `{version: 1, roles: {everyone: {allow: ["crm/*"], deny: [{tool: crm/echo, because: closed}]}}}`,
		"these arguments are denied": `{version: 1, roles: {everyone: {allow: ["crm/*"], deny: [{tool: crm/echo, args: {text: {equals: hi}}}]}}}`,
		"there is no policy":         "",
	} {
		t.Run(name, func(t *testing.T) {
			inBothShapes(t, func(t *testing.T, agentOf func(*rig, string) *agent) {
				up := newTaskServer(t)
				r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
				sam := agentOf(r, "sam")
				task := sam.start("1", "echo", say("hi"))
				r.engine.Swap(compile(t, policy))
				methods := []string{"tasks/get", "tasks/cancel"}
				if sam.session != "" {
					methods = append(methods, "tasks/result")
					if got := sam.post(`{"jsonrpc":"2.0","id":9,"method":"tasks/list"}`); got.get("result.tasks.#").Int() != 0 {
						t.Errorf("tasks/list: %s", got)
					}
				} else {
					methods = append(methods, "tasks/update")
				}
				for _, method := range methods {
					if got := sam.about("2", method, task); !notFound(got) {
						t.Errorf("%s: %s", method, got)
					}
					if n := len(up.all(method)); n != 0 {
						t.Errorf("%s reached the upstream", method)
					}
				}
			})
		})
	}
}

// A call that needs a person now gets no more input for its task; what it said can
// still be read.
func TestTaskUpdatesNeedWhatTheCallNeeds(t *testing.T) {
	up := newTaskServer(t)
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
	sam := r.agent("sam", "/mcp")
	task := sam.start("1", "echo", say("hi"))
	r.engine.Swap(compile(t, `{version: 1, redactions: {pii: {paths: ["**.ssn"]}},
		roles: {everyone: {allow: ["crm/*"], approve: [{tool: crm/echo, by: [finance], within: 15m}]}}}`))
	if got := sam.about("2", "tasks/update", task); got.get("error.code").Int() != -32602 || notFound(got) {
		t.Errorf("tasks/update: %s", got)
	}
	if n := len(up.all("tasks/update")); n != 0 {
		t.Error("tasks/update reached the upstream")
	}
	if got := sam.about("3", "tasks/get", task); got.get("result.taskId").String() != task {
		t.Errorf("tasks/get: %s", got)
	}
}

// Law 7: a task outlives the process that gave its id away, for its owner alone,
// and not its time.
func TestLawTasksSurviveARestart(t *testing.T) {
	inBothShapes(t, func(t *testing.T, agentOf func(*rig, string) *agent) {
		store, keys, up := &storetest.Memory{}, keyring.NewEphemeral(), newTaskServer(t)
		start := func() *rig {
			return newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams(), store: store, keys: keys})
		}
		first := start()
		task := agentOf(first, "sam").start("1", "echo", say("hi"))
		first.close()

		second := start()
		if got := agentOf(second, "sam").about("2", "tasks/get", task); got.get("result.taskId").String() != task || strings.Contains(got.body, theSecret) {
			t.Errorf("after a restart: %s", got)
		}
		if got := agentOf(second, "fran").about("2", "tasks/get", task); !notFound(got) {
			t.Errorf("somebody else, after a restart: %s", got)
		}
		second.clock.forward(8 * 24 * time.Hour)
		if got := agentOf(second, "sam").about("3", "tasks/get", task); !notFound(got) {
			t.Errorf("past its time: %s", got)
		}
		second.close()
		if got := agentOf(newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams(), store: store}), "sam").about("4", "tasks/get", task); !notFound(got) {
			t.Errorf("with other keys: %s", got)
		}
	})
}

// Law 5: what rests of a task tells nothing of the call and the upstream's id.
func TestLawTasksRestSealed(t *testing.T) {
	up := newTaskServer(t)
	up.next = "the-upstreams-id"
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
	r.agent("sam", "/mcp").start("1", "echo", say("the-arguments"))
	kept := r.store.Tasks()
	if len(kept) != 1 || kept[0].Args == "" || kept[0].Handle == "" {
		t.Fatalf("kept: %+v", kept)
	}
	for _, clear := range []string{"the-upstreams-id", "the-arguments", "sam"} {
		if strings.Contains(fmt.Sprintf("%+v", kept[0]), clear) {
			t.Errorf("%q rests in clear", clear)
		}
	}
	if strings.Contains(fmt.Sprint(r.records()), "the-upstreams-id") {
		t.Error("the upstream's id is in the record")
	}
}

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
