package store

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
)

// The log grows while it cannot be copied: the operator hears of it at once, not
// at the end.
func TestAFailingCopyOfTheLogIsTold(t *testing.T) {
	s, err := Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "guard.db"))
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan error, 1)
	s.Notice(func(err error) { heard <- err })
	if err := s.points.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-heard; !errors.Is(err, sql.ErrConnDone) {
		t.Errorf("heard %v, want that the connection is gone", err)
	}
	if err := s.Close(); !errors.Is(err, sql.ErrConnDone) {
		t.Errorf("Close: %v, want how the last copy failed", err)
	}
}

func TestFailuresInARowAreToldOnce(t *testing.T) {
	var told []string
	full, gone := errors.New("full"), errors.New("gone")
	c := &checkpointer{}
	c.settle(full) // nobody hears yet
	hear := func(err error) { told = append(told, err.Error()) }
	c.notice.Store(&hear)
	for _, err := range []error{full, full, nil, nil, gone, gone} {
		c.settle(err)
	}
	if len(told) != 2 || told[0] != "full" || told[1] != "gone" {
		t.Errorf("told %v, want the first failure of each row", told)
	}
	if !errors.Is(c.err, gone) {
		t.Errorf("the last copy ended with %v", c.err)
	}
}
