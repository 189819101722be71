package mcpproxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
	"mcpguard/toolcall"
)

const sharePolicy = `version: 1
roles: {everyone: {allow: ["crm/*", {resource: "crm/res://**"}, {request: crm/elicitation}]}}
`

func shareRig(t *testing.T, share mcpproxy.Share, limits func(*mcpproxy.Limits)) *rig {
	t.Helper()
	up := stdioUpstream(t, "crm", "standard")
	up.Share = share
	return newRig(t, setup{policy: sharePolicy, upstreams: []mcpproxy.Upstream{up}, limits: limits})
}

// with begins a legacy session with some version and capabilities.
func (r *rig) with(name, version, capabilities string) *agent {
	r.t.Helper()
	a := r.agent(name, "/mcp")
	got := a.post(`{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"protocolVersion":"` + version +
		`","capabilities":` + capabilities + `,"clientInfo":{"name":"` + name + `","version":"1"}}}`)
	a.session = got.header.Get("Mcp-Session-Id")
	if got.status != http.StatusOK || a.session == "" || got.get("id").Str != "hello" || got.get("result.protocolVersion").Str != version {
		r.t.Fatalf("initialize: %s", got)
	}
	return a
}

func (a *agent) ask(text string) string {
	a.t.Helper()
	got := a.call("1", "echo", say(text))
	if got.reason() != "" {
		a.t.Errorf("%s: %s", text, got)
	}
	return got.get("result.structuredContent").Raw
}

// Who shares a process with whom.
func TestShare(t *testing.T) {
	for share, groups := range map[mcpproxy.Share]string{
		mcpproxy.ShareSession: "a b c d e f",
		mcpproxy.ShareCaller:  "a a a d e f",
		mcpproxy.ShareAll:     "a a a d e a",
	} {
		t.Run(share.String(), func(t *testing.T) {
			t.Parallel()
			r := shareRig(t, share, nil)
			agents := []*agent{
				r.with("sam", legacyVersion, `{}`),
				r.with("sam", legacyVersion, `{}`),
				r.with("sam", legacyVersion, `{"sampling":{},"roots":{"listChanged":true},"elicitation":{}}`),
				r.with("sam", legacyVersion, `{"experimental":{"x":{}}}`),
				r.with("sam", "2025-06-18", `{}`),
				r.with("fran", legacyVersion, `{}`),
			}
			first := map[string]string{}
			var got []string
			for i, a := range agents {
				pid := a.ask("pid")
				if first[pid] == "" {
					first[pid] = string(rune('a' + i))
				}
				got = append(got, first[pid])
			}
			if strings.Join(got, " ") != groups {
				t.Errorf("shared %v, want %s", got, groups)
			}
			// The modern era has its own processes: an era is for a process's life.
			if pid := r.agent("sam", "/mcp").modern(toolCall("1", "echo", say("pid"))).get("result.structuredContent").Raw; first[pid] != "" {
				t.Error("the modern era shares with the legacy one")
			}
		})
	}
}

