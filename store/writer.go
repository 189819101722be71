package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// writer is the one connection that writes. database/sql's transactions would
// prepare the statements again in each, so it makes its own.
type writer struct {
	path       string
	file       os.FileInfo // what was at path when it was opened
	restartLog atomic.Bool

	mu      sync.Mutex // one transaction at a time
	conn    *sql.Conn
	begin   *sql.Stmt
	commit  *sql.Stmt
	count   *sql.Stmt // a window: see limits.go
	forget  *sql.Stmt
	inserts []*insert // the widest first, the last of width 1
	places  []place
	known   known
	closed  bool
}

// place is where a record goes.
type place struct{ id, session int64 }

// known is what need not be looked up. It is forgotten with every transaction
// that fails.
type known struct {
	chains    map[string]*chain
	sessions  map[toolcall.ID]int64
	seen      map[audit.Ref]time.Time // when identities.seen was set
	unindexed int                     // records that are not in session_records, at most: see index.go
}

// chain is a chain that was written to.
type chain struct {
	id     int64
	newest uint64 // sequence number
}

// maxKnown bounds each of the maps of known.
const maxKnown = 1 << 16

// seenFor is how far identities.seen may lag behind.
const seenFor = 24 * time.Hour

// newKnown knows nothing: not how many records a transaction or a process before
// this one left unindexed either.
func newKnown() known {
	return known{map[string]*chain{}, map[toolcall.ID]int64{}, map[audit.Ref]time.Time{}, indexAfter}
}

func newWriter(ctx context.Context, conn *sql.Conn, path string) (_ *writer, err error) {
	w := &writer{path: path, conn: conn, known: newKnown()}
	if w.file, err = os.Lstat(path); err != nil {
		return nil, err
	}
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(err, w.closeStatements())
	}
	err = conn.Raw(func(raw any) error {
		w.inserts, err = prepareInserts(ctx, raw)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, w.closeStatements())
	}
	return w, nil
}

func (w *writer) prepare(ctx context.Context) (err error) {
	if w.begin, err = w.conn.PrepareContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if w.commit, err = w.conn.PrepareContext(ctx, "COMMIT"); err != nil {
		return err
	}
	if w.count, err = w.conn.PrepareContext(ctx, countWindow); err != nil {
		return err
	}
	w.forget, err = w.conn.PrepareContext(ctx, forgetWindow)
	return err
}

// closeStatements closes those that were prepared.
func (w *writer) closeStatements() error {
	var errs []error
	for _, s := range [...]*sql.Stmt{w.begin, w.commit, w.count, w.forget} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

func (w *writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	errs := []error{w.closeStatements(), w.conn.Raw(func(any) error { return closeInserts(w.inserts) })}
	return errors.Join(append(errs, w.conn.Close())...)
}

var errClosed = errors.New("the store is closed")

// transact runs do in a transaction that is durable when transact returns nil.
func (w *writer) transact(ctx context.Context, do func(context.Context) error) error {
	// A transaction is short, and bounded by busyWait; a context that can end
	// costs the driver a goroutine a statement.
	ctx = context.WithoutCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	if err := w.inPlace(); err != nil {
		return err
	}
	if w.restartLog.Swap(false) {
		if _, err := w.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(RESTART)"); err != nil {
			return fmt.Errorf("restart the write-ahead log: %w", err)
		}
	}
	if _, err := w.begin.ExecContext(ctx); err != nil {
		return classify(err)
	}
	err := do(ctx)
	if err == nil {
		_, err = w.commit.ExecContext(ctx)
	}
	if err == nil {
		return nil
	}
	w.known = newKnown()
	return errors.Join(classify(err), w.rollBack(ctx))
}

// rollBack ends a transaction, if SQLite has not done so itself.
func (w *writer) rollBack(ctx context.Context) error {
	_, err := w.conn.ExecContext(ctx, "ROLLBACK")
	if err != nil && strings.Contains(err.Error(), "no transaction is active") {
		return nil
	}
	return err
}

// inPlace refuses to write into a file that was removed or replaced: SQLite
// would go on writing to it, and nobody could read that again.
func (w *writer) inPlace() error {
	now, err := os.Lstat(w.path)
	if err != nil {
		return fmt.Errorf("the store is gone: %w", err)
	}
	if !os.SameFile(w.file, now) {
		return fmt.Errorf("another file is in the place of %s", w.path)
	}
	return nil
}

// seqBits is how many low bits of a record's id are its sequence number; above
// them is its chain.
const seqBits = 40

func recordID(chain int64, seq uint64) int64 { return chain<<seqBits | int64(seq) }

