package toolpolicy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mcpguard/keyring"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// began is when the clocks of these tests begin.
var began = time.Date(2026, 3, 1, 9, 0, 0, 123456789, time.UTC)

// bench is a meter with the store that its windows are kept in.
type bench struct {
	t      testing.TB
	keys   *keyring.Ring
	policy *toolpolicy.Policy
	meter  *toolpolicy.Meter
	kept   map[toolcall.Digest]toolcall.Window
	calls  uint64
}

// newBench meters calls of everybody to pay/refund under the limits given, as
// YAML has them.
func newBench(t testing.TB, limits string) *bench {
	t.Helper()
	text := "version: 1\nroles: {everyone: {allow: [{tool: pay/refund, id: refund, limit: " + limits + "}]}}\n"
	p, err := toolpolicy.Compile("policy.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", limits, err)
	}
	b := &bench{t: t, keys: keyring.NewEphemeral(), policy: p, kept: map[toolcall.Digest]toolcall.Window{}}
	b.restart(began)
	return b
}

// restart is a crash: the meter goes on with what was kept.
func (b *bench) restart(at time.Time) {
	b.t.Helper()
	var kept []toolcall.Window
	for _, w := range b.kept {
		if w.Until.After(at) {
			kept = append(kept, w)
		}
	}
	m, err := toolpolicy.NewMeter(b.keys, kept, at)
	if err != nil {
		b.t.Fatal(err)
	}
	b.meter = m
}

// keep is a commit, which may fail.
func (b *bench) keep(err error) error {
	return b.meter.Keep(func(ws []toolcall.Window) error {
		if err != nil {
			return err
		}
		for _, w := range ws {
			if w.State == nil {
				delete(b.kept, w.Key)
			} else {
				b.kept[w.Key] = w
			}
		}
		return nil
	})
}

// call is a call of pay/refund with these arguments, by a caller.
func (b *bench) call(subject, args string) *toolcall.Call {
	j := parse(b.t, args)
	b.calls++
	c := &toolcall.Call{
		Caller: toolcall.Caller{Subject: subject, Issuer: "test"}, Upstream: "pay", Kind: toolcall.Tool, Name: "refund",
		Args: j, Def: declaring(b.t, "refund", j),
	}
	for i := range 8 {
		c.ID[15-i] = byte(b.calls >> (8 * i))
	}
	return c
}

func (b *bench) reserve(c *toolcall.Call, at time.Time) toolcall.Decision {
	return b.meter.Reserve(c, b.policy.Evaluate(c), toolcall.ID{}, at)
}

func (b *bench) settle(c *toolcall.Call, o toolcall.Outcome, at time.Time) {
	b.meter.Settle(c.ID, toolcall.Settlement{Outcome: o, At: at})
}

// admits reserves and settles one call, and reports whether it might pass.
func (b *bench) admits(subject, args string, at time.Time) bool {
	c := b.call(subject, args)
	d := b.reserve(c, at)
	b.settle(c, toolcall.OutcomeOK, at)
	return d.Effect == toolcall.Allow
}

// later is a time to go on by, at which something may begin or end.
func later(r *rapid.T, every time.Duration, most int64) time.Duration {
	interval := (every + time.Duration(most) - 1) / time.Duration(most)
	return rapid.SampledFrom([]time.Duration{0, 0, 1, time.Second, every / 60, interval / 3, interval / 2, interval - 1, interval,
		every / 5, every - every/60, every - 1, every, every + every/60, 2 * every}).Draw(r, "later")
}

// A rate gives, in whatever span of time, its burst and one call for each
// interval in the span, and refuses nothing else: the literal definition, over all
// spans that end now.
func TestRateIsTheLiteralOne(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		most := rapid.Int64Range(1, 12).Draw(r, "calls")
		burst := rapid.Int64Range(1, most).Draw(r, "burst")
		every := rapid.SampledFrom([]string{"1s", "7s", "1m", "1h"}).Draw(r, "every")
		b := newBench(t, fmt.Sprintf("{calls: %d, every: %s, per: caller, burst: %d}", most, every, burst))
		span, err := time.ParseDuration(every)
		if err != nil {
			r.Fatal(err)
		}
		interval := (int64(span) + most - 1) / most
		var passed []int64
		at := began
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			at = at.Add(later(r, span, most))
			now := at.UnixNano()
			want := true
			for i, from := range passed {
				if int64(len(passed)-i+1) > burst+(now-from)/interval {
					want = false
				}
			}
			if got := b.admits("sam", `{}`, at); got != want {
				r.Fatalf("%d a %s, burst %d: at +%v after %d calls: admitted %t, want %t", most, every, burst, at.Sub(began), len(passed), got, want)
			}
			if want {
				passed = append(passed, now)
			}
		}
	})
}

