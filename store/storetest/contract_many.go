package storetest

import (
	"slices"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// many is more records than any store should keep beside its indexes.
const many = 3000

// busy appends many records of chain, in appends of several sizes: one of each
// kind of what a call leaves, by the sessions in turn. The last is of the last
// session, which has no other.
func busy(t *testing.T, s Store, chain string, sessions ...toolcall.ID) {
	t.Helper()
	kinds := []audit.Entry{
		{Kind: audit.Intent, Effect: toolcall.Allow}, {Kind: audit.Outcome, Outcome: toolcall.OutcomeOK},
		{Kind: audit.Refusal, Effect: toolcall.Deny}, {Kind: audit.Event},
	}
	rest := sessions[:len(sessions)-1]
	var es []audit.Entry
	for i := range many {
		e := kinds[i/len(rest)%len(kinds)]
		e.Chain, e.Seq, e.At, e.Body = chain, uint64(i+1), start.Add(time.Duration(i)*time.Second), []byte(`{"v":1}`)
		e.Session, e.Upstream = rest[i%len(rest)], "crm"
		if i == many-1 {
			e.Session = sessions[len(rest)]
		}
		es = append(es, e)
	}
	for size := 1; len(es) > 0; size = size%97 + 1 {
		n := min(size, len(es))
		if err := s.Append(t.Context(), es[:n]); err != nil {
			t.Fatal(err)
		}
		es = es[n:]
	}
}

// where of each entry.
type where struct {
	chain string
	seq   uint64
}

func places(es []audit.Entry) (all []where) {
	for _, e := range es {
		all = append(all, where{e.Chain, e.Seq})
	}
	return all
}

// agree checks that what the store tells of each session is what a walk over
// its chains tells.
func agree(t *testing.T, s Store, sessions []toolcall.ID, chains ...string) {
	t.Helper()
	of := map[toolcall.ID][]audit.Entry{}
	for _, chain := range chains {
		for _, e := range collect(t, s.Chain(t.Context(), chain, 0)) {
			of[e.Session] = append(of[e.Session], e)
		}
	}
	for i, session := range sessions {
		want := of[session]
		slices.SortStableFunc(want, func(a, b audit.Entry) int { return a.At.Compare(b.At) })
		if got := collect(t, s.Entries(t.Context(), session)); !slices.Equal(places(got), places(want)) {
			t.Errorf("session %d has %d entries, want %d, in order", i, len(got), len(want))
		}
		infos, err := s.Sessions(t.Context(), audit.Filter{Prefix: session.String()})
		if err != nil || len(infos) > 1 || (len(infos) == 1) != (len(want) > 0) {
			t.Fatalf("session %d, of %d entries, is listed %d times, %v", i, len(want), len(infos), err)
		}
		if len(want) == 0 {
			continue
		}
		calls, refused, ok := 0, 0, 0
		for _, e := range want {
			switch e.Kind {
			case audit.Intent:
				calls++
			case audit.Refusal:
				refused++
			case audit.Outcome:
				ok++
			}
		}
		got := infos[0]
		if got.Calls != calls || got.Refused != refused || !got.Start.Equal(want[0].At) || !got.Last.Equal(want[len(want)-1].At) {
			t.Errorf("session %d: %+v; want %d calls, %d refused, from %v to %v", i, got, calls, refused, want[0].At, want[len(want)-1].At)
		}
		if got.Failed != max(0, calls-ok) {
			t.Errorf("session %d: %d failed, want %d", i, got.Failed, max(0, calls-ok))
		}
	}
}

func manyRecords(t *testing.T, s Store) {
	sessions := []toolcall.ID{id(t), id(t), id(t), {}, id(t)}
	busy(t, s, "a", sessions...)
	busy(t, s, "b", sessions...) // another replica: each session has records in both
	ids := slices.DeleteFunc(sessions, toolcall.ID.IsZero)
	agree(t, s, ids, "a", "b")
	for name, c := range map[string]struct {
		filter audit.Filter
		want   int
	}{
		"since the middle":       {audit.Filter{Since: start.Add(many / 2 * time.Second)}, 4},
		"since the end":          {audit.Filter{Since: start.Add((many - 1) * time.Second)}, 1},
		"since after it":         {audit.Filter{Since: start.Add(many * time.Second)}, 0},
		"denied":                 {audit.Filter{Effects: []toolcall.Effect{toolcall.Deny}}, 3},
		"held":                   {audit.Filter{Effects: []toolcall.Effect{toolcall.Approve}}, 0},
		"held or allowed, a few": {audit.Filter{Effects: []toolcall.Effect{toolcall.Approve, toolcall.Allow}, Limit: 2}, 2},
	} {
		if infos, err := s.Sessions(t.Context(), c.filter); err != nil || len(infos) != c.want {
			t.Errorf("%s: %d sessions, %v; want %d", name, len(infos), err, c.want)
		}
	}
}

func purgeManyRecords(t *testing.T, s Store) {
	sessions := []toolcall.ID{id(t), id(t), id(t), id(t)}
	over, open := id(t), id(t)
	if err := s.Append(t.Context(), []audit.Entry{
		{Chain: "b", Seq: 1, Kind: audit.SessionStart, Session: over, At: start, Body: []byte("{}")},
		{Chain: "b", Seq: 2, Kind: audit.SessionStart, Session: open, At: start, Body: []byte("{}")},
	}); err != nil {
		t.Fatal(err)
	}
	busy(t, s, "a", sessions...)
	seq := uint64(many)
	for _, upTo := range []uint64{1, 700, many - 200, many - 1} {
		seq++
		stone := audit.Entry{Chain: "a", Seq: seq, Kind: audit.Purged, At: start, Body: []byte(`{"v":1}`)}
		if err := s.Purge(t.Context(), upTo, stone); err != nil {
			t.Fatal(err)
		}
		if es := collect(t, s.Chain(t.Context(), "a", 0)); len(es) != int(seq-upTo) || es[0].Seq != upTo+1 {
			t.Fatalf("after a purge up to %d of %d the chain has %d entries", upTo, seq, len(es))
		}
		agree(t, s, append(sessions, over, open), "a", "b")
	}
	seq++
	end := audit.Entry{Chain: "a", Seq: seq, Kind: audit.SessionEnd, Session: over, At: start.Add(time.Hour), Body: []byte("{}")}
	if err := s.Append(t.Context(), []audit.Entry{end}); err != nil {
		t.Fatal(err)
	}
	// Of the session that is over, only this newest record is left.
	stone := audit.Entry{Chain: "b", Seq: 3, Kind: audit.Purged, At: start, Body: []byte(`{"v":1}`)}
	if err := s.Purge(t.Context(), 1, stone); err != nil {
		t.Fatal(err)
	}
	for session, want := range map[toolcall.ID]bool{over: true, open: false, sessions[0]: false} {
		if got, err := s.Ended(t.Context(), session); err != nil || got != want {
			t.Errorf("Ended: %v, %v; want %v", got, err, want)
		}
	}
	agree(t, s, append(sessions, over, open), "a", "b")
}

func noGaps(t *testing.T, s Store) {
	session := id(t)
	busy(t, s, "a", session, session)
	stone := audit.Entry{Chain: "a", Seq: many + 1, Kind: audit.Purged, At: start, Body: []byte(`{"v":1}`)}
	if err := s.Purge(t.Context(), 10, stone); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{1, 10, many, many + 1} {
		e := audit.Entry{Chain: "a", Seq: seq, Kind: audit.Event, Session: session, At: start, Body: []byte("{}")}
		if err := s.Append(t.Context(), []audit.Entry{e}); err == nil {
			t.Errorf("entry %d was appended behind entry %d", seq, many+1)
		}
	}
	twice := audit.Entry{Chain: "a", Seq: many + 2, Kind: audit.Event, Session: session, At: start, Body: []byte("{}")}
	if err := s.Append(t.Context(), []audit.Entry{twice, twice}); err == nil {
		t.Error("one append took an entry twice")
	}
	agree(t, s, []toolcall.ID{session}, "a")
}
