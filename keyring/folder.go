package keyring

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A key file is hexadecimal and a newline: whole or evidently not.
const fileSize = 2*keySize + 1

// Open reads the ring in the folder dir. A folder that is missing or empty is
// filled with new keys, readable by its owner alone. One that others can read,
// that lacks a kind of key, or that holds anything else is refused: keys made
// in silence would make old digests and sealed texts worthless.
func Open(dir string) (*Ring, error) {
	r, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("open keys %s: %w", dir, err)
	}
	return r, nil
}

func open(dir string) (*Ring, error) {
	files, err := list(dir)
	prepare := fill
	if errors.Is(err, fs.ErrNotExist) {
		prepare, err = create, nil
	}
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		// Somebody who was faster than we made keys that are as good.
		if err := prepare(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if files, err = list(dir); err != nil {
			return nil, err
		}
	}
	r := &Ring{}
	for _, k := range kinds {
		keys, err := load(dir, k, files)
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return nil, fmt.Errorf("there is no %s key, but others are: put the file back from a backup", k)
		}
		r.add(k, keys...)
	}
	return r, nil
}

// file is the name of a key's file, read.
type file struct {
	kind       kind
	generation int
}

func (f file) name() string { return fmt.Sprintf("%s-%d.key", f.kind, f.generation) }

// list checks the folder and reads the names in it, oldest generation first.
func list(dir string) ([]file, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("it is no folder")
	}
	if err := private(info); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		f, ok := parseName(e.Name())
		if !ok {
			return nil, fmt.Errorf("%s is no key file: nothing else may be here", e.Name())
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.generation, b.generation) })
	return files, nil
}

func parseName(name string) (f file, ok bool) {
	k, rest, _ := strings.Cut(name, "-")
	number, _ := strings.CutSuffix(rest, ".key")
	generation, err := strconv.Atoi(number)
	f = file{kind(k), generation}
	return f, err == nil && generation > 0 && slices.Contains(kinds[:], f.kind) && f.name() == name
}

func load(dir string, k kind, files []file) (keys []key, err error) {
	for _, f := range files {
		if f.kind != k {
			continue
		}
		secret, err := read(filepath.Join(dir, f.name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name(), err)
		}
		keys = append(keys, newKey(k, secret))
	}
	return keys, nil
}

func read(path string) (secret [keySize]byte, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return secret, err
	}
	if !info.Mode().IsRegular() {
		return secret, errors.New("it is no regular file")
	}
	if err := private(info); err != nil {
		return secret, err
	}
	if info.Size() != fileSize {
		return secret, fmt.Errorf("it has %d bytes, a key file has %d", info.Size(), fileSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return secret, err
	}
	if len(text) != fileSize || text[fileSize-1] != '\n' {
		return secret, errors.New("it does not end as a key file does")
	}
	if _, err := hex.Decode(secret[:], text[:fileSize-1]); err != nil {
		return secret, errors.New("it is not hexadecimal")
	}
	if secret == [keySize]byte{} {
		return secret, errors.New("it holds only zeros")
	}
	return secret, nil
}

// private refuses what others than the owner can touch.
func private(info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		want := "0600"
		if info.IsDir() {
			want = "0700"
		}
		return fmt.Errorf("others can reach it (mode %#o): chmod %s it, and replace the keys if somebody may have", mode, want)
	}
	return nil
}

// create makes a folder with one key of each kind, whole or not at all.
func create(dir string) error {
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(parent, ".keys-") // 0700
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(fresh) }() // gone when all went well
	if err := fill(fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, dir); err != nil { // never replaces a folder
		return err
	}
	return syncFolder(parent)
}

// fill writes one key of each kind into a folder.
func fill(dir string) error {
	for _, k := range kinds {
		if err := write(filepath.Join(dir, file{k, 1}.name()), randomKey(k)); err != nil {
			return err
		}
	}
	return syncFolder(dir)
}

func write(path string, k key) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString(hex.EncodeToString(k.secret[:]) + "\n"); err != nil {
		return err
	}
	return f.Sync()
}

func syncFolder(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}
