package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// Root, who may read everything, reads here as a user who owns nothing; only Linux
// lets a thread do that. The thread ends with the test: it is never unlocked.
func TestAReaderSaysThatItMayNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	if err := os.WriteFile(path, nil, 0o200); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := os.Chmod(dir, 0o755); err != nil { // it is the file that may not be read
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		const nobody = 65534
		runtime.LockOSThread()
		t.Cleanup(func() {
			if err := syscall.Setfsuid(0); err != nil { // before the folder is removed
				t.Fatal(err)
			}
		})
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("the folder may not be read either: %v", err)
		}
	}
	if _, err := OpenReader(t.Context(), "sqlite://"+path); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("OpenReader: %v", err)
	}
}
