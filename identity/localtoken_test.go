package identity

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestLocalTokenIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "local.token")
	made, created, err := LocalToken(path)
	if err != nil || !created {
		t.Fatalf("first start: created %v, error %v", created, err)
	}
	read, created, err := LocalToken(path)
	if err != nil || created || read.Reveal() != made.Reveal() {
		t.Fatalf("second start: created %v, error %v, same token %v", created, err, read.Reveal() == made.Reveal())
	}
	for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %#o, want %#o", filepath.Base(path), got, want)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, error %v; want the token alone", left, err)
	}
}

// However many processes start at once, there is one token.
func TestLocalTokenOfManyStarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "local.token")
	var group sync.WaitGroup
	tokens := make([]string, 16)
	made := make([]bool, len(tokens))
	for i := range tokens {
		group.Go(func() {
			token, created, err := LocalToken(path)
			if err != nil {
				t.Error(err)
			}
			tokens[i], made[i] = token.Reveal(), created
		})
	}
	group.Wait()
	makers := 0
	for i := range tokens {
		if tokens[i] != tokens[0] {
			t.Fatal("two starts have different tokens")
		}
		if made[i] {
			makers++
		}
	}
	if makers != 1 {
		t.Errorf("%d starts made the token", makers)
	}
}

func TestLocalTokenRefusesWhatOthersCanTouch(t *testing.T) {
	token := NewToken().Reveal() + "\n"
	write := func(text string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil { // whatever the umask is
				t.Fatal(err)
			}
		}
	}
	link := func(t *testing.T, path string) {
		write(token, 0o600)(t, path+".real")
		if err := os.Symlink(path+".real", path); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		make func(*testing.T, string)
		want string
	}{
		"group may read":    {write(token, 0o640), "0640"},
		"others may read":   {write(token, 0o604), "0604"},
		"others may write":  {write(token, 0o602), "0602"},
		"a symlink":         {link, "symbolic link"},
		"a dangling link":   {func(t *testing.T, p string) { _ = os.Symlink(p+".none", p) }, "symbolic link"},
		"a folder":          {func(t *testing.T, p string) { _ = os.Mkdir(p, 0o700) }, "not a regular file"},
		"an empty file":     {write("", 0o600), "does not hold one token"},
		"a short token":     {write("mcpg_short\n", 0o600), "does not hold one token"},
		"two tokens":        {write(token+token, 0o600), "does not hold one token"},
		"blanks":            {write(" "+token, 0o600), "does not hold one token"},
		"more than a token": {write(strings.Repeat("a", maxTokenFile+1), 0o600), "does not hold one token"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "local.token")
			c.make(t, path)
			got, created, err := LocalToken(path)
			if err == nil || created || !got.IsZero() {
				t.Fatalf("accepted: created %v, error %v", created, err)
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), strings.TrimSpace(token)) {
				t.Errorf("error is %q, want %q in it and no token", err, c.want)
			}
		})
	}
}

func TestOSUserIsSomebody(t *testing.T) {
	if OSUser() == "" {
		t.Error("this process runs as nobody")
	}
}
