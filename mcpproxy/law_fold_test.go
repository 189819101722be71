package mcpproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"mcpguard/mcpproxy"
)

// Law 9: what a list or a completion offers is judged by the name that every reader
// reads. encoding/json and mcp-go take Name for name, and the last one counts.
func TestLawListsHaveOneReading(t *testing.T) {
	up := newPeer(t)
	answer := func(method, result string) {
		up.on[method] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(result)) }
	}
	answer("tools/list", `{"tools":[{"name":"echo","inputSchema":{}},{"name":"get_customer","Name":"hidden","inputSchema":{}}]}`)
	answer("resources/list", `{"resources":[{"uri":"res://pub/a","name":"hidden is fine"},{"uri":"res://pub/b","URI":"res://hidden"}]}`)
	answer("prompts/list", `{"prompts":[{"name":"reply"},{"Name":"hidden","name":"reply"}]}`)
	r := newRig(t, setup{policy: `version: 1
roles: {everyone: {allow: ["crm/*", {prompt: crm/reply}, {resource: "crm/res://pub/**"}]}}
`, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	for method, want := range map[string]string{
		"tools/list":     `{"tools":[{"name":"echo","inputSchema":{}}]}`,
		"resources/list": `{"resources":[{"uri":"res://pub/a","name":"hidden is fine"}]}`,
		"prompts/list":   `{"prompts":[{"name":"reply"}]}`,
	} {
		if got := a.post(`{"jsonrpc":"2.0","id":1,"method":"` + method + `"}`); got.get("result").Raw != want {
			t.Errorf("%s: %s", method, got)
		}
	}
	const ask = `{"jsonrpc":"2.0","id":2,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"res://{area}/x"},"argument":{"name":"area","value":""}}}`
	for _, result := range []string{
		`{"completion":{"values":["pub"]},"Completion":{"values":["hidden"]}}`,
		`{"completion":{"values":["pub"],"Values":["hidden"]}}`,
	} {
		answer("completion/complete", result)
		if got := a.post(ask); strings.Contains(got.body, "hidden") || !got.get("error").Exists() {
			t.Errorf("a completion: %s", got)
		}
	}
	answer("completion/complete", `{"completion":{"values":["pub","hidden"],"total":2}}`)
	if got := a.post(ask); got.get("result").Raw != `{"completion":{"values":["pub"]}}` {
		t.Errorf("a completion: %s", got)
	}
}
