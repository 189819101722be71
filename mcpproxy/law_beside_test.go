package mcpproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"mcpguard/mcpproxy"
)

// Law 6: what an upstream says beside answers may be about any call. A profile of
// one rule masks it on the client's own stream, and on the stream of a call that
// another rule allows.
func TestLawRedactionDoesNotHangOnTheStream(t *testing.T) {
	line := `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"ssn":"123-45-6789"}}}`
	up := newPeer(t)
	up.on["GET"] = func(w http.ResponseWriter, m heard) { sayEvents(w, line) }
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) { sayEvents(w, line, standard(m)) }
	r := newRig(t, setup{upstreams: []mcpproxy.Upstream{up.upstream("crm")}, policy: `version: 1
roles: {everyone: {allow: [crm/echo, {tool: crm/get_customer, redact: [pii]}]}}
redactions: {pii: {require: ["**.ssn"]}}
`})
	a := r.legacy("sam", "/mcp")
	if got := a.call("1", "echo", say("hi")); strings.Contains(got.body, ssn) || !strings.Contains(got.body, "notifications/message") {
		t.Errorf("on another call's stream: %s", got)
	}
	s := a.open(a.request(t.Context(), http.MethodGet, ""))
	if got := s.next(); strings.Contains(got, ssn) || !strings.Contains(got, "notifications/message") {
		t.Errorf("on the client's own stream: %s", got)
	}
}

// Law 5: an answer that is no HTTP is not quoted in the log.
func TestLawUnreadableAnswersAreNotQuoted(t *testing.T) {
	up := newPeer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := buf.WriteString("HTTP/1.1 SECRET-" + ssn + " oops\r\n\r\n"); err != nil {
			t.Error(err)
		}
		if err := buf.Flush(); err != nil {
			t.Error(err)
		}
		closing(t, conn)
	}
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	got := r.legacy("sam", "/mcp").call("1", "echo", say("hi"))
	if !strings.Contains(got.body, "cannot be reached") {
		t.Errorf("the caller got %s", got)
	}
	if all := r.logs.String() + got.body; strings.Contains(all, ssn) {
		t.Errorf("the secret is in the log or the answer:\n%s", all)
	}
}
