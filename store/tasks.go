package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcpguard/toolcall"
)

// KeepTask keeps a task, durably when it returns nil. It returns the task that
// has the name: t itself, or one that had it before; then t is not kept.
//
// Tasks that expired go with it, and of the owner's tasks that have ended the
// oldest beyond most.
func (s *Store) KeepTask(ctx context.Context, t toolcall.Task, most int) (there toolcall.Task, err error) {
	names, err := json.Marshal(t.Redact)
	if err != nil {
		return there, fmt.Errorf("keep a task: %w", err)
	}
	err = s.writer.transact(ctx, func(ctx context.Context) error {
		conn := s.writer.conn
		if _, err := conn.ExecContext(ctx, "DELETE FROM tasks WHERE expires <= ?", t.Began.UnixNano()); err != nil {
			return err
		}
		const old = `DELETE FROM tasks WHERE call IN
			(SELECT call FROM tasks WHERE ended = 1 AND owner = ? ORDER BY call DESC LIMIT -1 OFFSET ?)`
		if _, err := conn.ExecContext(ctx, old, t.Owner[:], most); err != nil {
			return err
		}
		const insert = `INSERT INTO tasks (call, session, name, owner, upstream, tool, handle, args, asked, redact, policy, began, expires, ended)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (name) DO NOTHING`
		_, err := conn.ExecContext(ctx, insert, t.Call[:], t.Session[:], t.Name[:], t.Owner[:], t.Upstream, t.Tool, t.Handle, t.Args,
			t.Asked, string(names), t.Policy, t.Began.UnixNano(), t.Expires.UnixNano(), t.Ended)
		if err != nil {
			return err
		}
		there, _, err = readTask(conn.QueryRowContext(ctx, selectTask+" WHERE name = ?", t.Name[:]))
		return err
	})
	if err != nil {
		return toolcall.Task{}, fmt.Errorf("keep a task: %w", err)
	}
	return there, nil
}

// EndTask notes that the record has how the task of a call ended. A task that is
// not there is no error.
func (s *Store) EndTask(ctx context.Context, call toolcall.ID) error {
	return s.changeTask(ctx, "end", "UPDATE tasks SET ended = 1 WHERE call = ?", call)
}

// AskTask notes what the task of a call asked its owner for last. A task that is
// not there is no error.
func (s *Store) AskTask(ctx context.Context, call toolcall.ID, asked string) error {
	return s.changeTask(ctx, "note what was asked by", "UPDATE tasks SET asked = ?2 WHERE call = ?1", call, asked)
}

// DropTask removes the task of a call. A task that is not there is no error.
func (s *Store) DropTask(ctx context.Context, call toolcall.ID) error {
	return s.changeTask(ctx, "drop", "DELETE FROM tasks WHERE call = ?", call)
}

func (s *Store) changeTask(ctx context.Context, verb, q string, call toolcall.ID, more ...any) error {
	err := s.writer.transact(ctx, func(ctx context.Context) error {
		_, err := s.writer.conn.ExecContext(ctx, q, append([]any{call[:]}, more...)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s the task of call %s: %w", verb, call, err)
	}
	return nil
}

// TaskOf is the task that a call made; ok is false when there is none.
func (r *Reader) TaskOf(ctx context.Context, call toolcall.ID) (t toolcall.Task, ok bool, err error) {
	return r.task(ctx, " WHERE call = ?", call[:])
}

// TaskNamed is the task of that name; ok is false when there is none.
func (r *Reader) TaskNamed(ctx context.Context, name toolcall.Digest) (t toolcall.Task, ok bool, err error) {
	return r.task(ctx, " WHERE name = ?", name[:])
}

func (r *Reader) task(ctx context.Context, where string, key []byte) (t toolcall.Task, ok bool, err error) {
	t, ok, err = readTask(r.reading.QueryRowContext(ctx, selectTask+where, key))
	if err != nil {
		return toolcall.Task{}, false, fmt.Errorf("read a task: %w", classify(err))
	}
	return t, ok, nil
}

// OpenTasks counts the tasks that have neither ended nor expired: those of an
// owner, and all.
func (r *Reader) OpenTasks(ctx context.Context, owner toolcall.Digest, now time.Time) (own, all int, err error) {
	const q = "SELECT count(*) FILTER (WHERE owner = ?), count(*) FROM tasks WHERE ended = 0 AND expires > ?"
	if err := r.reading.QueryRowContext(ctx, q, owner[:], now.UnixNano()).Scan(&own, &all); err != nil {
		return 0, 0, fmt.Errorf("count the open tasks: %w", classify(err))
	}
	return own, all, nil
}

const selectTask = `SELECT call, session, name, owner, upstream, tool, handle, args, asked, redact, policy, began, expires, ended FROM tasks`

func readTask(row *sql.Row) (t toolcall.Task, ok bool, err error) {
	var call, session, name, owner []byte
	var names string
	var began, expires int64
	err = row.Scan(&call, &session, &name, &owner, &t.Upstream, &t.Tool, &t.Handle, &t.Args, &t.Asked, &names,
		&t.Policy, &began, &expires, &t.Ended)
	if errors.Is(err, sql.ErrNoRows) {
		return t, false, nil
	}
	if err != nil {
		return t, false, err
	}
	copy(t.Call[:], call)
	copy(t.Session[:], session)
	copy(t.Name[:], name)
	copy(t.Owner[:], owner)
	t.Began, t.Expires = time.Unix(0, began).UTC(), time.Unix(0, expires).UTC()
	if err := json.Unmarshal([]byte(names), &t.Redact); err != nil {
		return t, false, fmt.Errorf("its redactions: %w", err)
	}
	return t, true, nil
}
