package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"mcpguard/audit"
)

// Append keeps entries: see audit.Sink.
func (s *Store) Append(ctx context.Context, es []audit.Entry) error {
	err := s.writer.transact(ctx, func(ctx context.Context) error { return s.writer.append(ctx, es) })
	if err != nil {
		return fmt.Errorf("append %d records: %w", len(es), err)
	}
	return nil
}

// Last is the newest entry of a chain: see audit.Sink.
func (s *Store) Last(ctx context.Context, chain string) (audit.Entry, error) {
	w := s.writer
	ctx = context.WithoutCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return audit.Entry{}, errClosed
	}
	e, err := last(ctx, w.conn, chain)
	if err != nil {
		return audit.Entry{}, fmt.Errorf("read the end of chain %s: %w", chain, classify(err))
	}
	return e, nil
}

func last(ctx context.Context, from querier, chain string) (audit.Entry, error) {
	in, err := spanOf(ctx, from, chain)
	if err != nil || in.empty() {
		return audit.Entry{}, err
	}
	row := from.QueryRowContext(ctx, selectEntry+" WHERE r.id BETWEEN ? AND ? ORDER BY r.id DESC LIMIT 1", in.first, in.last)
	e, err := scanEntry(row)
	if errors.Is(err, sql.ErrNoRows) {
		return audit.Entry{}, nil
	}
	if err != nil {
		return audit.Entry{}, err
	}
	var prev []byte
	err = from.QueryRowContext(ctx, "SELECT hash FROM records WHERE id = ? AND id >= ?", in.id(e.Seq-1), in.first).Scan(&prev)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return audit.Entry{}, err
	}
	copy(e.Prev[:], prev)
	return e, nil
}

// Expired is what retention would remove next: see audit.Pruner.
func (s *Store) Expired(ctx context.Context, chain string, before time.Time, maxBytes int64, most int) (audit.Entry, error) {
	e, err := s.expired(ctx, chain, before, maxBytes, most)
	if err != nil {
		return e, fmt.Errorf("look for old records of chain %s: %w", chain, classify(err))
	}
	return e, nil
}

func (s *Store) expired(ctx context.Context, chain string, before time.Time, maxBytes int64, most int) (found audit.Entry, err error) {
	in, err := spanOf(ctx, s.reading, chain)
	if err != nil || in.empty() {
		return found, err
	}
	used, err := s.used(ctx)
	if err != nil {
		return found, err
	}
	tooMuch := maxBytes > 0 && used > maxBytes
	if !tooMuch && before.IsZero() {
		return found, nil
	}
	const q = `SELECT id, at, kind, hash FROM records
		WHERE id BETWEEN ?1 AND (SELECT max(id) FROM records WHERE id BETWEEN ?1 AND ?2) - 1 ORDER BY id LIMIT ?3`
	rows, err := s.reading.QueryContext(ctx, q, in.first, in.last, most)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	useful := false
	for rows.Next() {
		var id, at int64
		var kind audit.Kind
		var hash []byte
		if err := rows.Scan(&id, &at, &kind, &hash); err != nil {
			return audit.Entry{}, err
		}
		if !tooMuch && at >= before.UnixNano() {
			break
		}
		useful = useful || kind != audit.Purged
		found = audit.Entry{Chain: chain, Seq: in.seq(id)}
		copy(found.Hash[:], hash)
	}
	if !useful {
		found = audit.Entry{}
	}
	return found, rows.Err()
}

// used is how many bytes of the file hold something.
func (s *Store) used(ctx context.Context) (int64, error) {
	var pages, free, size int64
	const q = `SELECT page_count, freelist_count, page_size
		FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()`
	err := s.reading.QueryRowContext(ctx, q).Scan(&pages, &free, &size)
	return (pages - free) * size, err
}

