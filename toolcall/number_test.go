package toolcall_test

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

func number(t testing.TB, text string) toolcall.Number {
	t.Helper()
	n, err := toolcall.ParseNumber(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}

// checkNumber holds what a single number says of itself against the model, and
// in reach of big.Rat against that.
func checkNumber(t *testing.T, text string, n toolcall.Number) {
	t.Helper()
	w := worthOf(text)
	power, _ := new(big.Int).SetString(w.exponent, 10)
	if got, want := n.Integer(), power.Sign() >= 0; got != want {
		t.Fatalf("%s is an integer: %v, want %v", text, got, want)
	}
	canonical := string(n.AppendCanonical(nil))
	if again := number(t, canonical); again.Compare(n) != 0 || string(again.AppendCanonical(nil)) != canonical {
		t.Fatalf("%s has the canonical form %s, which is another number", text, canonical)
	}
	f, exact := n.Float64()
	if !power.IsInt64() || max(power.Int64(), -power.Int64()) > 2000 {
		return
	}
	rat, ok := new(big.Rat).SetString(text)
	if !ok {
		if w.mantissa != "0" {
			t.Fatalf("big.Rat refuses %s", text)
		}
		return // it does not look at how many times nothing is taken
	}
	if got, ok := new(big.Rat).SetString(canonical); !ok || got.Cmp(rat) != 0 {
		t.Fatalf("%s has the canonical form %s, of another value", text, canonical)
	}
	if want, same := rat.Float64(); f != want || exact != same {
		t.Fatalf("%s as a double: %v exact %v, want %v exact %v", text, f, exact, want, same)
	}
}

func TestNumberCanonical(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "0e99999999999999999999": "0",
		"1": "1", "-1": "-1", "100": "1e2", "1e2": "1e2", "1E+02": "1e2", "100.0": "1e2",
		"0.001": "1e-3", "1.50": "15e-1", "-12.340e1": "-1234e-1",
		"9007199254740993":               "9007199254740993",
		"1000.0000000000000000001":       "10000000000000000000001e-19",
		"1e400":                          "1e400",
		"1e1099511627776":                "1e1099511627776", // the last exponent that compares
		"1e1099511627777":                "1e1099511627777",
		"0.1e1099511627777":              "1e1099511627776",
		"100e1099511627774":              "1e1099511627776",
		"1e99999999999999999999":         "1e99999999999999999999",
		"10e99999999999999999999":        "1e100000000000000000000",
		"0.001e100000000000000000001":    "1e99999999999999999998",
		"-1.5e-99999999999999999999":     "-15e-100000000000000000000",
		"100e-100000000000000000000":     "1e-99999999999999999998",
		"1e+000000000000000000000000005": "1e5",
		"1e9223372036854775807":          "1e9223372036854775807",
		"1e-9223372036854775809":         "1e-9223372036854775809",
	} {
		n := number(t, text)
		if got := string(n.AppendCanonical(nil)); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
		checkNumber(t, text, n)
	}
}

func TestNumberOrder(t *testing.T) {
	ascending := []string{
		"-1e99999999999999999999", "-1e1099511627777", "-1e400", "-9007199254740993", "-9007199254740992", "-1.5", "-1",
		"-1e-99999999999999999999", "0", "1e-100000000000000000000", "1e-99999999999999999999", "1e-1099511627777", "1e-400",
		"0.0000001", "0.1", "0.99999999999999999999", "1", "1.00000000000000000001", "9", "10", "42000",
		"9007199254740992", "9007199254740993", "1e399", "1e400", "1e1099511627776", "1.5e1099511627776", "1e1099511627777",
		"1e99999999999999999999", "9e99999999999999999999", "1e100000000000000000000",
	}
	for i, a := range ascending {
		for k, b := range ascending {
			want := 0
			if i != k {
				want = map[bool]int{true: -1, false: 1}[i < k]
			}
			if got := number(t, a).Compare(number(t, b)); got != want {
				t.Errorf("compare %s with %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

// Policy leaves numbers alone that no amount can be: they are unknown to it.
func TestNumberComparable(t *testing.T) {
	for text, want := range map[string]bool{
		"0": true, "1e400": true, "1e1099511627776": true, "1e1099511627777": false,
		"-1e-1099511627777": false, "1e99999999999999999999": false,
	} {
		if got := number(t, text).Comparable(); got != want {
			t.Errorf("%s is comparable: %v, want %v", text, got, want)
		}
	}
}

func TestNumberFloat64(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  float64
		exact bool
	}{
		{"0", 0, true}, {"-0", 0, true}, {"0.5", 0.5, true}, {"0.1", 0.1, false}, {"1e22", 1e22, true},
		{"9007199254740993", 9007199254740992, false},
		{"1000.0000000000000000001", 1000, false},
		{"5e-324", math.SmallestNonzeroFloat64, false},
		{"1e400", math.Inf(1), false}, {"-1e99999999999999999999", math.Inf(-1), false},
		{"1e-400", 0, false}, {"1e-99999999999999999999", 0, false},
		{"1" + strings.Repeat("0", 300), 1e300, false},
		{"0." + strings.Repeat("0", 500) + "1e501", 1, true},
	} {
		if f, exact := number(t, c.text).Float64(); f != c.want || exact != c.exact {
			t.Errorf("%.40s: got %v exact %v, want %v exact %v", c.text, f, exact, c.want, c.exact)
		}
	}
	smallest := new(big.Rat).SetFloat64(math.SmallestNonzeroFloat64).FloatString(1100)
	if f, exact := number(t, smallest).Float64(); f != math.SmallestNonzeroFloat64 || !exact {
		t.Errorf("the smallest double in full: got %v exact %v", f, exact)
	}
}

func TestParseNumberRefuses(t *testing.T) {
	for _, text := range []string{"", " 1", "1 ", "+1", "01", "1.", ".5", "NaN", "0x1", "1_0", `"1"`, "true", "[1]", "1 2", "1e"} {
		if n, err := toolcall.ParseNumber(text); !errors.Is(err, toolcall.ErrNumber) || n.Compare(toolcall.Number{}) != 0 {
			t.Errorf("%q: got %v, %v; want zero and ErrNumber", text, n, err)
		}
	}
}

func TestNumberCompareDoesNotAllocate(t *testing.T) {
	a, limit := parse(t, `42000.50`), number(t, "500")
	allocs := testing.AllocsPerRun(100, func() {
		if n, ok := a.Number(); !ok || n.Compare(limit) != 1 || n.Integer() {
			t.Fatal("42000.50 is a fraction over 500")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
