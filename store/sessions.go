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

// The condition on time is on the last record of a session, which the index
// finds; the counts read all records of those that are listed.
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
	numbers, found, err := r.sessionRows(ctx, q, args)
	if err != nil {
		return nil, err
	}
	for i, number := range numbers {
		if err := r.count(ctx, number, &found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (r *Reader) sessionRows(ctx context.Context, q string, args []any) (numbers []int64, found []audit.SessionInfo, err error) {
	rows, err := r.reading.QueryContext(ctx, q, args...)
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

// count fills in what the records of a session tell of it.
func (r *Reader) count(ctx context.Context, number int64, info *audit.SessionInfo) error {
	const q = `SELECT min(at), max(at), count(*) FILTER (WHERE kind = ?), count(*) FILTER (WHERE kind = ?),
		count(*) FILTER (WHERE kind = ? AND outcome = ?) FROM records WHERE session = ?`
	var start, end sql.NullInt64
	var fine int
	err := r.reading.QueryRowContext(ctx, q, int64(audit.Intent), int64(audit.Refusal), int64(audit.Outcome),
		int64(toolcall.OutcomeOK), number).Scan(&start, &end, &info.Calls, &info.Refused, &fine)
	if err != nil {
		return err
	}
	info.Start, info.Last = time.Unix(0, start.Int64).UTC(), time.Unix(0, end.Int64).UTC()
	info.Failed = max(0, info.Calls-fine)
	return nil
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
		add("(SELECT at FROM records WHERE session = s.id ORDER BY id DESC LIMIT 1) >= ?", f.Since.UnixNano())
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
		add("EXISTS (SELECT 1 FROM records WHERE session = s.id AND kind IN (?,?) AND effect IN (?"+
			strings.Repeat(",?", len(f.Effects)-1)+"))", values...)
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