// Purge removes old entries and appends their tombstone: see audit.Pruner.
func (s *Store) Purge(ctx context.Context, upTo uint64, tombstone audit.Entry) error {
	err := s.writer.transact(ctx, func(ctx context.Context) error { return s.writer.purge(ctx, upTo, tombstone) })
	if err != nil {
		return fmt.Errorf("purge chain %s up to %d: %w", tombstone.Chain, upTo, err)
	}
	return nil
}

func (w *writer) purge(ctx context.Context, upTo uint64, tombstone audit.Entry) error {
	in, err := spanOf(ctx, w.conn, tombstone.Chain)
	if err != nil {
		return err
	}
	if in.empty() || upTo == 0 || upTo >= tombstone.Seq {
		return errors.New("nothing of it may go")
	}
	if err := w.index(ctx); err != nil { // so that session_records alone tells who has others
		return err
	}
	chain, to := in.first>>seqBits, in.id(upTo)
	for _, step := range []struct {
		what string
		args []any
	}{
		{`DELETE FROM sessions WHERE id IN (SELECT DISTINCT session FROM records WHERE id BETWEEN ?1 AND ?2) AND NOT EXISTS
			(SELECT 1 FROM session_records r WHERE r.session = sessions.id AND (r.record < ?1 OR r.record > ?2))`, []any{in.first, to}},
		{`DELETE FROM session_records WHERE (session, record) IN (SELECT session, id FROM records WHERE id BETWEEN ?1 AND ?2)`,
			[]any{in.first, to}},
		{"DELETE FROM records WHERE id BETWEEN ? AND ?", []any{in.first, to}},
		{"DELETE FROM blobs WHERE chain = ? AND chain > 0 AND record BETWEEN ? AND ?", []any{chain, in.first, to}},
	} {
		if _, err := w.conn.ExecContext(ctx, step.what, step.args...); err != nil {
			return err
		}
	}
	clear(w.known.sessions)
	if err := w.append(ctx, []audit.Entry{tombstone}); err != nil {
		return err
	}
	// Nobody who was seen this long ago is in any record that is left.
	_, err = w.conn.ExecContext(ctx, `DELETE FROM identities WHERE seen + ? < (SELECT min(r.at) FROM chains c JOIN records r ON r.id =
		(SELECT min(id) FROM records WHERE id BETWEEN c.id << 40 AND ((c.id + 1) << 40) - 1))`, int64(seenFor))
	return err
}

// PutBlob keeps a long value for good: see audit.Blobs.
func (s *Store) PutBlob(ctx context.Context, kind, digest string, b []byte) error {
	err := s.writer.transact(ctx, func(ctx context.Context) error {
		return s.writer.blob(ctx, 0, 0, audit.Blob{Kind: kind, Digest: digest, Data: b})
	})
	if err != nil {
		return fmt.Errorf("keep a %s: %w", kind, err)
	}
	return nil
}

// EraseIdentity removes the names behind a reference. Records keep the
// reference, and chains stay whole. A record that the same person causes later
// brings the names back. It is an error that wraps audit.ErrNotFound when there
// are none.
func (s *Store) EraseIdentity(ctx context.Context, ref audit.Ref) error {
	err := s.writer.transact(ctx, func(ctx context.Context) error { return s.writer.erase(ctx, ref) })
	if err != nil {
		return fmt.Errorf("erase identity %s: %w", ref, err)
	}
	return nil
}

func (w *writer) erase(ctx context.Context, ref audit.Ref) error {
	if _, err := w.conn.ExecContext(ctx, "PRAGMA secure_delete = ON"); err != nil { // zeros in its place
		return err
	}
	done, err := w.conn.ExecContext(ctx, "DELETE FROM identities WHERE ref = ?", ref[:])
	if err != nil {
		return err
	}
	if _, err := w.conn.ExecContext(ctx, "PRAGMA secure_delete = OFF"); err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, audit.ErrNotFound)
	}
	delete(w.known.seen, ref)
	return nil
}
