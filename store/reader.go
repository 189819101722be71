package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// Reader reads a store that another process, or this one, may be writing. It is
// safe for concurrent use.
type Reader struct{ reading *sql.DB }

// readers is how many queries run at a time.
const readers = 4

func openReader(ctx context.Context, path string) (_ *Reader, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := checkFile(path); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	// SQLite would only say that it cannot open it. Opening the file here would,
	// when it is closed, take the locks of a writer in this process with it.
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	db, err := sql.Open("sqlite", dsn(path, "ro"))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(1)
	if err := checkOurs(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, classify(err)), db.Close())
	}
	return &Reader{reading: db}, nil
}

func checkOurs(ctx context.Context, db *sql.DB) error {
	var id int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if id != applicationID {
		return ErrForeign
	}
	return checkVersion(ctx, db)
}

// Close ends reading.
func (r *Reader) Close() error { return r.reading.Close() }

// querier is a connection or a pool of them.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// span is where the records of a chain lie.
type span struct{ first, last int64 }

func spanOf(ctx context.Context, from querier, chain string) (span, error) {
	var id int64
	err := from.QueryRowContext(ctx, "SELECT id FROM chains WHERE name = ?", chain).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return span{}, nil
	}
	return spanAt(id), err
}

func spanAt(chain int64) span { return span{first: recordID(chain, 1), last: recordID(chain+1, 0) - 1} }

func (s span) empty() bool { return s.last == 0 }

func (s span) id(seq uint64) int64 { return s.first - 1 + int64(seq) }

func (s span) seq(id int64) uint64 { return uint64(id - s.first + 1) }

// selectEntry selects what scanEntry scans.
const selectEntry = `SELECT r.id, c.name, s.uuid, r.call, r.at, r.kind, r.effect, r.outcome, r.who, r.body, r.hash,
	i.person, i.subject, i.issuer, i.client, i.act, s.upstream, s.client
	FROM records r JOIN chains c ON c.id = r.id >> 40 LEFT JOIN sessions s ON s.id = r.session LEFT JOIN identities i ON i.ref = r.who`

type scanner interface{ Scan(...any) error }

func scanEntry(row scanner) (e audit.Entry, err error) {
	var (
		id, at                   int64
		session, call, who, hash []byte
		names                    names
		upstream, client         sql.NullString
	)
	err = row.Scan(&id, &e.Chain, &session, &call, &at, &e.Kind, &e.Effect, &e.Outcome, &who, &e.Body, &hash,
		&names.person, &names.subject, &names.issuer, &names.client, &names.act, &upstream, &client)
	if err != nil {
		return e, err
	}
	e.Seq = uint64(id & (1<<seqBits - 1))
	e.At = time.Unix(0, at).UTC()
	copy(e.Session[:], session)
	copy(e.Call[:], call)
	copy(e.Who[:], who)
	copy(e.Hash[:], hash)
	e.Upstream, e.Client = upstream.String, client.String
	e.Identity, err = names.identity()
	return e, err
}

// names are the columns of an identity, which may be missing.
type names struct{ person, subject, issuer, client, act sql.NullString }

func (n names) identity() (audit.Identity, error) {
	i := audit.Identity{Person: n.person.String, Subject: n.subject.String, Issuer: n.issuer.String, Client: n.client.String}
	if !n.act.Valid {
		return i, nil
	}
	if err := json.Unmarshal([]byte(n.act.String), &i.Act); err != nil {
		return i, fmt.Errorf("read identity: %w", err)
	}
	return i, nil
}

// ofSession selects the entries of a session; both arms are of one snapshot.
const ofSession = ` WHERE r.id IN (
	SELECT record FROM session_records WHERE session = (SELECT id FROM sessions WHERE uuid = ?1)
	UNION ALL SELECT id FROM unindexed WHERE session = (SELECT id FROM sessions WHERE uuid = ?1)) ORDER BY r.at, r.id`

// Entries are those of one session: see audit.Reader.
func (r *Reader) Entries(ctx context.Context, session toolcall.ID) iter.Seq2[audit.Entry, error] {
	return r.entries(ctx, ofSession, session[:])
}

// Chain walks a chain: see audit.Reader.
func (r *Reader) Chain(ctx context.Context, chain string, after uint64) iter.Seq2[audit.Entry, error] {
	in, err := spanOf(ctx, r.reading, chain)
	if err != nil || in.empty() {
		return func(yield func(audit.Entry, error) bool) {
			if err != nil {
				yield(audit.Entry{}, fmt.Errorf("read chain %s: %w", chain, classify(err)))
			}
		}
	}
	return r.entries(ctx, " WHERE r.id BETWEEN ? AND ? ORDER BY r.id", in.id(after)+1, in.last)
}

func (r *Reader) entries(ctx context.Context, where string, args ...any) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		rows, err := r.reading.QueryContext(ctx, selectEntry+where, args...)
		if err != nil {
			yield(audit.Entry{}, fmt.Errorf("read records: %w", classify(err)))
			return
		}
		defer func() { _ = rows.Close() }() // Err has told what went wrong
		for rows.Next() {
			e, err := scanEntry(rows)
			if err != nil {
				yield(audit.Entry{}, fmt.Errorf("read records: %w", classify(err)))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(audit.Entry{}, fmt.Errorf("read records: %w", classify(err)))
		}
	}
}

// Chains names all chains: see audit.Reader.
func (r *Reader) Chains(ctx context.Context) (names []string, err error) {
	rows, err := r.reading.QueryContext(ctx, "SELECT name FROM chains ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", classify(err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("list chains: %w", err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Blob is a long value: see audit.Blobs.
func (r *Reader) Blob(ctx context.Context, digest string) (b []byte, err error) {
	err = r.reading.QueryRowContext(ctx, "SELECT data FROM blobs WHERE digest = ? LIMIT 1", digest).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read blob %s: %w", digest, audit.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", digest, classify(err))
	}
	return b, nil
}

// hasEnded names the kind of audit.SessionEnd by its number, as the index
// records_end does: SQLite would not use it for a value that it does not know.
const hasEnded = "SELECT EXISTS (SELECT 1 FROM records WHERE kind = 2 AND session = (SELECT id FROM sessions WHERE uuid = ?))"

// Ended reports whether the end of a session was recorded.
func (r *Reader) Ended(ctx context.Context, session toolcall.ID) (ended bool, err error) {
	err = r.reading.QueryRowContext(ctx, hasEnded, session[:]).Scan(&ended)
	if err != nil {
		return false, fmt.Errorf("look for the end of session %s: %w", session, classify(err))
	}
	return ended, nil
}
