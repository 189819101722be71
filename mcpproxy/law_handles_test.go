package mcpproxy_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/tidwall/sjson"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/mcpproxy"
	"mcpguard/store/storetest"
)

// Law 7: a handle belongs to somebody. With anyone else it does not exist.

const handlePolicy = `version: 1
roles:
  everyone:
    allow: ["crm/*", "erp/*", {request: "*/elicitation"}]
`

// twoUpstreams are two upstreams that page their lists and ask for input.
func twoUpstreams(t *testing.T, s setup) (*rig, *peer) {
	crm, erp := newPeer(t), newPeer(t)
	for _, up := range []*peer{crm, erp} {
		up.on["tools/list"] = func(w http.ResponseWriter, m heard) {
			if m.Params.Cursor == "" {
				sayJSON(w, m.result(tools[:len(tools)-1]+`,"nextCursor":"own cursor"}`))
				return
			}
			sayJSON(w, m.result(`{"tools":[]}`))
		}
		up.on["prompts/list"] = func(w http.ResponseWriter, m heard) {
			if m.Params.Cursor == "" {
				sayJSON(w, m.result(`{"prompts":[],"nextCursor":"own cursor"}`))
				return
			}
			sayJSON(w, m.result(`{"prompts":[]}`))
		}
		up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
			sayJSON(w, m.result(`{"resultType":"input_required","inputRequests":{},"requestState":"own state"}`))
		}
	}
	s.policy, s.upstreams = handlePolicy, []mcpproxy.Upstream{crm.upstream("crm"), erp.upstream("erp")}
	return newRig(t, s), crm
}

// A legacy session answers its own caller at its own upstream. Everybody else
// gets what a made-up handle gets, to the byte.
func TestSessionsAreBound(t *testing.T) {
	r, _ := twoUpstreams(t, setup{})
	sam := r.legacy("sam", "/mcp/crm")
	ping := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	if got := sam.post(ping); got.status != http.StatusOK {
		t.Fatalf("the owner: %s", got)
	}
	madeUp := r.agent("sam", "/mcp/crm").post(ping, "Mcp-Session-Id: AAAA")
	tampered := []byte(sam.session)
	tampered[len(tampered)/2] ^= 1
	strangers := map[string]answered{
		"another caller":   r.agent("fran", "/mcp/crm").post(ping, "Mcp-Session-Id: "+sam.session),
		"another upstream": r.agent("sam", "/mcp/erp").post(ping, "Mcp-Session-Id: "+sam.session),
		"tampered with":    r.agent("sam", "/mcp/crm").post(ping, "Mcp-Session-Id: "+string(tampered)),
		"cut off":          r.agent("sam", "/mcp/crm").post(ping, "Mcp-Session-Id: "+sam.session[:len(sam.session)-1]),
		"the upstream's":   r.agent("sam", "/mcp/crm").post(ping, "Mcp-Session-Id: upstream-session"),
		// The key under which a modern caller's session stands is no handle.
		"a modern name": r.agent("sam", "/mcp/crm").post(ping, "Mcp-Session-Id: modern"),
	}
	for who, got := range strangers {
		if got.status != http.StatusNotFound || got.body != madeUp.body {
			t.Errorf("%s: %d %s, want what a made-up handle gets: %d %s", who, got.status, got.body, madeUp.status, madeUp.body)
		}
	}
	fran := r.agent("fran", "/mcp/crm")
	for _, verb := range []string{http.MethodGet, http.MethodDelete} {
		if got := fran.do(fran.request(t.Context(), verb, "", "Mcp-Session-Id: "+sam.session)); got.status != http.StatusNotFound {
			t.Errorf("%s with another's session: %d", verb, got.status)
		}
	}
	if got := sam.post(ping); got.status != http.StatusOK {
		t.Errorf("the owner, after all that: %s", got)
	}
}

