package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mcpguard/toolcall"
)

// Errors of this room and of the stores below it, to be tested with errors.Is.
var (
	// ErrBusy: more records wait than the log may hold, in all or for this
	// caller. Nothing was kept; later records may be.
	ErrBusy = errors.New("too many records are waiting for the disk")
	// ErrClosed: the log takes no more records.
	ErrClosed = errors.New("the log is closed")
	// ErrIntegrity: what is stored is not what was written.
	ErrIntegrity = errors.New("the chain of records is broken")
	// ErrNotFound: there is no such blob or session.
	ErrNotFound = errors.New("not found")
	// ErrPrefix: no session can have an id that begins so.
	ErrPrefix = errors.New("no beginning of a session id")
)

// Keys makes the keyed digests of a log. *keyring.Ring does.
type Keys interface {
	MAC(purpose string, parts ...[]byte) toolcall.Digest
	MACKeyID() string
}

// Config is what a Log is made of.
type Config struct {
	Sink  Sink
	Keys  Keys
	Chain string // who writes: one writer a chain, ever; "" refuses
	Edge  string // which replica or wrap this is, for people; may be ""

	MaxInline int // bytes; longer values are kept as compressed blobs. 0: 16 KiB
	MaxResult int // bytes; of longer results only the head is kept. 0: 64 KiB
	MaxQueue  int // bytes that may wait for the disk; 0: 64 MiB. One caller may fill a quarter

	Now func() time.Time // nil: time.Now

	Retention  Retention
	Pruner     Pruner        // nil: the Sink, which must then be one unless entries are kept for ever
	PurgeEvery time.Duration // 0: a minute
	// Notice hears, on the log's own goroutine, of a purge that failed. nil: only
	// Close tells, and only of the last one.
	Notice func(error)
}

// Retention says how long entries are kept. The oldest go first, as a whole
// prefix of the chain, and a tombstone says so.
type Retention struct {
	MaxAge   time.Duration // 0: 90 days; negative: for ever
	MaxBytes int64         // of the whole store; 0: 10 GiB; negative: no bound
}

const (
	defaultInline   = 16 << 10
	defaultResult   = 64 << 10
	defaultQueue    = 64 << 20
	defaultMaxAge   = 90 * 24 * time.Hour
	defaultMaxBytes = 10 << 30
	callerShare     = 4 // one caller may fill 1/4 of the queue
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Sink == nil:
		return c, errors.New("open log: no sink")
	case c.Keys == nil:
		return c, errors.New("open log: no keys")
	case c.Chain == "":
		return c, errors.New("open log: the chain has no name")
	case len(c.Chain) > 255:
		return c, errors.New("open log: the name of the chain is longer than 255 bytes")
	}
	setDefault(&c.MaxInline, defaultInline)
	setDefault(&c.MaxResult, defaultResult)
	setDefault(&c.MaxQueue, defaultQueue)
	setDefault(&c.PurgeEvery, time.Minute)
	setDefault(&c.Retention.MaxAge, defaultMaxAge)
	setDefault(&c.Retention.MaxBytes, defaultMaxBytes)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Pruner == nil {
		c.Pruner, _ = c.Sink.(Pruner)
	}
	if c.Pruner == nil && c.Retention.bounded() {
		return c, errors.New("open log: the sink cannot remove old entries, and they are not to be kept for ever")
	}
	return c, nil
}

func (r Retention) bounded() bool { return r.MaxAge > 0 || r.MaxBytes > 0 }

func setDefault[T int | int64 | time.Duration](field *T, to T) {
	if *field == 0 {
		*field = to
	}
}

// Log writes one chain of records. Many goroutines put records; one goroutine
// commits them in groups: what arrives during a commit goes into the next, so
// that many callers share one fsync.
type Log struct {
	cfg    Config
	encode *encoder

	mu     sync.Mutex
	queue  []*batch    // closed batches, then the open one
	bytes  int         // in queue and in the batch being committed
	held   map[Ref]int // the same by caller
	closed bool
	timed  bool // timer runs

	timer *time.Timer   // wakes the committer for what nobody waits for
	wake  chan struct{} // holds a token while the queue may not be empty
	done  chan struct{} // closed when the committer has ended
	halt  context.CancelFunc
	spare sync.Pool // *batchRoom

	committer committer
}

