package mcpproxy_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
	"mcpguard/store/storetest"
)

// Law 2: no record, no call. Each fault is tried twice: nothing was kept, and
// everything was kept but reported as failed, by a store that cannot be asked.

var faults = map[string]func(*storetest.Memory){
	"lost": (*storetest.Memory).FailLost,
	"kept, and nobody knows": func(m *storetest.Memory) {
		m.FailKept()
		m.Blind(true)
	},
}

const recordPolicy = `version: 1
roles:
  support:
    groups: [support]
    allow:
      - {tool: crm/get_customer, reads: true}
      - crm/echo
      - {tool: crm/refund, args: {amount: {max: 500}}}
      - {request: crm/elicitation}
      - {method: "crm/vendor/*"}
      - {method: "crm/notifications/vendor"}
`

// Whatever a client asks while the store cannot write: the upstream hears
// nothing of it, and the client hears that the record cannot be kept, in the
// place of every answer that mcpguard or the upstream would have given.
func TestNoRecordNoCall(t *testing.T) {
	asks := map[string]string{
		"an allowed call":       toolCall("1", "get_customer", `{"id":7}`),
		"a denied call":         toolCall("1", "refund", `{"amount":501}`),
		"a hidden tool":         toolCall("1", "purge", `{}`),
		"an unknown tool":       toolCall("1", "nothing", `{}`),
		"a resource":            `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///etc/passwd"}}`,
		"a prompt":              `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"x"}}`,
		"a list":                `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
		"a made-up cursor":      `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"made up"}}`,
		"another made-up one":   `{"jsonrpc":"2.0","id":1,"method":"prompts/list","params":{"cursor":"made up"}}`,
		"an unknown method":     `{"jsonrpc":"2.0","id":1,"method":"other"}`,
		"an allowed method":     `{"jsonrpc":"2.0","id":1,"method":"vendor/thing"}`,
		"hidden completions":    `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"x"}}}`,
		"an answer to nothing":  `{"jsonrpc":"2.0","id":1,"result":{}}`,
		"a notification":        `{"jsonrpc":"2.0","method":"notifications/vendor"}`,
		"a batch":               `[]`,
		"a name twice":          `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`,
		"initialize in session": `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`,
	}
	for fault, fail := range faults {
		for ask, body := range asks {
			t.Run(fault+"/"+ask, func(t *testing.T) {
				t.Parallel()
				up := newPeer(t)
				r := newRig(t, setup{policy: recordPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
				a := r.legacy("sam", "/mcp")
				if got := a.call("0", "get_customer", `{}`); got.reason() != "" { // fetches the catalogue
					t.Fatal(got)
				}
				heard := up.everything()
				fail(r.store)
				got := a.post(body)
				if now := up.everything(); now != heard {
					t.Errorf("the upstream heard of it:\n%s", strings.TrimPrefix(now, heard))
				}
				if strings.HasPrefix(ask, "a notification") {
					if got.status == http.StatusAccepted {
						t.Errorf("accepted: %s", got)
					}
					return // its refusal does not say why
				}
				if got.status != http.StatusServiceUnavailable || !strings.Contains(got.reason(), "record cannot be kept") {
					t.Errorf("the client got %d %s", got.status, got)
				}
				r.store.Heal()
				if got := a.call("2", "get_customer", `{"id":8}`); got.get("result.structuredContent.id").Int() != 8 {
					t.Errorf("after the store healed: %s", got)
				}
			})
		}
	}
}

// A session that cannot be recorded does not begin, and one whose end cannot be
// recorded does not end.
func TestNoRecordNoSession(t *testing.T) {
	for fault, fail := range faults {
		t.Run(fault, func(t *testing.T) {
			up := newPeer(t)
			r := newRig(t, setup{policy: recordPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			a := r.legacy("sam", "/mcp")
			fail(r.store)
			if got := a.do(a.request(t.Context(), http.MethodDelete, "")); got.status != http.StatusServiceUnavailable {
				t.Errorf("DELETE: %d", got.status)
			}
			if n := len(up.all("DELETE")); n != 0 {
				t.Error("the upstream's session was ended")
			}
			fresh := r.agent("sam", "/mcp")
			got := fresh.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
			if got.status == http.StatusOK && got.reason() == "" || got.header.Get("Mcp-Session-Id") != "" {
				t.Errorf("initialize: %d %s, session %q", got.status, got, got.header.Get("Mcp-Session-Id"))
			}
			if got := fresh.modern(toolCall("1", "get_customer", `{}`)); got.status != http.StatusServiceUnavailable {
				t.Errorf("a first modern call: %d %s", got.status, got)
			}
			if n := len(up.all("tools/call")); n != 0 {
				t.Errorf("the upstream heard %d calls", n)
			}
			r.store.Heal()
			if got := a.call("1", "get_customer", `{"id":8}`); got.get("result.structuredContent.id").Int() != 8 {
				t.Errorf("the session whose end was not recorded is gone: %s", got)
			}
		})
	}
}

// The upstream has answered, and the outcome cannot be kept: the client gets an
// error and nothing of the answer, in JSON as in an event stream.
func TestNoOutcomeNoAnswer(t *testing.T) {
	for fault, fail := range faults {
		for _, shape := range []string{"json", "sse"} {
			t.Run(fault+"/"+shape, func(t *testing.T) {
				up := newPeer(t)
				r := newRig(t, setup{policy: recordPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
				up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
					fail(r.store)
					if shape == "json" {
						sayJSON(w, m.result(`{"content":[{"type":"text","text":"precious"}]}`))
						return
					}
					sayEvents(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"before"}}`,
						m.result(`{"content":[{"type":"text","text":"precious"}]}`))
				}
				a := r.legacy("sam", "/mcp")
				got := a.call("1", "echo", `{"text":"x"}`)
				if strings.Contains(got.body, "precious") || !strings.Contains(got.reason(), "record cannot be kept") {
					t.Errorf("the client got %s", got)
				}
				if got.get("id").Int() != 1 {
					t.Errorf("the error does not answer the request: %s", got)
				}
				r.store.Heal()
				if intents := r.recorded(audit.Intent); len(intents) != 1 {
					t.Errorf("%d intents are in the record, want the one whose outcome nobody knows", len(intents))
				}
			})
		}
	}
}

