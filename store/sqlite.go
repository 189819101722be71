package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID marks a file as a store of mcpguard ("mcpg").
const applicationID = 0x6d637067

// busyWait is how long a statement waits, in ms, for a lock that another
// process holds.
const busyWait = 2000

// checkUpTo is the size of file, in bytes, up to which opening it reads all of
// it for damage (about 300 MB/s). In larger ones damage shows when it is read.
const checkUpTo = 64 << 20

// Store writes and reads. It is safe for concurrent use.
type Store struct {
	*Reader
	once   sync.Once
	ended  error // of Close
	path   string
	lock   *os.File
	db     *sql.DB // one connection writes, one checkpoints
	writer *writer
	points *checkpointer
}

func openWriter(ctx context.Context, path string) (_ *Store, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open store %s: %w", path, err)
		}
	}()
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, err
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	if s.db, err = sql.Open("sqlite", dsn(path, "rw")); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, classify(err)
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context) (err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	if err := adopt(ctx, conn, s.path); err != nil {
		return errors.Join(err, conn.Close())
	}
	if err := migrate(ctx, s.db); err != nil {
		return errors.Join(err, conn.Close())
	}
	if s.writer, err = newWriter(ctx, conn, s.path); err != nil {
		return errors.Join(err, conn.Close())
	}
	if s.points, err = startCheckpoints(ctx, s.db, s.writer); err != nil {
		return err
	}
	s.Reader, err = openReader(ctx, s.path)
	return err
}

// Close ends writing, behind the transaction that is under way. What Append
// acknowledged is durable without it; what comes later is refused.
func (s *Store) Close() error {
	s.once.Do(func() { s.ended = s.close() })
	return s.ended
}

func (s *Store) close() error {
	var errs []error
	if s.points != nil {
		errs = append(errs, s.points.stop())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.Reader != nil {
		errs = append(errs, s.Reader.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close()) // and with it the lock
	}
	return errors.Join(errs...)
}

func dsn(path, mode string) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"mode":          {mode},
		"_busy_timeout": {fmt.Sprint(busyWait)},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
	}.Encode()}
	return u.String()
}

// writing are the settings of a connection that writes. The page size is fixed
// with the first write to a new file: rows of about 1 KiB waste a sixth of 4 KiB
// pages, and 16 KiB pages cost more of the log for every commit of few rows.
// Checkpoints have a connection of their own (checkpoint.go).
var writing = [...]string{
	"PRAGMA page_size = 8192",
	"PRAGMA journal_mode = WAL",
	"PRAGMA synchronous = FULL",
	"PRAGMA wal_autocheckpoint = 0",
	"PRAGMA journal_size_limit = 67108864",
	"PRAGMA cache_size = -16384",
	"PRAGMA temp_store = MEMORY",
	"PRAGMA trusted_schema = OFF",
}

// adopt makes sure that the file behind conn is a store of ours or new, and
// sound as far as that is cheap to know.
func adopt(ctx context.Context, conn *sql.Conn, path string) error {
	var id, tables int64
	if err := conn.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if id != applicationID && tables > 0 {
		return ErrForeign
	}
	for _, q := range writing {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	if err := durable(ctx, conn); err != nil {
		return err
	}
	if id != applicationID {
		_, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
		return err
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > checkUpTo {
		return err
	}
	var answer string
	if err := conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return err
	}
	if answer != "ok" {
		return fmt.Errorf("%w: %s", ErrCorrupt, answer)
	}
	return nil
}

// durable makes sure that the settings on which every promise rests took effect:
// SQLite says nothing when a file system has no room for a shared log.
func durable(ctx context.Context, conn *sql.Conn) error {
	var journal string
	var synchronous int
	const full = 2
	const q = "SELECT journal_mode, synchronous FROM pragma_journal_mode(), pragma_synchronous()"
	if err := conn.QueryRowContext(ctx, q).Scan(&journal, &synchronous); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	if journal != "wal" || synchronous != full {
		return fmt.Errorf("the file system takes no write-ahead log (journal %s, synchronous %d): use a local disk", journal, synchronous)
	}
	return nil
}

// makeFile makes sure that path is a regular file that its owner alone can
// reach, and makes it when it is missing. SQLite gives its other files the same
// mode.
func makeFile(path string) error {
	err := checkFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func checkFile(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link: name the file itself")
	case !info.Mode().IsRegular():
		return errors.New("it is no regular file")
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("others can reach it (mode %#o): chmod 0600 it", info.Mode().Perm())
	}
	return nil
}

// lockFile takes the lock that makes this process the only writer. It goes with
// the process, however that ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// classify adds what an error of SQLite means to those who open a store.
func classify(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrForeign, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return err
}
