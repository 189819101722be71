package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

func TestMain(m *testing.M) {
	if killed := os.Getenv(killedPath); killed != "" {
		appendUntilKilled(killed)
	}
	if full := os.Getenv(fullPath); full != "" {
		appendUntilFull(full)
	}
	goleak.VerifyTestMain(m)
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return newStore(t) })
}

func newStore(t *testing.T) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "guard.db"))
}

func openAt(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), "sqlite://"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func closeNow(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// openLog is a log on s that keeps everything.
func openLog(t *testing.T, s *Store) *audit.Log {
	t.Helper()
	log, err := audit.Open(t.Context(), audit.Config{Sink: s, Keys: keyring.NewEphemeral(), Chain: "a",
		Retention: audit.Retention{MaxAge: -1, MaxBytes: -1}})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// fill appends n events to chain a.
func fill(t *testing.T, s *Store, n int) {
	t.Helper()
	log := openLog(t, s)
	var last *audit.Commit
	for i := range n {
		last = log.Put(audit.Record{Kind: audit.Event, Reason: redact.Public(fmt.Sprint(i))})
	}
	if err := errors.Join(last.Wait(t.Context()), log.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreIsMadeForItsOwnerAloneAndFoundAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%20c.db") // a name that a URL would mangle
	s := openAt(t, path)
	fill(t, s, 3)
	for _, name := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", filepath.Base(name), info, err)
		}
	}
	closeNow(t, s)
	again := openAt(t, path)
	if head, err := audit.VerifyChain(t.Context(), again, "a"); err != nil || head.Seq != 3 {
		t.Errorf("after a restart: %v, %v; want 3 entries", head, err)
	}
}

// What every promise of the record rests on.
func TestEveryCommitIsSynced(t *testing.T) {
	s := newStore(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "wal_autocheckpoint": "0", "page_size": "8192"} {
		var got string
		if err := s.writer.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", pragma, got, err, want)
		}
	}
	if err := durable(t.Context(), s.writer.conn); err != nil {
		t.Errorf("the settings are as they should be: %v", err)
	}
	if _, err := s.writer.conn.ExecContext(t.Context(), "PRAGMA synchronous = NORMAL"); err != nil {
		t.Fatal(err)
	}
	if err := durable(t.Context(), s.writer.conn); err == nil {
		t.Error("synchronous NORMAL was taken for durable")
	}
}

func TestAClosedStoreRefuses(t *testing.T) {
	s := newStore(t)
	fill(t, s, 1)
	closeNow(t, s)
	closeNow(t, s) // a second time changes nothing
	if err := s.Append(t.Context(), []audit.Entry{{Chain: "a", Seq: 2, Kind: audit.Event, Body: []byte("{}")}}); err == nil {
		t.Error("Append: no error")
	}
	if _, err := s.Last(t.Context(), "a"); err == nil {
		t.Error("Last: no error")
	}
	if err := s.PutBlob(t.Context(), "policy", "d", nil); err == nil {
		t.Error("PutBlob: no error")
	}
	if _, err := s.Sessions(t.Context(), audit.Filter{}); err == nil {
		t.Error("Sessions: no error")
	}
}

func TestURLsThatNameNoSQLiteFileAreRefused(t *testing.T) {
	for url, want := range map[string]string{
		"":                           "it names no kind of store: want sqlite://PATH",
		"guard.db":                   "it names no kind of store",
		"sqlite://":                  "it names no file",
		"sqlite://a\x00b":            "it names no file",
		"sqlite://:memory:":          "does not survive the process",
		"sqlite://guard.db?mode=rwc": "a store takes no options",
		"mysql://host/db":            "there is no such kind of store",
		"postgres://host/db":         "PostgreSQL is not available in this version",
		"postgresql://u:s3cret@h/db": "PostgreSQL is not available in this version",
	} {
		for _, open := range []func(context.Context, string) error{
			func(ctx context.Context, url string) error { _, err := Open(ctx, url); return err },
			func(ctx context.Context, url string) error { _, err := OpenReader(ctx, url); return err },
			func(_ context.Context, url string) error {
				path, err := Path(url)
				if path != "" {
					t.Errorf("%q is the file %s", url, path)
				}
				return fmt.Errorf("%w: want sqlite://PATH", err)
			},
		} {
			err := open(t.Context(), url)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q: %v, want %q in it", url, err, want)
			}
		}
	}
}

