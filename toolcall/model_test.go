package toolcall_test

import (
	"cmp"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"mcpguard/toolcall"
)

// tree reads a JSON through the cursors into what encoding/json decodes to with
// UseNumber, so that the two can be compared.
func tree(j toolcall.JSON) any {
	switch j.Type() {
	case toolcall.True:
		return true
	case toolcall.False:
		return false
	case toolcall.NumberType:
		return json.Number(j.Text())
	case toolcall.StringType:
		s, _ := j.Str()
		return s
	case toolcall.ArrayType:
		array := []any{}
		for e := j.Elements(); e.Next(); {
			array = append(array, tree(e.Value()))
		}
		return array
	case toolcall.ObjectType:
		object := map[string]any{}
		for m := j.Members(); m.Next(); {
			object[m.Name()] = tree(m.Value())
		}
		return object
	}
	return nil
}

// decode is encoding/json's reading of a text.
func decode(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("encoding/json refuses %.200q: %v", text, err)
	}
	return v
}

// meaning is a tree in which numbers are what they are worth, so that two trees
// are equal exactly when two texts mean the same.
func meaning(v any) any {
	switch v := v.(type) {
	case json.Number:
		return worthOf(string(v))
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = meaning(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name := range v {
			out[name] = meaning(v[name])
		}
		return out
	}
	return v
}

// worth is the slow model of a number: a whole mantissa without trailing zeros
// times a power of ten, both of any size.
type worth struct{ mantissa, exponent string }

func worthOf(text string) worth {
	digits, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	power := new(big.Int)
	if exponent != "" {
		power.SetString(strings.TrimPrefix(exponent, "+"), 10)
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	power.Sub(power, big.NewInt(int64(len(fraction))))
	mantissa, _ := new(big.Int).SetString(whole+fraction, 10)
	if mantissa.Sign() == 0 {
		return worth{"0", "0"}
	}
	all := mantissa.String()
	short := strings.TrimRight(all, "0")
	power.Add(power, big.NewInt(int64(len(all)-len(short))))
	return worth{short, power.String()}
}

// compare orders two numbers by the model.
func (w worth) compare(v worth) int {
	sign := func(w worth) int {
		switch {
		case w.mantissa == "0":
			return 0
		case w.mantissa[0] == '-':
			return -1
		}
		return 1
	}
	if s := sign(w); s != sign(v) || s == 0 {
		return cmp.Compare(s, sign(v))
	}
	// The place of the first digit decides; then both get as many digits.
	a, b := strings.TrimPrefix(w.mantissa, "-"), strings.TrimPrefix(v.mantissa, "-")
	place := func(digits, exponent string) *big.Int {
		n, _ := new(big.Int).SetString(exponent, 10)
		return n.Add(n, big.NewInt(int64(len(digits))))
	}
	c := place(a, w.exponent).Cmp(place(b, v.exponent))
	if c == 0 {
		size := max(len(a), len(b))
		c = strings.Compare(a+strings.Repeat("0", size-len(a)), b+strings.Repeat("0", size-len(b)))
	}
	return c * sign(w)
}

// respell writes the same value otherwise: members in another order, other
// escapes, numbers in another form, white space.
func respell(r *rand.Rand, v any) string {
	pad := func() string { return []string{"", "", " ", "\n\t"}[r.IntN(4)] }
	var out string
	switch v := v.(type) {
	case nil:
		out = "null"
	case bool:
		out = strconv.FormatBool(v)
	case json.Number:
		out = respellNumber(r, string(v))
	case string:
		out = respellString(r, v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = respell(r, v[i])
		}
		out = "[" + pad() + strings.Join(parts, ",") + "]"
	case map[string]any:
		var parts []string
		for name := range v { // in no order
			parts = append(parts, respellString(r, name)+pad()+":"+respell(r, v[name]))
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		out = "{" + pad() + strings.Join(parts, ",") + "}"
	}
	return pad() + out + pad()
}

func respellString(r *rand.Rand, s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case r.IntN(4) == 0 && c >= 0x10000:
			c -= 0x10000
			b.WriteString(`\u` + strconv.FormatInt(int64(0xD800+c>>10), 16))
			b.WriteString(`\U` + strings.ToUpper(strconv.FormatInt(int64(0xDC00+c&0x3FF), 16)))
		case c < 0x20 || c == '"' || c == '\\' || r.IntN(4) == 0 && c < 0x10000:
			hex := strconv.FormatInt(int64(c), 16)
			b.WriteString(`\u` + strings.Repeat("0", 4-len(hex)) + hex)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return strings.ReplaceAll(b.String(), `\U`, `\u`)
}

// respellNumber moves the point of a number and its exponent against it.
func respellNumber(r *rand.Rand, text string) string {
	w := worthOf(text)
	if w.mantissa == "0" {
		return []string{"0", "-0", "0.00", "0e99", "-0.0E-7"}[r.IntN(5)]
	}
	exponent, _ := new(big.Int).SetString(w.exponent, 10)
	sign, digits := "", w.mantissa
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	e := []string{"e", "E"}[r.IntN(2)]
	switch r.IntN(3) {
	case 0: // more zeros behind
		zeros := r.IntN(4)
		exponent.Sub(exponent, big.NewInt(int64(zeros)))
		return sign + digits + strings.Repeat("0", zeros) + e + exponent.String()
	case 1: // a fraction below one
		zeros := r.IntN(4)
		exponent.Add(exponent, big.NewInt(int64(zeros+len(digits))))
		return sign + "0." + strings.Repeat("0", zeros) + digits + e + exponent.String()
	}
	exponent.Add(exponent, big.NewInt(int64(len(digits)-1)))
	plus := ""
	if exponent.Sign() >= 0 && r.IntN(2) == 0 {
		plus = "+000"
	}
	return sign + digits[:1] + "." + digits[1:] + "0" + e + plus + exponent.String()
}

// randomValue makes a small document.
func randomValue(r *rand.Rand, depth int) any {
	names := []string{"a", "b", "a.b", "0", "1", "ssn", "*", "#", "@this", `x\y`, "", "é", "😀", "\x00"}
	n := r.IntN(9)
	if depth == 0 {
		n = r.IntN(5)
	}
	switch n {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2, 3:
		return json.Number(strconv.Itoa(r.IntN(2000)-1000) + []string{"", ".5", "e3", "e-20", "e99999999999999999999"}[r.IntN(5)])
	case 4:
		return names[r.IntN(len(names))] + "\"\n" + string(rune(r.IntN(utf8.MaxRune)))
	case 5, 6:
		array := []any{}
		for range r.IntN(5) {
			array = append(array, randomValue(r, depth-1))
		}
		return array
	}
	object := map[string]any{}
	for range r.IntN(6) {
		object[names[r.IntN(len(names))]] = randomValue(r, depth-1)
	}
	return object
}
