package mcpproxy_test

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mcpguard/mcpproxy"
)

// An upstream that asks for what it may not have, and then does not take the
// refusal, holds up neither the call nor the end of mcpguard.
func TestUpstreamThatIgnoresItsRefusal(t *testing.T) {
	up := newPeer(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}`)
		<-release
	}
	up.on[""] = func(http.ResponseWriter, heard) { <-release } // the refusal, which is a response
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.Timeout = 100 * time.Millisecond }})
	got := r.legacy("sam", "/mcp").call("1", "echo", say("hi"))
	if !strings.Contains(got.body, "did not answer in time") {
		t.Errorf("the caller got %s", got)
	}
	r.stop()
}

// A session whose server left something behind, in a session of its own and with
// the server's pipes in hand, ends all the same.
func TestServerThatLeavesAProcessBehind(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		if os.Getenv("MCPGUARD_TEST_REQUIRE") == "all" {
			t.Fatalf("setsid is missing, and MCPGUARD_TEST_REQUIRE=all: %v", err)
		}
		t.Skipf("SKIP: setsid is missing: %v", err)
	}
	up := stdioUpstream(t, "crm", "standard")
	shell := []string{"sh", "-c", `setsid sleep 20 & exec "$@"`, "sh"}
	up.Command = append(shell, up.Command...)
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up}})
	a := r.legacy("sam", "/mcp")
	if got := a.call("1", "echo", say("hi")); !strings.Contains(got.body, `"result"`) {
		t.Fatalf("the call: %s", got)
	}
	began := time.Now()
	if got := a.do(a.request(t.Context(), http.MethodDelete, "")); got.status != http.StatusNoContent {
		t.Errorf("DELETE: %s", got)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the session took %s to end", took)
	}
}

// What goes wrong when the catalogue is fetched belongs to the session that
// fetched it: another that waited for the same fetch makes its own.
func TestFailedFetchIsNobodyElses(t *testing.T) {
	up := newPeer(t)
	first, second := make(chan struct{}), make(chan struct{})
	fetches := make(chan struct{}, 10)
	up.on["tools/list"] = func(w http.ResponseWriter, m heard) {
		fetches <- struct{}{}
		select {
		case <-first:
			sayJSON(w, standard(m))
		default:
			close(first)
			<-second
			w.WriteHeader(http.StatusNotFound) // the session of the one who fetches is over
		}
	}
	r := newRig(t, setup{policy: streamPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a, b := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	list := `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	gone := make(chan answered, 1)
	go func() { gone <- a.post(list) }()
	<-fetches
	waits := make(chan answered, 1)
	go func() { waits <- b.post(list) }()
	close(second)
	if got := <-gone; got.status != http.StatusNotFound {
		t.Errorf("whose session is over: %s", got)
	}
	if got := <-waits; got.status != http.StatusOK || !strings.Contains(got.body, `"echo"`) {
		t.Errorf("who waited beside: %s", got)
	}
}
