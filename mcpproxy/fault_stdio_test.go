package mcpproxy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

func stdioRig(t *testing.T, limits func(*mcpproxy.Limits), kinds ...string) *rig {
	t.Helper()
	var ups []mcpproxy.Upstream
	for _, kind := range kinds {
		ups = append(ups, stdioUpstream(t, kind, kind))
	}
	policy := `version: 1
roles: {everyone: {allow: ["*/*"]}}
`
	return newRig(t, setup{policy: policy, upstreams: ups, limits: limits})
}

func say(text string) string { return `{"text":"` + text + `"}` }

// A server process that breaks its session breaks that session alone: the call is
// an error and an outcome, the session is over, and the caller may begin another.
func TestStdioFaultsEndTheSession(t *testing.T) {
	for text, want := range map[string]string{
		"crash":     "upstream standard ended while a call was running",
		"long line": "upstream standard sent more than limits.result allows",
		"garbage":   "upstream standard sent a message that cannot be read",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			r := stdioRig(t, func(l *mcpproxy.Limits) { l.Result = 1 << 20 }, "standard")
			sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
			fran.call("1", "echo", say("before"))
			got := sam.call("1", "echo", say(text))
			if !strings.HasPrefix(got.reason(), want) || got.get("error.code").Int() != -32603 {
				t.Errorf("the client got %s", got)
			}
			if got := fran.call("2", "echo", say("after")); got.get("result.structuredContent.text").Str != "after" {
				t.Errorf("another session: %s", got)
			}
			eventually(t, "the session ends", func() bool { return sam.call("2", "echo", say("more")).status == http.StatusNotFound })
			sam.session = ""
			sam.initialize()
			if got := sam.call("3", "echo", say("again")); got.get("result.structuredContent.text").Str != "again" {
				t.Errorf("a new session: %s", got)
			}
			if outcomes := r.outcomes(); !strings.HasPrefix(outcomes, "ok failed ok ") {
				t.Errorf("outcomes: %s", outcomes)
			}
			ends := r.recorded(audit.SessionEnd)
			if len(ends) != 1 || ends[0].Reason.String() != "the server process ended" {
				t.Errorf("ends of sessions: %+v", ends)
			}
		})
	}
}

// In the modern era there is no session to lose: the next call has a new process.
func TestStdioRestartsForModernCallers(t *testing.T) {
	r := stdioRig(t, nil, "standard")
	a := r.agent("sam", "/mcp")
	if got := a.modern(toolCall("1", "echo", say("crash"))); !strings.Contains(got.reason(), "ended while a call was running") {
		t.Errorf("the crash: %s", got)
	}
	eventually(t, "another process answers", func() bool {
		return a.modern(toolCall("2", "echo", say("again"))).get("result.structuredContent.text").Str == "again"
	})
}

// What a server writes beside the protocol does not get in the way: a banner on
// stdout, a flood on stderr, answers that nobody asked for.
func TestStdioNoise(t *testing.T) {
	r := stdioRig(t, nil, "banner", "standard")
	if got := r.legacy("sam", "/mcp/banner").call("1", "echo", say("hello")); got.get("result.structuredContent.text").Str != "hello" {
		t.Errorf("behind a banner: %s", got)
	}
	if !strings.Contains(r.logs.String(), "stdout that is no message") || strings.Contains(r.logs.String(), "greets its guests") {
		t.Errorf("the log says:\n%s", r.logs)
	}
	a := r.legacy("sam", "/mcp/standard")
	for _, text := range []string{"stderr flood", "wrong ids", "wrong ids", "fine"} {
		got := a.call(`"`+text+`"`, "echo", say(text))
		if got.get("result.structuredContent.text").Str != text {
			t.Errorf("%s: %s", text, got)
		}
	}
	if r.outcomes() != "ok ok ok ok ok" {
		t.Errorf("outcomes: %s", r.outcomes())
	}
	eventually(t, "stderr is in the log", func() bool { return strings.Contains(r.logs.String(), "noise noise") })
	if strings.Contains(r.logs.String(), childSecret) {
		t.Error("a secret that the server wrote to stderr is in the log")
	}
}

// A server that does not answer in time is an error to its caller; the session
// goes on, and the server is told to stop.
func TestStdioTimeout(t *testing.T) {
	t.Parallel()
	r := stdioRig(t, func(l *mcpproxy.Limits) { l.Timeout = time.Second }, "standard")
	a := r.legacy("sam", "/mcp")
	a.call("0", "echo", say("warm"))
	if got := a.call("1", "echo", say("hold it")); got.reason() != "upstream standard did not answer in time" {
		t.Errorf("got %s", got)
	}
	if got := a.call("2", "echo", say("cancelled")); got.get("result.structuredContent").Raw != `["hold it"]` {
		t.Errorf("the server was told to cancel %s", got)
	}
	if r.outcomes() != "ok failed ok" {
		t.Errorf("outcomes: %s", r.outcomes())
	}
}

// A server that cannot be started, or is gone at once.
func TestStdioDoesNotStart(t *testing.T) {
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{
		{Name: "missing", Command: []string{"/nonexistent/mcp-server"}},
		{Name: "folder", Command: []string{"/"}},
		stdioUpstream(t, "dead", "dead"),
	}})
	for name, want := range map[string]string{
		"missing": "upstream missing cannot be started",
		"folder":  "upstream folder cannot be started",
		"dead":    "upstream dead ",
	} {
		got := r.agent("sam", "/mcp/"+name).post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		if !strings.HasPrefix(got.reason(), want) || got.header.Get("Mcp-Session-Id") != "" || strings.Contains(got.body, "/nonexistent") {
			t.Errorf("%s: %s", name, got)
		}
	}
	eventually(t, "the log says how the dead one ended", func() bool { return strings.Contains(r.logs.String(), `upstream=dead end="exit status 3"`) })
}

// A server that stopped reading its stdin holds up its own caller for the
// timeout, and is made to go when its session ends: stdin closed, TERM, KILL.
func TestStdioDeafServerIsStopped(t *testing.T) {
	t.Parallel()
	r := stdioRig(t, func(l *mcpproxy.Limits) { l.Timeout = time.Second }, "standard")
	a := r.legacy("sam", "/mcp")
	if got := a.call("1", "echo", say("deaf")); got.reason() != "upstream standard did not answer in time" {
		t.Errorf("the call: %s", got)
	}
	large := `{"text":"` + strings.Repeat("x", 200_000) + `"}` // more than a pipe holds
	if got := a.call("2", "echo", large); got.reason() == "" {
		t.Errorf("a call that cannot be written: %s", got)
	}
	if got := r.legacy("fran", "/mcp").call("1", "echo", say("x")); got.reason() != "" {
		t.Errorf("another session: %s", got)
	}
	done := make(chan struct{})
	go func() { r.close(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		t.Error("the server is still there")
	}
}

// What is read of a result is read over stdio as over HTTP: a tool's error is one
// in the record too.
func TestStdioOutcomes(t *testing.T) {
	r := stdioRig(t, nil, "standard")
	a := r.legacy("sam", "/mcp")
	a.call("1", "echo", say("tool error"))
	a.call("2", "echo", say("error"))
	a.call("3", "echo", say("task"))
	if r.outcomes() != "tool_error error withheld" {
		t.Errorf("outcomes: %s", r.outcomes())
	}
}
