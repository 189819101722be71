package toolpolicy

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// A glob means what it means to doublestar, for all patterns that both know,
// but for one thing: to doublestar a/** stands for a, and a*/** does not.
func TestGlobAgreesWithDoublestar(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	from := func(parts []string, most int) string {
		var b strings.Builder
		for range r.IntN(most) + 1 {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		return b.String()
	}
	matched, compared := 0, 0
	for range 200_000 {
		pattern := from([]string{"a", "b", "é", ".", "*", "?", "/", "/**/", "**/", "/**", "/*", "ab"}, 6)
		name := from([]string{"a", "b", "é", ".", "/", "ab", "/a", "/b/"}, 7)
		g, why := compileGlob(pattern)
		if why != "" || strings.Contains(name, "//") || strings.HasSuffix(name, "/") || strings.HasSuffix(pattern, "/") {
			continue // no path is like that
		}
		want, err := doublestar.Match(pattern, name)
		if err != nil {
			t.Fatalf("doublestar does not know %q: %v", pattern, err)
		}
		if above, found := strings.CutSuffix(pattern, "/**"); found && strings.HasSuffix(above, "*") && !want {
			if want, err = doublestar.Match(above, name); err != nil {
				t.Fatalf("doublestar does not know %q: %v", above, err)
			}
		}
		compared++
		if got := g.match(name); got != want {
			t.Fatalf("%q over %q: %v, to doublestar %v", pattern, name, got, want)
		}
		if want {
			matched++
		}
	}
	if compared < 20_000 || matched < 2000 {
		t.Errorf("%d compared, %d of them matched: the test tests too little", compared, matched)
	}
}

// A hostile path takes time linear in its length, whatever the glob.
func TestGlobDoesNotBacktrack(t *testing.T) {
	for _, c := range []struct{ pattern, path string }{
		{"**/a/**/a/**/a/**/a/**/a/**/b", strings.Repeat("a/", 50_000) + "c"},
		{"*a*a*a*a*a*a*a*a*b", strings.Repeat("a", 100_000)},
		{"**/*a*a*a*b/**/x", strings.Repeat("aaaaaaaa/", 12_000)},
		{"**/ß*/b", strings.Repeat("ß/", 20_000)},
	} {
		g, why := compileGlob(c.pattern)
		if why != "" {
			t.Fatal(why)
		}
		began := time.Now()
		if g.folded().matchAbove(c.path) || g.match(c.path) {
			t.Errorf("%s matches", c.pattern)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v over %d bytes", c.pattern, took, len(c.path))
		}
	}
}
