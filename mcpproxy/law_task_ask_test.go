package mcpproxy_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"mcpguard/keyring"
	"mcpguard/mcpproxy"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

// Law 7: the acknowledgement of tasks/update and tasks/cancel is no road by which
// a server asks the client for what no rule allows, or hands it its own handles.
func TestLawAcknowledgementsOfTasksAskNothing(t *testing.T) {
	const question = `"inputRequests":{"a":{"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}}`
	for name, answer := range map[string]string{
		"a question":             `{"resultType":"input_required",` + question + `,"requestState":"raw-state"}`,
		"a question, undeclared": `{` + question + `}`,
		"a state alone":          `{"resultType":"complete","requestState":"raw-state"}`,
		"a task in it":           `{"resultType":"complete","content":[],"task":{"taskId":"up-raw-id","status":"working"}}`,
		"a folded state":         `{"resultType":"complete","TaskId":"up-raw-id"}`,
		"a list of tasks":        `{"resultType":"complete","tasks":[{"taskId":"up-raw-id"}]}`,
	} {
		for _, method := range []string{"tasks/update", "tasks/cancel"} {
			t.Run(name+" to "+method, func(t *testing.T) {
				up := newTaskServer(t)
				up.on[method] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(answer)) }
				r := newRig(t, setup{policy: strings.ReplaceAll(taskPolicy, ", {request: crm/*}", ""), upstreams: up.upstreams()})
				sam := r.agent("sam", "/mcp")
				task := sam.start("1", "echo", say("hi"))
				got := sam.about("2", method, task)
				for _, leak := range []string{"sampling", "raw-state", "up-raw-id"} {
					if strings.Contains(got.body, leak) {
						t.Errorf("the client got %s", got)
					}
				}
				if got.get("error").Type.String() == "Null" {
					t.Errorf("the client got %s", got)
				}
				if got := r.outcomes(); got != "task withheld" {
					t.Errorf("outcomes: %s", got)
				}
			})
		}
	}
}

// Law 7: an answer in tasks/update is to what the task asked for last, by its key,
// after a restart too. Under any other key nothing goes upstream.
func TestLawTasksGetAnswersToWhatTheyAsked(t *testing.T) {
	up := newTaskServer(t)
	asks := func(keys string) {
		up.on["tasks/get"] = func(w http.ResponseWriter, m heard) {
			sayJSON(w, m.result(`{"resultType":"complete","taskId":"up-0","status":"input_required","createdAt":"2026-09-01T12:00:00Z",`+
				`"lastUpdatedAt":"2026-09-01T12:00:00Z","ttlMs":null`+keys+`}`))
		}
	}
	const who = `{"method":"elicitation/create","params":{"message":"who?"}}`
	store, keys := &storetest.Memory{}, keyring.NewEphemeral()
	start := func() (*rig, *agent) {
		r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams(), store: store, keys: keys})
		return r, r.agent("sam", "/mcp")
	}
	r, sam := start()
	task := sam.start("1", "echo", say("hi"))
	passed := 0
	for i, step := range []struct {
		what, asks, answers string // asks "-": the task is not looked at
		passes              bool
	}{
		{"nothing was asked", "-", `{"a":{"action":"accept"}}`, false},
		{"no answer at all", "-", `{}`, true},
		{"asked", `,"inputRequests":{"a":` + who + `,"b":` + who + `}`, `{"a":{"action":"accept"}}`, true},
		{"both", "-", `{"b":{"action":"accept"},"a":{"action":"accept"}}`, true},
		{"one that was not asked", "-", `{"a":{"action":"accept"},"c":{"action":"accept"}}`, false},
		{"another case", "-", `{"A":{"action":"accept"}}`, false},
		{"said nothing new", ``, `{"a":{"action":"accept"}}`, true},
		{"after a restart", "restart", `{"a":{"action":"accept"}}`, true},
		{"not asked, after a restart", "-", `{"c":{"action":"accept"}}`, false},
		{"asked for another", `,"inputRequests":{"c":` + who + `}`, `{"c":{"action":"accept"}}`, true},
		{"asked for before", "-", `{"a":{"action":"accept"}}`, false},
		{"asked for nothing", `,"inputRequests":{}`, `{"c":{"action":"accept"}}`, false},
		{"too long a name", `,"inputRequests":{"` + strings.Repeat("k", 16<<10) + `":` + who + `}`, `{"` + strings.Repeat("k", 16<<10) + `":{}}`, false},
	} {
		switch step.asks {
		case "-":
		case "restart":
			r.close()
			r, sam = start()
		default:
			asks(step.asks)
			sam.about("2", "tasks/get", task)
		}
		got := sam.modern(declaring(t, `{"jsonrpc":"2.0","id":3,"method":"tasks/update","params":{"taskId":"`+task+`","inputResponses":`+step.answers+`}}`))
		if step.passes {
			passed++
		}
		if step.passes == got.get("error").Exists() || !step.passes && got.get("error.code").Int() != -32602 {
			t.Errorf("%d, %s: %s", i, step.what, got)
		}
		if n := len(up.all("tasks/update")); n != passed {
			t.Fatalf("%d, %s: %d of %d updates reached the upstream", i, step.what, n, passed)
		}
	}
	for _, kept := range store.Tasks() {
		if kept.Asked == "" || strings.Contains(kept.Asked, `"c"`) {
			t.Errorf("kept of what was asked: %q", kept.Asked)
		}
	}
}

// askless is an archive that cannot keep what tasks ask.
type askless struct{ mcpproxy.Archive }

func (askless) AskTask(context.Context, toolcall.ID, string) error { return storetest.ErrDisk }

// Law 2: what a task asks is kept before its client hears of it. Otherwise the
// answer could not be told from one to nothing.
func TestLawTasksAskNothingThatIsNotKept(t *testing.T) {
	up := newTaskServer(t)
	r := newRig(t, setup{policy: taskPolicy, upstreams: up.upstreams(),
		archive: func(a archive) mcpproxy.Archive { return askless{a} }})
	sam := r.agent("sam", "/mcp")
	task := sam.start("1", "echo", say("hi"))
	up.set("input_required")
	if got := sam.about("2", "tasks/get", task); strings.Contains(got.body, "who?") || !got.get("error").Exists() {
		t.Errorf("the client got %s", got)
	}
	if got := r.outcomes(); got != "task withheld" {
		t.Errorf("outcomes: %s", got)
	}
}
