package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

func sessionInfo(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	session, good, bad, lost := id(t), id(t), id(t), id(t)
	failed := outcome(session, bad)
	failed.Outcome = toolcall.OutcomeToolError
	w.put(
		audit.Record{Kind: audit.SessionStart, Session: session, Caller: sam, Upstream: "crm", ClientName: "probe"},
		intent(session, good, sam), outcome(session, good),
		intent(session, bad, sam), failed,
		intent(session, lost, sam), // nobody knows how it ended
		audit.Record{Kind: audit.Refusal, Session: session, Call: id(t), Caller: sam, Target: "delete_customer"},
	)
	infos, err := s.Sessions(t.Context(), audit.Filter{})
	if err != nil || len(infos) != 1 {
		t.Fatalf("%d sessions, %v; want 1", len(infos), err)
	}
	got := infos[0]
	if got.ID != session || got.Identity.Person != sam.Person || got.Who.IsZero() || got.Upstream != "crm" || got.Client != "probe" {
		t.Errorf("it is %+v", got)
	}
	if !got.Start.Equal(start) || !got.Last.Equal(start.Add(6*time.Second)) {
		t.Errorf("from %v to %v, want from %v, 6 s long", got.Start, got.Last, start)
	}
	if got.Calls != 3 || got.Refused != 1 || got.Failed != 2 {
		t.Errorf("%d calls, %d refused, %d failed; want 3, 1, 2", got.Calls, got.Refused, got.Failed)
	}
}

func filters(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	bySam, byFran := id(t), id(t)
	files := intent(byFran, id(t), fran)
	files.Upstream = "fs"
	w.put(intent(bySam, id(t), sam))
	w.now = start.Add(time.Hour)
	w.put(files, audit.Record{Kind: audit.Refusal, Session: byFran, Effect: toolcall.Deny})
	for _, c := range []struct {
		name   string
		filter audit.Filter
		want   []toolcall.ID
	}{
		{"none", audit.Filter{}, []toolcall.ID{byFran, bySam}},
		{"limit", audit.Filter{Limit: 1}, []toolcall.ID{byFran}},
		{"since", audit.Filter{Since: start.Add(time.Minute)}, []toolcall.ID{byFran}},
		{"person", audit.Filter{Caller: sam.Person}, []toolcall.ID{bySam}},
		{"subject", audit.Filter{Caller: fran.Subject}, []toolcall.ID{byFran}},
		{"client", audit.Filter{Caller: sam.Client}, []toolcall.ID{bySam}},
		{"part of a name", audit.Filter{Caller: "sam@"}, nil},
		{"upstream", audit.Filter{Upstream: "fs"}, []toolcall.ID{byFran}},
		{"denied", audit.Filter{Effects: []toolcall.Effect{toolcall.Deny}}, []toolcall.ID{byFran}},
		{"allowed", audit.Filter{Effects: []toolcall.Effect{toolcall.Allow}}, []toolcall.ID{byFran, bySam}},
		{"whole id", audit.Filter{Prefix: bySam.String()}, []toolcall.ID{bySam}},
		{"upper case", audit.Filter{Prefix: strings.ToUpper(bySam.String())}, []toolcall.ID{bySam}},
		{"half a byte", audit.Filter{Prefix: bySam.String()[:1]}, []toolcall.ID{byFran, bySam}},
		{"another id", audit.Filter{Prefix: "ffff"}, nil},
		{"several", audit.Filter{Upstream: "fs", Caller: sam.Person}, nil},
	} {
		infos, err := s.Sessions(t.Context(), c.filter)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var got []toolcall.ID
		for _, i := range infos {
			got = append(got, i.ID)
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %d sessions, want %d", c.name, len(got), len(c.want))
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: session %d is %s, want %s", c.name, i, got[i], c.want[i])
			}
		}
	}
	for _, prefix := range []string{"xyz", bySam.String() + "0"} {
		if _, err := s.Sessions(t.Context(), audit.Filter{Prefix: prefix}); !errors.Is(err, audit.ErrPrefix) {
			t.Errorf("the prefix %q: %v, want ErrPrefix", prefix, err)
		}
	}
}

