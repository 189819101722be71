package toolpolicy_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// What a caller could send to mislead an expression.
func TestExpressionsCannotBeMisled(t *testing.T) {
	const path = "../testdata/match/cel.txtar"
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	runArchive(t, path, a)
}