// A store that reports a failure, and when asked turns out to have kept the
// record, has kept it: the call goes on, and stands in the record once.
func TestKeptAfterAllGoesOn(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: recordPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	a.post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`) // its definitions are kept
	r.store.FailKept()
	if got := a.call("1", "echo", `{"text":"x"}`); got.get("result.structuredContent.text").Str != "x" {
		t.Errorf("got %s", got)
	}
	if intents := r.recorded(audit.Intent); len(intents) != 1 || r.outcomes() != "ok" {
		t.Errorf("%d intents and the outcomes %q", len(intents), r.outcomes())
	}
}

// gate holds the commit of the first record of a kind until it is let through.
type gate struct {
	held    chan struct{} // closed when the record is about to be kept
	verdict chan error    // what becomes of it
}

func newGate() *gate { return &gate{make(chan struct{}), make(chan error, 1)} }

func (g *gate) at(k audit.Kind) func([]audit.Entry) error {
	done := false
	return func(es []audit.Entry) error {
		if done || !slices.ContainsFunc(es, func(e audit.Entry) bool { return e.Kind == k }) {
			return nil
		}
		done = true
		close(g.held)
		return <-g.verdict
	}
}

var errTorn = errors.New("the disk was torn out")

// What waits for what, in each durability. A record is held at the store until
// the other side has moved, or is shown not to have.
func TestDurabilities(t *testing.T) {
	start := func(t *testing.T, d mcpproxy.Durability, k audit.Kind) (*agent, *peer, *gate) {
		g, up := newGate(), newPeer(t)
		r := newRig(t, setup{policy: recordPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
			keep: mcpproxy.Keep{Durability: d}, watch: g.at(k)})
		return r.legacy("sam", "/mcp"), up, g
	}
	call := func(a *agent, tool string) chan answered {
		got := make(chan answered, 1)
		go func() { got <- a.call("1", tool, `{"text":"x"}`) }()
		return got
	}
	const refusal = "record cannot be kept"

	for _, d := range []mcpproxy.Durability{mcpproxy.Strict, mcpproxy.Relaxed} {
		t.Run(d.String()+": the intent before the call", func(t *testing.T) {
			a, up, g := start(t, d, audit.Intent)
			got := call(a, "get_customer")
			<-g.held
			g.verdict <- errTorn
			if answer := <-got; !strings.Contains(answer.reason(), refusal) || len(up.all("tools/call")) != 0 {
				t.Errorf("got %s, and the upstream %d calls", answer, len(up.all("tools/call")))
			}
		})
	}
	t.Run("overlapped: the intent while the upstream works, before the answer", func(t *testing.T) {
		a, up, g := start(t, mcpproxy.Overlapped, audit.Intent)
		reached := make(chan struct{})
		up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
			close(reached)
			sayJSON(w, standard(m))
		}
		got := call(a, "get_customer")
		<-g.held
		<-reached // in strict this would never come
		g.verdict <- errTorn
		if answer := <-got; !strings.Contains(answer.reason(), refusal) {
			t.Errorf("the answer did not wait for the intent: %s", answer)
		}
	})
	t.Run("overlapped: the outcome before the answer", func(t *testing.T) {
		a, _, g := start(t, mcpproxy.Overlapped, audit.Outcome)
		got := call(a, "get_customer")
		<-g.held
		g.verdict <- errTorn
		if answer := <-got; !strings.Contains(answer.reason(), refusal) {
			t.Errorf("the answer did not wait for the outcome: %s", answer)
		}
	})
	t.Run("relaxed: the answer does not wait for the outcome", func(t *testing.T) {
		a, _, g := start(t, mcpproxy.Relaxed, audit.Outcome)
		if answer := <-call(a, "get_customer"); answer.get("result.structuredContent.text").Str != "x" {
			t.Errorf("got %s", answer)
		}
		<-g.held // it was still not kept
		g.verdict <- nil
	})
	for _, d := range []mcpproxy.Durability{mcpproxy.Overlapped, mcpproxy.Relaxed} {
		t.Run(d.String()+": a tool that is not marked as reading is strict", func(t *testing.T) {
			a, up, g := start(t, d, audit.Intent)
			got := call(a, "echo")
			<-g.held
			g.verdict <- errTorn
			if answer := <-got; !strings.Contains(answer.reason(), refusal) || len(up.all("tools/call")) != 0 {
				t.Errorf("got %s, and the upstream %d calls", answer, len(up.all("tools/call")))
			}
			a, _, g = start(t, d, audit.Outcome)
			got = call(a, "echo")
			<-g.held
			g.verdict <- errTorn
			if answer := <-got; !strings.Contains(answer.reason(), refusal) {
				t.Errorf("the answer did not wait for the outcome: %s", answer)
			}
		})
	}
}

// A store that hangs holds every answer back; when it goes on, so do they.
func TestBlockedStoreReleasesNothing(t *testing.T) {
	g, up := newGate(), newPeer(t)
	r := newRig(t, setup{policy: recordPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}, watch: g.at(audit.Intent)})
	a := r.legacy("sam", "/mcp")
	got := make(chan answered, 1)
	go func() { got <- a.call("1", "echo", `{"text":"x"}`) }()
	<-g.held
	select {
	case answer := <-got:
		t.Errorf("answered while the store hangs: %s", answer)
	default:
	}
	if n := len(up.all("tools/call")); n != 0 {
		t.Errorf("the upstream heard %d calls while the store hangs", n)
	}
	g.verdict <- nil
	if answer := <-got; answer.get("result.structuredContent.text").Str != "x" {
		t.Errorf("after the store went on: %s", answer)
	}
}

// A question whose intent cannot be kept is not shown; a client's answer whose
// outcome cannot be kept does not go upstream.
func TestNoRecordNoQuestion(t *testing.T) {
	t.Run("intent", func(t *testing.T) {
		up := newPeer(t)
		intents := 0
		r := newRig(t, setup{policy: recordPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}, watch: func(es []audit.Entry) error {
			if slices.ContainsFunc(es, func(e audit.Entry) bool { return e.Kind == audit.Intent }) {
				intents++
			}
			if intents == 2 { // the first is the call's own
				return errTorn
			}
			return nil
		}})
		answered := make(chan heard, 1)
		up.on["response"] = func(w http.ResponseWriter, m heard) { answered <- m; w.WriteHeader(http.StatusAccepted) }
		up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
			sayEvents(w, `{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"name?"}}`)
			reply := <-answered
			if !strings.Contains(reply.text, `"error"`) {
				t.Errorf("the upstream was answered %s", reply.text)
			}
			sayEvents(w, m.result(`{"content":[]}`))
		}
		a := r.legacy("sam", "/mcp")
		if got := a.call("1", "echo", `{"text":"x"}`); strings.Contains(got.body, "elicitation") {
			t.Errorf("the client was asked: %s", got)
		}
	})
	t.Run("outcome", func(t *testing.T) {
		up := newPeer(t)
		r := newRig(t, setup{policy: recordPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
		goOn := make(chan struct{})
		up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
			sayEvents(w, `{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"name?"}}`)
			<-goOn
			sayEvents(w, m.result(`{"content":[]}`))
		}
		a := r.legacy("sam", "/mcp")
		s := a.open(a.request(t.Context(), http.MethodPost, toolCall("1", "echo", `{"text":"x"}`)))
		s.next()
		r.store.FailLost()
		if got := a.post(`{"jsonrpc":"2.0","id":"q","result":{"action":"accept"}}`); got.status != http.StatusServiceUnavailable {
			t.Errorf("the answer was taken: %s", got)
		}
		if n := len(up.all("response")); n != 0 {
			t.Errorf("the upstream heard %d answers", n)
		}
		r.store.Heal()
		close(goOn)
		s.rest()
	})
}
