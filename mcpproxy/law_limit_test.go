package mcpproxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/sjson"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

func limitPolicy(limit string) string {
	return `version: 1
roles:
  support:
    groups: [support]
    allow:
      - {tool: crm/echo, id: echo, reads: true, limit: ` + limit + `}
      - {prompt: crm/*, id: prompts, limit: 1/hour per caller}
  finance: {groups: [finance], allow: [crm/echo]}
`
}

// echoed is how often the upstream ran the tool.
func echoed(up *peer) int { return len(up.all("tools/call")) }

// A limit that is used up denies before anything is forwarded, in words and for
// machines, and the refusal is in the record with its rule. Other callers, and
// other sessions of the same caller, see one count.
func TestLawUsedUpLimitsRefuse(t *testing.T) {
	up := newPeer(t)
	began := time.Now()
	var later atomic.Int64
	r := newRig(t, setup{policy: limitPolicy("3/hour per caller"), upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		now: func() time.Time { return began.Add(time.Duration(later.Load())) }})
	one, two := r.legacy("sam", "/mcp"), r.legacy("sam", "/mcp")
	for i, a := range []*agent{one, two, one} {
		if got := a.call("1", "echo", say("x")); got.reason() != "" {
			t.Fatalf("call %d: %s", i+1, got)
		}
	}
	got := two.call("2", "echo", say("secret"))
	const words = "Denied by mcpguard (rule support/echo): 3 calls an hour per caller are used up; try again in 20m"
	if got.reason() != words || got.status != http.StatusOK {
		t.Errorf("the fourth call: %s", got)
	}
	denial := got.get(`result._meta.mcpguard/denial`)
	if denial.Get("stage").Str != "limit" || !denial.Get("retryable").Bool() || denial.Get("retryAfter").Int() != 1200 || denial.Get("rule").Str != "support/echo" {
		t.Errorf("the denial says %s", denial)
	}
	refusals := r.recorded(audit.Refusal)
	if len(refusals) != 1 || refusals[0].Rule != "support/echo" || refusals[0].Line != 6 || refusals[0].Effect != toolcall.Deny ||
		refusals[0].Outcome != toolcall.OutcomeRefused || !strings.HasPrefix(refusals[0].Reason.String(), "3 calls an hour") {
		t.Errorf("the record has %+v", refusals)
	}
	if n := echoed(up); n != 3 {
		t.Errorf("the upstream ran it %d times", n)
	}
	if got := r.legacy("fran", "/mcp").call("1", "echo", say("x")); got.reason() != "" {
		t.Errorf("another caller: %s", got)
	}
	later.Store(int64(20 * time.Minute))
	if got := one.call("3", "echo", say("x")); got.reason() != "" {
		t.Errorf("when it said: %s", got)
	}
	prompt := `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"x"}}`
	up.on["prompts/get"] = func(w http.ResponseWriter, m heard) { sayJSON(w, m.result(`{"messages":[]}`)) }
	one.post(prompt)
	if got := one.post(prompt); !strings.Contains(got.reason(), "is used up; try again in 1h") || got.get("error.data.retryAfter").Int() != 3600 {
		t.Errorf("a prompt: %s", got)
	}
}

// A rule that explains nothing does not say that a limit is used up, nor until
// when: that goes to the record alone.
func TestLawLimitsTellWhatTheRuleSays(t *testing.T) {
	const policy = `version: 1
roles: {support: {groups: [support], explain: nothing, allow: [{tool: crm/echo, limit: 1/hour per caller}]}}
`
	r := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	a.call("1", "echo", say("x"))
	got := a.call("2", "echo", say("x"))
	if got.reason() != "Denied by mcpguard: policy does not allow this call" || strings.Contains(got.body, "retryAfter") || strings.Contains(got.body, "hour") {
		t.Errorf("the caller hears %s", got)
	}
	if kept := r.recorded(audit.Refusal); len(kept) != 1 || !strings.Contains(kept[0].Reason.String(), "1 call an hour per caller is used up") {
		t.Errorf("the record has %+v", kept)
	}
}

