package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// post sends a message of the protocol to the agents' listener as an agent.
func (h *house) post(session, body string) (string, http.Header) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.agents+"/mcp", strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for name, value := range map[string]string{"Authorization": "Bearer " + h.tokens["agents"], "Content-Type": "application/json",
		"Accept": "application/json, text/event-stream", "Mcp-Session-Id": session} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := readAllOf(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return text, res.Header
}

func (h *house) session() string {
	h.t.Helper()
	_, header := h.post("", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"probe","version":"1"}}}`)
	return header.Get("Mcp-Session-Id")
}

const strictPolicy = `version: 1
roles:
  everyone:
    redact: [all]
    deny: [{tool: echo/echo, id: no-echo}]
redactions: {all: {paths: ["**.text"]}}
`

// While a deployment is observed its policy stops no call, and everything else is
// as ever: what it would have done is recorded and counted, results are masked, what
// cannot be read is refused. From its end on policy decides.
func TestLawObservationStopsNoCall(t *testing.T) {
	until := time.Now().Add(time.Hour)
	h := openHouse(t, strictPolicy, func(cfg *Config) { cfg.ObserveUntil = until })
	ses := h.session()
	if got, _ := h.post(ses, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); !strings.Contains(got, `"echo"`) {
		t.Errorf("the list: %s", got)
	}
	const call = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{}}}`
	if got, _ := h.post(ses, call); strings.Contains(got, `"error"`) || strings.Contains(got, `"isError":true`) {
		t.Errorf("the call: %s", got)
	}
	for name, body := range map[string]string{
		"a member twice":      strings.Replace(call, `"id":2`, `"id":3,"id":4`, 1),
		"no such tool":        strings.Replace(call, `"echo"`, `"unheard-of"`, 1),
		"a method of nobody":  `{"jsonrpc":"2.0","id":5,"method":"x/y","params":{}}`,
		"a cursor of nobody":  `{"jsonrpc":"2.0","id":6,"method":"tools/list","params":{"cursor":"mine"}}`,
		"arguments that fold": strings.Replace(call, `{}`, `{"a":1,"A":2}`, 1),
	} {
		if got, _ := h.post(ses, body); !strings.Contains(got, `"error"`) {
			t.Errorf("%s is let through: %s", name, got)
		}
	}
	intents := h.records(audit.Intent)
	if len(intents) != 1 || intents[0].Effect != toolcall.Allow || intents[0].Would != "deny" || intents[0].Rule != "everyone/no-echo" ||
		intents[0].Durability != "strict" || intents[0].Policy != h.guard.engine.Current().Digest() {
		t.Errorf("intents: %+v", intents)
	}
	if loaded := h.records(audit.PolicyLoaded); !strings.Contains(loaded[0].Reason.String(), "only observed until "+until.Format(time.RFC3339)) {
		t.Errorf("the start is recorded as %s", loaded[0].Reason)
	}
	if _, body := h.ask(http.MethodGet, h.desk.at+"/metrics", h.bearer("viewers")); !strings.Contains(body, `mcpguard_would_total{effect="deny",rule="everyone/no-echo",upstream="echo"} 1`) ||
		!strings.Contains(body, "mcpguard_observing 1") {
		t.Errorf("metrics:\n%s", body)
	}
	if err := h.guard.observationOver(t.Context()); err != nil {
		t.Error(err)
	}
	if events := h.records(audit.Event); !slices.ContainsFunc(events, func(r audit.Record) bool { return r.Reason.String() == "the observation is over: policy decides" }) {
		t.Errorf("the end is not recorded: %+v", events)
	}
	if _, body := h.ask(http.MethodGet, h.desk.at+"/readyz", h.bearer("viewers")); !strings.Contains(body, `"observe_until":`) {
		t.Errorf("readiness: %s", body)
	}
}

// An observation masks as its policy does, and ends by itself.
func TestObservedPolicies(t *testing.T) {
	policy, err := loadPolicy(folder(t, map[string]string{"policy.yaml": strictPolicy}))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	j := judge{until: now.Add(time.Hour), now: func() time.Time { return now }}
	sam := toolcall.Caller{Person: "sam", Subject: "sam", Issuer: "token"}
	call := &toolcall.Call{Caller: sam, Kind: toolcall.Tool, Upstream: "echo", Name: "echo"}
	during := j.of(policy)
	d := during.Judge(call)
	if d.Effect != toolcall.Allow || !d.Observed || d.Would != toolcall.Deny || d.Reads || !slices.Contains(d.Redact, "all") {
		t.Errorf("during: %+v", d)
	}
	for _, kind := range []toolcall.Kind{toolcall.Request, toolcall.Method} {
		asked := &toolcall.Call{Caller: sam, Kind: kind, Upstream: "echo", Name: "sampling"}
		if d := during.Evaluate(asked); d.Effect != toolcall.Deny || during.Visible(sam, kind, "echo", "sampling") {
			t.Errorf("a %s is let through: %+v", kind, d)
		}
	}
	if d := j.of(nil).Evaluate(call); d.Effect != toolcall.Deny {
		t.Error("without a policy a call is let through")
	}
	now = j.until
	after := j.of(policy)
	if d := after.Judge(call); d.Effect != toolcall.Deny || d.Observed {
		t.Errorf("after: %+v", d)
	}
	if during.VisibilityKey(sam) == after.VisibilityKey(sam) || during.ListKey(sam, toolcall.Tool, "echo") == after.ListKey(sam, toolcall.Tool, "echo") {
		t.Error("a list that was made during the observation is shown after it")
	}
	if d := (judge{now: j.now}).of(policy).Evaluate(call); d.Effect != toolcall.Deny {
		t.Error("without an end a deployment is observed")
	}
}