// Open continues the chain of cfg where it ends in the sink, or begins it. It
// refuses a chain whose last entry does not hash to what stands there.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	last, err := cfg.Sink.Last(ctx, cfg.Chain)
	if err != nil {
		return nil, fmt.Errorf("open log: read the end of chain %s: %w", cfg.Chain, err)
	}
	if err := checkLast(last); err != nil {
		return nil, fmt.Errorf("open log: chain %s: %w", cfg.Chain, err)
	}
	enc, err := newEncoder(cfg)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	run, halt := context.WithCancel(context.WithoutCancel(ctx))
	l := &Log{
		cfg:    cfg,
		encode: enc,
		held:   map[Ref]int{},
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		halt:   halt,
	}
	l.timer = time.AfterFunc(moment, l.late)
	l.committer = committer{log: l, head: Head{Seq: last.Seq, Hash: last.Hash}}
	go l.committer.run(run)
	return l, nil
}

// Put takes a record. It never waits for the disk: the record is encoded, gets
// its place behind all records put before it, and the Commit tells when it is
// durable.
//
// A record is committed when its Commit, or one behind it, is waited for, and by
// itself after a moment. So a call that need not wait for its intent before it
// goes upstream has it on disk long before a slow answer comes, and shares one
// commit between intent and outcome when the answer is fast.
func (l *Log) Put(r Record) *Commit {
	if r.At.IsZero() {
		r.At = l.cfg.Now()
	}
	scratch := l.encode.scratch()
	defer l.encode.release(scratch)
	e, err := l.encode.entry(scratch, &r)
	if err != nil {
		return failed(fmt.Errorf("put %s record: %w", r.Kind, err))
	}
	c, err := l.enqueue(&e)
	if err != nil {
		return failed(fmt.Errorf("put %s record: %w", r.Kind, err))
	}
	return c
}

// moment is how long a record that nobody waits for may wait for company.
const moment = time.Millisecond

func (l *Log) enqueue(e *Entry) (*Commit, error) {
	size := e.room()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.bytes+size > l.cfg.MaxQueue:
		return nil, ErrBusy
	case !e.Who.IsZero() && l.held[e.Who]+size > l.cfg.MaxQueue/callerShare:
		return nil, fmt.Errorf("caller %s: %w", e.Who, ErrBusy)
	}
	l.bytes += size
	if !e.Who.IsZero() {
		l.held[e.Who] += size
	}
	b := l.open()
	c := b.add(e)
	c.log = l
	if !l.timed {
		l.timed = true
		l.timer.Reset(moment)
	}
	return c, nil
}

// hurry wakes the committer.
func (l *Log) hurry() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// late is called when a record has waited for a moment.
func (l *Log) late() {
	l.mu.Lock()
	l.timed = false
	l.mu.Unlock()
	l.hurry()
}

// open is the batch that takes the next entry.
func (l *Log) open() *batch {
	if n := len(l.queue); n > 0 && !l.queue[n-1].full() {
		return l.queue[n-1]
	}
	room, _ := l.spare.Get().(*batchRoom)
	if room == nil {
		room = &batchRoom{}
	}
	b := &batch{batchRoom: room, done: make(chan struct{})}
	l.queue = append(l.queue, b)
	return b
}

// next takes the oldest batch, nil when none waits.
func (l *Log) next() (b *batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil, l.closed
	}
	b = l.queue[0]
	if l.queue = append(l.queue[:0], l.queue[1:]...); len(l.queue) == 0 && l.timed {
		l.timed = !l.timer.Stop()
	}
	return b, l.closed
}

// settle tells everybody who waits for b how it went, and frees its room.
func (l *Log) settle(b *batch, kept int, err error) {
	b.kept, b.err = kept, err
	l.mu.Lock()
	for i := range b.entries {
		e := &b.entries[i]
		size := e.room()
		l.bytes -= size
		if e.Who.IsZero() {
			continue
		}
		if l.held[e.Who] -= size; l.held[e.Who] == 0 {
			delete(l.held, e.Who)
		}
	}
	l.mu.Unlock()
	room := b.batchRoom
	b.batchRoom = nil
	close(b.done)
	if room.reset() {
		l.spare.Put(room)
	}
}

// Close takes no more records, keeps those that were put, and ends the log's
// goroutine. It tells when the last purge failed. When ctx ends first, it
// abandons what is not yet on disk, whose Commits then fail.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	l.timer.Stop()
	l.mu.Unlock()
	l.hurry()
	select {
	case <-l.done:
		l.halt()
		return l.committer.purgeError
	case <-ctx.Done():
		l.halt()
		return fmt.Errorf("close log: %w", ctx.Err())
	}
}
