package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// nobodysUID is a user who owns nothing.
const nobodysUID = 65534

// asOrdinaryUser gives the folder to a user who is not root, and lets the test's
// thread reach files as that user does. Without root it changes nothing. The thread
// ends with the test: it is never unlocked.
func asOrdinaryUser(t *testing.T, folder string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobodysUID, nobodysUID)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil { // the folder of the test itself
		t.Fatal(err)
	}
	runtime.LockOSThread()
	reach := func(uid int) {
		if err := syscall.Setfsuid(uid); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { reach(0) }) // before the folder is removed
	reach(nobodysUID)
}

// Tests that cannot be looked for might fail: a policy whose folder cannot be read
// does not pass its own (law 12).
func TestLawTestsThatCannotBeFoundAreNotPassed(t *testing.T) {
	dir := folder(t, map[string]string{"policy.yaml": openPolicy})
	policy, err := loadPolicy(filepath.Join(dir, "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	asOrdinaryUser(t, dir)
	if err := os.Chmod(dir, 0o300); err != nil { // its files may be reached, and not listed
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(dir, 0o700) }() // for the removal of the folder
	if err := passesOwnTests(filepath.Join(dir, "policy.yaml"), policy); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("passed: %v", err)
	}
}
