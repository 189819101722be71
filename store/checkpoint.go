package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// The write-ahead log is copied into the database beside the writer. In the
// writer's own commits, where SQLite has it by default, each copy holds all
// callers up for tens of milliseconds. A log that grows all the same, because
// the copy never catches up, is restarted by the writer between two commits,
// when only its tail is left to copy.
const (
	checkpointEvery = 250 * time.Millisecond
	restartAt       = 32 << 20 // bytes of log
)

// checkpointer owns the goroutine that copies.
type checkpointer struct {
	conn     *sql.Conn
	pageSize int64
	restart  *atomic.Bool // asks the writer to restart the log
	quit     chan struct{}
	done     chan struct{}
	notice   atomic.Pointer[func(error)]
	told     bool  // the last copy failed, and notice heard it or one before it
	err      error // of the last copy; read after done
}

// Notice sets who hears, on the store's own goroutine, when copying the
// write-ahead log into the file begins to fail: it grows meanwhile. Without one,
// only Close tells, and only of the last copy.
func (s *Store) Notice(hear func(error)) { s.points.notice.Store(&hear) }

func startCheckpoints(ctx context.Context, db *sql.DB, w *writer) (*checkpointer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &checkpointer{conn: conn, restart: &w.restartLog, quit: make(chan struct{}), done: make(chan struct{})}
	if err := conn.QueryRowContext(ctx, "PRAGMA page_size").Scan(&c.pageSize); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go c.run(context.WithoutCancel(ctx))
	return c, nil
}

func (c *checkpointer) run(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.settle(c.copy(ctx))
		case <-c.quit:
			return
		}
	}
}

// settle keeps how a copy went, and tells once of failures in a row.
func (c *checkpointer) settle(err error) {
	c.err = err
	if err == nil {
		c.told = false
		return
	}
	if hear := c.notice.Load(); hear != nil && !c.told {
		c.told = true
		(*hear)(err)
	}
}

// copy copies what it can without waiting for anybody.
func (c *checkpointer) copy(ctx context.Context) error {
	var busy, logged, copied int64
	err := c.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &logged, &copied)
	if err != nil {
		return fmt.Errorf("copy the write-ahead log: %w", err)
	}
	if logged*c.pageSize > restartAt {
		c.restart.Store(true)
	}
	return nil
}

// stop ends the goroutine. It returns how the last copy failed, if it did: the
// log then waits for the next who opens the store.
func (c *checkpointer) stop() error {
	close(c.quit)
	<-c.done
	return errors.Join(c.err, c.conn.Close())
}
