package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// events are n entries of chain a from seq on, by the sessions in turn.
func events(seq uint64, n int, sessions ...toolcall.ID) (es []audit.Entry) {
	for i := range n {
		es = append(es, audit.Entry{Chain: "a", Seq: seq + uint64(i), Kind: audit.Event, Session: sessions[i%len(sessions)],
			At: time.Unix(0, int64(seq)+int64(i)), Body: []byte("{}")})
	}
	return es
}

func sessionIDs(t testing.TB, n int) (ids []toolcall.ID) {
	t.Helper()
	for range n {
		id, err := toolcall.NewID()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func number(t *testing.T, from querier, q string, args ...any) (n int64) {
	t.Helper()
	if err := from.QueryRowContext(t.Context(), q, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

// wantOnce checks that each record with a session is in exactly one of
// session_records and unindexed, and that the second has less than indexAfter.
func wantOnce(t *testing.T, s *Store) (unindexed int64) {
	t.Helper()
	const twice = "SELECT count(*) - count(DISTINCT id) FROM (SELECT record AS id FROM session_records UNION ALL SELECT id FROM unindexed)"
	if n := number(t, s.reading, twice); n != 0 {
		t.Errorf("%d records are indexed and unindexed", n)
	}
	const missing = `SELECT count(*) FROM records r WHERE session > 0 AND id NOT IN (SELECT id FROM unindexed)
		AND NOT EXISTS (SELECT 1 FROM session_records x WHERE x.session = r.session AND x.record = r.id)`
	if n := number(t, s.reading, missing); n != 0 {
		t.Errorf("%d records are in no session", n)
	}
	const gone = "SELECT count(*) FROM session_records WHERE record NOT IN (SELECT id FROM records)"
	if n := number(t, s.reading, gone); n != 0 {
		t.Errorf("%d records are indexed and are no more", n)
	}
	if unindexed = number(t, s.reading, "SELECT count(*) FROM unindexed"); unindexed >= indexAfter {
		t.Errorf("%d records are unindexed, want less than %d", unindexed, indexAfter)
	}
	return unindexed
}

func mustAppend(t testing.TB, s *Store, es []audit.Entry) {
	t.Helper()
	if err := s.Append(t.Context(), es); err != nil {
		t.Fatal(err)
	}
}

func TestEachRecordIsIndexedOrUnindexed(t *testing.T) {
	s := newStore(t)
	ids := append(sessionIDs(t, 5), toolcall.ID{}) // and some records of no session
	seq, waited := uint64(1), false
	for _, n := range []int{1, indexAfter - 2, 1, 1, indexAfter - 1, 1, 3 * indexAfter, 5} {
		mustAppend(t, s, events(seq, n, ids...))
		seq += uint64(n)
		waited = wantOnce(t, s) > 0 || waited
	}
	if !waited {
		t.Error("every append was indexed at once")
	}
	for _, upTo := range []uint64{1, indexAfter / 2, seq - 3} {
		if err := s.Purge(t.Context(), upTo, audit.Entry{Chain: "a", Seq: seq, Kind: audit.Purged, At: time.Unix(1, 0), Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		seq++
		wantOnce(t, s)
	}
}

// A transaction that fails after it indexed leaves what was before it; and so
// does a process that ends there, for which SQLite rolls back.
func TestATransactionThatFailsTakesItsIndexingAlong(t *testing.T) {
	s := newStore(t)
	ids := sessionIDs(t, 3)
	mustAppend(t, s, events(1, 1, ids...)) // the first append of a process indexes
	mustAppend(t, s, events(2, indexAfter-2, ids...))
	before := wantOnce(t, s)
	if before == 0 {
		t.Fatal("nothing waits to be indexed")
	}
	broken := errors.New("broken")
	err := s.writer.transact(t.Context(), func(ctx context.Context) error {
		if err := s.writer.append(ctx, events(indexAfter, 10, ids...)); err != nil {
			return err
		}
		if n := number(t, s.writer.conn, "SELECT count(*) FROM unindexed"); n != 0 {
			t.Errorf("%d records are unindexed behind an append that makes them too many", n)
		}
		if n := number(t, s.reading, "SELECT count(*) FROM unindexed"); n != before {
			t.Errorf("a reader sees %d unindexed records before the commit, want %d", n, before)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if after := wantOnce(t, s); after != before {
		t.Errorf("%d records are unindexed, want %d", after, before)
	}
	mustAppend(t, s, events(indexAfter, 10, ids...))
	if after := wantOnce(t, s); after != 0 {
		t.Errorf("%d records are unindexed after a failure: nobody knows how many there were", after)
	}
}

// However often a process ends before it has indexed anything, the records that
// queries walk do not become more.
func TestUnindexedRecordsDoNotAddUpOverRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	ids := sessionIDs(t, 3)
	for i := range uint64(4) {
		s := openAt(t, path)
		mustAppend(t, s, events(i*indexAfter+1, 1, ids...))
		mustAppend(t, s, events(i*indexAfter+2, indexAfter-2, ids...))
		wantOnce(t, s)
		closeNow(t, s)
	}
}

// Who cuts off the end of a chain must not get new records numbered like those:
// they would stand before what is indexed, in no session.
func TestNumbersThatWereIndexedAreNotUsedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	ids := sessionIDs(t, 1)
	s := openAt(t, path)
	mustAppend(t, s, events(1, 100, ids...)) // the first append of a process indexes
	closeNow(t, s)
	change(t, path, "DELETE FROM records WHERE id & 0xffff > 50")
	s = openAt(t, path)
	if err := s.Append(t.Context(), events(51, 1, ids...)); err == nil {
		t.Error("entry 51 was appended, after entries up to 100 were indexed")
	}
	mustAppend(t, s, events(101, 1, ids...))
}

// beside runs read, again and again, while appends of each intents are made by
// the sessions in turn, and once more behind them. A reader in another process
// may come between any two commits.
func beside(t *testing.T, appends, each int, sessions []toolcall.ID, read func(r *Reader)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "guard.db")
	s := openAt(t, path)
	r, err := OpenReader(t.Context(), "sqlite://"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	written := make(chan error, 1)
	go func() {
		for i := range appends {
			es := events(uint64(i*each+1), each, sessions...)
			for j := range es {
				es[j].Kind = audit.Intent
			}
			if err := s.Append(context.Background(), es); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			read(r)
			wantOnce(t, s)
			return
		default:
			read(r)
		}
		if t.Failed() {
			if err := <-written; err != nil {
				t.Error(err)
			}
			return
		}
	}
}

func TestAReaderSeesNoGapWhileRecordsAreIndexed(t *testing.T) {
	ids, last := sessionIDs(t, 2), 0
	const appends, each = 150, 40
	beside(t, appends, each, ids, func(r *Reader) {
		n := 0
		for e, err := range r.Entries(t.Context(), ids[1]) {
			if err != nil {
				t.Error(err)
				return
			}
			if n++; e.Seq != uint64(2*n) {
				t.Errorf("entry %d of the session is number %d of its chain, want %d", n, e.Seq, 2*n)
				return
			}
		}
		if n < last {
			t.Errorf("%d entries, after %d", n, last)
		}
		last = n
	})
	if last != appends*each/2 {
		t.Errorf("in the end the session has %d entries, want %d", last, appends*each/2)
	}
}

// A list is read with several queries, between which records may be indexed.
func TestAListCountsEachRecordOnceWhileRecordsAreIndexed(t *testing.T) {
	ids, last := sessionIDs(t, 64), 0
	const appends, each = 120, 5 * 64
	beside(t, appends, each, ids, func(r *Reader) {
		infos, err := r.Sessions(t.Context(), audit.Filter{Prefix: ids[63].String()})
		if err != nil || len(infos) > 1 {
			t.Errorf("%d sessions, %v", len(infos), err)
			return
		}
		if len(infos) == 0 { // nothing was appended yet
			return
		}
		last = infos[0].Calls
		if at := infos[0].Last.UnixNano(); at != int64(64*last) { // each 64th is of this session
			t.Errorf("%d calls, but the last of them is number %d of its session", last, at/64)
		}
	})
	if last != appends*each/64 {
		t.Errorf("in the end the session has %d calls, want %d", last, appends*each/64)
	}
}

// With an index of SQLite's, 64 sessions made a commit four times as large.
func TestACommitOfManySessionsWritesFewPages(t *testing.T) {
	s := newStore(t)
	ids := sessionIDs(t, 64)
	mustAppend(t, s, events(1, 8*indexAfter, ids...)) // each session fills pages of its own
	var perCommit [2]int64
	seq := uint64(8*indexAfter + 1)
	for i, sessions := range [][]toolcall.ID{ids[:1], ids} {
		from := logged(t, s)
		const commits = 2 * indexAfter / 64
		for range commits {
			mustAppend(t, s, events(seq, 64, sessions...))
			seq += 64
		}
		perCommit[i] = (logged(t, s) - from) / commits
	}
	t.Logf("pages a commit of 64 records: %d by one session, %d by 64", perCommit[0], perCommit[1])
	if perCommit[0] == 0 || perCommit[1] > 2*perCommit[0]+4 {
		t.Errorf("a commit of 64 records writes %d pages by one session, %d by 64 sessions", perCommit[0], perCommit[1])
	}
}

// logged is how many pages the write-ahead log holds.
func logged(t *testing.T, s *Store) int64 {
	t.Helper()
	var busy, logged, copied int64
	if err := s.writer.conn.QueryRowContext(t.Context(), "PRAGMA wal_checkpoint(NOOP)").Scan(&busy, &logged, &copied); err != nil {
		t.Fatal(err)
	}
	return logged
}

// What is asked of one session must not read the records of all.
func TestQueriesAboutASessionUseItsIndexes(t *testing.T) {
	s := newStore(t)
	mustAppend(t, s, events(1, 10, sessionIDs(t, 2)...))
	where, args, err := conditions(audit.Filter{Since: time.Unix(1, 0), Effects: []toolcall.Effect{toolcall.Deny}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		q    string
		args []any
		want []string
	}{
		"entries": {selectEntry + ofSession, []any{make([]byte, 16)},
			[]string{"SEARCH session_records USING PRIMARY KEY (session=?)", "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"}},
		"the end": {hasEnded, []any{make([]byte, 16)}, []string{"SEARCH records USING COVERING INDEX records_end (session=?)"}},
		"a list": {selectSession + where, args, []string{"SEARCH session_records USING PRIMARY KEY (session=?)",
			"SEARCH x USING PRIMARY KEY (session=?)", "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"}},
		"the counts of a list": {"SELECT session, " + selectTally + fromUnindexed, tallyArgs(),
			[]string{"SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"}},
		"the counts of a session": {"SELECT " + selectTally + fromIndexed, append(tallyArgs(), int64(1)),
			[]string{"SEARCH x USING PRIMARY KEY (session=?)", "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"}},
	} {
		plan := explain(t, s.reading, c.q, c.args...)
		for _, want := range c.want {
			if !strings.Contains(plan, want) {
				t.Errorf("%s: want %q in the plan:\n%s", name, want, plan)
			}
		}
		for line := range strings.Lines(plan) {
			if line = strings.TrimSpace(line); line == "SCAN r" || strings.Contains(line, "AUTOMATIC") || strings.HasPrefix(line, "SCAN records") || strings.HasPrefix(line, "SCAN session_records") {
				t.Errorf("%s: it scans:\n%s", name, plan)
			}
		}
	}
}

func explain(t *testing.T, db *sql.DB, q string, args ...any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Error(err)
		}
	}()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(detail + "\n")
	}
	return plan.String()
}
