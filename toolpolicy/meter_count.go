package toolpolicy

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"

	"mcpguard/toolcall"
)

// counter is what was counted for one scope of one limit. Times are nanoseconds
// since 1970. All of them are at or before now: what stands later (a clock was put
// back, a limit became stricter) is first moved to now by clamp, as if it had
// just happened, so that it counts for as long as it can count at all.
type counter interface {
	// clamp reports whether it moved anything, so that nothing of it may be given
	// back any more; and it forgets what does not count any more.
	clamp(l *toolcall.Limit, now int64) (moved bool)
	// wait is how long a use would have to wait, 0: it fits.
	wait(l *toolcall.Limit, u *use, now int64) int64
	take(l *toolcall.Limit, u *use, now int64)
	// giveBack undoes a take, as far as that cannot make more of what was used
	// since; keep makes it last.
	giveBack(l *toolcall.Limit, u *use, now int64)
	keep(u *use, s *toolcall.Settlement)
	// until is when nothing of it counts any more.
	until(l span) int64
	append(dst []byte) []byte
}

// span is how long a use counts, in nanoseconds.
type span int64

// use is what one call takes of one limit.
type use struct {
	call   toolcall.ID
	amount *big.Int // of a sum
	value  valueKey // of distinct
	from   int64    // where its part of a bucket, or its slot, begins
	entry  *value
}

// bucket is the generic cell rate algorithm (ITU-T I.371, in its form as virtual
// scheduling): every call moves the theoretical arrival time by one interval, and
// one that would move it further ahead of now than the burst allows does not
// pass. All of it is whole nanoseconds, and the interval is rounded up.
type bucket struct{ tat int64 }

func interval(l *toolcall.Limit) int64 {
	return (int64(l.Every) + l.Most - 1) / l.Most
}

func (b *bucket) clamp(l *toolcall.Limit, now int64) (moved bool) {
	latest := now + l.Burst*interval(l)
	moved = b.tat > latest
	b.tat = min(b.tat, latest)
	return moved
}

func (b *bucket) wait(l *toolcall.Limit, _ *use, now int64) int64 {
	t := interval(l)
	return max(0, max(b.tat, now)+t-l.Burst*t-now)
}

func (b *bucket) take(l *toolcall.Limit, u *use, now int64) {
	u.from = max(b.tat, now)
	b.tat = u.from + interval(l)
}

// giveBack returns what of the interval is still ahead. What has run out was
// there for others already: to return it as well would let more calls pass than
// if this one had never been.
func (b *bucket) giveBack(l *toolcall.Limit, u *use, now int64) {
	t := interval(l)
	b.tat -= min(t, max(0, u.from+t-now))
}

func (b *bucket) keep(*use, *toolcall.Settlement) {}
func (b *bucket) until(span) int64                { return b.tat }
func (b *bucket) append(dst []byte) []byte        { return binary.BigEndian.AppendUint64(dst, uint64(b.tat)) }

// slots are into how many parts a span is cut to sum up: an amount counts for its
// whole span, and for up to one slot more.
const slots = 60

// total is the sums of the slots that still count, the oldest first.
type total struct{ parts []part }

type part struct {
	slot int64 // begins at slot * width
	sum  *big.Int
}

func (s span) width() int64 { return (int64(s) + slots - 1) / slots }

// end is when a slot does not count any more.
func (s span) end(slot int64) int64 { return (slot+1)*s.width() + int64(s) }

func (t *total) clamp(l *toolcall.Limit, now int64) (moved bool) {
	s := span(l.Every)
	newest := now / s.width()
	at := len(t.parts)
	for at > 0 && t.parts[at-1].slot > newest {
		at--
	}
	late := t.parts[at:]
	t.parts = t.parts[:at:at]
	for _, p := range late {
		t.add(newest, p.sum)
	}
	gone := 0
	for gone < len(t.parts) && s.end(t.parts[gone].slot) <= now {
		gone++
	}
	t.parts = t.parts[gone:]
	return len(late) > 0
}

// add adds to the newest slot.
func (t *total) add(slot int64, amount *big.Int) {
	if n := len(t.parts); n > 0 && t.parts[n-1].slot == slot {
		t.parts[n-1].sum.Add(t.parts[n-1].sum, amount)
		return
	}
	t.parts = append(t.parts, part{slot, new(big.Int).Set(amount)})
}

func (t *total) wait(l *toolcall.Limit, u *use, now int64) int64 {
	most, _ := amountOf(l.Max, largest)
	over := new(big.Int).Sub(u.amount, most)
	for _, p := range t.parts {
		over.Add(over, p.sum)
	}
	for _, p := range t.parts {
		if over.Sign() <= 0 {
			return 0
		}
		if over.Sub(over, p.sum); over.Sign() <= 0 {
			return max(1, span(l.Every).end(p.slot)-now)
		}
	}
	if over.Sign() > 0 {
		return math.MaxInt64
	}
	return 0
}

func (t *total) take(l *toolcall.Limit, u *use, now int64) {
	u.from = now / span(l.Every).width()
	if u.amount.Sign() > 0 {
		t.add(u.from, u.amount)
	}
}

