package toolcall_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// longDocument is a random document with values of every length around the one
// from which on their ends are noted: strings, arrays, objects, inside each other.
func longDocument(r *rand.Rand, depth int) string {
	lengths := []int{0, 3, 40, 4089, 4090, 4091, 4092, 4093, 4094, 4095, 4096, 4097, 9000}
	switch kind := r.IntN(5); {
	case depth == 0 || kind == 0:
		return `"` + strings.Repeat("x", lengths[r.IntN(len(lengths))]) + `"`
	case kind == 1:
		return [...]string{"1", "true", "null", `"\"}]"`, "[]", "{ }"}[r.IntN(6)]
	case kind < 4:
		var elements []string
		for range r.IntN(5) {
			elements = append(elements, longDocument(r, depth-1))
		}
		return "[" + strings.Repeat(" ", r.IntN(3)*2000) + strings.Join(elements, " , ") + "]"
	}
	var members []string
	for i := range r.IntN(5) {
		members = append(members, fmt.Sprintf(`"%s%d" : %s`, [...]string{"", "n", `\"`}[r.IntN(3)], i, longDocument(r, depth-1)))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// A text is read alike whether the ends of its long values are noted or not, from
// the top and from every part.
func TestLongTextsReadTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		text := " " + longDocument(r, 5) + " "
		limits := toolcall.Limits{Bytes: len(text), Depth: 128}
		plain, err := toolcall.Parse(text, limits)
		if err != nil {
			t.Fatal(err)
		}
		long, err := toolcall.ParseLong(text, limits)
		if err != nil {
			t.Fatal(err)
		}
		checkSame(t, long, plain)
	}
}

func checkSame(t *testing.T, long, plain toolcall.JSON) {
	t.Helper()
	if long.Text() != plain.Text() || !reflect.DeepEqual(tree(long), tree(plain)) {
		t.Fatalf("read differently: %.300s", plain.Text())
	}
	for m := plain.Members(); m.Next(); {
		checkSame(t, long.Member(m.Name()), m.Value())
		if p, err := toolcall.CompilePath(escapePath(m.Name())); err == nil {
			if v, found := long.Get(p); found != toolcall.Found || v.Text() != m.Value().Text() {
				t.Fatalf("%q is not found in %.300s", m.Name(), plain.Text())
			}
		}
	}
	i := 0
	for e := plain.Elements(); e.Next(); i++ {
		if v := at(t, long, fmt.Sprint(i)); v.Text() != e.Value().Text() {
			t.Fatalf("element %d of %.300s is not found", i, plain.Text())
		}
	}
}

// What is noted about a text is bounded, and one that is made of nothing but long
// values is still read right.
func TestTheOutlineOfATextIsBounded(t *testing.T) {
	inner := `[` + strings.Repeat(`"`+strings.Repeat("y", 5000)+`",`, 20) + `1]`
	text := `{"a":[` + strings.Repeat(strings.Repeat("[", 100)+inner+strings.Repeat("]", 100)+",", 20) + `2],"b":3}`
	j, err := toolcall.ParseLong(text, toolcall.Limits{Bytes: len(text), Depth: 128})
	if err != nil {
		t.Fatal(err)
	}
	if j.Member("b").Text() != "3" || !reflect.DeepEqual(tree(j), tree(parse(t, text))) {
		t.Error("read differently")
	}
}

// The notes are one allocation (and their spans another), none without a long value.
func TestParseLongAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIP: allocations are not counted under the race detector")
	}
	for text, most := range map[string]float64{
		`{"a":[` + strings.Repeat("1,", 1000) + `1]}`:   0,
		`{"a":[` + strings.Repeat("1,", 100000) + `1]}`: 2,
	} {
		limits := toolcall.Limits{Bytes: len(text), Depth: 128}
		allocs := testing.AllocsPerRun(20, func() {
			if _, err := toolcall.ParseLong(text, limits); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > most {
			t.Errorf("%d bytes: %v allocations, want at most %v", len(text), allocs, most)
		}
	}
}
