package identity

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
	"time"

	"mcpguard/toolcall"
)

func digests(n int) []toolcall.Digest {
	list := make([]toolcall.Digest, n)
	for i := range list {
		list[i][0], list[i][1], list[i][31] = byte(i>>8), byte(i), 1
	}
	return list
}

func TestFind(t *testing.T) {
	list := digests(300)
	for i := range list {
		if got := find(list, list[i]); got != i {
			t.Fatalf("digest %d is found at %d", i, got)
		}
	}
	for name, want := range map[string]toolcall.Digest{"zero": {}, "near": {0, 7, 31: 2}} {
		if got := find(list, want); got != -1 {
			t.Errorf("the %s digest is found at %d", name, got)
		}
	}
	if got := find(nil, toolcall.Digest{}); got != -1 {
		t.Errorf("nothing is found at %d", got)
	}
}

// A search that stopped at the match would find the first of 20,000 digests
// thousands of times faster than the last; ours takes as long for every one.
// The least of many runs is compared, and a wide margin, so that a busy
// machine does not fail the test.
func TestFindTakesAsLongForEveryDigest(t *testing.T) {
	list := digests(20000)
	least := func(want toolcall.Digest) time.Duration {
		best := time.Hour
		for range 50 {
			start := time.Now()
			find(list, want)
			best = min(best, time.Since(start))
		}
		return best
	}
	first, last, none := least(list[0]), least(list[len(list)-1]), least(toolcall.Digest{31: 9})
	if low, high := min(first, last, none), max(first, last, none); high > 5*low {
		t.Errorf("first %v, last %v, none %v: the time tells which digest matched", first, last, none)
	}
}

// The comparison itself is the one of crypto/subtle, and the only one in find.
func TestFindComparesInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "token.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "find" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok {
					calls = append(calls, s.Sel.Name)
				}
			case *ast.IfStmt, *ast.SwitchStmt, *ast.IndexListExpr:
				t.Errorf("find branches on what it compares")
			case *ast.BinaryExpr:
				t.Errorf("find compares with %s", n.Op)
			}
			return true
		})
	}
	if want := []string{"ConstantTimeCompare", "ConstantTimeSelect"}; !slices.Equal(calls, want) {
		t.Errorf("find calls %v, want %v", calls, want)
	}
}