// Calls that come together over many connections, in batches too, get no more.
func TestLawCallsTogetherGetNoMore(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: limitPolicy("{calls: 10, every: 7d, per: caller}"), upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	r.legacy("fran", "/mcp").call("1", "echo", say("x")) // fetches the catalogue, and is not counted
	before := echoed(up)
	agents := []*agent{r.legacy("sam", "/mcp"), r.legacy("sam", "/mcp"), r.legacy("sam", "/mcp"), r.legacy("sam", "/mcp")}
	var passed atomic.Int64
	var all sync.WaitGroup
	for _, a := range agents {
		all.Go(func() {
			for i := range 10 {
				if a.call(fmt.Sprint(i+1), "echo", say("x")).reason() == "" {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := echoed(up) - before; passed.Load() != 10 || n != 10 {
		t.Errorf("%d calls passed, the upstream ran %d; the limit is 10", passed.Load(), n)
	}
}

// Law 2, and what was counted: whatever is forwarded is counted durably before,
// whether the policy says that the tool only reads or not. A store that is opened
// again after any number of calls has counted each of them.
func TestLawCountsAreDurableBeforeTheCall(t *testing.T) {
	up := newPeer(t)
	store := &storetest.Memory{}
	s := setup{policy: limitPolicy("{calls: 5, every: 7d, per: caller}"), upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		store: store, keep: mcpproxy.Keep{Durability: mcpproxy.Overlapped}}
	var r *rig
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		windows, err := store.Windows(t.Context(), time.Now())
		if err != nil || len(windows) != 1 {
			t.Errorf("the upstream has the call, and the store %d windows, %v", len(windows), err)
		}
		sayJSON(w, standard(m))
	}
	r = newRig(t, s)
	s.keys = r.keys
	for i := range 5 {
		if got := r.legacy("sam", "/mcp").call("1", "echo", say("x")); got.reason() != "" {
			t.Fatalf("call %d: %s", i+1, got)
		}
		r.close()
		r = newRig(t, s)
	}
	if got := r.legacy("sam", "/mcp").call("1", "echo", say("x")); !strings.Contains(got.reason(), "used up") {
		t.Errorf("after five restarts, the sixth call of five: %s", got)
	}
	for _, rec := range r.recorded(audit.Intent) {
		if rec.Durability != "strict" {
			t.Errorf("a counted call was %s", rec.Durability)
		}
	}
}

// A call whose record cannot be kept is not forwarded, and takes of no limit.
func TestLawWhatIsNotForwardedIsGivenBack(t *testing.T) {
	for fault, fail := range faults {
		up := newPeer(t)
		r := newRig(t, setup{policy: limitPolicy("{calls: 2, every: 7d, per: caller}"), upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
		a := r.legacy("sam", "/mcp")
		if got := a.call("1", "echo", say("x")); got.reason() != "" {
			t.Fatal(got)
		}
		fail(r.store)
		for range 3 {
			if got := a.call("2", "echo", say("x")); got.reason() == "" {
				t.Fatalf("%s: %s", fault, got)
			}
		}
		r.store.Heal()
		eventually(t, "the store to be asked", func() bool { return a.call("3", "echo", say("x")).reason() == "" })
		if got := a.call("4", "echo", say("x")); !strings.Contains(got.reason(), "used up") {
			t.Errorf("%s: what was forwarded is not counted: %s", fault, got)
		}
		if n := echoed(up); n != 2 {
			t.Errorf("%s: the upstream ran %d", fault, n)
		}
	}
}

// Calls at once are counted while they are under way, and no longer.
func TestLawCallsAtOnce(t *testing.T) {
	up := newPeer(t)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		arrived <- struct{}{}
		<-goOn
		sayJSON(w, standard(m))
	}
	r := newRig(t, setup{policy: limitPolicy("{at_once: 2, per: tool}"), upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	answers := make(chan answered, 2)
	for i := range 2 {
		go func() { answers <- a.call(fmt.Sprint(i+1), "echo", say("x")) }()
		<-arrived
	}
	got := a.call("3", "echo", say("x"))
	if !strings.Contains(got.reason(), "2 calls at once per tool are under way; try again in 1s") || got.get(`result._meta.mcpguard/denial.retryAfter`).Int() != 1 {
		t.Errorf("a third: %s", got)
	}
	close(goOn)
	for range 2 {
		if got := <-answers; got.reason() != "" {
			t.Error(got)
		}
	}
	go func() { <-arrived }()
	if got := a.call("4", "echo", say("x")); got.reason() != "" {
		t.Errorf("when both have ended: %s", got)
	}
}

// One execution is charged once: the request that brings the answer to a question
// takes of no limit, the second time it is sent it does.
func TestLawLegsAreOneCall(t *testing.T) {
	up := newPeer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		if m.Params.RequestState == "" {
			sayJSON(w, m.result(`{"resultType":"input_required","inputRequests":{},"requestState":"own state"}`))
			return
		}
		sayJSON(w, m.result(`{"resultType":"complete","content":[]}`))
	}
	r := newRig(t, setup{policy: limitPolicy("1/hour per caller"), upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.agent("sam", "/mcp")
	state := a.modern(toolCall("1", "echo", say("x"))).get("result.requestState").Str
	if state == "" {
		t.Fatal("the first leg has no state")
	}
	leg := func(args string) answered {
		text, err := sjson.Set(toolCall("2", "echo", args), "params.requestState", state)
		if err != nil {
			t.Fatal(err)
		}
		return a.modern(text)
	}
	if got := leg(say("y")); !strings.Contains(got.reason(), "used up") {
		t.Errorf("other arguments go on with the call: %s", got)
	}
	if got := leg(say("x")); got.reason() != "" {
		t.Errorf("the second leg: %s", got)
	}
	if got := leg(say("x")); !strings.Contains(got.reason(), "used up") {
		t.Errorf("the same answer again: %s", got)
	}
	if n := echoed(up); n != 2 {
		t.Errorf("the upstream heard %d legs", n)
	}
}

// A task takes of a limit once, whatever is asked about it, and counts as under
// way until it ends.
func TestLawTasksCountOnce(t *testing.T) {
	s := newTaskServer(t)
	r := newRig(t, setup{policy: limitPolicy("[{at_once: 1, per: caller}, {calls: 2, every: 7d, per: caller}]"), upstreams: s.upstreams()})
	a := r.legacy("sam", "/mcp")
	task := a.start("1", "echo", say("x"))
	for i := range 5 {
		if got := a.about(fmt.Sprint(i+2), "tasks/get", task); got.reason() != "" {
			t.Fatalf("a poll: %s", got)
		}
	}
	if got := a.asTask("10", "echo", say("x")); !strings.Contains(got.reason(), "under way") {
		t.Errorf("a second task at once: %s", got)
	}
	s.set("completed")
	if got := a.about("11", "tasks/get", task); got.reason() != "" {
		t.Fatal(got)
	}
	if got := a.asTask("12", "echo", say("x")); got.reason() != "" {
		t.Errorf("when the first has ended: %s", got)
	}
}

// A question of a server is counted by its own rule, and refused when that is used
// up; the caller's own calls are not fewer for it.
func TestLawQuestionsAreCounted(t *testing.T) {
	up := newPeer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		var asks []string
		for i := range 3 {
			asks = append(asks, fmt.Sprintf(`{"jsonrpc":"2.0","id":"q%s.%d","method":"roots/list"}`, m.ID, i))
		}
		sayEvents(w, append(asks, standard(m))...)
	}
	const policy = `version: 1
roles:
  everyone: {limit: 2/hour per caller}
  support: {groups: [support], allow: [crm/echo, {request: crm/roots, id: roots, limit: 2/hour per upstream}]}
`
	r := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.with("sam", "2025-06-18", `{"roots":{}}`)
	for i := range 2 {
		if got := a.call(fmt.Sprint(i+1), "echo", say("x")); got.reason() != "" {
			t.Errorf("call %d: %s", i+1, got)
		}
	}
	var refused []string
	for _, rec := range r.recorded(audit.Refusal) {
		refused = append(refused, rec.Rule)
	}
	if want := []string{"support/roots", "support/roots", "support/roots", "support/roots"}; !slices.Equal(refused, want) {
		t.Errorf("refused by %v, want %v", refused, want)
	}
}
