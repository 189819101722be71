package keyring

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// made is a folder with keys, and the ring in it.
func made(t *testing.T) (dir string, r *Ring) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state", "keys")
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, r
}

func TestTheFirstStartMakesKeysForTheOwnerAlone(t *testing.T) {
	dir, _ := made(t)
	if mode := stat(t, dir).Mode(); mode != fs.ModeDir|0o700 {
		t.Errorf("the folder has mode %v", mode)
	}
	for _, name := range []string{"mac-1.key", "seal-1.key", "sign-1.key"} {
		if info := stat(t, filepath.Join(dir, name)); info.Mode() != 0o600 || info.Size() != fileSize {
			t.Errorf("%s has mode %v and %d bytes", name, info.Mode(), info.Size())
		}
	}
	if all, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(all) != 1 {
		t.Errorf("beside the folder something was left: %v, %v", all, err)
	}
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestAnotherStartReadsTheSameKeys(t *testing.T) {
	dir, first := made(t)
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first.MAC("p", []byte("x")) != again.MAC("p", []byte("x")) || !first.PublicKeys()[0].Equal(again.PublicKeys()[0]) ||
		first.MACKeyID() != again.MACKeyID() {
		t.Error("the keys are others")
	}
	if got, err := again.Open("p", nil, first.Seal("p", nil, []byte("kept"))); err != nil || string(got) != "kept" {
		t.Errorf("Open: %q, %v", got, err)
	}
}

func TestAnEmptyFolderIsFilled(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	stat(t, filepath.Join(dir, "mac-1.key"))
}

func TestTwoFirstStartsAtOnceShareTheKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	ids := make([]string, 8)
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			r, err := Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = r.MACKeyID()
		})
	}
	group.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("keys of several makers: %v", ids)
		}
	}
}

func TestTheNewestKeyWritesAndOldOnesRead(t *testing.T) {
	dir, old := made(t)
	sealed, mac := old.Seal("p", nil, []byte("kept")), old.MAC("p", nil)
	for _, k := range kinds {
		if err := write(filepath.Join(dir, file{k, 10}.name()), randomKey(k)); err != nil { // 10 is after 9, and 1
			t.Fatal(err)
		}
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Open("p", nil, sealed); err != nil || string(got) != "kept" {
		t.Errorf("what the old key sealed: %q, %v", got, err)
	}
	if _, err := old.Open("p", nil, r.Seal("p", nil, nil)); !errors.Is(err, ErrSealed) {
		t.Errorf("the old key still seals: %v", err)
	}
	if r.MAC("p", nil) == mac || r.MACKeyID() == old.MACKeyID() {
		t.Error("the old key still makes digests")
	}
	if keys := r.PublicKeys(); len(keys) != 2 || !ed25519.Verify(keys[0], nil, r.Sign(nil)) || !ed25519.Verify(keys[1], nil, old.Sign(nil)) {
		t.Error("the old signatures cannot be checked any more")
	}
}

func TestAFolderThatIsNotAsItWasLeftIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string
	}{
		"others can list it":      {func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o755)) }, "chmod 0700"},
		"others can read a key":   {func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/mac-1.key", 0o640)) }, "mac-1.key: others can reach it (mode 0640): chmod 0600"},
		"a kind is missing":       {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/seal-1.key")) }, "there is no seal key"},
		"a key is short":          {func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/mac-1.key", 10)) }, "it has 10 bytes"},
		"a key is empty":          {func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/sign-1.key", 0)) }, "sign-1.key: it has 0 bytes"},
		"a key is no hexadecimal": {func(t *testing.T, dir string) { put(t, dir+"/mac-1.key", strings.Repeat("z", 64)+"\n") }, "not hexadecimal"},
		"a key has no end":        {func(t *testing.T, dir string) { put(t, dir+"/mac-1.key", strings.Repeat("a", 65)) }, "does not end"},
		"a key is all zeros":      {func(t *testing.T, dir string) { put(t, dir+"/mac-1.key", strings.Repeat("0", 64)+"\n") }, "only zeros"},
		"a stranger":              {func(t *testing.T, dir string) { put(t, dir+"/notes.txt", "x") }, "notes.txt is no key file"},
		"generation zero":         {func(t *testing.T, dir string) { put(t, dir+"/mac-0.key", "x") }, "mac-0.key is no key file"},
		"a name spelled oddly":    {func(t *testing.T, dir string) { put(t, dir+"/mac-02.key", "x") }, "mac-02.key is no key file"},
		"a link for a key": {func(t *testing.T, dir string) {
			must(t, os.Rename(dir+"/mac-1.key", dir+"/../mac"))
			must(t, os.Symlink("../mac", dir+"/mac-1.key"))
		}, "no regular file"},
		"a folder for a key": {func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/mac-2.key", 0o700)) }, "no regular file"},
		"a link for it all": {func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+"2"))
			must(t, os.Symlink(dir+"2", dir))
		}, "it is no folder"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := made(t)
			secret, err := os.ReadFile(filepath.Join(dir, "mac-1.key"))
			must(t, err)
			c.change(t, dir)
			r, err := Open(dir)
			if r != nil || err == nil {
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "open keys ") {
				t.Errorf("error %q, want %q in it", err, c.want)
			}
			if strings.Contains(err.Error(), string(secret[:64])) {
				t.Errorf("the error tells a key: %v", err)
			}
		})
	}
}

func TestAKeyFileIsHexadecimal(t *testing.T) {
	dir, r := made(t)
	text, err := os.ReadFile(filepath.Join(dir, "mac-1.key"))
	must(t, err)
	if want := hex.EncodeToString(r.mac[0].secret[:]) + "\n"; string(text) != want {
		t.Errorf("the file is of %d bytes, and not the key", len(text))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}
