package mcpproxy_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpguard/mcpproxy"
)

// Law 14: results that are read at once share a budget. One that finds no room is
// an error in time, others are not touched by it, and all of it is there again
// afterwards.
func TestLawMemoryIsBounded(t *testing.T) {
	const result = 64 << 10
	up := newPeer(t)
	begin, hold := make(chan struct{}), make(chan struct{})
	speak, release := sync.OnceFunc(func() { close(begin) }), sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	t.Cleanup(speak)
	half := `{"jsonrpc":"2.0","id":$id,"result":{"content":[],"structuredContent":"` + strings.Repeat("x", result*3/4)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		if !strings.Contains(m.text, "large") {
			sayJSON(w, standard(m))
			return
		}
		<-begin
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(strings.ReplaceAll(half, "$id", string(m.ID)))) // the proxy may give up
		w.(http.Flusher).Flush()
		<-hold
		_, _ = w.Write([]byte(`"}}`))
	}
	crm, hasty := up.upstream("crm"), up.upstream("hasty") // calls of hasty give up while those of crm hold on to what they have
	crm.Timeout, hasty.Timeout = time.Minute, 500*time.Millisecond
	r := newRig(t, setup{policy: "version: 1\nroles: {everyone: {allow: [\"*/*\"]}}\n", upstreams: []mcpproxy.Upstream{crm, hasty},
		limits: func(l *mcpproxy.Limits) { l.Result, l.Memory, l.Timeout = result, 4*result, time.Second }})
	sam, inHaste, fran := r.legacy("sam", "/mcp/crm"), r.legacy("sam", "/mcp/hasty"), r.legacy("fran", "/mcp/crm")
	const calls = 8
	got := make(chan answered, calls)
	for i := range calls {
		go func() { got <- sam.call(`"`+string(rune('a'+i))+`"`, "echo", say("large")) }()
	}
	eventually(t, "the calls are at their server", func() bool { return len(up.all("tools/call")) == calls })
	speak()
	eventually(t, "eight large results of one caller are too many at once", func() bool {
		return strings.Contains(inHaste.call("1", "echo", say("large")).reason(), "limits.memory")
	})
	if got := fran.call("1", "echo", say("small")); got.reason() != "" {
		t.Errorf("another caller: %s", got)
	}
	release()
	for range calls {
		if g := <-got; g.reason() != "" || len(g.body) < result/2 {
			t.Errorf("one that waited for room: %.200s", g)
		}
	}
	for range 10 {
		if got := sam.call("2", "echo", say("large")); got.reason() != "" || len(got.body) < result/2 {
			t.Fatalf("afterwards: %.200s", got)
		}
	}
}

// What a server process sends is counted, and given back.
func TestLawMemoryComesBackFromProcesses(t *testing.T) {
	r := stdioRig(t, func(l *mcpproxy.Limits) { l.Result, l.Memory = 1<<20, 3<<20 }, "standard")
	a := r.legacy("sam", "/mcp")
	large := strings.Repeat("x", 300<<10)
	for range 20 {
		if got := a.call("1", "echo", say(large)); len(got.get("result.structuredContent.text").Str) != len(large) {
			t.Fatalf("got %.200s", got)
		}
	}
}
