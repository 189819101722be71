package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// AppendWith keeps entries like Append and, in the same transaction, what limits
// have counted: when it returns nil, all of both survives a power failure.
func (s *Store) AppendWith(ctx context.Context, es []audit.Entry, ws []toolcall.Window) error {
	err := s.writer.transact(ctx, func(ctx context.Context) error {
		if err := s.writer.keepWindows(ctx, ws); err != nil {
			return err
		}
		return s.writer.append(ctx, es)
	})
	if err != nil {
		return fmt.Errorf("append %d records and %d windows: %w", len(es), len(ws), err)
	}
	return nil
}

func (w *writer) keepWindows(ctx context.Context, ws []toolcall.Window) error {
	for i := range ws {
		if err := w.keepWindow(ctx, &ws[i]); err != nil {
			return fmt.Errorf("keep a window: %w", err)
		}
	}
	return nil
}

func (w *writer) keepWindow(ctx context.Context, k *toolcall.Window) error {
	if k.State == nil {
		_, err := w.forget.ExecContext(ctx, k.Key[:])
		return err
	}
	_, err := w.count.ExecContext(ctx, k.Key[:], k.State, k.Until.UnixNano())
	return err
}

// The statements of keepWindow.
const (
	countWindow = `INSERT INTO windows (key, state, until) VALUES (?,?,?)
		ON CONFLICT (key) DO UPDATE SET state = excluded.state, until = excluded.until`
	forgetWindow = "DELETE FROM windows WHERE key = ?"
)

// Windows is what limits had counted and what still counts at that time, by the
// end of its counting. What does not goes.
func (s *Store) Windows(ctx context.Context, at time.Time) ([]toolcall.Window, error) {
	var all []toolcall.Window
	err := s.writer.transact(ctx, func(ctx context.Context) error {
		conn := s.writer.conn
		if _, err := conn.ExecContext(ctx, "DELETE FROM windows WHERE until <= ?", at.UnixNano()); err != nil {
			return err
		}
		var err error
		all, err = readWindows(ctx, conn)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what limits had counted: %w", err)
	}
	return all, nil
}

func readWindows(ctx context.Context, from *sql.Conn) (all []toolcall.Window, err error) {
	rows, err := from.QueryContext(ctx, "SELECT key, state, until FROM windows ORDER BY until, key")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var k toolcall.Window
		var key []byte
		var until int64
		if err := rows.Scan(&key, &k.State, &until); err != nil {
			return nil, err
		}
		copy(k.Key[:], key)
		k.Until = time.Unix(0, until).UTC()
		all = append(all, k)
	}
	return all, rows.Err()
}
