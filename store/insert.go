package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"mcpguard/audit"
)

// Records are inserted through the driver itself, several with one statement:
// database/sql would convert and copy each value once more. These statements
// belong to the writer's connection and are used within its Raw alone.

// widths are how many records one statement inserts.
var widths = [...]int{64, 16, 4, 1}

// OR ROLLBACK, because the transaction ends with the first failure anyway, and
// SQLite then need not note how to undo one statement of it. CAST, because the
// driver takes text as a string alone, and a body is bytes: a copy less each.
const (
	insertRecord = "INSERT OR ROLLBACK INTO records (id, session, call, at, kind, effect, outcome, who, body, hash) VALUES "
	recordRow    = "(?,?,?,?,?,?,?,?,CAST(? AS TEXT),?)"
	recordValues = 10
)

// insert is one statement with its arguments.
type insert struct {
	width int
	stmt  driver.Stmt
	exec  driver.StmtExecContext
	args  []driver.NamedValue
}

func prepareInserts(ctx context.Context, raw any) ([]*insert, error) {
	conn, ok := raw.(driver.ConnPrepareContext)
	if !ok {
		return nil, fmt.Errorf("prepare inserts: the driver's connection is a %T", raw)
	}
	var all []*insert
	for _, width := range widths {
		in := &insert{width: width, args: make([]driver.NamedValue, width*recordValues)}
		for i := range in.args {
			in.args[i].Ordinal = i + 1
		}
		stmt, err := conn.PrepareContext(ctx, insertRecord+recordRow+strings.Repeat(","+recordRow, width-1))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("prepare inserts: %w", err), closeInserts(all))
		}
		in.stmt = stmt
		all = append(all, in)
		if in.exec, ok = stmt.(driver.StmtExecContext); !ok {
			return nil, errors.Join(fmt.Errorf("prepare inserts: the driver's statement is a %T", stmt), closeInserts(all))
		}
	}
	return all, nil
}

func closeInserts(all []*insert) error {
	var errs []error
	for _, in := range all {
		errs = append(errs, in.stmt.Close())
	}
	return errors.Join(errs...)
}

func insertAll(ctx context.Context, with []*insert, es []audit.Entry, places []place) error {
	for _, in := range with {
		for len(es) >= in.width {
			if err := in.run(ctx, es[:in.width], places[:in.width]); err != nil {
				return fmt.Errorf("insert records: %w", err)
			}
			es, places = es[in.width:], places[in.width:]
		}
	}
	return nil
}

func (in *insert) run(ctx context.Context, es []audit.Entry, places []place) error {
	for i := range es {
		e, at, args := &es[i], places[i], in.args[i*recordValues:]
		for j, v := range [recordValues]driver.Value{at.id, at.session, orNull((*[16]byte)(&e.Call)), e.At.UnixNano(), int64(e.Kind),
			int64(e.Effect), int64(e.Outcome), orNull((*[16]byte)(&e.Who)), e.Body, e.Hash[:]} {
			args[j].Value = v
		}
	}
	_, err := in.exec.ExecContext(ctx, in.args)
	for i := range in.args {
		in.args[i].Value = nil // nothing of a record stays here
	}
	return err
}

// orNull is the bytes of an id, or NULL for the zero one.
func orNull(id *[16]byte) driver.Value {
	if *id == [16]byte{} {
		return nil
	}
	return id[:]
}