// ran is a call that was forwarded.
type ran struct {
	at    time.Time // in true time
	units int64     // of its amount
	value int64
}

// limitsKept says which bound a history of calls breaks; "": none. It asks for the
// definitions: of every span of time, by brute force.
func limitsKept(history []ran, form string, most int64, every time.Duration) string {
	interval := (every + time.Duration(most) - 1) / time.Duration(most)
	for i := range history {
		sum, seen := int64(0), map[int64]bool{}
		for j := i; j < len(history); j++ {
			since := history[j].at.Sub(history[i].at)
			if count := int64(j - i + 1); form == "calls" && count > most+int64(since/interval) {
				return fmt.Sprintf("%d calls in %v", count, since)
			}
			if since >= every {
				continue
			}
			sum += history[j].units
			seen[history[j].value] = true
			switch {
			case form == "sum" && sum > most:
				return fmt.Sprintf("a sum of %d in %v", sum, since)
			case form == "distinct" && int64(len(seen)) > most:
				return fmt.Sprintf("%d values in %v", len(seen), since)
			}
		}
	}
	return ""
}

// Whatever happens (calls that are never forwarded, commits that fail, crashes,
// clocks that are put back), what was forwarded never breaks a limit. Callers keep
// the law: nothing is forwarded before a commit behind its reservation.
func TestNoHistoryBreaksALimit(t *testing.T) {
	forms := map[string]string{
		"calls":    "{calls: %d, every: 1h, per: caller}",
		"sum":      "{sum: amount, max: %d, every: 1h, per: caller, errors: free}",
		"distinct": "{distinct: id, max: %d, every: 1h, per: caller}",
	}
	for form, text := range forms {
		t.Run(form, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) { historyKeepsLimit(t, r, form, text) })
		})
	}
}

// historian plays a random history against a meter.
type historian struct {
	*bench
	r       *rapid.T
	most    int64
	at      time.Time     // the true time
	newest  time.Time     // that the meter was told, in true time
	wrong   time.Duration // how far the clock is behind the true time
	history []ran
	open    []*toolcall.Call // forwarded, and not settled
	failed  []*toolcall.Call // never forwarded, and not settled
}

// told is the time as the clock has it, when the meter is told it.
func (h *historian) told(at time.Time) time.Time {
	if at.After(h.newest) {
		h.newest = at
	}
	return at.Add(-h.wrong)
}

// reserved is a call that got what it needs, and may be forwarded after a commit;
// nil: it was refused. It may have been overtaken by others.
func (h *historian) reserved() (*toolcall.Call, ran) {
	units, value := rapid.Int64Range(0, 9).Draw(h.r, "units"), rapid.Int64Range(0, 9).Draw(h.r, "value")
	overtaken := time.Duration(0)
	if h.wrong == 0 { // of both at once nobody could tell which it was
		overtaken = rapid.SampledFrom([]time.Duration{0, 0, time.Second, 59 * time.Second}).Draw(h.r, "overtaken")
	}
	c := h.call("sam", fmt.Sprintf(`{"amount":%d,"id":%d}`, units, value))
	looked := h.at.Add(-overtaken)
	d := h.reserve(c, looked.Add(-h.wrong))
	if d.RetryAfter == 0 && d.Effect != toolcall.Allow {
		return nil, ran{} // more than all there is: the meter did not look at the time
	}
	h.told(looked)
	if d.Effect != toolcall.Allow {
		return nil, ran{}
	}
	return c, ran{h.newest, units, value}
}