// Cursors and request states are good for the caller, the upstream and the
// request that they were given for, until they expire.
func TestCursorsAndStatesAreBound(t *testing.T) {
	r, crm := twoUpstreams(t, setup{})
	sam := r.agent("sam", "/mcp/crm")
	list := func(a *agent, method, cursor string) answered {
		return a.modern(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"cursor":"` + cursor + `"}}`)
	}
	call := func(a *agent, tool, state string) answered {
		text, err := sjson.Set(toolCall("1", tool, `{}`), "params.requestState", state)
		if err != nil {
			t.Fatal(err)
		}
		return a.modern(text)
	}
	cursor := sam.modern(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`).get("result.nextCursor").Str
	prompts := sam.modern(`{"jsonrpc":"2.0","id":1,"method":"prompts/list"}`).get("result.nextCursor").Str
	state := sam.modern(toolCall("1", "echo", `{}`)).get("result.requestState").Str
	if cursor == "" || prompts == "" || state == "" || cursor == "own cursor" || prompts == "own cursor" || state == "own state" {
		t.Fatalf("given away: %q, %q, %q", cursor, prompts, state)
	}

	fran, erp := r.agent("fran", "/mcp/crm"), r.agent("sam", "/mcp/erp")
	for what, got := range map[string]answered{
		"a cursor of another caller":   list(fran, "tools/list", cursor),
		"a cursor of another upstream": list(erp, "tools/list", cursor),
		"a cursor of another list":     list(sam, "tools/list", prompts),
		"a cursor for another list":    list(sam, "prompts/list", cursor),
		"a cursor as the upstream's":   list(sam, "prompts/list", "own cursor"),
		"a cursor that is a state":     list(sam, "tools/list", state),
		"a cursor cut off":             list(sam, "tools/list", cursor[1:]),
		"a state of another caller":    call(fran, "echo", state),
		"a state of another upstream":  call(erp, "echo", state),
		"a state of another tool":      call(sam, "refund", state),
		"a state as the upstream's":    call(sam, "echo", "own state"),
		"a state that is a cursor":     call(sam, "echo", cursor),
		"a session's handle":           call(sam, "echo", r.legacy("sam", "/mcp/crm").session),
	} {
		if got.get("error.code").Int() != -32602 {
			t.Errorf("%s: %s", what, got)
		}
	}

	// The owner's own work, and the upstream gets its own bytes back.
	if got := list(sam, "tools/list", cursor); got.reason() != "" {
		t.Errorf("the owner's cursor: %s", got)
	}
	if got := call(sam, "echo", state); got.get("result.requestState").Str == "" {
		t.Errorf("the owner's state: %s", got)
	}
	calls := crm.all("tools/call")
	if got := calls[len(calls)-1].Params.RequestState; got != "own state" {
		t.Errorf("the upstream got the state %q", got)
	}

	r.clock.forward(25 * time.Hour)
	for what, got := range map[string]answered{
		"an expired cursor": list(sam, "prompts/list", prompts),
		"an expired state":  call(sam, "echo", state),
	} {
		if got.get("error.code").Int() != -32602 {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// A handle outlives the process that made it, for its owner alone, and not the
// end of its session, nor its life.
func TestSessionsSurviveARestart(t *testing.T) {
	store, keys := &storetest.Memory{}, keyring.NewEphemeral()
	up := newPeer(t)
	start := func() *rig {
		return newRig(t, setup{policy: handlePolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}, store: store, keys: keys})
	}
	first := start()
	sam, gone := first.legacy("sam", "/mcp"), first.legacy("sam", "/mcp")
	if got := gone.do(gone.request(t.Context(), http.MethodDelete, "")); got.status != http.StatusNoContent {
		t.Fatalf("DELETE: %d", got.status)
	}
	first.close()

	second := start()
	call := func(r *rig, who, session string) answered {
		a := r.agent(who, "/mcp")
		a.session = session
		return a.call("1", "echo", `{"text":"again"}`)
	}
	if got := call(second, "sam", sam.session); got.get("result.structuredContent.text").Str != "again" {
		t.Errorf("after a restart: %s", got)
	}
	calls := up.all("tools/call")
	if len(calls) == 0 || calls[len(calls)-1].header.Get("Mcp-Session-Id") != "upstream-session" {
		t.Error("the upstream's session was lost")
	}
	if got := call(second, "fran", sam.session); got.status != http.StatusNotFound {
		t.Errorf("somebody else, after a restart: %s", got)
	}
	if got := call(second, "sam", gone.session); got.status != http.StatusNotFound {
		t.Errorf("an ended session, after a restart: %s", got)
	}
	sessions := map[string]bool{}
	for _, rec := range second.recorded(audit.Intent) {
		sessions[rec.Session.String()] = true
	}
	if len(sessions) != 1 {
		t.Errorf("the calls before and after stand in %d sessions", len(sessions))
	}
	second.close()

	third := start()
	third.clock.forward(25 * time.Hour)
	if got := call(third, "sam", sam.session); got.status != http.StatusNotFound {
		t.Errorf("past its life: %s", got)
	}
}
