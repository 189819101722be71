package toolpolicy

import (
	"bytes"
	"math/big"
	"strconv"
	"strings"

	"mcpguard/toolcall"
)

// Sums are exact. An amount is a whole number of parts of which 1e18 make 1, and
// is at most 1e36: what has more decimals or more digits is no amount that a
// budget can be kept of, and to add it up could take for ever.
const (
	decimals = 18
	integers = 36
)

// largest is the largest amount.
var largest = func() toolcall.Number {
	n, err := toolcall.ParseNumber("1e" + strconv.Itoa(integers))
	if err != nil {
		panic(err)
	}
	return n
}()

// amountOf is a number as an amount; otherwise why it is none, in words that do
// not quote it. Its cost is bounded by the length of the number, whatever its
// exponent.
func amountOf(n, most toolcall.Number) (a *big.Int, why string) {
	switch {
	case !n.Comparable():
		return nil, "is a number beyond comparison"
	case n.Compare(toolcall.Number{}) < 0:
		return nil, "is negative, and would give back what others have used"
	case n.Compare(most) > 0:
		return nil, "is more than all that may be used"
	}
	mantissa, exponent, _ := bytes.Cut(n.AppendCanonical(nil), []byte{'e'})
	place := int64(decimals)
	if len(exponent) > 0 {
		e, err := strconv.ParseInt(string(exponent), 10, 64)
		if err != nil {
			return nil, "is a number beyond comparison"
		}
		place += e
	}
	if place < 0 {
		return nil, "has more than " + strconv.Itoa(decimals) + " decimals"
	}
	// It is at most 1e36, so place is small and so is the number of digits.
	a, ok := new(big.Int).SetString(string(mantissa)+strings.Repeat("0", int(place)), 10)
	if !ok {
		return nil, "is a number beyond comparison"
	}
	return a, ""
}

// amountText is an amount as people write it: 10000, 0.5.
func amountText(a *big.Int) string {
	digits := a.String()
	if len(digits) <= decimals {
		digits = strings.Repeat("0", decimals+1-len(digits)) + digits
	}
	whole, fraction := digits[:len(digits)-decimals], strings.TrimRight(digits[len(digits)-decimals:], "0")
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}
