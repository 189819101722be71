package mcpproxy_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

// Law 6: redaction covers every road. Law 5: what rests is what redaction left.

const (
	ssn          = "123-45-6789"
	redactPolicy = `version: 1
roles:
  everyone:
    redact: [pii]
    allow:
      - crm/*
      - {resource: "crm/file:///srv/**"}
      - {prompt: "crm/*"}
      - {request: "crm/*"}
      - {method: "crm/**"}
redactions:
  pii: {paths: ["**.ssn"], replace: mask}
`
)

// words are the shapes in which an upstream says the secret: as a member, and as
// JSON inside a string.
var (
	member = `{"customer":{"ssn":"` + ssn + `"}}`
	inText = `"{\"ssn\":\"` + ssn + `\"}"`
	blob   = base64.StdEncoding.EncodeToString([]byte(`{"ssn":"` + ssn + `"}`))
)

// road is one way on which an upstream's words reach a client.
type road struct {
	name   string
	ask    string                 // the client's request
	say    func(m heard) []string // the upstream's messages, the last of which answers
	modern bool                   // only there in the modern era
}

func call(result string) func(heard) []string {
	return func(m heard) []string { return []string{m.result(result)} }
}

// before is a message that comes before the answer.
func before(message string) func(heard) []string {
	return func(m heard) []string { return []string{message, m.result(`{"content":[]}`)} }
}

func failed(err string) func(heard) []string {
	return func(m heard) []string {
		return []string{`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"error":` + err + `}`}
	}
}

var (
	askTool = toolCall("1", "echo", `{}`)
	roads   = []road{
		{name: "structured content", ask: askTool, say: call(`{"content":[],"structuredContent":` + member + `}`)},
		{name: "a structured array", ask: askTool, say: call(`{"content":[],"structuredContent":[` + member + `]}`)},
		{name: "JSON in text", ask: askTool, say: call(`{"content":[{"type":"text","text":` + inText + `}]}`)},
		{name: "prose that repeats it", ask: askTool, say: call(`{"content":[{"type":"text","text":"it is ` + ssn + `"}],"structuredContent":` + member + `}`)},
		{name: "an embedded resource", ask: askTool, say: call(`{"content":[{"type":"resource","resource":{"uri":"file:///srv/1","text":` + inText + `}}]}`)},
		{name: "an embedded blob", ask: askTool, say: call(`{"content":[{"type":"resource","resource":{"uri":"file:///srv/1","mimeType":"application/json","blob":"` + blob + `"}}]}`)},
		{name: "a link", ask: askTool, say: call(`{"content":[{"type":"resource_link","uri":"file:///srv/1","name":"x","description":` + inText + `}]}`)},
		{name: "a block of tomorrow", ask: askTool, say: call(`{"content":[{"type":"hologram","scene":` + member + `}]}`)},
		{name: "a member of tomorrow", ask: askTool, say: call(`{"content":[],"scene":` + member + `}`)},
		{name: "_meta", ask: askTool, say: call(`{"content":[],"_meta":` + member + `}`)},
		{name: "a block's _meta", ask: askTool, say: call(`{"content":[{"type":"text","text":"x","_meta":` + member + `}]}`)},
		{name: "a tool's error", ask: askTool, say: call(`{"isError":true,"content":[{"type":"text","text":` + inText + `}]}`)},
		{name: "an error's message", ask: askTool, say: failed(`{"code":-1,"message":` + inText + `}`)},
		{name: "an error's data", ask: askTool, say: failed(`{"code":-1,"message":"no","data":` + member + `}`)},
		{name: "an error's data as text", ask: askTool, say: failed(`{"code":-1,"message":"no","data":` + inText + `}`)},
		{name: "an envelope's own member", ask: askTool, say: func(m heard) []string {
			return []string{`{"jsonrpc":"2.0","id":1,"extra":` + member + `,"result":{"content":[]}}`}
		}},
		{name: "progress", ask: askTool, say: before(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1,"message":` + inText + `}}`)},
		{name: "a log message", ask: askTool, say: before(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":` + member + `}}`)},
		{name: "a log message as text", ask: askTool, say: before(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":` + inText + `}}`)},
		{name: "a notification of tomorrow", ask: askTool, say: before(`{"jsonrpc":"2.0","method":"notifications/vendor","params":` + member + `}`)},
		{name: "a question", ask: askTool, say: before(`{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":` + inText + `}}`)},
		{name: "a sampled conversation", ask: askTool, say: before(`{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"text","text":` + inText + `}}]}}`)},
		{name: "input_required", ask: askTool, modern: true, say: call(`{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"message":` + inText + `}}}}`)},
		{name: "a resource", ask: `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///srv/1"}}`,
			say: call(`{"contents":[{"uri":"file:///srv/1","text":` + inText + `},{"uri":"file:///srv/2","mimeType":"application/json","blob":"` + blob + `"}]}`)},
		{name: "a prompt", ask: `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"reply"}}`,
			say: call(`{"description":` + inText + `,"messages":[{"role":"user","content":{"type":"text","text":` + inText + `}}]}`)},
		{name: "completions", ask: `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"reply"}}}`,
			say: call(`{"completion":{"values":[` + inText + `]}}`)},
		{name: "a list of resources", ask: `{"jsonrpc":"2.0","id":1,"method":"resources/list"}`,
			say: call(`{"resources":[{"uri":"file:///srv/1","description":` + inText + `,"_meta":` + member + `}]}`)},
		{name: "a method of tomorrow", ask: `{"jsonrpc":"2.0","id":1,"method":"vendor/thing"}`, say: call(`{"thing":` + member + `}`)},
		{name: "a method of tomorrow, by itself", ask: `{"jsonrpc":"2.0","id":1,"method":"vendor/thing"}`, say: call(`{"ssn":"` + ssn + `"}`)},
		{name: "a notification of tomorrow, by itself", ask: askTool, say: before(`{"jsonrpc":"2.0","method":"notifications/vendor","params":{"ssn":"` + ssn + `"}}`)},
		{name: "a question of tomorrow, by itself", ask: askTool, say: before(`{"jsonrpc":"2.0","id":"q","method":"vendor/ask","params":{"ssn":"` + ssn + `"}}`)},
		{name: "discovery", ask: `{"jsonrpc":"2.0","id":1,"method":"server/discover"}`, modern: true,
			say: call(`{"supportedVersions":["2026-07-28"],"instructions":` + inText + `,"capabilities":{"x":` + member + `}}`)},
	}
)

