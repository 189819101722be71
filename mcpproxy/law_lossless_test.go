package mcpproxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"mcpguard/mcpproxy"
)

// Law 10: where policy changes nothing, bytes pass unchanged.

// oddities are values that a proxy which decodes and encodes would change.
var oddities = []string{
	`{"id":12345678901234567890,"exact":1000.0000000000000000001,"e":1e400,"minus":-0,"plain":1.0}`,
	`{ "z" : 1 ,"a":{"y":2,"b":3}, "order":"kept" }`,
	`{"html":"<a href='x'>&amp;</a>","esc":"\u00e9\u002f\/","raw":"é/","ls":"` + "\u2028" + `"}`,
	`{"empty":{},"none":null,"nested":[[],[[]],""],"":"an empty name"}`,
	"{\"tab\":\t1,\r\n\"lines\":\n[\n1,\n2\n]}",
	`{"snowman":"☃","clef":"𝄞","pair":"\ud834\udd1e","long s":"ſ"}`,
}

// unknownBlocks is a result with what no typed struct of today knows.
const unknownBlocks = `"content":[{"type":"hologram","depth":3.10,"x-vendor":{"b":1,"a":2}},{"type":"text","text":"plain","annotations":{"audience":["user"],"x":1e2}}],"isError":false,"x-top":[9007199254740993]`

const losslessPolicy = "version: 1\nroles: {everyone: {allow: [\"crm/*\", {method: \"crm/**\"}]}}\n"

func TestBytesPassUnchanged(t *testing.T) {
	for _, shape := range []string{"json", "sse"} {
		t.Run(shape, func(t *testing.T) {
			up := newPeer(t)
			up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
				text := m.result(`{` + unknownBlocks + `,"structuredContent":` + string(m.Params.Arguments) + `}`)
				if shape == "json" {
					sayJSON(w, text)
					return
				}
				sayEvents(w, strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\ndata: "))
			}
			r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			legacy, modern := r.legacy("sam", "/mcp"), r.agent("fran", "/mcp")
			for _, odd := range oddities {
				for _, id := range []string{`7`, `-9007199254740993`, `"é\u00e9"`} {
					sent := `{ "params":{"arguments":` + odd + `,"name":"echo","x-unknown":[1.10]},"method":"tools/call","x":1,"jsonrpc":"2.0" ,"id":` + id + `}`
					want := `{"jsonrpc":"2.0","id":` + id + `,"result":{` + unknownBlocks + `,"structuredContent":` + odd + `}}`
					if shape == "sse" { // a line end inside an event is a line feed
						want = strings.ReplaceAll(want, "\r\n", "\n")
					}
					for _, send := range []func(string, ...string) answered{legacy.post, modern.modern} {
						got := send(sent)
						calls := up.all("tools/call")
						heard := calls[len(calls)-1].text
						if m := gjson.Get(heard, "params._meta"); m.Exists() { // the modern client's own addition
							heard = strings.Replace(heard, `,"_meta":`+m.Raw, "", 1)
						}
						if heard != sent {
							t.Errorf("sent  %q\nheard %q", sent, heard)
						}
						if got.last() != want {
							t.Errorf("said %q\ngot  %q", want, got.last())
						}
					}
				}
			}
		})
	}
}

// Over stdio the id is mcpguard's own on the way, and a line end inside a
// message becomes a space; all else passes as it is.
func TestBytesPassUnchangedOverStdio(t *testing.T) {
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{stdioUpstream(t, "crm", "standard")}})
	a := r.legacy("sam", "/mcp")
	for _, odd := range oddities {
		for _, id := range []string{`7`, `-9007199254740993`, `"é\u00e9"`} {
			got := a.call(id, "echo", odd)
			oneLine := strings.NewReplacer("\r", " ", "\n", " ").Replace(odd)
			want := `{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[],"structuredContent":` + oneLine + `}}`
			if got.body != want {
				t.Errorf("said %q\ngot  %q", want, got.body)
			}
		}
	}
}

// A redaction changes the value that it masks, and nothing around it.
func TestRedactionLeavesTheRestAlone(t *testing.T) {
	policy := `version: 1
roles: {everyone: {redact: [pii], allow: ["crm/*"]}}
redactions: {pii: {paths: ["**.ssn"], replace: mask}}
`
	r := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	for _, odd := range oddities {
		args := `{"before":` + odd + `, "ssn" : "123-45-6789" ,"after":` + odd + `}`
		want := strings.Replace(args, "123-45-6789", "[redacted]", 1)
		if got := a.call("1", "echo", args); got.get("result.structuredContent").Raw != want {
			t.Errorf("want %s\ngot  %s", want, got.get("result.structuredContent").Raw)
		}
	}
}

// What an upstream says is passed on when it is said, not when it is done.
func TestEventsAreNotHeldBack(t *testing.T) {
	up, heardIt := newPeer(t), make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`)
		<-heardIt
		sayEvents(w, m.result(`{"content":[]}`))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	s := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", `{}`)))
	s.next()
	close(heardIt)
	if last := s.next(); !strings.Contains(last, `"id":1`) {
		t.Errorf("the last event is %q", last)
	}
	if _, err := s.res.Body.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the stream goes on: %v", err)
	}
}
