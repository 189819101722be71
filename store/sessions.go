package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// Sessions lists sessions, the newest first: see audit.Reader.
func (r *Reader) Sessions(ctx context.Context, f audit.Filter) ([]audit.SessionInfo, error) {
	found, err := r.sessions(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", classify(err))
	}
	return found, nil
}

// The condition on time is on the last record of a session, which
// session_records finds; the counts read all records of those that are listed.
// The records that are not in it yet are read once for the whole list.
const selectSession = `SELECT s.id, s.uuid, s.who, s.upstream, s.client, i.person, i.subject, i.issuer, i.client, i.act
	FROM sessions s LEFT JOIN identities i ON i.ref = s.who`

func (r *Reader) sessions(ctx context.Context, f audit.Filter) (found []audit.SessionInfo, err error) {
	where, args, err := conditions(f)
	if err != nil {
		return nil, err
	}
	q := selectSession + where + " ORDER BY s.id DESC"
	if f.Limit > 0 {
		q += fmt.Sprintf(" LIMIT %d", f.Limit)
	}
	// One transaction sees one state of the store, whatever is written meanwhile.
	tx, err := r.reading.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written that could be lost
	numbers, found, err := sessionRows(ctx, tx, q, args)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	newest, err := countUnindexed(ctx, tx)
	if err != nil {
		return nil, err
	}
	for i, number := range numbers {
		older, err := countIndexed(ctx, tx, number)
		if err != nil {
			return nil, err
		}
		older.with(newest[number]).tell(&found[i])
	}
	return found, nil
}

func sessionRows(ctx context.Context, tx *sql.Tx, q string, args []any) (numbers []int64, found []audit.SessionInfo, err error) {
	rows, err := tx.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			number int64
			uuid   []byte
			who    []byte
			info   audit.SessionInfo
			n      names
		)
		err := rows.Scan(&number, &uuid, &who, &info.Upstream, &info.Client, &n.person, &n.subject, &n.issuer, &n.client, &n.act)
		if err != nil {
			return nil, nil, err
		}
		copy(info.ID[:], uuid)
		copy(info.Who[:], who)
		if info.Identity, err = n.identity(); err != nil {
			return nil, nil, err
		}
		numbers, found = append(numbers, number), append(found, info)
	}
	return numbers, found, rows.Err()
}

// tally is what some records of a session tell of it.
type tally struct {
	start, last                sql.NullInt64 // ns since 1970
	intents, refused, outcomes int           // outcomes: those that are ok
}

// selectTally selects from r what dest takes; tallyArgs come before all other arguments.
const selectTally = `min(r.at), max(r.at), count(*) FILTER (WHERE r.kind = ?), count(*) FILTER (WHERE r.kind = ?),
	count(*) FILTER (WHERE r.kind = ? AND r.outcome = ?)`

const (
	fromIndexed   = " FROM session_records x CROSS JOIN records r ON r.id = x.record WHERE x.session = ?"
	fromUnindexed = " FROM unindexed r GROUP BY session"
)

func tallyArgs() []any {
	return []any{int64(audit.Intent), int64(audit.Refusal), int64(audit.Outcome), int64(toolcall.OutcomeOK)}
}

func (t *tally) dest() []any { return []any{&t.start, &t.last, &t.intents, &t.refused, &t.outcomes} }

func countIndexed(ctx context.Context, tx *sql.Tx, session int64) (t tally, err error) {
	err = tx.QueryRowContext(ctx, "SELECT "+selectTally+fromIndexed, append(tallyArgs(), session)...).Scan(t.dest()...)
	return t, err
}

// countUnindexed is by session.
func countUnindexed(ctx context.Context, tx *sql.Tx) (all map[int64]tally, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT session, "+selectTally+fromUnindexed, tallyArgs()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	all = map[int64]tally{}
	for rows.Next() {
		var session int64
		var t tally
		if err := rows.Scan(append([]any{&session}, t.dest()...)...); err != nil {
			return nil, err
		}
		all[session] = t
	}
	return all, rows.Err()
}

func (t tally) with(o tally) tally {
	if !t.start.Valid || o.start.Valid && o.start.Int64 < t.start.Int64 {
		t.start = o.start
	}
	if !t.last.Valid || o.last.Valid && o.last.Int64 > t.last.Int64 {
		t.last = o.last
	}
	t.intents, t.refused, t.outcomes = t.intents+o.intents, t.refused+o.refused, t.outcomes+o.outcomes
	return t
}

func (t tally) tell(of *audit.SessionInfo) {
	of.Start, of.Last = time.Unix(0, t.start.Int64).UTC(), time.Unix(0, t.last.Int64).UTC()
	of.Calls, of.Refused, of.Failed = t.intents, t.refused, max(0, t.intents-t.outcomes)
}

// conditions turns a filter into SQL.
func conditions(f audit.Filter) (where string, args []any, err error) {
	var all []string
	add := func(condition string, values ...any) {
		all, args = append(all, condition), append(args, values...)
	}
	if f.Prefix != "" {
		first, last, err := idsWith(f.Prefix)
		if err != nil {
			return "", nil, err
		}
		add("s.uuid BETWEEN ? AND ?", first[:], last[:])
	}
	if !f.Since.IsZero() {
		add(`(s.id IN (SELECT session FROM unindexed WHERE at >= ?) OR
			(SELECT at FROM records WHERE id = (SELECT max(record) FROM session_records WHERE session = s.id)) >= ?)`,
			f.Since.UnixNano(), f.Since.UnixNano())
	}
	if f.Caller != "" {
		add("? IN (i.person, i.subject, i.client)", f.Caller)
	}
	if f.Upstream != "" {
		add("s.upstream = ?", f.Upstream)
	}
	if len(f.Effects) > 0 {
		values := []any{int64(audit.Intent), int64(audit.Refusal)}
		for _, e := range f.Effects {
			values = append(values, int64(e))
		}
		decided := "kind IN (?,?) AND effect IN (?" + strings.Repeat(",?", len(f.Effects)-1) + ")"
		add("(s.id IN (SELECT session FROM unindexed WHERE "+decided+`) OR EXISTS (SELECT 1
			FROM session_records x CROSS JOIN records r ON r.id = x.record WHERE x.session = s.id AND `+decided+"))",
			append(values, values...)...)
	}
	if len(all) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(all, " AND "), args, nil
}

// idsWith is the range of ids that start with the given hexadecimal digits. Its
// error wraps audit.ErrPrefix.
func idsWith(prefix string) (first, last toolcall.ID, err error) {
	digits := strings.ReplaceAll(prefix, "-", "")
	if len(digits) > 2*len(first) {
		return first, last, fmt.Errorf("%q is %w: it is longer", prefix, audit.ErrPrefix)
	}
	rest := 2*len(first) - len(digits)
	if _, err := hex.Decode(first[:], []byte(digits+strings.Repeat("0", rest))); err != nil {
		return first, last, fmt.Errorf("%q is %w", prefix, audit.ErrPrefix)
	}
	_, err = hex.Decode(last[:], []byte(digits+strings.Repeat("f", rest)))
	return first, last, err
}
