package store

import (
	"context"
	"fmt"
)

// session_records says which records a session has. Kept up with every record,
// as an index of SQLite's is, it would dirty a page a session with every commit:
// most of what a commit writes when many sessions are busy at once. So the
// newest records of a chain are not in it. They are found by walking them (the
// view unindexed), and are moved over together, in order, by the transaction
// that makes them too many.
//
// The rows and chains.indexed, where the others begin, change in one
// transaction. So every snapshot has each record in exactly one of the two, and
// at most indexAfter-1 of them in the second.

// indexAfter is how many records may be outside of session_records. Each query
// about a session walks them: some tenths of a millisecond.
const indexAfter = 1024

// index moves all records of all chains that are not in session_records there.
func (w *writer) index(ctx context.Context) error {
	for _, q := range []string{ // OR ROLLBACK: see insert.go
		"INSERT OR ROLLBACK INTO session_records (session, record) SELECT session, id FROM unindexed WHERE session > 0 ORDER BY session, id",
		`UPDATE OR ROLLBACK chains SET indexed = max(indexed, coalesce((SELECT max(r.id) FROM records r
			WHERE r.id > (chains.id << 40 | chains.indexed) AND r.id < (chains.id + 1) << 40) & 0xffffffffff, 0))`,
	} {
		if _, err := w.conn.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("index records by session: %w", err)
		}
	}
	w.known.unindexed = 0
	return nil
}