// commit is one that may fail, with a call that waits for it.
func (h *historian) commit(c *toolcall.Call, as ran, fails bool) {
	var lost error
	if fails {
		lost = errors.New("the disk failed")
	}
	err := h.keep(lost)
	switch {
	case c == nil:
	case err != nil:
		h.failed = append(h.failed, c)
	default:
		h.history, h.open = append(h.history, as), append(h.open, c)
	}
}

func (h *historian) settleFirst(of *[]*toolcall.Call, o toolcall.Outcome) {
	if len(*of) > 0 {
		h.settle((*of)[0], o, h.told(h.at))
		*of = (*of)[1:]
	}
}

func historyKeepsLimit(t *testing.T, r *rapid.T, form, text string) {
	most := rapid.Int64Range(1, 9).Draw(r, "most")
	h := &historian{bench: newBench(t, fmt.Sprintf(text, most)), r: r, most: most, at: began}
	steps := []string{"call", "call", "call", "two calls", "settle", "give back", "crash", "clock back"}
	for range rapid.IntRange(1, 60).Draw(r, "steps") {
		h.at = h.at.Add(later(r, time.Hour, most))
		switch rapid.SampledFrom(steps).Draw(r, "step") {
		case "call":
			c, as := h.reserved()
			h.commit(c, as, rapid.IntRange(0, 4).Draw(r, "disk") == 0)
		case "two calls": // of which the first is in a commit that fails
			a, asA := h.reserved()
			b, asB := h.reserved()
			h.commit(a, asA, true)
			h.commit(b, asB, false)
		case "settle":
			h.settleFirst(&h.open, toolcall.OutcomeOK)
		case "give back":
			h.settleFirst(&h.failed, toolcall.OutcomeRefused)
		case "crash":
			h.open, h.failed = nil, nil
			h.restart(h.told(h.at))
		case "clock back":
			h.wrong += later(r, time.Hour, most)
		}
	}
	if broken := limitsKept(h.history, form, most, time.Hour); broken != "" {
		r.Fatalf("%s %d: %s", form, most, broken)
	}
}

// A clock that was put back by a year locks nobody out: what is counted then counts
// from that time on. What was moved so is not given back, for nobody knows how much
// of it is left.
func TestClockPutBack(t *testing.T) {
	year := -365 * 24 * time.Hour
	for _, limit := range []string{
		"{calls: 1, every: 1h, per: caller}", "{sum: amount, max: 5, every: 1h, per: caller}", "{distinct: id, max: 1, every: 1h, per: caller}",
	} {
		b := newBench(t, limit)
		args := func(id int) string { return fmt.Sprintf(`{"amount":5,"id":%d}`, id) }
		if !b.admits("sam", args(1), began) {
			t.Fatalf("%s: refused at once", limit)
		}
		back := began.Add(year)
		if b.admits("sam", args(2), back) {
			t.Errorf("%s: a clock that is put back gives it once more", limit)
		}
		if !b.admits("sam", args(2), back.Add(62*time.Minute)) {
			t.Errorf("%s: who used it up is locked out for a year", limit)
		}
	}
	b := newBench(t, "{sum: amount, max: 8, every: 1h, per: caller}")
	never, ran := b.call("sam", `{"amount":4}`), b.call("sam", `{"amount":4}`)
	b.reserve(never, began)
	back := began.Add(-30 * time.Minute)
	b.admits("sam", `{"amount":0}`, back) // sees the clock
	if d := b.reserve(ran, began); d.Effect != toolcall.Allow {
		t.Fatal(d.Reason)
	}
	b.settle(never, toolcall.OutcomeRefused, began)
	if b.admits("sam", `{"amount":5}`, began.Add(45*time.Minute)) {
		t.Error("what was given back was counted under another call")
	}
}

