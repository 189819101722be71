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
	path, err := sqlitePath(url)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return openWriter(ctx, path)
}

// OpenReader opens the store at url for reading alone, while another process
// may write it. It makes and changes nothing.
func OpenReader(ctx context.Context, url string) (*Reader, error) {
	path, err := sqlitePath(url)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return openReader(ctx, path)
}

func sqlitePath(url string) (string, error) {
	scheme, path, ok := strings.Cut(url, "://")
	switch {
	case !ok:
		return "", fmt.Errorf("%q is no store: want sqlite://PATH", url)
	case scheme == "postgres" || scheme == "postgresql":
		return "", errors.New("PostgreSQL is not available in this version: use sqlite://PATH")
	case scheme != "sqlite":
		return "", fmt.Errorf("unknown kind of store %q: want sqlite://PATH", scheme)
	case path == "" || strings.ContainsAny(path, "?#\x00") || strings.HasPrefix(path, ":"):
		return "", fmt.Errorf("%q names no file: want sqlite://PATH", url)
	}
	return path, nil
}
