package toolpolicy

import (
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"mcpguard/toolcall"
)

// Keys makes keyed digests: neither the names of callers nor the values of
// arguments are kept where calls are counted.
type Keys interface {
	MAC(purpose string, parts ...[]byte) toolcall.Digest
}

// Purposes of those digests.
const (
	digestWindow = "limit"
	digestValue  = "limit-value" // one value of an argument
	digestLeg    = "limit-leg"
	digestAbout  = "limit-about" // target and arguments of a call that may go on
	digestOwner  = "limit-owner"
)

// Meter counts what calls take of limits. It is safe for concurrent use: calls
// that come together never get more than a limit gives. It reads no clock, and is
// told the time.
//
//	Reserve ──> forwarded ──> Settle      what was taken stays taken
//	       └──> never was ──> Settle      and is given back
//
// What was counted survives a crash where the store writes the windows of
// [Meter.Keep] in the transaction that keeps the intents of calls: then a call
// whose intent is durable is counted durably, and a crash loses nothing but what
// was given back.
//
// A nil Meter refuses every call that has a limit.
type Meter struct {
	keys Keys

	keeping sync.Mutex // one Keep at a time

	mu      sync.Mutex
	latest  int64 // nanoseconds since 1970
	windows map[windowScope]*window
	kept    map[toolcall.Digest]*window // read at the start, and not asked for yet
	seating map[*window]struct{}        // windows of calls under way
	dirty   map[*window]struct{}        // changed since they were kept
	open    map[toolcall.ID]*reservation
	legs    legs
	sweepAt int // windows; then those that hold nothing go
}

// windowScope is what calls have in common that are counted together.
type windowScope struct {
	limit           string
	issuer, subject string
	vouched, client string
	upstream        string
	kind            toolcall.Kind
	tool            string
}

// scopeOf is the scope of a call under a limit. The client chooses nothing of it:
// not the names of what is no tool either.
func scopeOf(l *toolcall.Limit, c *toolcall.Call) windowScope {
	s := windowScope{limit: l.ID}
	if l.Per.Has(toolcall.PerCaller) {
		s.issuer, s.subject = c.Caller.Issuer, c.Caller.Subject
	}
	if l.Per.Has(toolcall.PerClient) {
		s.vouched, s.client = c.Caller.Issuer, c.Caller.Client
	}
	if l.Per.Has(toolcall.PerUpstream) || l.Per.Has(toolcall.PerTool) {
		s.upstream = c.Upstream
	}
	if l.Per.Has(toolcall.PerTool) {
		if s.kind = c.Kind; c.Kind == toolcall.Tool {
			s.tool = c.Name
		}
	}
	return s
}

// window is a counter and its place in the store.
type window struct {
	key     toolcall.Digest
	measure toolcall.Measure
	every   span
	counter counter
	pending int // takes that are not settled
	moved   int // how often clamp has moved something
}

// reservation is what one call has taken.
type reservation struct {
	call  *toolcall.Call
	takes []take
	leg   *leg // that paid for it; nil: it paid itself
}

type take struct {
	limit  *toolcall.Limit
	use    use
	window *window // nil: nothing was taken
	moved  int     // of the window, at that time
}

// sweepFrom is how many windows there are before the first sweep.
const sweepFrom = 1024