func TestRedactionCoversEveryRoad(t *testing.T) {
	for _, road := range roads {
		for _, era := range []string{"legacy", "modern"} {
			if era == "legacy" && road.modern {
				continue
			}
			t.Run(road.name+"/"+era, func(t *testing.T) {
				t.Parallel()
				up := newPeer(t)
				key := heardKey(t, road.ask)
				up.on[key] = func(w http.ResponseWriter, m heard) {
					all := road.say(m)
					if len(all) == 1 {
						sayJSON(w, all[0])
						return
					}
					sayEvents(w, all...)
				}
				r := newRig(t, setup{policy: redactPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
				var got answered
				if era == "legacy" {
					got = r.legacy("sam", "/mcp").post(road.ask)
				} else {
					got = r.agent("sam", "/mcp").modern(road.ask)
				}
				if got.get("id").Int() != 1 {
					t.Errorf("no answer: %s", got)
				}
				if n := len(up.all(key)); n != 1 || strings.Contains(got.body, "withheld") {
					t.Errorf("the upstream was asked %d times, and the answer is %s", n, got)
				}
				hides(t, "the answer", got.body)
				r.hides()
			})
		}
	}
}

func heardKey(t *testing.T, ask string) string {
	t.Helper()
	for _, method := range slices.Concat([]string{"server/discover"}, mapKeys(everyRequest)) {
		if strings.Contains(ask, `"method":"`+method+`"`) {
			return method
		}
	}
	t.Fatalf("no known method in %s", ask)
	return ""
}

func mapKeys(m map[string]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

// hides reports the secret in a text, also in base64.
func hides(t testing.TB, where, text string) {
	t.Helper()
	if strings.Contains(text, ssn) || strings.Contains(text, blob) {
		t.Errorf("the secret is in %s:\n%s", where, text)
	}
}

// hides looks for the secret in all that the rig keeps and logs.
func (r *rig) hides() {
	r.t.Helper()
	for e, err := range r.store.Chain(context.Background(), chain, 0) {
		if err != nil {
			r.t.Fatal(err)
		}
		hides(r.t, "the record", fmt.Sprintf("%s %s", e.Kind, e.Body))
	}
	hides(r.t, "the log", r.logs.String())
}

// The handshake is a road too: instructions, and what a server says of itself.
func TestHandshakeIsRedacted(t *testing.T) {
	up := newPeer(t)
	up.on["initialize"] = func(w http.ResponseWriter, m heard) {
		sayJSON(w, m.result(`{"protocolVersion":"2025-11-25","capabilities":{"experimental":{"x":`+member+`}},"serverInfo":{"name":"crm","version":"1","title":`+inText+`},"instructions":`+inText+`}`))
	}
	r := newRig(t, setup{policy: redactPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	got := r.agent("sam", "/mcp").post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	if got.status != http.StatusOK || got.header.Get("Mcp-Session-Id") == "" {
		t.Fatalf("got %s", got)
	}
	hides(t, "the answer", got.body)
	r.hides()
}

// What the client says is forwarded as it is, and rests redacted: arguments, the
// arguments of refused calls, and the answer to a question.
func TestWhatTheClientSaysRestsRedacted(t *testing.T) {
	up := newPeer(t)
	goOn := make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"who?","requestedSchema":{"type":"object"}}}`)
		<-goOn
		sayEvents(w, m.result(`{"content":[]}`))
	}
	policy := strings.Replace(redactPolicy, "redactions:", "    deny: [{tool: crm/refund, hide: false}]\nredactions:", 1)
	r := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	s := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", `{"ssn":"`+ssn+`"}`)))
	s.next()
	if got := a.post(`{"jsonrpc":"2.0","id":"q","result":{"action":"accept","content":{"ssn":"` + ssn + `"}}}`); got.status != http.StatusAccepted {
		t.Errorf("the answer: %s", got)
	}
	close(goOn)
	s.rest()
	a.call("2", "refund", `{"ssn":"`+ssn+`"}`)
	a.call("3", "nothing", `{"ssn":"`+ssn+`"}`)

	if heard := up.all("tools/call")[0].text; !strings.Contains(heard, ssn) {
		t.Errorf("the upstream was called with %s", heard)
	}
	if heard := up.all("response")[0].text; !strings.Contains(heard, ssn) {
		t.Errorf("the upstream was answered %s", heard)
	}
	if n := len(r.recorded(audit.Intent, audit.Refusal)); n != 4 {
		t.Errorf("%d calls are recorded, want 4", n)
	}
	r.hides()
}

// A record may keep less than what redaction leaves: sizes and keyed digests, or
// sizes alone.
func TestDetailOfTheRecord(t *testing.T) {
	for _, c := range []struct {
		keep         mcpproxy.Keep
		text, digest bool
	}{
		{mcpproxy.Keep{}, true, true},
		{mcpproxy.Keep{Args: mcpproxy.KeepDigest, Results: mcpproxy.KeepDigest}, false, true},
		{mcpproxy.Keep{Args: mcpproxy.KeepNone, Results: mcpproxy.KeepNone}, false, false},
	} {
		r := newRig(t, setup{policy: redactPolicy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}, keep: c.keep})
		r.legacy("sam", "/mcp").call("1", "echo", `{"text":"plain"}`)
		in, out := r.recorded(audit.Intent)[0], r.recorded(audit.Outcome)[0]
		if !in.Args.IsZero() != c.text || !out.Result.IsZero() != c.text ||
			!in.ArgsDigest.IsZero() != c.digest || !out.ResultDigest.IsZero() != c.digest {
			t.Errorf("%+v keeps %+v and %+v", c.keep, in, out)
		}
		if in.ArgsSize != len(`{"text":"plain"}`) || out.ResultSize == 0 {
			t.Errorf("%+v keeps the sizes %d and %d", c.keep, in.ArgsSize, out.ResultSize)
		}
	}
}
