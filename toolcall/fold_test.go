package toolcall_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mcpguard/toolcall"
)

func TestSameFolded(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"path", "Path", true},
		{"path", "path", false}, // equal is not confusable: the scan refuses it
		{"params", "paramſ", true},
		{"token", "to\u212Aen", true},
		{"straße", "STRASSE", false}, // no reader folds one letter into two
		{"Σ", "ς", true},
		{"path", "path\x00", true},
		{"path\x00a", "PATH\x00b", true},
		{"\x00a", "", true},
		{"a_b", "ab", false},
		{"", "a", false},
	} {
		if got := toolcall.SameFolded(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %v, want %v", c.a, c.b, got, c.want)
		}
		if toolcall.SameFolded(c.a, c.b) != toolcall.SameFolded(c.b, c.a) {
			t.Errorf("%q and %q: the order matters", c.a, c.b)
		}
	}
}

// The names that Folded tells are the first pair that folds, few or many.
func TestFolded(t *testing.T) {
	for _, others := range []int{0, 3, 14, 15, 16, 200} {
		members := []string{`"path":1`}
		for i := range others {
			members = append(members, fmt.Sprintf(`"other%d":{"path":[]}`, i))
		}
		clean := "{" + strings.Join(members, ",") + "}"
		if a, b, ok := parse(t, clean).Folded(); ok {
			t.Errorf("%d names: %q and %q fold", others+1, a, b)
		}
		members = append(members, `"\u0050ATH":2`)
		for _, text := range []string{"{" + strings.Join(members, ",") + "}", `[0,{"in":{` + strings.Join(members, ",") + `}}]`} {
			if a, b, ok := parse(t, text).Folded(); !ok || a != "path" || b != "PATH" {
				t.Errorf("%d names: got %q, %q, %v; want path, PATH", len(members), a, b, ok)
			}
		}
	}
}

// Both ways to find a pair agree: pair by pair, and by table.
func FuzzFolded(f *testing.F) {
	f.Add("a\nA")
	f.Add("k\n\u212A\nK")
	f.Add("a\x00b\nA")
	f.Add("ǆ\nǅ\nß\nẞ")
	f.Fuzz(func(t *testing.T, text string) {
		names := strings.Split(strings.ToValidUTF8(text, "?"), "\n")
		names = names[:min(len(names), 16)]
		var members, padded []string
		seen := map[string]bool{}
		for _, n := range names {
			if !seen[n] {
				members = append(members, toolcall.Quote(n).Text()+":0")
			}
			seen[n] = true
		}
		want := false
		for a := range seen {
			for b := range seen {
				want = want || toolcall.SameFolded(a, b)
			}
		}
		padded = members
		for i := range 17 { // no name above has a line break
			padded = append(padded, fmt.Sprintf(`"\n%d":0`, i))
		}
		for _, members := range [][]string{members, padded} {
			object := "{" + strings.Join(members, ",") + "}"
			if a, b, ok := parse(t, object).Folded(); ok != want || ok && !toolcall.SameFolded(a, b) {
				t.Fatalf("%q: got %q, %q, %v; want %v", object, a, b, ok, want)
			}
		}
	})
}

// Deep arguments are read once, not once for every level.
func TestFoldedIsLinear(t *testing.T) {
	const levels = 5000
	deep := parse(t, strings.Repeat(`{"a":[`, levels/2)+`"`+strings.Repeat("x", 1<<20)+`"`+strings.Repeat("]}", levels/2))
	started := time.Now()
	if a, b, ok := deep.Folded(); ok {
		t.Errorf("%q and %q fold", a, b)
	}
	if got := deep.AppendCanonical(nil); string(got) != deep.Text() {
		t.Error("the canonical form of a canonical text differs")
	}
	if took := time.Since(started); took > 500*time.Millisecond { // 5000 times a megabyte takes seconds
		t.Errorf("a megabyte took %v", took)
	}
}

func TestFoldedDoesNotAllocate(t *testing.T) {
	args := parse(t, `{"path":"/srv/a","mode":"r","filter":{"ext":[".go",".md"],"max":10},"deep":[{"a":1,"b":2}]}`)
	allocs := testing.AllocsPerRun(100, func() {
		if _, _, ok := args.Folded(); ok {
			t.Fatal("folded")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