// purgeNow makes the log of w purge, as its clock would.
func purgeNow(t *testing.T, s Store, chain string, r audit.Retention, now time.Time) {
	t.Helper()
	before := verify(t, s, chain).Seq
	w := newWriter(t, s, chain, func(c *audit.Config) {
		c.Retention, c.PurgeEvery, c.Now = r, time.Millisecond, func() time.Time { return now }
	})
	deadline := time.Now().Add(10 * time.Second)
	for verify(t, s, chain).Seq == before {
		if time.Now().After(deadline) {
			t.Fatal("nothing was purged in 10 s")
		}
		time.Sleep(time.Millisecond)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// old is a chain of three old and two young records. Its log is closed.
func old(t *testing.T, s Store, records ...audit.Record) (young time.Time) {
	t.Helper()
	w := newWriter(t, s, "a")
	w.put(records...)
	for range 3 - len(records) {
		w.put(audit.Record{Kind: audit.Event, Reason: redact.Public(strings.Repeat("old ", 500))})
	}
	w.now = start.Add(100 * 24 * time.Hour)
	young = w.now
	w.put(audit.Record{Kind: audit.Event}, audit.Record{Kind: audit.Event})
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return young
}

func purgeByAge(t *testing.T, s Store) {
	young := old(t, s)
	purgeNow(t, s, "a", audit.Retention{MaxAge: 90 * 24 * time.Hour, MaxBytes: -1}, young)
	es := collect(t, s.Chain(t.Context(), "a", 0))
	if len(es) != 3 || es[0].Seq != 4 || es[2].Kind != audit.Purged {
		t.Fatalf("%d entries from %d on; want 4, 5 and a tombstone", len(es), es[0].Seq)
	}
	r, err := audit.Decode(es[2])
	if err != nil || r.Purge.UpTo != 3 || r.Purge.Hash.IsZero() || !r.Purge.Before.Equal(young.Add(-90*24*time.Hour)) {
		t.Errorf("the tombstone says %+v, %v", r.Purge, err)
	}
	if head := verify(t, s, "a"); head.Seq != 6 {
		t.Errorf("the chain verifies up to %d, want 6", head.Seq)
	}
	w := newWriter(t, s, "a") // and it goes on
	w.put(audit.Record{Kind: audit.Event})
	if head := verify(t, s, "a"); head.Seq != 7 {
		t.Errorf("after a restart the chain verifies up to %d, want 7", head.Seq)
	}
}

func purgeBySize(t *testing.T, s Store) {
	young := old(t, s)
	purgeNow(t, s, "a", audit.Retention{MaxAge: -1, MaxBytes: 1}, young)
	es := collect(t, s.Chain(t.Context(), "a", 0))
	if len(es) == 0 || es[0].Seq == 1 || es[len(es)-1].Kind != audit.Purged {
		t.Errorf("%d entries are left", len(es))
	}
	verify(t, s, "a")
}

func newestStays(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	w.put(audit.Record{Kind: audit.Event})
	e, err := s.Expired(t.Context(), "a", start.Add(1000*time.Hour), 1, 100)
	if err != nil || e.Seq != 0 {
		t.Errorf("entry %d should go, %v; want none", e.Seq, err)
	}
	w.put(audit.Record{Kind: audit.Event}, audit.Record{Kind: audit.Event})
	for most, want := range map[int]uint64{1: 1, 2: 2, 100: 2} {
		if e, err = s.Expired(t.Context(), "a", start.Add(1000*time.Hour), 0, most); err != nil || e.Seq != want {
			t.Errorf("of at most %d the last to go is %d, %v; want %d", most, e.Seq, err, want)
		}
	}
	if e, err = s.Expired(t.Context(), "a", time.Time{}, 0, 100); err != nil || e.Seq != 0 {
		t.Errorf("without bounds entry %d should go, %v; want none", e.Seq, err)
	}
}

func purgeTakesAlong(t *testing.T, s Store) {
	session := id(t)
	long := intent(session, id(t), sam)
	long.Args = redact.Public(`{"text":"` + strings.Repeat("x", 20<<10) + `"}`)
	young := old(t, s, long)
	r, err := audit.Decode(collect(t, s.Entries(t.Context(), session))[0])
	if err != nil || r.ArgsBlob.IsZero() {
		t.Fatalf("the long arguments are in no blob: %v", err)
	}
	if err := s.PutBlob(t.Context(), "policy", "p", []byte("policy")); err != nil {
		t.Fatal(err)
	}
	purgeNow(t, s, "a", audit.Retention{MaxAge: 90 * 24 * time.Hour, MaxBytes: -1}, young)
	if _, err := s.Blob(t.Context(), r.ArgsBlob.String()); err == nil {
		t.Error("the arguments of a purged call are still there")
	}
	if _, err := s.Blob(t.Context(), "p"); err != nil {
		t.Errorf("the policy went along: %v", err)
	}
	infos, err := s.Sessions(t.Context(), audit.Filter{})
	if err != nil || len(infos) != 0 {
		t.Errorf("%d sessions are left, %v", len(infos), err)
	}
	ref := collect(t, s.Chain(t.Context(), "a", 0))
	for _, e := range ref {
		if !e.Identity.IsZero() {
			t.Errorf("entry %d still names %s", e.Seq, e.Identity.Person)
		}
	}
}

func sessionGoesOn(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	session := id(t)
	w.put(intent(session, id(t), sam))
	last, err := s.Last(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	stone := audit.Entry{Chain: "a", Seq: 2, Kind: audit.Purged, At: w.now, Body: []byte(`{"v":1}`)}
	if err := s.Purge(t.Context(), last.Seq, stone); err != nil {
		t.Fatal(err)
	}
	again := last
	again.Seq, again.At = 3, w.now
	if err := s.Append(t.Context(), []audit.Entry{again}); err != nil {
		t.Fatal(err)
	}
	infos, err := s.Sessions(t.Context(), audit.Filter{Prefix: session.String()})
	if err != nil || len(infos) != 1 || infos[0].Calls != 1 || infos[0].Identity.Person != sam.Person {
		t.Errorf("after the purge the session is %+v, %v; want its one later call", infos, err)
	}
}

func namesStay(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	w.put(intent(id(t), id(t), sam))
	w.now = start.Add(23 * time.Hour)
	session := id(t)
	w.put(intent(session, id(t), sam))
	stone := audit.Entry{Chain: "a", Seq: 3, Kind: audit.Purged, At: w.now, Body: []byte(`{"v":1}`)}
	if err := s.Purge(t.Context(), 1, stone); err != nil {
		t.Fatal(err)
	}
	if e := collect(t, s.Entries(t.Context(), session))[0]; e.Identity.Person != sam.Person {
		t.Errorf("the later record names %q, want %s", e.Identity.Person, sam.Person)
	}
}

func badPurge(t *testing.T, s Store) {
	w := newWriter(t, s, "a")
	w.put(audit.Record{Kind: audit.Event}, audit.Record{Kind: audit.Event})
	for _, upTo := range []uint64{0, 3, 4} {
		stone := audit.Entry{Chain: "a", Seq: 3, Kind: audit.Purged, At: start, Body: []byte("{}")}
		if err := s.Purge(t.Context(), upTo, stone); err == nil {
			t.Errorf("a purge up to %d, with entry 3 as its tombstone, was made", upTo)
		}
	}
	if head := verify(t, s, "a"); head.Seq != 2 {
		t.Errorf("the chain verifies up to %d, want 2", head.Seq)
	}
}
