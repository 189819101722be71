package mcpproxy_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

// A caller's words go upstream by more roads than calls. Law 2 holds on each.

const wordsPolicy = `version: 1
roles:
  support:
    groups: [support]
    redact: [pii]
    allow:
      - crm/echo
      - {prompt: crm/reply}
      - {resource: "crm/file:///srv/**"}
redactions: {pii: {paths: ["**.ssn"], replace: mask}}
`

// words are the messages of both eras that carry words and are no call of a
// target that policy names.
var words = map[string]struct {
	modern bool
	body   string
	kind   audit.Kind // of the record that is there before the upstream hears
}{
	"ping":          {false, `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"psst":1}}}`, audit.Intent},
	"beside params": {false, `{"jsonrpc":"2.0","id":1,"method":"ping","psst":1}`, audit.Intent},
	"level":         {false, `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info"}}`, audit.Intent},
	"prompt":        {false, `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"reply"},"argument":{"name":"a","value":"psst"}}}`, audit.Intent},
	"template":      {false, `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"file:///srv/{a}"},"argument":{"name":"a","value":"psst"}}}`, audit.Intent},
	"subscribe":     {false, `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"file:///srv/a"}}`, audit.Intent},
	"unsubscribe":   {false, `{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"uri":"file:///srv/a"}}`, audit.Intent},
	"a list":        {false, `{"jsonrpc":"2.0","id":1,"method":"prompts/list","params":{"psst":1}}`, audit.Intent},
	"a list's meta": {true, `{"jsonrpc":"2.0","id":1,"method":"prompts/list","params":{"_meta":{"psst":1,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`, audit.Intent},
	"progress":      {false, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1,"message":"psst"}}`, audit.Event},
	"cancelled":     {false, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"psst"}}`, audit.Event},
	"initialized":   {false, `{"jsonrpc":"2.0","method":"notifications/initialized","params":{"_meta":{"psst":1}}}`, audit.Event},
	"roots":         {false, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed","params":{"_meta":{"psst":1}}}`, audit.Event},
	"discover":      {true, `{"jsonrpc":"2.0","id":1,"method":"server/discover"}`, audit.Event},
	"listen":        {true, `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["file:///srv/a"]}}}`, audit.Intent},
	"completion":    {true, `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"reply"},"argument":{"name":"a","value":"psst"}}}`, audit.Intent},
	"hung up":       {true, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"psst"}}`, audit.Event},
}

func sayWords(r *rig, road string) (*agent, func() answered) {
	m := words[road]
	if m.modern {
		a := r.agent("sam", "/mcp")
		return a, func() answered { return a.modern(m.body) }
	}
	a := r.legacy("sam", "/mcp")
	return a, func() answered { return a.post(m.body) }
}

// While the store cannot write, no word goes on.
func TestLawNoRecordNoWord(t *testing.T) {
	for fault, fail := range faults {
		for road := range words {
			t.Run(fault+"/"+road, func(t *testing.T) {
				t.Parallel()
				up := newPeer(t)
				r := newRig(t, setup{policy: wordsPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
				a, say := sayWords(r, road)
				if got := a.modern(toolCall("0", "echo", `{"text":"warm"}`)); got.reason() != "" { // the session is recorded
					t.Fatal(got)
				}
				heard := up.everything()
				fail(r.store)
				if got := say(); got.status != http.StatusServiceUnavailable {
					t.Errorf("the client got %d %s", got.status, got)
				}
				if now := up.everything(); now != heard {
					t.Errorf("the upstream heard of it:\n%s", strings.TrimPrefix(now, heard))
				}
			})
		}
	}
}

// A word is recorded before it goes on, and an answer before it leaves.
func TestLawWordsAreRecorded(t *testing.T) {
	for road, m := range words {
		t.Run(road, func(t *testing.T) {
			t.Parallel()
			up := newPeer(t)
			r := newRig(t, setup{policy: wordsPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			var before atomic.Int64
			kind := m.kind
			for _, key := range []string{"ping", "logging/setLevel", "completion/complete", "resources/subscribe", "resources/unsubscribe",
				"server/discover", "subscriptions/listen", "prompts/list"} {
				up.on[key] = func(w http.ResponseWriter, m heard) {
					before.Store(int64(len(r.recorded(kind))))
					sayJSON(w, m.result(`{"resultType":"complete","supportedVersions":["2026-07-28"],"completion":{"values":[]},"prompts":[]}`))
				}
			}
			for _, key := range []string{"notifications/progress", "notifications/cancelled", "notifications/initialized", "notifications/roots/list_changed"} {
				up.on[key] = func(w http.ResponseWriter, m heard) {
					before.Store(int64(len(r.recorded(kind))))
					w.WriteHeader(http.StatusAccepted)
				}
			}
			_, say := sayWords(r, road)
			if got := say(); got.reason() != "" || got.status >= 300 {
				t.Fatalf("%d %s", got.status, got)
			}
			if n := before.Load(); n != 1 {
				t.Errorf("%d records of it were there when the upstream heard it", n)
			}
			if kind == audit.Intent && r.outcomes() != "ok" {
				t.Errorf("outcomes %q", r.outcomes())
			}
		})
	}
}

// Law 14: what leaves a record and is bounded by no limit of policy is bounded
// here; a bare ping leaves none, and may come as often as it likes.
func TestLawChatterIsBounded(t *testing.T) {
	const sent = 600
	for name, road := range map[string]struct {
		body    string
		limited bool
	}{
		"bare ping":         {ping, false},
		"ping with words":   {words["ping"].body, true},
		"cancelled nothing": {words["cancelled"].body, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frozen := time.Now() // however slow the machine is
			r := newRig(t, setup{policy: wordsPolicy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")},
				now: func() time.Time { return frozen }})
			a := r.legacy("sam", "/mcp")
			limited := 0
			for range sent {
				if a.post(road.body).status == http.StatusTooManyRequests {
					limited++
				}
			}
			kept := len(r.recorded(audit.Intent, audit.Event))
			if road.limited && (limited == 0 || kept+limited != sent) || !road.limited && kept+limited != 0 {
				t.Errorf("%d were told to slow down, %d are in the record, of %d", limited, kept, sent)
			}
			if got := r.legacy("fran", "/mcp").post(words["ping"].body); got.status != http.StatusOK {
				t.Errorf("another caller: %d %s", got.status, got)
			}
		})
	}
}

// Law 6: a server's ping is a road too; so is the client's answer to it.
func TestLawPingsCarryNothingUnseen(t *testing.T) {
	up := newPeer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, `{"jsonrpc":"2.0","id":"p1","method":"ping","params":{"ssn":"123-45-6789"}}`,
			`{"jsonrpc":"2.0","id":"p2","method":"ping"}`, standard(m))
	}
	r := newRig(t, setup{policy: wordsPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	got := a.call("1", "echo", `{}`)
	if strings.Contains(got.body, ssn) || !strings.Contains(got.body, `"id":"p1"`) || !strings.Contains(got.body, `"id":"p2"`) {
		t.Errorf("the client got %s", got)
	}
	for _, answer := range []string{`{"jsonrpc":"2.0","id":"p2","result":{}}`, `{"jsonrpc":"2.0","id":"p1","result":{"psst":{"ssn":"123-45-6789"}}}`} {
		if got := a.post(answer); got.status != http.StatusAccepted {
			t.Errorf("%s: %d %s", answer, got.status, got)
		}
	}
	events := r.recorded(audit.Event)
	if len(events) != 1 || !strings.Contains(events[0].Result.String(), "psst") || strings.Contains(events[0].Result.String(), ssn) {
		t.Errorf("what the pings' answers said is recorded as %+v", events)
	}
	r.store.FailLost()
	if got := a.call("2", "echo", `{}`); got.status != http.StatusServiceUnavailable {
		t.Errorf("the store works: %s", got)
	}
}

// The verdicts of a subscription carry the id of the call that it is.
func TestSubscriptionsAreOneCall(t *testing.T) {
	up := newPeer(t)
	up.on["subscriptions/listen"] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(`{"resultType":"complete"}`)) }
	r := newRig(t, setup{policy: wordsPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	r.agent("sam", "/mcp").modern(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["file:///srv/a","file:///srv/b"]}}}`)
	all := r.recorded(audit.Event, audit.Intent, audit.Outcome)
	if len(all) != 4 {
		t.Fatalf("%d records", len(all))
	}
	for _, rec := range all {
		if rec.Call.IsZero() || rec.Call != all[0].Call {
			t.Errorf("%s %s is of call %s, the first of %s", rec.Kind, rec.Target, rec.Call, all[0].Call)
		}
	}
	many := strings.TrimSuffix(strings.Repeat(`"file:///srv/a",`, 257), ",")
	got := r.agent("sam", "/mcp").modern(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[` + many + `]}}}`)
	if got.status != http.StatusBadRequest || len(r.recorded(audit.Event)) != 2 {
		t.Errorf("257 resources: %d %s", got.status, got)
	}
}