// A sum and different values refuse nothing that fits: what left the span is gone,
// of a sum one slot (a sixtieth of the span) later.
func TestBudgetsRefuseNothingThatFits(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		form := rapid.SampledFrom([]string{"sum: amount", "distinct: id"}).Draw(r, "form")
		most := rapid.Int64Range(1, 9).Draw(r, "most")
		b := newBench(t, fmt.Sprintf("{%s, max: %d, every: 1h, per: caller}", form, most))
		counts := time.Hour
		if form == "sum: amount" {
			counts += time.Minute
		}
		var history []ran
		at := began
		for range rapid.IntRange(1, 50).Draw(r, "steps") {
			at = at.Add(later(r, time.Hour, most))
			units, value := rapid.Int64Range(0, most).Draw(r, "units"), rapid.Int64Range(0, 12).Draw(r, "value")
			if b.admits("sam", fmt.Sprintf(`{"amount":%d,"id":%d}`, units, value), at) {
				history = append(history, ran{at, units, value})
				continue
			}
			sum, seen := units, map[int64]bool{value: true}
			for _, c := range history {
				if at.Sub(c.at) < counts {
					sum += c.units
					seen[c.value] = true
				}
			}
			if form == "sum: amount" && sum <= most || form != "sum: amount" && int64(len(seen)) <= most {
				r.Fatalf("refused at +%v with a sum of %d and %d values", at.Sub(began), sum, len(seen))
			}
		}
	})
}

// The wait that a refusal tells is the one after which the call passes, and no
// call passes half a second earlier.
func TestRetryIsWhenTheCallPasses(t *testing.T) {
	for limit, args := range map[string]string{
		"2/minute per caller":                                    `{}`,
		"{calls: 4, every: 1h, per: caller, burst: 2}":           `{}`,
		"{sum: amount, max: 100, every: 1h, per: caller}":        `{"amount":50,"id":%d}`,
		"{distinct: id, max: 2, every: 24h, per: caller}":        `{"amount":1,"id":%d}`,
		"[{calls: 2, every: 7d, per: caller}, 2/day per caller]": `{}`,
	} {
		b := newBench(t, limit)
		n := 0
		next := func() string {
			if n++; !strings.Contains(args, "%d") {
				return args
			}
			return fmt.Sprintf(args, n)
		}
		for range 2 {
			if !b.admits("sam", next(), began) {
				t.Fatalf("%s: refused before it is used up", limit)
			}
		}
		d := b.reserve(b.call("sam", next()), began)
		if d.Effect != toolcall.Deny || d.RetryAfter <= 0 || d.RetryAfter%time.Second != 0 || d.Rule != "everyone/refund" || d.Line != 2 {
			t.Fatalf("%s: used up, it says %+v", limit, d)
		}
		if !strings.Contains(d.Reason, "; try again in ") {
			t.Errorf("%s: the reason is %q", limit, d.Reason)
		}
		if early := began.Add(d.RetryAfter - 1500*time.Millisecond); b.admits("sam", next(), early) {
			t.Errorf("%s: a call passes before %v are over", limit, d.RetryAfter)
		}
		if !b.admits("sam", next(), began.Add(d.RetryAfter)) {
			t.Errorf("%s: no call passes after %v", limit, d.RetryAfter)
		}
	}
}

