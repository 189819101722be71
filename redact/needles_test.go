package redact

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// coveredBy is find, slowly: every byte of text inside an occurrence of a secret.
func coveredBy(text string, secrets []string) []bool {
	covered := make([]bool, len(text)+1)
	for _, s := range secrets {
		for i := range text {
			if strings.HasPrefix(text[i:], s) {
				for k := range len(s) {
					covered[i+k] = true
				}
			}
		}
	}
	return covered
}

// indexed is the index of secrets, each of which may come several times.
func indexed(secrets []secret, budget int) *needles {
	var r removed
	for _, s := range secrets {
		r.remove(s.text, s.rule)
	}
	n := &needles{}
	n.index(r.secrets, budget)
	return n
}

func checkFind(t *testing.T, text string, secrets []string) {
	t.Helper()
	var list []secret
	for i, s := range secrets {
		list = append(list, secret{s, i})
	}
	n := indexed(list, 1<<30)
	got := make([]bool, len(text)+1)
	last := -1
	for _, h := range n.find(text) {
		if h.start <= last || h.end <= h.start {
			t.Fatalf("hits out of order in %q for %q", text, secrets)
		}
		last = h.end
		for k := h.start; k < h.end; k++ {
			got[k] = true
		}
	}
	if want := coveredBy(text, secrets); !slices.Equal(got, want) {
		t.Fatalf("find %q in %q\n got %v\nwant %v", secrets, text, got, want)
	}
}

// Over an alphabet of two letters everything overlaps with everything.
func TestFindIsTheSlowSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ab"[r.IntN(8)/7]
		}
		return string(b)
	}
	for range 3000 {
		secrets := make([]string, 1+r.IntN(12))
		for i := range secrets {
			secrets[i] = word(window + r.IntN(12))
		}
		checkFind(t, word(r.IntN(120)), secrets)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("abababababababab", "ababababab", "abababab")
	f.Add("xx12345678yy", "12345678", "5678yyyyyy")
	f.Add("", "12345678", "12345678")
	f.Fuzz(func(t *testing.T, text, a, b string) {
		if len(a) < window || len(b) < window || len(text) > 4096 {
			return
		}
		checkFind(t, text, []string{a, b, a + b})
	})
}

// Of a value that two rules removed, the first rule is named.
func TestFindNamesTheFirstRule(t *testing.T) {
	n := indexed([]secret{{"12345678", 3}, {"abcdefgh", 2}, {"12345678", 5}}, 100)
	hits := n.find("..12345678")
	if len(hits) != 1 || hits[0] != (hit{2, 10, 3}) {
		t.Errorf("hits %v, want one of rule 3", hits)
	}
}

func TestSearchGivesUpOverItsBudget(t *testing.T) {
	n := indexed([]secret{{strings.Repeat("a", 1000), 0}}, 5000)
	n.find(strings.Repeat("a", 999))
	if !n.exhausted() {
		t.Error("half a million comparisons fit into a budget of 5000")
	}
	if n.find(strings.Repeat("a", 1000)) != nil {
		t.Error("an exhausted search goes on")
	}
}
