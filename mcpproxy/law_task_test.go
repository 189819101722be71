package mcpproxy_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcpguard/keyring"
	"mcpguard/store/storetest"
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

// Law 7: a handshake belongs to no task, so it cannot name anybody's either.
func TestLawHandshakesNameNoTask(t *testing.T) {
	up := newTaskServer(t)
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams()})
	got := r.agent("fran", "/mcp").post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + legacyVersion +
		`","capabilities":{},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"up-0"}}}}`)
	if got.status != http.StatusBadRequest || got.header.Get("Mcp-Session-Id") != "" {
		t.Errorf("the client got %d %s", got.status, got)
	}
	if strings.Contains(up.everything(), "up-0") {
		t.Errorf("the upstream heard of the task: %s", up.everything())
	}
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
	for _, clear := range []string{`the-upstreams-id`, `the-arguments`, `\bsam\b`} { // three letters may stand in what is sealed
		if regexp.MustCompile(clear).MatchString(fmt.Sprintf("%+v", kept[0])) {
			t.Errorf("%q rests in clear", clear)
		}
	}
	if strings.Contains(fmt.Sprint(r.records()), "the-upstreams-id") {
		t.Error("the upstream's id is in the record")
	}
}
