package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"mcpguard/toolcall"
)

// KeepPins keeps pins, all or none, durably when it returns nil. One that is there
// already, by upstream, kind, name and digest, gets a new state and who decided it;
// what was seen of it, and when, stays.
func (s *Store) KeepPins(ctx context.Context, pins []toolcall.Pin) error {
	err := s.writer.transact(ctx, func(ctx context.Context) (err error) {
		const q = `INSERT INTO pins (upstream, kind, name, digest, parts, state, causes, was, seen, decided, by, definition)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (upstream, kind, name, digest)
			DO UPDATE SET state = excluded.state, decided = excluded.decided, by = excluded.by`
		insert, err := s.writer.conn.PrepareContext(ctx, q)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, insert.Close()) }()
		for i := range pins {
			p := &pins[i]
			var parts []byte
			for j := range p.Parts {
				parts = append(parts, p.Parts[j][:]...)
			}
			_, err := insert.ExecContext(ctx, p.Upstream, p.Kind, p.Name, p.Digest[:], parts, p.State, p.Causes, p.Was[:],
				p.Seen.UnixNano(), p.Decided.UnixNano(), p.By, p.Text)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep pins: %w", err)
	}
	return nil
}

// Pins are all pins, without their texts, by upstream, kind and name, the first
// seen of each name first.
func (r *Reader) Pins(ctx context.Context) (all []toolcall.Pin, err error) {
	const q = `SELECT upstream, kind, name, digest, parts, state, causes, was, seen, decided, by FROM pins
		ORDER BY upstream, kind, name, seen, digest`
	rows, err := r.reading.QueryContext(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", classify(err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p toolcall.Pin
		var digest, parts, was []byte
		var seen, decided int64
		err := rows.Scan(&p.Upstream, &p.Kind, &p.Name, &digest, &parts, &p.State, &p.Causes, &was, &seen, &decided, &p.By)
		if err != nil {
			return nil, fmt.Errorf("read pins: %w", classify(err))
		}
		if len(digest) != len(p.Digest) || len(was) != len(p.Was) || len(parts) != len(p.Parts)*len(p.Digest) {
			return nil, fmt.Errorf("read pins: a digest has another length: %w", ErrCorrupt)
		}
		copy(p.Digest[:], digest)
		copy(p.Was[:], was)
		for j := range p.Parts {
			copy(p.Parts[j][:], parts[j*len(p.Digest):])
		}
		p.Seen, p.Decided = time.Unix(0, seen).UTC(), time.Unix(0, decided).UTC()
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read pins: %w", classify(err))
	}
	return all, nil
}

// PinText is the definition behind a pin, as redaction left it; "" where there is
// none.
func (r *Reader) PinText(ctx context.Context, p toolcall.Pin) (text string, err error) {
	const q = "SELECT definition FROM pins WHERE upstream = ? AND kind = ? AND name = ? AND digest = ?"
	err = r.reading.QueryRowContext(ctx, q, p.Upstream, p.Kind, p.Name, p.Digest[:]).Scan(&text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read a definition: %w", classify(err))
	}
	return text, nil
}