func (t *total) giveBack(_ *toolcall.Limit, u *use, _ int64) {
	for i, p := range t.parts {
		if p.slot == u.from && p.sum.Cmp(u.amount) >= 0 {
			if p.sum.Sub(p.sum, u.amount); p.sum.Sign() == 0 {
				t.parts = slices.Delete(t.parts, i, i+1)
			}
			return
		}
	}
}

func (t *total) keep(*use, *toolcall.Settlement) {}

func (t *total) until(s span) int64 {
	if len(t.parts) == 0 {
		return 0
	}
	return s.end(t.parts[len(t.parts)-1].slot)
}

func (t *total) append(dst []byte) []byte {
	for _, p := range t.parts {
		sum := p.sum.Bytes()
		dst = binary.BigEndian.AppendUint64(dst, uint64(p.slot))
		dst = append(append(dst, byte(len(sum))), sum...)
	}
	return dst
}

// valueKey is a keyed digest of a value, cut to what tells values apart.
type valueKey [16]byte

// values are the different values of a span, each with its last use.
type values struct{ seen map[valueKey]*value }

type value struct {
	at        int64
	confirmed bool // a call with it was forwarded
	pending   int  // calls with it that are not settled
}

func (v *values) clamp(l *toolcall.Limit, now int64) (moved bool) {
	for key, e := range v.seen {
		e.at = min(e.at, now)
		if e.at+int64(l.Every) <= now {
			delete(v.seen, key)
		}
	}
	return false
}

func (v *values) wait(l *toolcall.Limit, u *use, now int64) int64 {
	if v.seen[u.value] != nil || int64(len(v.seen)) < l.Most {
		return 0
	}
	times := make([]int64, 0, len(v.seen))
	for _, e := range v.seen {
		times = append(times, e.at)
	}
	slices.Sort(times)
	return max(1, times[int64(len(times))-l.Most]+int64(l.Every)-now)
}

func (v *values) take(_ *toolcall.Limit, u *use, now int64) {
	e := v.seen[u.value]
	if e == nil {
		e = &value{}
		v.seen[u.value] = e
	}
	e.at = now
	e.pending++
	u.entry = e
}

func (v *values) giveBack(_ *toolcall.Limit, u *use, _ int64) {
	if u.entry.pending--; u.entry.pending == 0 && !u.entry.confirmed && v.seen[u.value] == u.entry {
		delete(v.seen, u.value)
	}
}

func (v *values) keep(u *use, _ *toolcall.Settlement) {
	u.entry.pending--
	u.entry.confirmed = true
}

func (v *values) until(s span) int64 {
	last := int64(0)
	for _, e := range v.seen {
		last = max(last, e.at+int64(s))
	}
	return last
}

func (v *values) append(dst []byte) []byte {
	for key, e := range v.seen {
		dst = append(dst, key[:]...)
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.at))
	}
	return dst
}

// lingering is how long a call counts as under way when nobody knows whether it
// still is: it was cancelled, its upstream fell silent, or mcpguard ended.
const lingering = int64(60e9)

// seats are the calls under way.
type seats struct{ taken []seat }

type seat struct {
	call  toolcall.ID
	until int64 // running: it is under way in this process
}

const running = math.MaxInt64

// someTime is what is said of a call that may end at any time.
const someTime = int64(1e9)

func (s *seats) clamp(_ *toolcall.Limit, now int64) (moved bool) {
	s.taken = slices.DeleteFunc(s.taken, func(t seat) bool { return t.until <= now })
	return false
}

func (s *seats) wait(l *toolcall.Limit, _ *use, now int64) int64 {
	if int64(len(s.taken)) < l.Most {
		return 0
	}
	wait := int64(math.MaxInt64)
	for _, t := range s.taken {
		if t.until == running {
			wait = min(wait, someTime)
		} else {
			wait = min(wait, t.until-now)
		}
	}
	return wait
}

func (s *seats) take(_ *toolcall.Limit, u *use, _ int64) {
	s.taken = append(s.taken, seat{u.call, running})
}

func (s *seats) giveBack(_ *toolcall.Limit, u *use, _ int64) { s.leave(u.call) }

// leave frees the seat of a call, if it has one.
func (s *seats) leave(call toolcall.ID) bool {
	before := len(s.taken)
	s.taken = slices.DeleteFunc(s.taken, func(t seat) bool { return t.call == call })
	return len(s.taken) < before
}

func (s *seats) keep(u *use, how *toolcall.Settlement) {
	until := int64(0)
	switch how.Outcome {
	case toolcall.OutcomeTask:
		until = how.Until.UnixNano()
	case toolcall.OutcomeUnknown, toolcall.OutcomeFailed, toolcall.OutcomeCancelled:
		until = how.At.UnixNano() + lingering
	}
	if until == 0 {
		s.leave(u.call)
		return
	}
	for i := range s.taken {
		if s.taken[i].call == u.call {
			s.taken[i].until = until
		}
	}
}

func (s *seats) until(span) int64 {
	last := int64(0)
	for _, t := range s.taken {
		last = max(last, t.until)
	}
	return last
}

func (s *seats) append(dst []byte) []byte {
	for _, t := range s.taken {
		dst = append(dst, t.call[:]...)
		dst = binary.BigEndian.AppendUint64(dst, uint64(t.until))
	}
	return dst
}
