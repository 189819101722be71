// Package store keeps what must survive a restart. It implements the
// interfaces of the rooms that own the state, by shape, and knows what no
// record means.
//
// A store is one SQLite file, written by one process at a time and readable by
// others meanwhile.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Errors of Open and OpenReader, to be tested with errors.Is.
var (
	// ErrLocked: another process writes this store.
	ErrLocked = errors.New("another mcpguard writes this store")
	// ErrNewer: a newer mcpguard made this store.
	ErrNewer = errors.New("the store was made by a newer mcpguard")
	// ErrOlder: this store must be opened for writing once before it can be read.
	ErrOlder = errors.New("the store was made by an older mcpguard")
	// ErrForeign: the file is no store of mcpguard.
	ErrForeign = errors.New("not a store of mcpguard")
	// ErrCorrupt: the file is damaged.
	ErrCorrupt = errors.New("the store is damaged")
)

// Open opens the store at url for writing and makes it when it does not exist:
// sqlite://PATH, relative or absolute. Nobody else can write it until Close.
func Open(ctx context.Context, url string) (*Store, error) {
	path, err := Path(url)
	if err != nil {
		return nil, fmt.Errorf("open store: %w: want sqlite://PATH", err)
	}
	return openWriter(ctx, path)
}

// OpenReader opens the store at url for reading alone, while another process
// may write it. It makes and changes nothing.
func OpenReader(ctx context.Context, url string) (*Reader, error) {
	path, err := Path(url)
	if err != nil {
		return nil, fmt.Errorf("open store: %w: want sqlite://PATH", err)
	}
	return openReader(ctx, path)
}

// Path is the file of the store at url, as url has it: relative or absolute. An
// error says what is wrong with url and does not quote it: it may hold a password.
func Path(url string) (string, error) {
	scheme, path, ok := strings.Cut(url, "://")
	switch {
	case !ok:
		return "", errors.New("it names no kind of store")
	case scheme == "postgres" || scheme == "postgresql":
		return "", errors.New("PostgreSQL is not available in this version")
	case scheme != "sqlite":
		return "", errors.New("there is no such kind of store")
	case path == "" || strings.Contains(path, "\x00"):
		return "", errors.New("it names no file")
	case strings.HasPrefix(path, ":"):
		return "", errors.New("a record that does not survive the process is none")
	case strings.ContainsAny(path, "?#"):
		return "", errors.New("a store takes no options")
	}
	return path, nil
}
