package toolpolicy_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// The attacks on shell and argv, and what passes.
func TestShellCorpus(t *testing.T) {
	const path = "../testdata/match/shell.txtar"
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	runArchive(t, path, a)
}
