package audit

import (
	"context"
	"encoding/base64"
	"iter"
	"time"

	"mcpguard/toolcall"
)

// An Entry is a record as it is stored. The hash covers Prev and every field
// down to Body, so a store that changes one of them breaks the chain; what
// stands below is kept beside the chain and can be erased.
type Entry struct {
	Chain   string // the writer; each has a chain of its own
	Seq     uint64 // from 1, without gaps
	Kind    Kind
	Effect  toolcall.Effect
	Outcome toolcall.Outcome
	Session toolcall.ID
	Call    toolcall.ID
	At      time.Time // to the nanosecond, UTC
	Who     Ref       // zero: nobody
	Body    []byte    // see format.go
	Prev    toolcall.Digest
	Hash    toolcall.Digest

	Identity Identity // of Who; zero when it was erased
	Upstream string   // of the session, for lists
	Client   string   // what the client says of itself, for lists
	Blobs    []Blob   // long values that Body names by digest
}

// Ref points to an Identity without telling who it is: a keyed digest.
type Ref [16]byte

// IsZero reports whether the reference points nowhere.
func (r Ref) IsZero() bool { return r == Ref{} }

func (r Ref) String() string { return base64.RawURLEncoding.EncodeToString(r[:]) }

// An Identity holds the names of people and of their software. It is a row of
// its own: erasing it leaves every chain whole.
type Identity struct {
	Person, Subject, Issuer, Client string
	Act                             []string
}

// IsZero reports whether the identity is unknown or was erased.
func (i Identity) IsZero() bool { return i.Subject == "" && i.Issuer == "" && i.Person == "" }

// A Blob is a long value, kept once however many entries name it.
type Blob struct {
	Kind   string // "args", "result", "policy", "catalogue"
	Digest string
	Data   []byte
}

// Sink keeps entries.
type Sink interface {
	// Append keeps es, which continue their chain, and their identities,
	// sessions and blobs, in order. When it returns nil, all of them survive a
	// power failure. After an error any prefix of es may have been kept. It
	// must not hold on to es or their bytes. It is called by one goroutine a
	// chain.
	Append(ctx context.Context, es []Entry) error
	// Last is the newest durable entry of a chain, with Prev where the entry
	// before it is still there; a zero Entry (Seq 0) when there is none.
	Last(ctx context.Context, chain string) (Entry, error)
}

// Pruner removes the oldest entries of a chain.
type Pruner interface {
	// Expired is the newest entry (Seq and Hash are enough) of the oldest
	// prefix, at most `most` entries long, that should go: its entries are
	// older than before, or the store takes more than maxBytes. Zero: none.
	// The newest entry of a chain never goes, and nothing goes when that would
	// remove tombstones alone: each purge leaves one. A zero before and a
	// maxBytes of 0 bound nothing.
	Expired(ctx context.Context, chain string, before time.Time, maxBytes int64, most int) (Entry, error)
	// Purge removes the entries of tombstone.Chain up to upTo, with what only
	// they needed, and appends tombstone, in one transaction and as durably as
	// Append.
	Purge(ctx context.Context, upTo uint64, tombstone Entry) error
}

// Reader reads what was kept. Entries come with Identity where it is known.
type Reader interface {
	// Sessions lists sessions, the newest first. The error about a Prefix that
	// begins no id wraps ErrPrefix.
	Sessions(ctx context.Context, f Filter) ([]SessionInfo, error)
	// Entries are those of one session in the order of time, without Prev.
	Entries(ctx context.Context, session toolcall.ID) iter.Seq2[Entry, error]
	// Chains names all chains.
	Chains(ctx context.Context) ([]string, error)
	// Chain walks the entries of a chain behind seq after, in order, without Prev.
	Chain(ctx context.Context, chain string, after uint64) iter.Seq2[Entry, error]
}

// Blobs keeps long values by digest: policies, catalogues, definitions.
type Blobs interface {
	// PutBlob is durable when it returns nil. The same digest is kept once.
	PutBlob(ctx context.Context, kind, digest string, b []byte) error
	BlobReader
}

// BlobReader reads long values.
type BlobReader interface {
	// Blob is the value, or an error that wraps ErrNotFound.
	Blob(ctx context.Context, digest string) ([]byte, error)
}

// Filter narrows a list of sessions. Zero fields narrow nothing.
type Filter struct {
	Prefix   string            // of the session's id, with or without hyphens
	Since    time.Time         // sessions with an entry at or after it
	Caller   string            // person, subject or client, exactly
	Upstream string            // exactly
	Effects  []toolcall.Effect // sessions with a call that was decided so
	Limit    int               // at most so many
}

// SessionInfo is a session in a list.
type SessionInfo struct {
	ID          toolcall.ID
	Identity    Identity // zero when it was erased
	Who         Ref
	Upstream    string
	Client      string // what the client says of itself
	Start, Last time.Time
	Calls       int // forwarded
	Refused     int
	Failed      int // forwarded, with an outcome other than ok, or none yet
}
