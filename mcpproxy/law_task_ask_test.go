package mcpproxy_test

import (
	"net/http"
	"strings"
	"testing"
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
