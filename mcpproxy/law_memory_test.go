package mcpproxy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpguard/mcpproxy"
)

// Law 14: results that are read at once share a budget. One that finds no room is
// an error in time, and all of it is there again afterwards, over HTTP and stdio.
func TestLawMemoryIsBounded(t *testing.T) {
	const result = 64 << 10
	up := newPeer(t)
	hold := make(chan struct{})
	half := `{"jsonrpc":"2.0","id":$id,"result":{"content":[],"structuredContent":"` + strings.Repeat("x", result*3/4)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		if !strings.Contains(m.text, "large") {
			sayJSON(w, standard(m))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(strings.ReplaceAll(half, "$id", string(m.ID)))) // the proxy may give up
		w.(http.Flusher).Flush()
		<-hold
		_, _ = w.Write([]byte(`"}}`))
	}
	t.Cleanup(func() {
		select {
		case <-hold:
		default:
			close(hold)
		}
	})
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.Result, l.Memory = result, 4*result; l.Timeout = 2 * time.Second }})
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	sam.call("0", "echo", say("warm"))
	const calls = 8
	got := make(chan answered, calls)
	for i := range calls {
		go func() { got <- sam.call(`"`+string(rune('a'+i))+`"`, "echo", say("large")) }()
	}
	refused := 0
	for range calls {
		g := <-got
		switch {
		case strings.Contains(g.reason(), "limits.memory"):
			refused++
		case !strings.Contains(g.reason(), "did not answer in time"):
			t.Errorf("got %.200s", g)
		}
	}
	if refused == 0 {
		t.Error("eight large results of one caller were held at once")
	}
	if got := fran.call("1", "echo", say("small")); got.reason() != "" {
		t.Errorf("another caller: %s", got)
	}
	close(hold)
	for range 10 {
		got := sam.call("2", "echo", say("large"))
		if got.reason() != "" || len(got.body) < result/2 {
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
