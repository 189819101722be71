package toolpolicy_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpguard/keyring"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// However many come together, they get what the limit gives and not one more.
func TestTogetherTheyGetNoMore(t *testing.T) {
	const goroutines, each, most = 32, 20, 50
	for limit, want := range map[string]int64{
		"{calls: 50, every: 1h, per: caller}":                                 most,
		"{sum: amount, max: 50, every: 1h, per: caller}":                      most,
		"{distinct: id, max: 50, every: 1h, per: caller}":                     most,
		"{at_once: 50, per: caller}":                                          most,
		"[{calls: 60, every: 1h, per: caller}, {at_once: 50, per: tool}]":     most,
		"[{sum: amount, max: 90, every: 1h, per: caller}, 50/day per client]": most,
	} {
		b := newBench(t, limit)
		var calls []*toolcall.Call
		for i := range goroutines * each {
			calls = append(calls, b.call("sam", fmt.Sprintf(`{"amount":1,"id":%d}`, i)))
		}
		var passed atomic.Int64
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() {
				for _, c := range calls[g*each : (g+1)*each] {
					if b.reserve(c, began).Effect == toolcall.Allow {
						passed.Add(1)
					}
					if err := b.meter.Keep(func([]toolcall.Window) error { return nil }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if got := passed.Load(); got != want {
			t.Errorf("%s: %d passed, want %d", limit, got, want)
		}
	}
}

// All limits are taken of together: what one of them refuses uses up none.
func TestARefusalTakesOfNoLimit(t *testing.T) {
	b := newBench(t, "[{calls: 3, every: 1h, per: caller}, {sum: amount, max: 10, every: 1h, per: caller}]")
	for range 5 {
		if b.admits("sam", `{"amount":10.5}`, began) {
			t.Fatal("more than the budget passed")
		}
	}
	if !b.admits("sam", `{"amount":8}`, began) {
		t.Fatal("refused calls used something up")
	}
	for range 5 {
		if b.admits("sam", `{"amount":3}`, began) {
			t.Fatal("more than what is left of the budget passed")
		}
	}
	for i, want := range []bool{true, true, false} {
		if got := b.admits("sam", `{"amount":1}`, began); got != want {
			t.Errorf("call %d of three: admitted %t; calls that the budget refused were counted, or others were not", i+2, got)
		}
	}
}

// What calls have in common decides whether they are counted together, and the
// client chooses none of it.
func TestScopes(t *testing.T) {
	base := func() toolcall.Call {
		return toolcall.Call{Caller: toolcall.Caller{Subject: "sam", Issuer: "test", Client: "editor"}, Upstream: "pay",
			Kind: toolcall.Tool, Name: "refund"}
	}
	changes := map[string]func(*toolcall.Call){
		"issuer":   func(c *toolcall.Call) { c.Caller.Issuer = "other" },
		"subject":  func(c *toolcall.Call) { c.Caller.Subject = "fran" },
		"client":   func(c *toolcall.Call) { c.Caller.Client = "other" },
		"tool":     func(c *toolcall.Call) { c.Name = "payout" },
		"upstream": func(c *toolcall.Call) { c.Upstream = "bank" },
		"session":  func(c *toolcall.Call) { c.Session = toolcall.ID{7} },
		"meta":     func(c *toolcall.Call) { c.Meta = parse(t, `{"clientInfo":{"name":"x"}}`) },
		"groups":   func(c *toolcall.Call) { c.Caller.Groups = []string{"x"} },
		"person":   func(c *toolcall.Call) { c.Caller.Person = "x" },
	}
	for per, apart := range map[string][]string{
		"caller":            {"issuer", "subject"},
		"client":            {"issuer", "client"},
		"role":              {},
		"tool":              {"tool", "upstream"},
		"upstream":          {"upstream"},
		"caller and client": {"issuer", "subject", "client"},
		"caller and tool":   {"issuer", "subject", "tool", "upstream"},
	} {
		p, err := toolpolicy.Compile("policy.yaml", []byte("version: 1\nroles: {everyone: {limit: 1/hour per "+per+", allow: ['*/*']}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		for what, change := range changes {
			m, err := toolpolicy.NewMeter(keyring.NewEphemeral(), nil, began)
			if err != nil {
				t.Fatal(err)
			}
			first, second := base(), base()
			first.ID, second.ID = toolcall.ID{1}, toolcall.ID{2}
			change(&second)
			if d := m.Reserve(&first, p.Evaluate(&first), toolcall.ID{}, began); d.Effect != toolcall.Allow {
				t.Fatalf("per %s: %s", per, d.Reason)
			}
			want := toolcall.Deny
			for _, a := range apart {
				if a == what {
					want = toolcall.Allow
				}
			}
			if d := m.Reserve(&second, p.Evaluate(&second), toolcall.ID{}, began); d.Effect != want {
				t.Errorf("per %s, another %s: %s, want %s", per, what, d.Effect, want)
			}
		}
	}
}

// Names of what is no tool are the client's choice: under a role's limit per tool
// all resources of an upstream count as one.
func TestNamesOfResourcesDoNotSplitALimit(t *testing.T) {
	p, err := toolpolicy.Compile("policy.yaml", []byte("version: 1\nroles: {everyone: {limit: 1/hour per tool, allow: [{resource: 'fs/*'}]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := toolpolicy.NewMeter(keyring.NewEphemeral(), nil, began)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []toolcall.Effect{toolcall.Allow, toolcall.Deny} {
		c := &toolcall.Call{ID: toolcall.ID{byte(i)}, Caller: toolcall.Caller{Subject: "sam", Issuer: "test"}, Upstream: "fs",
			Kind: toolcall.Resource, Name: fmt.Sprintf("file:///srv/%d", i)}
		if d := m.Reserve(c, p.Evaluate(c), toolcall.ID{}, began); d.Effect != want {
			t.Errorf("resource %d: %s, want %s", i, d.Effect, want)
		}
	}
}

// Limits of all the caller's roles and of all matching rules unite.
func TestLimitsUnite(t *testing.T) {
	p, err := toolpolicy.Compile("policy.yaml", []byte(`version: 1
roles:
  everyone: {limit: [100/hour per caller, 9/day per caller]}
  ops: {groups: [ops], limit: 50/hour per role, allow: [{tool: "pay/*", limit: 5/hour per tool}, {tool: pay/refund, limit: 4/hour per caller}, pay/other]}
  other: {groups: [other], limit: 1/hour per caller, allow: [{tool: pay/refund, limit: 1/hour per caller}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"refund": "ops/allow/1 ops/allow/2 everyone everyone ops", "other": "ops/allow/1 everyone everyone ops",
	} {
		c := &toolcall.Call{Caller: member("ops"), Upstream: "pay", Kind: toolcall.Tool, Name: name}
		got := ""
		for _, l := range p.Evaluate(c).Limits {
			got += l.Owner + " "
		}
		if got != want+" " {
			t.Errorf("%s takes of %s, want %s", name, got, want)
		}
	}
	denied := &toolcall.Call{Caller: member("ops"), Upstream: "crm", Kind: toolcall.Tool, Name: "get"}
	if d := p.Evaluate(denied); d.Effect != toolcall.Deny || d.Limits != nil {
		t.Errorf("a denied call takes of %d limits", len(d.Limits))
	}
}

// What a server asks of a client uses up nothing of the client's roles.
func TestServersUseUpNoRoleLimit(t *testing.T) {
	p, err := toolpolicy.Compile("policy.yaml", []byte(`version: 1
roles: {everyone: {limit: 1/hour per caller, allow: [{request: crm/sampling, limit: 5/hour per upstream}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	c := &toolcall.Call{Caller: member("-"), Upstream: "crm", Kind: toolcall.Request, Name: "sampling"}
	if limits := p.Evaluate(c).Limits; len(limits) != 1 || limits[0].Owner != "everyone/allow/1" {
		t.Errorf("a question of a server takes of %d limits", len(limits))
	}
}

// An observed limit refuses nothing, and the decision names it where it would have.
func TestObservedLimitsRefuseNothing(t *testing.T) {
	for _, text := range []string{
		"{allow: [pay/refund, {tool: pay/refund, id: tried, observe: true, limit: 2/hour per caller}]}",
		"{allow: [{tool: pay/refund, id: tried, limit: {calls: 2, every: 1h, per: caller, observe: true}}]}",
		"{allow: [{tool: pay/refund, id: tried, limit: {sum: amount, max: 2, every: 1h, per: caller, observe: true}}]}",
	} {
		p, err := toolpolicy.Compile("policy.yaml", []byte("version: 1\nroles: {everyone: "+text+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, "1/hour per caller")
		b.policy = p
		for i, want := range []int{0, 0, 1, 1} {
			d := b.reserve(b.call("sam", `{"amount":1}`), began)
			if d.Effect != toolcall.Allow || len(d.Shadow) != want || want > 0 && d.Shadow[0] != "everyone/tried" {
				t.Errorf("%s: call %d: %s, shadow %v", text, i+1, d.Effect, d.Shadow)
			}
		}
		if d := p.Evaluate(b.call("sam", `{"amount":1}`)); len(d.Shadow) != 0 {
			t.Errorf("%s: noting it changed the policy: %v", text, d.Shadow)
		}
	}
}

// A call that failed is given back where the limit says so, and kept where nobody
// knows whether it ran.
func TestSettling(t *testing.T) {
	for _, c := range []struct {
		limit   string
		outcome toolcall.Outcome
		back    bool
	}{
		{"{calls: 1, every: 1h, per: caller}", toolcall.OutcomeRefused, true},
		{"{calls: 1, every: 1h, per: caller}", toolcall.OutcomeOK, false},
		{"{calls: 1, every: 1h, per: caller}", toolcall.OutcomeToolError, false},
		{"{calls: 1, every: 1h, per: caller, errors: free}", toolcall.OutcomeToolError, true},
		{"{calls: 1, every: 1h, per: caller, errors: free}", toolcall.OutcomeError, true},
		{"{calls: 1, every: 1h, per: caller, errors: free}", toolcall.OutcomeUnknown, false},
		{"{calls: 1, every: 1h, per: caller, errors: free}", toolcall.OutcomeFailed, false},
		{"{calls: 1, every: 1h, per: caller, errors: free}", toolcall.OutcomeCancelled, false},
		{"{calls: 1, every: 1h, per: caller, errors: free}", toolcall.OutcomeWithheld, false},
		{"{calls: 1, every: 1h, per: caller, errors: free}", toolcall.OutcomeTask, false},
		{"{sum: amount, max: 1, every: 1h, per: caller}", toolcall.OutcomeRefused, true},
		{"{sum: amount, max: 1, every: 1h, per: caller}", toolcall.OutcomeUnknown, false},
		{"{sum: amount, max: 1, every: 1h, per: caller, errors: free}", toolcall.OutcomeError, true},
		{"{distinct: id, max: 1, every: 1h, per: caller}", toolcall.OutcomeRefused, true},
		{"{distinct: id, max: 1, every: 1h, per: caller}", toolcall.OutcomeFailed, false},
		{"{at_once: 1, per: caller}", toolcall.OutcomeOK, true},
		{"{at_once: 1, per: caller}", toolcall.OutcomeToolError, true},
		{"{at_once: 1, per: caller}", toolcall.OutcomeRefused, true},
		{"{at_once: 1, per: caller}", toolcall.OutcomeUnknown, false},
		{"{at_once: 1, per: caller}", toolcall.OutcomeFailed, false},
		{"{at_once: 1, per: caller}", toolcall.OutcomeCancelled, false},
	} {
		b := newBench(t, c.limit)
		first := b.call("sam", `{"amount":1,"id":1}`)
		if d := b.reserve(first, began); d.Effect != toolcall.Allow {
			t.Fatal(d.Reason)
		}
		b.settle(first, c.outcome, began)
		b.settle(first, toolcall.OutcomeRefused, began) // told twice: the first counts
		second := b.call("sam", `{"amount":1,"id":2}`)
		if d := b.reserve(second, began); (d.Effect == toolcall.Allow) != c.back {
			t.Errorf("%s after %s: the next call is %s, want it to pass: %t", c.limit, c.outcome, d.Effect, c.back)
		}
	}
}

// A call that may still run counts as under way: a task until it ends or is
// forgotten, whatever was under way at a crash, or fell silent, for a minute.
func TestWhatMayStillRunCounts(t *testing.T) {
	b := newBench(t, "{at_once: 1, per: tool}")
	task := b.call("sam", `{}`)
	b.reserve(task, began)
	b.meter.Settle(task.ID, toolcall.Settlement{Outcome: toolcall.OutcomeTask, At: began, Until: began.Add(time.Hour)})
	if err := b.keep(nil); err != nil {
		t.Fatal(err)
	}
	b.restart(began.Add(time.Minute))
	if b.admits("fran", `{}`, began.Add(59*time.Minute)) {
		t.Error("a task does not count as under way")
	}
	b.settle(task, toolcall.OutcomeOK, began.Add(59*time.Minute))
	if !b.admits("fran", `{}`, began.Add(59*time.Minute)) {
		t.Error("a task that ended counts")
	}
	at := began.Add(2 * time.Hour)
	b.reserve(b.call("sam", `{}`), at)
	if err := b.keep(nil); err != nil {
		t.Fatal(err)
	}
	b.restart(at.Add(time.Second))
	d := b.reserve(b.call("sam", `{}`), at.Add(2*time.Second))
	if d.Effect == toolcall.Allow || d.RetryAfter != 59*time.Second {
		t.Errorf("after a crash, what was under way: %s, %v", d.Effect, d.RetryAfter)
	}
	if !b.admits("sam", `{}`, at.Add(61*time.Second)) {
		t.Error("what was under way at a crash counts for ever")
	}
}

// The next leg of a call that was asked something takes nothing, once, for the
// same caller and the same arguments; whoever sends the answer again makes
// another call.
func TestOneExecutionIsChargedOnce(t *testing.T) {
	b := newBench(t, "{calls: 1, every: 1h, per: tool}")
	asked := func(c *toolcall.Call) {
		b.meter.Settle(c.ID, toolcall.Settlement{Outcome: toolcall.OutcomeOK, At: began, More: true})
	}
	resume := func(c *toolcall.Call, of toolcall.ID) bool {
		return b.meter.Reserve(c, b.policy.Evaluate(c), of, began).Effect == toolcall.Allow
	}
	first := b.call("sam", `{"amount":1}`)
	if !resume(first, toolcall.ID{}) {
		t.Fatal("the first leg is refused")
	}
	asked(first)
	for what, c := range map[string]*toolcall.Call{
		"another caller":  b.call("fran", `{"amount":1}`),
		"other arguments": b.call("sam", `{"amount":2}`),
	} {
		if resume(c, first.ID) {
			t.Errorf("%s goes on with the call", what)
		}
	}
	never := b.call("sam", `{"amount":1.0}`) // means the same
	if !resume(never, first.ID) {
		t.Fatal("the second leg is refused")
	}
	b.settle(never, toolcall.OutcomeRefused, began)
	if err := b.keep(nil); err != nil {
		t.Fatal(err)
	}
	b.restart(began)
	second := b.call("sam", `{"amount":1}`)
	if !resume(second, first.ID) {
		t.Fatal("the second leg is refused, when one before it was never forwarded, and after a restart")
	}
	if resume(b.call("sam", `{"amount":1}`), first.ID) {
		t.Error("the same answer, sent twice, takes nothing")
	}
	asked(second)
	if resume(b.call("sam", `{"amount":1}`), first.ID) {
		t.Error("the first answer goes on with the second leg")
	}
	if !resume(b.call("sam", `{"amount":1}`), second.ID) {
		t.Error("the third leg is refused")
	}
	if err := b.keep(nil); err != nil {
		t.Fatal(err)
	}
	b.restart(began)
	if resume(b.call("sam", `{"amount":1}`), second.ID) {
		t.Error("a leg that was used up is there again after a crash")
	}
}

// What an execution was charged counts for the limit's span. Whoever is asked again
// and again, answers late, and answers many questions at once, is charged anew, or
// what a week of charges has paid for could run in one minute.
func TestChargesOfQuestionsDoNotPileUp(t *testing.T) {
	b := newBench(t, "[{sum: amount, max: 10, every: 1h, per: caller}, {at_once: 100, per: caller}]")
	ask := func(of toolcall.ID, at time.Time) (*toolcall.Call, bool) {
		c := b.call("sam", `{"amount":10}`)
		admitted := b.meter.Reserve(c, b.policy.Evaluate(c), of, at).Effect == toolcall.Allow
		b.meter.Settle(c.ID, toolcall.Settlement{Outcome: toolcall.OutcomeOK, At: at, More: true})
		return c, admitted
	}
	at, spans := began, 0
	var asked []*toolcall.Call
	for range 20 {
		c, admitted := ask(toolcall.ID{}, at)
		if !admitted {
			t.Fatalf("the budget of span %d is not there", spans)
		}
		spans++
		for range 3 { // it is asked again, and that keeps no charge young
			at = at.Add(20 * time.Minute)
			again, admitted := ask(c.ID, at)
			if !admitted {
				break
			}
			c = again
		}
		asked = append(asked, c)
		at = at.Add(2 * time.Hour)
	}
	ran := 0
	for _, c := range asked {
		if _, admitted := ask(c.ID, at); admitted {
			ran++
		}
	}
	if ran != 1 {
		t.Errorf("%d executions of 10 each run at once, of a budget of 10 an hour", ran)
	}
}

// A stricter limit goes on with what was counted under the one before it.
func TestAStricterLimitGoesOn(t *testing.T) {
	b := newBench(t, "{sum: amount, max: 100, every: 1h, per: caller}")
	b.admits("sam", `{"amount":60}`, began)
	b.policy = newBench(t, "{sum: amount, max: 70, every: 1h, per: caller}").policy
	if b.admits("sam", `{"amount":20}`, began) || !b.admits("sam", `{"amount":10}`, began) {
		t.Error("under another max the count began anew")
	}
}

// Nothing is nothing: a meter that is not there refuses what has a limit, and one
// without keys, or with what it cannot read, is not made.
func TestZeroMeterRefuses(t *testing.T) {
	b := newBench(t, "1/hour per caller")
	b.meter = nil
	if b.admits("sam", `{}`, began) {
		t.Error("a nil meter admits a call")
	}
	if _, err := toolpolicy.NewMeter(nil, nil, began); err == nil {
		t.Error("a meter without keys is made")
	}
	for _, state := range []string{"", "\x00", "\x01", "\x01\x00\x00\x00\x00\x00\x00\x00\x01", "\x09\x00\x00\x00\x00\x00\x00\x00\x01\x00", "\xff\x00",
		"\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x05", "\x02\x00\x00\x00\x00\x00\x00\x00\x01\x07"} {
		if _, err := toolpolicy.NewMeter(b.keys, []toolcall.Window{{State: []byte(state)}}, began); err == nil {
			t.Errorf("a meter goes on with %q", state)
		}
	}
}

// Windows in which nothing counts any more go, from the store as well.
func TestIdleWindowsGo(t *testing.T) {
	b := newBench(t, "1/minute per caller")
	for i := range 3000 {
		b.admits(fmt.Sprint("caller ", i), `{}`, began)
	}
	if err := b.keep(nil); err != nil || len(b.kept) != 3000 {
		t.Fatalf("%d windows are kept, %v", len(b.kept), err)
	}
	late := began.Add(time.Hour)
	for i := range 3000 {
		b.admits(fmt.Sprint("another ", i), `{}`, late)
	}
	if err := b.keep(nil); err != nil || len(b.kept) != 3000 {
		t.Errorf("%d windows are kept an hour later, %v", len(b.kept), err)
	}
}

// Whatever stands in the store, reading it does not panic, and what is read
// refuses and admits without one.
func FuzzWindows(f *testing.F) {
	for _, limit := range []string{"2/hour per caller", "{sum: amount, max: 5, every: 1h, per: caller}",
		"{distinct: id, max: 5, every: 1h, per: caller}", "{at_once: 3, per: caller}"} {
		b := newBench(f, limit)
		c := b.call("sam", `{"amount":1,"id":2}`)
		b.reserve(c, began)
		b.meter.Settle(c.ID, toolcall.Settlement{Outcome: toolcall.OutcomeTask, At: began, Until: began.Add(time.Hour), More: true})
		if err := b.keep(nil); err != nil {
			f.Fatal(err)
		}
		for _, w := range b.kept {
			f.Add(limit, w.State)
		}
	}
	f.Fuzz(func(t *testing.T, limit string, state []byte) {
		p, err := toolpolicy.Compile("policy.yaml", []byte("version: 1\nroles: {everyone: {allow: [{tool: pay/refund, limit: "+limit+"}]}}\n"))
		if err != nil {
			return
		}
		b := newBench(t, "1/hour per caller")
		b.policy = p
		b.admits("sam", `{"amount":1,"id":2}`, began)
		if err := b.keep(nil); err != nil {
			t.Fatal(err)
		}
		var kept []toolcall.Window
		for key := range b.kept {
			kept = append(kept, toolcall.Window{Key: key, State: state})
		}
		m, err := toolpolicy.NewMeter(b.keys, kept, began)
		if err != nil {
			return
		}
		b.meter = m
		b.admits("sam", `{"amount":1,"id":2}`, began.Add(time.Minute))
		if err := b.keep(nil); err != nil {
			t.Error(err)
		}
	})
}

// What a limited call costs.
func BenchmarkReserve(b *testing.B) {
	for name, limit := range map[string]string{
		"rate": "1000000/second per caller", "sum": "{sum: amount, max: 1000000000000, every: 1h, per: caller}",
		"distinct": "{distinct: id, max: 1000, every: 1h, per: caller}",
	} {
		b.Run(name, func(b *testing.B) {
			s := newBench(b, limit)
			c := s.call("sam", `{"amount":1,"id":2}`)
			d := s.policy.Evaluate(c)
			at := began
			b.ReportAllocs()
			for b.Loop() {
				at = at.Add(time.Microsecond)
				s.meter.Reserve(c, d, toolcall.ID{}, at)
				s.settle(c, toolcall.OutcomeOK, at)
			}
		})
	}
}

// The same holds below the top: an undeclared member beside one that is counted
// keeps the rule from matching.
func TestLimitsNameNestedArguments(t *testing.T) {
	b := newBench(t, "{sum: order.amount, max: 100, every: 1h, per: caller}")
	for args, want := range map[string]toolcall.Effect{
		`{"order":{"amount":1}}`:                     toolcall.Allow,
		`{"order":{"amount":1,"amount_in_cents":1}}`: toolcall.Deny,
	} {
		c := b.call("sam", args)
		c.Def = toolcall.NewToolDef("pay", parse(t, `{"name":"refund","inputSchema":{"properties":{"order":{"properties":{"amount":{}}}}}}`))
		if d := b.reserve(c, began); d.Effect != want {
			t.Errorf("%s: %s (%s), want %s", args, d.Effect, d.Reason, want)
		}
	}
}
