package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxTokenFile bounds what is read of a token file, in bytes.
const maxTokenFile = 4096

// LocalToken reads the local user's token, or makes it when path does not
// exist: a file of mode 0600 in a folder that is made 0700 if need be. created
// says which. Whatever is not a regular file of this user, closed to everybody
// else, holding one token, is refused: a symlink, a looser mode, a short token.
func LocalToken(path string) (token Secret, created bool, err error) {
	token, err = readTokenFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, false, err
	}
	token, err = makeTokenFile(path)
	if errors.Is(err, fs.ErrExist) { // another process was faster
		token, err = readTokenFile(path)
		return token, false, err
	}
	return token, err == nil, err
}

func readTokenFile(path string) (Secret, error) {
	seen, err := os.Lstat(path)
	if err != nil {
		return Secret{}, fmt.Errorf("read the local token: %w", err)
	}
	if err := private(seen); err != nil {
		return Secret{}, fmt.Errorf("read the local token %s: %w", path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return Secret{}, fmt.Errorf("read the local token: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	opened, err := f.Stat()
	if err != nil {
		return Secret{}, fmt.Errorf("read the local token: %w", err)
	}
	if !os.SameFile(seen, opened) {
		return Secret{}, fmt.Errorf("read the local token %s: the file was exchanged while it was opened", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return Secret{}, fmt.Errorf("read the local token: %w", err)
	}
	token := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if len(token) < minToken || len(text) > maxTokenFile || !isToken68(token) {
		return Secret{}, fmt.Errorf("read the local token %s: the file does not hold one token; remove it, and the next start makes another", path)
	}
	return NewSecret(token), nil
}

// minToken is the least length of a local token: 128 bits in hexadecimal.
const minToken = 32

// private says why others could have written or read a file.
func private(info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case !onlyOwner(info):
		return fmt.Errorf("its mode %#o lets others in, or it belongs to somebody else; it must be this user's, with mode 0600", info.Mode().Perm())
	}
	return nil
}

// makeTokenFile writes a new token. The file appears whole or not at all:
// nobody finds half a token.
func makeTokenFile(path string) (Secret, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Secret{}, fmt.Errorf("make the local token: %w", err)
	}
	f, err := os.CreateTemp(dir, ".token-*") // mode 0600
	if err != nil {
		return Secret{}, fmt.Errorf("make the local token: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // the link stays
	token := NewToken()
	_, err = f.WriteString(token.Reveal() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path) // unlike a rename, never over another's file
	}
	if err != nil {
		return Secret{}, fmt.Errorf("make the local token: %w", err)
	}
	return token, nil
}