// NewMeter goes on with what a meter before it counted: kept, as its Keep wrote
// it. Calls that were under way then count for a while longer. What cannot be
// read is an error: to begin anew would give away what was used up.
func NewMeter(keys Keys, kept []toolcall.Window, at time.Time) (*Meter, error) {
	if keys == nil {
		return nil, errors.New("count calls: no keys")
	}
	m := &Meter{
		keys: keys, latest: at.UnixNano(), sweepAt: sweepFrom,
		windows: map[windowScope]*window{}, kept: map[toolcall.Digest]*window{}, seating: map[*window]struct{}{},
		dirty: map[*window]struct{}{}, open: map[toolcall.ID]*reservation{}, legs: newLegs(keys),
	}
	for _, k := range kept {
		if err := m.load(k); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Reserve takes what a call needs of each limit of its decision, of all or of
// none, and returns the decision as the limits leave it: unchanged, or a denial
// that says which limit is used up and when the call could pass. What an observed
// limit would refuse is noted in its Shadow.
//
// A call with an id that [Meter.Settle] was told of with More, made again by the
// same caller with the same arguments, is the same execution: it resumes that one
// and takes nothing twice that still counts. That works once.
//
// What Reserve has taken stays taken until Settle.
func (m *Meter) Reserve(c *toolcall.Call, d toolcall.Decision, resumes toolcall.ID, at time.Time) toolcall.Decision {
	if d.Effect == toolcall.Deny || len(d.Limits) == 0 {
		return d
	}
	if m == nil {
		return refused(d, d.Limits[0], "there is nobody who counts it", 0)
	}
	r := &reservation{call: c}
	for _, l := range d.Limits {
		u, why := m.useOf(l, c)
		switch {
		case why == "":
			r.takes = append(r.takes, take{limit: l, use: u})
		case l.Observe:
			d.Shadow = append(slices.Clip(d.Shadow), l.Owner)
		default:
			return refused(d, l, why, 0)
		}
	}
	var like leg
	if !resumes.IsZero() { // here: digests of arguments take their time, and nobody need wait for them
		like = leg{about: m.legs.about(c), owner: m.legs.owner(c)}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock(at)
	m.sweep(now)
	r.leg = m.legs.of(resumes, like, now)
	var worst *toolcall.Limit
	longest := int64(0)
	for i := range r.takes {
		t := &r.takes[i]
		if r.leg.paid(t.limit, now) {
			continue
		}
		w := m.window(t.limit, c)
		if w.counter.clamp(t.limit, now) {
			w.moved++
		}
		wait := w.counter.wait(t.limit, &t.use, now)
		switch {
		case wait == 0:
			t.window, t.moved = w, w.moved
		case t.limit.Observe:
			d.Shadow = append(slices.Clip(d.Shadow), t.limit.Owner)
		case wait > longest:
			longest, worst = wait, t.limit
		}
	}
	if worst != nil {
		return refused(d, worst, usedUp(worst), time.Duration(longest))
	}
	for i := range r.takes {
		if t := &r.takes[i]; t.window != nil {
			t.window.counter.take(t.limit, &t.use, now)
			t.window.pending++
			m.dirty[t.window] = struct{}{}
		}
	}
	m.legs.use(r.leg)
	m.open[c.ID] = r
	return d
}

// Settle tells how a call ended that has taken of limits: what it took stays
// taken, unless it was never forwarded, or has failed and the limit says that
// errors are free. A call that became a task is settled once more when that has
// ended. Else the first settlement counts, and of a call that has taken nothing
// there is none.
func (m *Meter) Settle(call toolcall.ID, how toolcall.Settlement) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.open[call]
	if r == nil {
		if how.Outcome != toolcall.OutcomeUnknown && how.Outcome != toolcall.OutcomeRefused {
			m.leave(call)
		}
		return
	}
	delete(m.open, call)
	now := m.clock(how.At)
	for i := range r.takes {
		t := &r.takes[i]
		if t.window == nil {
			continue
		}
		t.window.pending--
		m.dirty[t.window] = struct{}{}
		if t.free(how.Outcome) {
			t.window.counter.giveBack(t.limit, &t.use, now)
		} else {
			t.window.counter.keep(&t.use, &how)
		}
	}
	switch {
	case how.Outcome == toolcall.OutcomeRefused:
		m.legs.restore(r.leg)
	case how.More:
		m.legs.make(r, now)
	}
}

// free reports whether what was taken is given back. What clamp has moved is not
// known any more.
func (t *take) free(o toolcall.Outcome) bool {
	switch o {
	case toolcall.OutcomeRefused:
	case toolcall.OutcomeToolError, toolcall.OutcomeError:
		if !t.limit.ErrorsFree {
			return false
		}
	default:
		return false
	}
	return t.moved == t.window.moved
}

// leave ends a call that counted as under way: a task that has ended.
func (m *Meter) leave(call toolcall.ID) {
	for w := range m.seating {
		if s, ok := w.counter.(*seats); ok && s.leave(call) {
			m.dirty[w] = struct{}{}
		}
	}
}

// Keep writes what has changed since the last Keep that succeeded, and holds it
// to be kept when write returns nil. Calls wait for none of it: see Meter.
func (m *Meter) Keep(write func([]toolcall.Window) error) error {
	m.keeping.Lock()
	defer m.keeping.Unlock()
	windows, undo := m.changes()
	err := write(windows)
	if err != nil {
		undo()
	}
	return err
}

// changes takes what has changed, and a way to put it back.
func (m *Meter) changes() (changed []toolcall.Window, undo func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dirty, legs := m.dirty, m.legs.dirty
	m.dirty, m.legs.dirty = map[*window]struct{}{}, map[toolcall.ID]struct{}{}
	for w := range dirty {
		changed = append(changed, w.row(m.latest))
	}
	for id := range legs {
		changed = append(changed, m.legs.row(id))
	}
	return changed, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for w := range dirty {
			m.dirty[w] = struct{}{}
		}
		for id := range legs {
			m.legs.dirty[id] = struct{}{}
		}
	}
}

// goneBack is how far the time that a meter is told may lie before one that it was
// told already: requests overtake each other. What lies further back is a clock
// that was put back.
const goneBack = int64(time.Minute)

// clock is the time to count at. A caller gains nothing from a request that took
// its time.
func (m *Meter) clock(at time.Time) int64 {
	now := at.UnixNano()
	if now < m.latest && m.latest-now < goneBack {
		return m.latest
	}
	m.latest = now
	return now
}

// window is where a call is counted under a limit.
func (m *Meter) window(l *toolcall.Limit, c *toolcall.Call) *window {
	s := scopeOf(l, c)
	w := m.windows[s]
	if w != nil {
		return w
	}
	key := m.keys.MAC(digestWindow, []byte(s.limit), []byte(s.issuer), []byte(s.subject), []byte(s.vouched), []byte(s.client),
		[]byte(s.upstream), []byte{byte(s.kind)}, []byte(s.tool))
	if w = m.kept[key]; w == nil {
		w = &window{key: key, measure: l.Form, every: span(l.Every), counter: newCounter(l.Form)}
	}
	delete(m.kept, key)
	m.windows[s] = w
	if l.Form == toolcall.AtOnce {
		m.seating[w] = struct{}{}
	}
	return w
}

// sweep forgets windows in which nothing counts any more, when there are twice as
// many as the last time left.
func (m *Meter) sweep(now int64) {
	if len(m.windows)+len(m.kept) < m.sweepAt {
		return
	}
	for s, w := range m.windows {
		if m.over(w, now) {
			delete(m.windows, s)
		}
	}
	for key, w := range m.kept {
		if m.over(w, now) {
			delete(m.kept, key)
		}
	}
	m.legs.sweep(now)
	m.sweepAt = max(sweepFrom, 2*(len(m.windows)+len(m.kept)))
}

func (m *Meter) over(w *window, now int64) bool {
	if w.pending > 0 || w.counter.until(w.every) > now {
		return false
	}
	delete(m.seating, w)
	m.dirty[w] = struct{}{} // its row goes
	return true
}

// useOf is what a call takes of a limit; otherwise why it cannot be counted, in
// words that do not quote it.
func (m *Meter) useOf(l *toolcall.Limit, c *toolcall.Call) (u use, why string) {
	u.call = c.ID
	if l.Form != toolcall.Sum && l.Form != toolcall.Distinct {
		return u, ""
	}
	f := lookup{root: c.Args, call: c}.find(l.Path)
	value := f.given
	switch {
	case f.how != holds && (f.how != absent || f.fallback.IsZero()):
		return u, l.Path.String() + " is " + f.how.String() + ", and a limit counts it"
	case f.how == absent:
		value = f.fallback
	}
	if l.Form == toolcall.Sum {
		n, ok := value.Number()
		if !ok {
			return u, l.Path.String() + " is " + notNumber.String() + ", and a limit adds it up"
		}
		if u.amount, why = amountOf(n, l.Max); why != "" {
			why = l.Path.String() + " " + why + ": " + l.Words
		}
		return u, why
	}
	switch value.Type() {
	case toolcall.StringType, toolcall.NumberType, toolcall.True, toolcall.False:
		d := m.keys.MAC(digestValue, value.AppendCanonical(nil))
		copy(u.value[:], d[:])
		return u, ""
	}
	return u, l.Path.String() + " is not one value, and a limit counts different values"
}

// refused is the denial by a limit.
func refused(d toolcall.Decision, l *toolcall.Limit, reason string, wait time.Duration) toolcall.Decision {
	if wait > 0 {
		wait = max(roundUp(wait), time.Second)
		reason += "; try again in " + plainDuration(wait)
	}
	return toolcall.Decision{
		Effect: toolcall.Deny, Rule: l.Owner, File: l.File, Line: l.Line, Reason: reason, RetryAfter: wait, Explain: l.Explain,
		Redact: d.Redact, Policy: d.Policy, Shadow: d.Shadow, Verdicts: d.Verdicts,
	}
}

func roundUp(d time.Duration) time.Duration {
	if d > math.MaxInt64-time.Second {
		return d
	}
	return (d + time.Second - 1).Truncate(time.Second)
}

func usedUp(l *toolcall.Limit) string {
	switch {
	case l.Form == toolcall.AtOnce && l.Most == 1:
		return l.Words + " is under way"
	case l.Form == toolcall.AtOnce:
		return l.Words + " are under way"
	case l.Form == toolcall.Sum || l.Most == 1:
		return l.Words + " is used up"
	}
	return l.Words + " are used up"
}