// The end of an observation is a moment to come, and near.
func TestEndOfAnObservation(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-09-02":           "",
		"2026-09-01T12:00:01Z": "",
		"2026-11-30":           "",
		"2026-12-01":           "more than 90 days away",
		"2026-09-01":           "is past",
		"2026-09-01T12:00:00Z": "is past",
		"never":                "not a day or a moment",
		"":                     "not a day or a moment",
	} {
		_, err := parseObservation(text, now)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What a caller or an upstream chooses is no label: whatever they send, the metrics
// stay as many as they are.
func TestMetricsAreBounded(t *testing.T) {
	m := newMetrics(&Config{Upstreams: []Upstream{{Name: "crm"}}})
	series := func() int {
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "mcpguard_") {
				n += len(f.GetMetric())
			}
		}
		return n
	}
	hostile := func(i int) {
		name := strings.Repeat("x", i)
		for _, kind := range []audit.Kind{audit.Intent, audit.Refusal, audit.Outcome, audit.Event, audit.SessionStart} {
			m.note(&audit.Record{Kind: kind, Upstream: name, Method: name, Target: name, ClientName: name, ClientVersion: name, ClientAddr: name,
				Era: name, Caller: toolcall.Caller{Person: name, Subject: name}, Roles: []string{name}, Outcome: toolcall.OutcomeFailed, Rule: "everyone/allow/1"})
		}
	}
	hostile(1)
	before := series()
	for i := range 100 {
		hostile(i + 2)
	}
	if after := series(); after != before || before == 0 {
		t.Errorf("%d series became %d", before, after)
	}
}

// What observation let pass is counted by rule where a session is shown.
func TestSessionsShowWhatWouldHaveBeen(t *testing.T) {
	would := func(rule string) *moment {
		return &moment{Record: audit.Record{Kind: audit.Intent, Effect: toolcall.Allow, Rule: rule, Would: "deny"}}
	}
	shadow := &moment{Record: audit.Record{Kind: audit.Intent, Effect: toolcall.Allow, Rule: "a", Shadow: []string{"late"}}}
	var b strings.Builder
	printSession(&b, audit.SessionInfo{}, []*moment{would("no-echo"), would(""), would("no-echo"), shadow}, false)
	for _, want := range []string{"2 x no-echo would have said deny\n", "1 x no rule would have said deny\n", "1 x late would have decided otherwise\n", "observe policy would have said deny\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
	text, err := json.Marshal(momentInJSON(would("no-echo")))
	if err != nil || !strings.Contains(string(text), `"would":"deny"`) {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}

// While a deployment is observed a limit that is used up stops no call, and the
// decision says which would have; afterwards it does.
func TestObservedLimits(t *testing.T) {
	policy, err := toolpolicy.Compile("policy.yaml", []byte("version: 1\nroles: {everyone: {allow: [{tool: echo/echo, id: echo, limit: 1/hour per caller}]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	meter, err := toolpolicy.NewMeter(keyring.NewEphemeral(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	j := judge{until: now.Add(time.Minute), now: func() time.Time { return now }}
	counts := limiter{meter, j}
	reserve := func(id byte) toolcall.Decision {
		call := &toolcall.Call{ID: toolcall.ID{id}, Caller: toolcall.Caller{Subject: "sam", Issuer: "token"}, Kind: toolcall.Tool, Upstream: "echo", Name: "echo"}
		return counts.Reserve(call, j.of(policy).Judge(call), toolcall.ID{}, now)
	}
	if d := reserve(1); d.Effect != toolcall.Allow || d.Observed {
		t.Errorf("what the limit gives: %+v", d)
	}
	if d := reserve(2); d.Effect != toolcall.Allow || !d.Observed || d.Would != toolcall.Deny || d.Rule != "everyone/echo" {
		t.Errorf("what it does not give, observed: %+v", d)
	}
	now = j.until
	if d := reserve(3); d.Effect != toolcall.Deny {
		t.Errorf("what it does not give, afterwards: %+v", d)
	}
}