// A shared server is greeted once, and by nobody who could be asked something.
func TestSharedHandshake(t *testing.T) {
	r := shareRig(t, mcpproxy.ShareAll, nil)
	var agents [8]*agent
	var wait sync.WaitGroup
	for i := range agents {
		wait.Go(func() {
			agents[i] = r.with([]string{"sam", "fran"}[i%2], legacyVersion, `{"sampling":{},"elicitation":{}}`)
			agents[i].post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
			agents[i].post(`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
		})
	}
	wait.Wait()
	if heard := agents[0].ask("methods"); heard != `["initialize","notifications/initialized"]` {
		t.Errorf("the server heard %s", heard)
	}
	if greeted := agents[1].ask("greeted"); !strings.Contains(greeted, `"capabilities":{}`) {
		t.Errorf("the handshake was %s", greeted)
	}
}

// Sessions of a shared server may use the same ids; each gets its own answers, and
// cancels its own calls only.
func TestSharedIDs(t *testing.T) {
	r := shareRig(t, mcpproxy.ShareAll, nil)
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	sam.ask("warm")
	held := make(chan answered, 2)
	for _, a := range []*agent{sam, fran} {
		go func() { held <- a.call(`7`, "echo", say("hold "+a.token[len(a.token)-4:])) }()
	}
	eventually(t, "both calls are under way", func() bool { return len(r.recorded(audit.Intent)) == 3 })
	other := r.legacy("fran", "/mcp")
	other.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
	if got := other.ask("cancelled"); got != "null" {
		t.Errorf("another session's cancellation reached the server: %s", got)
	}
	other.ask("release")
	texts := map[string]bool{}
	for range 2 {
		got := <-held
		texts[got.get("result.structuredContent.text").Str] = got.get("id").Raw == "7"
	}
	for _, a := range []*agent{sam, fran} {
		if want := "hold " + a.token[len(a.token)-4:]; !texts[want] {
			t.Errorf("nobody got %q, or under another id: %v", want, texts)
		}
	}
}

// What a shared server says that names no request reaches those whom it can
// concern, and nobody else: that a list changed, all; a log line, which could be
// about another caller's call, none; a question, none.
func TestSharedServerSpeaks(t *testing.T) {
	r := shareRig(t, mcpproxy.ShareAll, nil)
	sam := r.legacy("sam", "/mcp")
	if got := sam.call("1", "echo", say("announce")); !strings.Contains(got.body, "about a call") {
		t.Errorf("alone with the server, its log line is lost: %s", got)
	}
	fran := r.legacy("fran", "/mcp")
	listen := func(a *agent) *stream { return a.open(a.request(t.Context(), http.MethodGet, "")) }
	sams, frans := listen(sam), listen(fran)
	got := sam.call("1", "echo", say("announce"))
	got.body += sam.call("1", "echo", say("updated")).body
	for name, s := range map[string]*stream{"sam": sams, "fran": frans} {
		if _, line, _ := strings.Cut(s.next(), "\n"); line != "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n" {
			t.Errorf("%s heard %s", name, line)
		}
	}
	var asked answered
	for _, how := range []string{"ask", "ask by id"} { // the second says that it belongs to sam's call
		asked = sam.call("2", "echo", say(how))
		if !strings.Contains(asked.get("result.structuredContent.error.message").Str, "refused by mcpguard") || asked.get("result.structuredContent.id").Str != "q" {
			t.Fatalf("the server's question: %s", asked)
		}
	}
	refusals := r.recorded(audit.Refusal)
	if len(refusals) != 2 || refusals[0].Target != "elicitation" || refusals[0].TargetKind != toolcall.Request || !refusals[0].Caller.IsZero() {
		t.Errorf("refusals in the record: %+v", refusals)
	}
	if got := sam.post(`{"jsonrpc":"2.0","id":9,"method":"logging/setLevel","params":{"level":"debug"}}`); !strings.Contains(got.reason(), "shared with other sessions") {
		t.Errorf("logging/setLevel: %s", got)
	}
	r.stop()
	if all := got.body + asked.body + sams.rest() + frans.rest(); strings.Contains(all, "about a call") || strings.Contains(all, "elicitation/create") || strings.Contains(all, "resources/updated") {
		t.Errorf("somebody heard %s", all)
	}
}

// A caller who is alone with a server that had another one before does not hear
// what it logs.
func TestSharedServerKeepsOthersSecrets(t *testing.T) {
	r := shareRig(t, mcpproxy.ShareAll, nil)
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	pid := sam.ask("pid")
	if got := sam.do(sam.request(t.Context(), http.MethodDelete, "")); got.status != http.StatusNoContent {
		t.Fatalf("DELETE: %s", got)
	}
	got := fran.call("1", "echo", say("announce"))
	if strings.Contains(got.body, "about a call") {
		t.Errorf("fran heard %s", got)
	}
	if fran.ask("pid") != pid {
		t.Error("the process went with the first of its sessions")
	}
}

// The server stays subscribed while one session is; updates go to those who
// subscribed.
func TestSharedSubscriptions(t *testing.T) {
	r := shareRig(t, mcpproxy.ShareAll, nil)
	sam, fran, third := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp"), r.legacy("fran", "/mcp")
	about := func(a *agent, method, uri string) {
		t.Helper()
		got := a.post(`{"jsonrpc":"2.0","id":5,"method":"resources/` + method + `","params":{"uri":"` + uri + `"}}`)
		if got.get("id").Raw != "5" || got.get("result").Raw != "{}" {
			t.Errorf("%s %s: %s", method, uri, got)
		}
	}
	listen := func(a *agent) *stream { return a.open(a.request(t.Context(), http.MethodGet, "")) }
	about(sam, "subscribe", "res://a")
	about(fran, "subscribe", "res://a/b")
	about(third, "subscribe", "res://a")
	about(third, "subscribe", "res://c")
	about(third, "unsubscribe", "res://a")
	sams, frans, thirds := listen(sam), listen(fran), listen(third)
	third.ask("updated")
	third.ask("announce")
	for name, s := range map[string]*stream{"the folder's": sams, "the file's": frans} {
		if line := s.next(); !strings.Contains(line, "resources/updated") {
			t.Errorf("%s subscriber heard %s", name, line)
		}
	}
	if line := thirds.next(); strings.Contains(line, "resources/updated") {
		t.Errorf("who does not subscribe any more heard %s", line)
	}
	if got := third.do(third.request(t.Context(), http.MethodDelete, "")); got.status != http.StatusNoContent {
		t.Fatalf("DELETE: %s", got)
	}
	about(sam, "unsubscribe", "res://a")
	want := `["initialize","resources/subscribe res://a","resources/subscribe res://a/b","resources/subscribe res://a",` +
		`"resources/subscribe res://c","resources/unsubscribe res://c","resources/unsubscribe res://a"]`
	if heard := fran.ask("methods"); heard != want {
		t.Errorf("the server heard %s", heard)
	}
}

// A shared process that dies ends the sessions that it had and no others; their
// calls get an error, and the next handshake starts a new one.
func TestSharedCrash(t *testing.T) {
	r := shareRig(t, mcpproxy.ShareCaller, nil)
	one, two, fran := r.legacy("sam", "/mcp"), r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	one.ask("warm")
	held := make(chan answered, 1)
	go func() { held <- two.call("1", "echo", say("hold it")) }()
	eventually(t, "a call is under way", func() bool { return len(r.recorded(audit.Intent)) == 2 })
	pid := fran.ask("pid")
	for _, got := range []answered{one.call("2", "echo", say("crash")), <-held} {
		if got.reason() != "upstream crm ended while a call was running" {
			t.Errorf("a call at the crash: %s", got)
		}
	}
	for _, a := range []*agent{one, two} {
		if got := a.call("3", "echo", say("more")); got.status != http.StatusNotFound {
			t.Errorf("after the crash: %d %s", got.status, got)
		}
		a.session = ""
		a.initialize()
	}
	if one.ask("pid") != two.ask("pid") || fran.ask("pid") != pid {
		t.Error("the new sessions do not share, or another caller's process went too")
	}
}

// A handshake that the server refuses is refused to all who wait for it, and the
// next one has a new process.
func TestSharedHandshakeFails(t *testing.T) {
	up := stdioUpstream(t, "crm", "refuses")
	up.Share = mcpproxy.ShareAll
	r := newRig(t, setup{policy: sharePolicy, upstreams: []mcpproxy.Upstream{up},
		limits: func(l *mcpproxy.Limits) { l.ProcessesPerCaller, l.Processes = 1, 1 }})
	for range 3 {
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				got := r.agent("sam", "/mcp").post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
				if got.reason() == "" || got.header.Get("Mcp-Session-Id") != "" {
					t.Errorf("got %s", got)
				}
			})
		}
		wait.Wait()
	}
	got := r.agent("sam", "/mcp").post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	if got.reason() != "not today" {
		t.Errorf("a process is still there, or its room is: %s", got)
	}
}

// Processes count, not the sessions that share them, and a caller cannot start more
// by differing in what it says of itself (law 14).
func TestSharedProcessQuota(t *testing.T) {
	r := shareRig(t, mcpproxy.ShareAll, func(l *mcpproxy.Limits) { l.ProcessesPerCaller, l.Processes = 2, 3 })
	for range 5 {
		r.legacy("sam", "/mcp")
	}
	r.with("sam", legacyVersion, `{"experimental":{"0":{}}}`)
	for i := range 3 {
		got := r.agent("sam", "/mcp").post(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"experimental":{"%d":{}}}}}`, i+1))
		if got.status != http.StatusTooManyRequests {
			t.Errorf("one process more: %d %s", got.status, got)
		}
	}
	fran := r.legacy("fran", "/mcp")
	fran.ask("pid")
	r.with("fran", legacyVersion, `{"experimental":{"1":{}}}`)
}
