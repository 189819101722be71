package mcpproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
	"mcpguard/toolcall"
)

// Law 3: zero values refuse.

// everyRequest is one request of every method that a client may send, and of one
// that it may not.
var everyRequest = map[string]string{
	"tools/call":               `{"name":"echo","arguments":{}}`,
	"prompts/get":              `{"name":"reply"}`,
	"resources/read":           `{"uri":"file:///a"}`,
	"resources/subscribe":      `{"uri":"file:///a"}`,
	"resources/unsubscribe":    `{"uri":"file:///a"}`,
	"completion/complete":      `{"ref":{"type":"ref/prompt","name":"reply"},"argument":{"name":"a","value":"b"}}`,
	"subscriptions/listen":     `{"notifications":{"resourceSubscriptions":["file:///a"]}}`,
	"vendor/thing":             `{}`,
	"tasks/get":                `{"taskId":"1"}`,
	"notifications/tools":      `{}`, // a request, whatever its name says
	"sampling/createMessage":   `{}`, // the other direction
	"tools/list":               `{}`,
	"prompts/list":             `{}`,
	"resources/list":           `{}`,
	"resources/templates/list": `{}`,
}

// Without a policy nothing is allowed, nothing is listed, and no word of an
// upstream reaches a client.
func TestNoPolicyRefusesEverything(t *testing.T) {
	up := newPeer(t)
	said := func(result string) func(http.ResponseWriter, heard) {
		return func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(result)) }
	}
	up.on["prompts/list"] = said(`{"prompts":[{"name":"reply"}]}`)
	up.on["resources/list"] = said(`{"resources":[{"uri":"file:///a"}]}`)
	up.on["resources/templates/list"] = said(`{"resourceTemplates":[{"uriTemplate":"file:///{a}"}]}`)
	r := newRig(t, setup{upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.agent("sam", "/mcp")
	for method, params := range everyRequest {
		got := a.modern(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`)
		items := got.get("result.tools.#").Int() + got.get("result.prompts.#").Int() +
			got.get("result.resources.#").Int() + got.get("result.resourceTemplates.#").Int()
		if got.reason() == "" && !strings.HasSuffix(method, "/list") || items != 0 {
			t.Errorf("%s: %s", method, got)
		}
		if n := len(up.all(method)); n != 0 && !strings.HasSuffix(method, "/list") {
			t.Errorf("%s reached the upstream", method)
		}
	}
	if intents := r.recorded(audit.Intent); len(intents) != 0 {
		t.Errorf("%d calls were allowed", len(intents))
	}
}

// nobody vouches for the zero caller.
type nobody struct{}

func (nobody) Authenticate(*http.Request) (toolcall.Caller, error) { return toolcall.Caller{}, nil }

// An authenticator that names nobody, and does not say so, lets nobody in.
func TestNobodyIsRefused(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: "version: 1\nroles: {everyone: {allow: [\"*/*\"]}}\n",
		upstreams: []mcpproxy.Upstream{up.upstream("crm")}, auth: nobody{}})
	a := r.agent("sam", "/mcp")
	for _, got := range []answered{
		a.modern(toolCall("1", "echo", `{}`)),
		a.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`),
		a.do(a.request(t.Context(), http.MethodGet, "")),
		a.do(a.request(t.Context(), http.MethodDelete, "")),
	} {
		if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("got %d %s", got.status, got)
		}
	}
	if heard := up.everything(); heard != "" {
		t.Errorf("the upstream heard:\n%s", heard)
	}
}

// A proxy with a seam missing, without upstreams, or with one that leads nowhere
// is not made; one without limits takes no message.
func TestZeroConfigRefuses(t *testing.T) {
	if _, err := mcpproxy.New(mcpproxy.Config{}); err == nil {
		t.Error("a zero Config makes a proxy")
	}
	r := newRig(t, setup{upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	whole := mcpproxy.Config{Auth: r.authenticator(), Judge: judge{r.engine}, Limiter: r.meter, Record: nil, Keys: r.keys,
		Archive: archive{r.store}, Pins: r.pins, Upstreams: []mcpproxy.Upstream{{Name: "crm", URL: "http://127.0.0.1:1"}}}
	if _, err := mcpproxy.New(whole); err == nil {
		t.Error("a proxy without a record is made")
	}
	uncounted := whole
	uncounted.Record, uncounted.Limiter = failing{}, nil
	if _, err := mcpproxy.New(uncounted); err == nil {
		t.Error("a proxy that counts no calls is made")
	}
	for what, ups := range map[string][]mcpproxy.Upstream{
		"no upstream":            nil,
		"one that is nowhere":    {{Name: "crm"}},
		"one in two places":      {{Name: "crm", URL: "http://127.0.0.1:1", Command: []string{"true"}}},
		"two of the same name":   {{Name: "crm", URL: "http://127.0.0.1:1"}, {Name: "crm", URL: "http://127.0.0.1:2"}},
		"a command that is \"\"": {{Name: "crm", Command: []string{}}},
	} {
		cfg := whole
		cfg.Record, cfg.Upstreams = failing{}, ups
		if _, err := mcpproxy.New(cfg); err == nil {
			t.Errorf("%s: a proxy is made", what)
		}
	}
	bare := newRig(t, setup{upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")},
		limits: func(l *mcpproxy.Limits) { *l = mcpproxy.Limits{} }})
	if got := bare.agent("sam", "/mcp").post(`{}`); got.status != http.StatusTooManyRequests {
		t.Errorf("a proxy without limits: %d %s", got.status, got)
	}
}

// failing is a recorder that is never asked.
type failing struct{}

func (failing) Put(audit.Record) *audit.Commit { panic("a record of a proxy that was never made") }

// The zero details keep the most and wait for the most.
func TestZeroKeepIsStrict(t *testing.T) {
	var k mcpproxy.Keep
	if k.Durability != mcpproxy.Strict || k.Args != mcpproxy.KeepRedacted || k.Results != mcpproxy.KeepRedacted {
		t.Errorf("the zero Keep is %+v", k)
	}
}
