package mcpproxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
	"mcpguard/toolcall"
)

// everyMethod allows every method that the protocol does not have, and no tool.
const everyMethod = `version: 1
roles: {everyone: {allow: [{method: crm/*}]}}
`

// Laws 3 and 4: a rule for unknown methods is no way around the rules for tools
// and resources. A method that the protocol has is never an unknown one: not
// without an id, not in another era, not from the other side.
func TestLawKnownMethodsAreNeverUnknown(t *testing.T) {
	messages := []string{
		`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}`,
		`{"jsonrpc":"2.0","method":"resources/read","params":{"uri":"file:///srv/a"}}`,
		`{"jsonrpc":"2.0","method":"initialize","params":{}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tasks/result","params":{"taskId":"1"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}`,
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{}}}`,
	}
	up := newPeer(t)
	r := newRig(t, setup{policy: everyMethod, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	for _, m := range messages {
		before := len(up.everything())
		if got := a.post(m); got.status == http.StatusAccepted || strings.Contains(got.body, `"result"`) {
			t.Errorf("%s: %s", m, got)
		}
		if heard := up.everything()[before:]; heard != "" {
			t.Errorf("%s reached the upstream: %s", m, heard)
		}
	}
	before := len(up.everything())
	r.agent("sam", "/mcp").modern(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"file:///srv/a"}}`)
	if heard := up.everything()[before:]; heard != "" {
		t.Errorf("a legacy method in a modern request reached the upstream: %s", heard)
	}
}

// Laws 3 and 7: what asks the client for something is judged and sealed wherever
// it comes, and refused where the protocol has no such answer.
func TestLawInputIsAskedForInItsPlacesOnly(t *testing.T) {
	ask := `"inputRequests":{"a":{"method":"sampling/createMessage","params":{}}},"requestState":"raw-state"`
	for name, result := range map[string]string{
		"in an answer to completion": `{"resultType":"input_required",` + ask + `}`,
		"without saying so":          `{"resultType":"complete","completion":{"values":[]},` + ask + `}`,
		"as an array":                `{"resultType":"input_required","inputRequests":[1],"requestState":"raw-state"}`,
	} {
		t.Run(name, func(t *testing.T) {
			up := newPeer(t)
			up.on["completion/complete"] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(result)) }
			r := newRig(t, setup{policy: `{version: 1, roles: {everyone: {allow: [{prompt: crm/*}, {request: crm/*}]}}}`,
				upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			got := r.agent("sam", "/mcp").modern(`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"reply"},"argument":{"name":"a","value":"b"}}}`)
			if strings.Contains(got.body, "raw-state") || strings.Contains(got.body, "sampling") {
				t.Errorf("the client got %s", got)
			}
		})
	}
}

// Law 1: a header that nobody held to the body does not travel.
func TestLawUncheckedHeadersStayHere(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	r.agent("sam", "/mcp").modern(toolCall("1", "echo", say("hi")), "Mcp-Param-Text", "/etc/shadow")
	if strings.Contains(up.everything(), "/etc/shadow") {
		t.Error("an Mcp-Param header that no tool declares reached the upstream")
	}
}

// Law 7: a session grants nothing. What a request may is what its own credential
// may.
func TestLawASessionGrantsNothing(t *testing.T) {
	up := newPeer(t)
	client := "proved"
	auth := authFunc(func(*http.Request) (toolcall.Caller, error) {
		return toolcall.Caller{Person: "sam", Subject: "sam", Issuer: "test", Client: client}, nil
	})
	r := newRig(t, setup{auth: auth, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		policy: `{version: 1, roles: {apps: {groups: [none], clients: [proved], subjects: [sam], allow: ["crm/*"]}}}`})
	a := r.agent("sam", "/mcp")
	a.initialize()
	if got := a.call("1", "echo", say("hi")); got.get("result.isError").Bool() || got.get("error").Exists() {
		t.Fatalf("with the client that was proved: %s", got)
	}
	client = ""
	if got := a.call("2", "echo", say("hi")); got.status != http.StatusNotFound {
		t.Errorf("the same session without it: %s", got)
	}
}

type authFunc func(*http.Request) (toolcall.Caller, error)

func (f authFunc) Authenticate(r *http.Request) (toolcall.Caller, error) { return f(r) }

// Law 14: what a refused call says costs the record a bounded number of bytes.
func TestLawRefusedWordsAreBounded(t *testing.T) {
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	long := strings.Repeat("x", 600<<10)
	a.call("1", long, `{}`)
	a.call("2", "no_such_tool", fmt.Sprintf(`{"a":%q}`, long))
	a.post(fmt.Sprintf(`{"jsonrpc":"2.0","id":3,"method":%q}`, long))
	refused := 0
	for _, rec := range r.records() {
		if rec.Kind != audit.Refusal {
			continue
		}
		refused++
		if size := len(rec.Target) + len(rec.Method) + rec.Args.Len() + rec.Reason.Len(); size > 16<<10 {
			t.Errorf("a refusal of %q keeps %d bytes", rec.Target[:20], size)
		}
	}
	if refused != 3 {
		t.Errorf("%d refusals in the record, want 3", refused)
	}
}

// Law 6: a tool's definition is what an upstream says, too. Its schema stays
// readable.
func TestLawListsAreRedacted(t *testing.T) {
	up := newPeer(t)
	up.on["tools/list"] = func(w http.ResponseWriter, m heard) {
		sayJSON(w, m.result(`{"tools":[{"name":"echo","description":"{\"ssn\":\"123-45-6789\"}","x":1,"_meta":{"ssn":"123-45-6789"},`+
			`"inputSchema":{"type":"object","properties":{"ssn":{"type":"string","default":{"ssn":"123-45-6789"}}}}}]}`))
	}
	r := newRig(t, setup{policy: `{version: 1, roles: {everyone: {allow: ["crm/*"], redact: [pii]}}, redactions: {pii: {paths: ["**.ssn"]}}}`,
		upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	got := r.legacy("sam", "/mcp").post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	if strings.Contains(got.body, "123-45-6789") {
		t.Errorf("the list has the secret: %s", got)
	}
	if got.get("result.tools.0.inputSchema.properties.ssn.type").Str != "string" {
		t.Errorf("the schema cannot be read any more: %s", got)
	}
}