// What cannot be added up or told apart is refused, in words that do not quote it.
func TestUncountableValuesAreRefused(t *testing.T) {
	sum, distinct := "{sum: amount, max: 100.5, every: 1h, per: caller}", "{distinct: id, max: 2, every: 1h, per: caller}"
	for _, c := range []struct{ limit, args, want string }{
		{sum, `{"amount":100.5}`, ""},
		{sum, `{"amount":1e2}`, ""},
		{sum, `{"amount":0}`, ""},
		{sum, `{"amount":-0}`, ""},
		{sum, `{"amount":0.000000000000000001}`, ""},
		{sum, `{}`, "amount is absent, and a limit counts it"},
		{sum, `{"amount":null}`, "amount is not a number, and a limit adds it up"},
		{sum, `{"amount":"5"}`, "amount is not a number, and a limit adds it up"},
		{sum, `{"amount":[5]}`, "amount is not a number, and a limit adds it up"},
		{sum, `{"amount":5,"Amount":5}`, "amount is given under a name that differs only by case, and a limit counts it"},
		{sum, `{"amount":-5}`, "amount is negative, and would give back what others have used"},
		{sum, `{"amount":-1e-400}`, "amount is negative, and would give back what others have used"},
		{sum, `{"amount":100.50000000000000000001}`, "amount is more than all that may be used"},
		{sum, `{"amount":1e999999999999}`, "amount is more than all that may be used"},
		{sum, `{"amount":1e99999999999999999999}`, "amount is a number beyond comparison"},
		{sum, `{"amount":1e-999999999999}`, "amount has more than 18 decimals"},
		{sum, `{"amount":0.0000000000000000001}`, "amount has more than 18 decimals"},
		{distinct, `{"id":"a"}`, ""},
		{distinct, `{"id":true}`, ""},
		{distinct, `{}`, "id is absent, and a limit counts it"},
		{distinct, `{"id":null}`, "id is not one value, and a limit counts different values"},
		{distinct, `{"id":["a","b","c"]}`, "id is not one value, and a limit counts different values"},
		{distinct, `{"id":{"in":["a"]}}`, "id is not one value, and a limit counts different values"},
	} {
		b := newBench(t, c.limit)
		d := b.reserve(b.call("sam", c.args), began)
		switch {
		case c.want == "" && d.Effect != toolcall.Allow:
			t.Errorf("%s: refused: %s", c.args, d.Reason)
		case c.want != "" && (d.Effect != toolcall.Deny || !strings.HasPrefix(d.Reason, c.want) || d.RetryAfter != 0):
			t.Errorf("%s: %s %q, %v; want %q", c.args, d.Effect, d.Reason, d.RetryAfter, c.want)
		}
	}
}

// Sums are exact: parts that no double can hold add up to the whole, and no more.
func TestSumsAreExact(t *testing.T) {
	b := newBench(t, "{sum: amount, max: 1, every: 1h, per: caller}")
	for i := range 10 {
		if !b.admits("sam", `{"amount":0.1}`, began) {
			t.Fatalf("a tenth is refused after %d", i)
		}
	}
	if b.admits("sam", `{"amount":0.000000000000000001}`, began) {
		t.Error("more than the whole was used")
	}
	large := newBench(t, "{sum: amount, max: 9007199254740994, every: 1h, per: caller}")
	if !large.admits("sam", `{"amount":9007199254740993}`, began) || large.admits("sam", `{"amount":2}`, began) ||
		!large.admits("sam", `{"amount":1}`, began) {
		t.Error("beyond 2^53 the sum is not exact")
	}
}

// What an argument that is absent defaults to is counted like what is given.
func TestDefaultsAreCounted(t *testing.T) {
	b := newBench(t, "{sum: amount, max: 100, every: 1h, per: caller}")
	for i, want := range []toolcall.Effect{toolcall.Allow, toolcall.Allow, toolcall.Deny} {
		c := b.call("sam", `{}`)
		c.Def = toolcall.NewToolDef("pay", parse(t, `{"name":"refund","inputSchema":{"properties":{"amount":{"default":40}}}}`))
		if d := b.reserve(c, began); d.Effect != want {
			t.Errorf("call %d: %s (%s), want %s", i+1, d.Effect, d.Reason, want)
		}
	}
}

// A rule whose limit names an argument does not match where the upstream could
// read another one: what nobody declared.
func TestLimitsNameArguments(t *testing.T) {
	b := newBench(t, "{sum: amount, max: 100, every: 1h, per: caller}")
	c := b.call("sam", `{"amount":1,"amount_in_cents":100000}`)
	c.Def = toolcall.NewToolDef("pay", parse(t, `{"name":"refund","inputSchema":{"properties":{"amount":{}}}}`))
	if d := b.policy.Evaluate(c); d.Effect != toolcall.Deny {
		t.Errorf("an undeclared argument beside the one that is summed up: %s", d.Effect)
	}
}

// Sums are told as people write them.
func TestAmountsInWords(t *testing.T) {
	for text, want := range map[string]string{"10000": "10000", "0.5": "0.5", "1e3": "1000", "100.50": "100.5"} {
		b := newBench(t, "{sum: amount, max: "+text+", every: 24h, per: caller}")
		over := b.reserve(b.call("sam", `{"amount":1e30}`), began)
		if !strings.Contains(over.Reason, "a sum of "+want+" of amount a day per caller") {
			t.Errorf("max %s is told as %q", text, over.Reason)
		}
	}
}