func (w *writer) append(ctx context.Context, es []audit.Entry) error {
	w.places = w.places[:0]
	for i := range es {
		at, err := w.place(ctx, &es[i])
		if err != nil {
			return err
		}
		w.places = append(w.places, at)
	}
	if err := w.conn.Raw(func(any) error { return insertAll(ctx, w.inserts, es, w.places) }); err != nil {
		return err
	}
	if w.known.unindexed += len(es); w.known.unindexed < indexAfter {
		return nil
	}
	return w.index(ctx)
}

// place keeps what stands beside e, and finds out where e goes.
func (w *writer) place(ctx context.Context, e *audit.Entry) (at place, err error) {
	if e.Seq == 0 || e.Seq >= 1<<seqBits {
		return at, fmt.Errorf("entry %d of chain %s: no such sequence number", e.Seq, e.Chain)
	}
	c, err := w.chain(ctx, e.Chain)
	if err != nil {
		return at, err
	}
	if e.Seq <= c.newest {
		return at, fmt.Errorf("entry %d of chain %s: it is there, or cannot be: the newest is %d", e.Seq, e.Chain, c.newest)
	}
	c.newest = e.Seq
	at.id = recordID(c.id, e.Seq)
	if err := w.identity(ctx, e); err != nil {
		return at, err
	}
	for _, b := range e.Blobs {
		if err := w.blob(ctx, c.id, at.id, b); err != nil {
			return at, err
		}
	}
	at.session, err = w.session(ctx, e)
	return at, err
}

func (w *writer) chain(ctx context.Context, name string) (*chain, error) {
	if c, ok := w.known.chains[name]; ok {
		return c, nil
	}
	const q = "INSERT INTO chains (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id, indexed"
	var c chain
	if err := w.conn.QueryRowContext(ctx, q, name).Scan(&c.id, &c.newest); err != nil {
		return nil, fmt.Errorf("number chain %s: %w", name, err)
	}
	// What is indexed was there, even if somebody took it out of the file.
	const newest = "SELECT max(?3, coalesce(max(id) - ?1 + 1, 0)) FROM records WHERE id BETWEEN ?1 AND ?2"
	in := spanAt(c.id)
	if err := w.conn.QueryRowContext(ctx, newest, in.first, in.last, c.newest).Scan(&c.newest); err != nil {
		return nil, fmt.Errorf("find the end of chain %s: %w", name, err)
	}
	w.known.chains[name] = &c
	return &c, nil
}

func (w *writer) session(ctx context.Context, e *audit.Entry) (int64, error) {
	if e.Session.IsZero() {
		return 0, nil
	}
	if id, ok := w.known.sessions[e.Session]; ok {
		return id, nil
	}
	const q = `INSERT INTO sessions (uuid, who, upstream, client) VALUES (?,?,?,?)
		ON CONFLICT (uuid) DO UPDATE SET uuid = uuid RETURNING id`
	var id int64
	err := w.conn.QueryRowContext(ctx, q, e.Session[:], orNull((*[16]byte)(&e.Who)), e.Upstream, e.Client).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("number session: %w", err)
	}
	if len(w.known.sessions) >= maxKnown {
		clear(w.known.sessions)
	}
	w.known.sessions[e.Session] = id
	return id, nil
}

func (w *writer) identity(ctx context.Context, e *audit.Entry) error {
	if e.Who.IsZero() || e.Identity.IsZero() || e.At.Sub(w.known.seen[e.Who]) < seenFor {
		return nil
	}
	i := e.Identity
	act, err := json.Marshal(i.Act)
	if err != nil {
		return err
	}
	const q = `INSERT INTO identities (ref, person, subject, issuer, client, act, seen) VALUES (?,?,?,?,?,?,?)
		ON CONFLICT (ref) DO UPDATE SET seen = max(seen, excluded.seen)`
	_, err = w.conn.ExecContext(ctx, q, e.Who[:], i.Person, i.Subject, i.Issuer, i.Client, string(act), e.At.UnixNano())
	if err != nil {
		return fmt.Errorf("keep identity: %w", err)
	}
	if len(w.known.seen) >= maxKnown {
		clear(w.known.seen)
	}
	w.known.seen[e.Who] = e.At
	return nil
}

func (w *writer) blob(ctx context.Context, chain, record int64, b audit.Blob) error {
	const q = `INSERT INTO blobs (digest, chain, kind, record, data) VALUES (?,?,?,?,?)
		ON CONFLICT (digest, chain) DO UPDATE SET record = max(record, excluded.record)`
	if _, err := w.conn.ExecContext(ctx, q, b.Digest, chain, b.Kind, record, b.Data); err != nil {
		return fmt.Errorf("keep a %s: %w", b.Kind, err)
	}
	return nil
}