func TestAURLHasItsPathAsItIs(t *testing.T) {
	for _, path := range []string{"guard.db", "a/b%20c d.db", "/var/lib/guard.db", "../a:b"} {
		if got, err := Path("sqlite://" + path); err != nil || got != path {
			t.Errorf("sqlite://%s is the file %q, %v", path, got, err)
		}
	}
}

func TestPathsThatAreNoPrivateRegularFileAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"a folder":           {func(path string) error { return os.Mkdir(path, 0o700) }, "no regular file"},
		"a symbolic link":    {func(path string) error { return os.Symlink("elsewhere.db", path) }, "symbolic link"},
		"readable by others": {func(path string) error { return os.WriteFile(path, nil, 0o644) }, "chmod 0600"},
	} {
		path := filepath.Join(t.TempDir(), "guard.db")
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), "sqlite://"+path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Open: %v, want %q in it", name, err, c.want)
		}
		if _, err := OpenReader(t.Context(), "sqlite://"+path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: OpenReader: %v, want %q in it", name, err, c.want)
		}
		if name == "a symbolic link" {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), "elsewhere.db")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s was followed: %v", name, err)
			}
		}
	}
}

func TestASecondWriterIsRefusedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	s := openAt(t, path)
	from := time.Now()
	if _, err := Open(t.Context(), "sqlite://"+path); !errors.Is(err, ErrLocked) {
		t.Errorf("Open: %v, want ErrLocked", err)
	}
	if took := time.Since(from); took > time.Second {
		t.Errorf("it took %v", took)
	}
	fill(t, s, 1) // and the first is none the worse for it
	closeNow(t, s)
	openAt(t, path)
}

// An outsider with a tool of their own may hold SQLite's lock: calls wait two
// seconds, are refused, and go on when the lock is gone.
func TestAnOutsidersLockRefusesAndDoesNotHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	s := openAt(t, path)
	fill(t, s, 1)
	log := openLog(t, s)
	outsider, err := sql.Open("sqlite", dsn(path, "rw"))
	if err != nil {
		t.Fatal(err)
	}
	outsider.SetMaxOpenConns(1)
	execute(t, outsider, "BEGIN EXCLUSIVE")
	from := time.Now()
	err = log.Put(audit.Record{Kind: audit.Event}).Wait(t.Context())
	if took := time.Since(from); err == nil || took < busyWait/2*time.Millisecond || took > 3*busyWait*time.Millisecond {
		t.Errorf("beside an outsider's lock: %v after %v; want a refusal after about %d ms", err, took, busyWait)
	}
	execute(t, outsider, "ROLLBACK")
	if err := log.Put(audit.Record{Kind: audit.Event}).Wait(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := errors.Join(outsider.Close(), log.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if head, err := audit.VerifyChain(t.Context(), s, "a"); err != nil || head.Seq != 2 {
		t.Errorf("the chain: %v, %v; want 2 entries", head, err)
	}
}

func execute(t *testing.T, db *sql.DB, q string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), q, args...); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

// change lets an outsider change a closed store.
func change(t *testing.T, path, q string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, db, q, args...)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatAreNoSoundStoreOfThisVersionAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, path string)
		want   error
	}{
		"no database": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("no database, but as long as one. ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, ErrForeign},
		"somebody else's database": {func(t *testing.T, path string) {
			change(t, path, "PRAGMA application_id = 0")
		}, ErrForeign},
		"a newer version": {func(t *testing.T, path string) {
			change(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
		}, ErrNewer},
		"zeros in its second half": {func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(make([]byte, info.Size()/2), info.Size()/2); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}, ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "guard.db")
			s := openAt(t, path)
			fill(t, s, 500)
			closeNow(t, s)
			c.change(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), "sqlite://"+path); !errors.Is(err, c.want) {
				t.Errorf("Open: %v, want %v", err, c.want)
			}
			// A reader finds damage when it reads there: it must not read all first.
			r, err := OpenReader(t.Context(), "sqlite://"+path)
			if err == nil {
				_, err = audit.VerifyChain(t.Context(), r, "a")
				err = errors.Join(err, r.Close())
			}
			if !errors.Is(err, c.want) && !errors.Is(err, audit.ErrIntegrity) {
				t.Errorf("OpenReader and a walk: %v, want %v", err, c.want)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the refused file was changed, %v", err)
			}
		})
	}
}

func TestAReaderNeedsAStoreThatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	if _, err := OpenReader(t.Context(), "sqlite://"+path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenReader: %v, want ErrNotExist", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading made the file: %v", err)
	}
}

func TestAReaderReadsWhileTheWriterWritesAndAfterwards(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	s := openAt(t, path)
	fill(t, s, 10)
	r, err := OpenReader(t.Context(), "sqlite://"+path)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		fill(t, s, 10)
	}
	if head, err := audit.VerifyChain(t.Context(), r, "a"); err != nil || head.Seq != 40 {
		t.Errorf("beside the writer: %v, %v; want 40 entries", head, err)
	}
	closeNow(t, s)
	if head, err := audit.VerifyChain(t.Context(), r, "a"); err != nil || head.Seq != 40 {
		t.Errorf("after the writer: %v, %v; want 40 entries", head, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	late, err := OpenReader(t.Context(), "sqlite://"+path)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := audit.VerifyChain(t.Context(), late, "a"); err != nil || head.Seq != 40 {
		t.Errorf("without a writer: %v, %v; want 40 entries", head, err)
	}
	if _, err := late.reading.ExecContext(t.Context(), "DELETE FROM records"); err == nil {
		t.Error("a reader deleted records")
	}
	if err := late.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestChangesOfTheFileShowInTheChain(t *testing.T) {
	for name, q := range map[string]string{
		"a body":                "UPDATE records SET body = replace(body, '2', '3') WHERE id & 0xffff = 3",
		"a time":                "UPDATE records SET at = at + 1 WHERE id & 0xffff = 3",
		"a row taken out":       "DELETE FROM records WHERE id & 0xffff = 3",
		"a row moved":           "UPDATE records SET id = id + 1000 WHERE id & 0xffff = 3",
		"a beginning taken out": "DELETE FROM records WHERE id & 0xffff < 3",
		"a kind":                "UPDATE records SET kind = 5 WHERE id & 0xffff = 3",
		"the chain renamed":     "UPDATE chains SET name = 'b'",
	} {
		path := filepath.Join(t.TempDir(), "guard.db")
		s := openAt(t, path)
		fill(t, s, 5)
		closeNow(t, s)
		change(t, path, q)
		again := openAt(t, path)
		names, err := again.Chains(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.VerifyChain(t.Context(), again, names[0]); !errors.Is(err, audit.ErrIntegrity) {
			t.Errorf("%s: %v, want ErrIntegrity", name, err)
		}
	}
}

func TestAFileThatIsRemovedOrReplacedRefusesRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	s := openAt(t, path)
	fill(t, s, 1)
	log := openLog(t, s)
	moved := path + ".moved"
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	if err := log.Put(audit.Record{Kind: audit.Event}).Wait(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its file: %v, want ErrNotExist", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := log.Put(audit.Record{Kind: audit.Event}).Wait(t.Context()); err == nil {
		t.Error("a record was kept in a file that is not at its place")
	}
	if err := os.Rename(moved, path); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.Put(audit.Record{Kind: audit.Event}).Wait(t.Context()), log.Close(t.Context())); err != nil {
		t.Errorf("with its file again: %v", err)
	}
}

func TestErasedNamesAreNotInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	s := openAt(t, path)
	log := openLog(t, s)
	who := toolcall.Caller{Person: "sam.erasure@example.com", Subject: "sam", Issuer: "local"}
	if err := log.Put(audit.Record{Kind: audit.Event, Caller: who}).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	last, err := s.Last(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.EraseIdentity(t.Context(), last.Who), log.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
	for _, name := range []string{path, path + "-wal"} {
		if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), who.Person) {
			t.Errorf("%s still holds the erased name", filepath.Base(name))
		}
	}
}

// Under load the log restarts: it must not grow for ever.
func TestTheWriteAheadLogStaysBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: writes 200 MB")
	}
	path := filepath.Join(t.TempDir(), "guard.db")
	s := openAt(t, path)
	log := openLog(t, s)
	big := redact.Public(strings.Repeat("x", 10<<10))
	var worst int64
	for range 100 {
		var last *audit.Commit
		for range 200 {
			last = log.Put(audit.Record{Kind: audit.Event, Args: big})
		}
		if err := last.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		worst = max(worst, info.Size())
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the log had at most %d MiB, of 200 MB that went through it", worst>>20)
	if worst > 128<<20 {
		t.Errorf("the write-ahead log grew to %d MiB", worst>>20)
	}
}
