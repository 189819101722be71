package toolcall

import (
	"bytes"
	"cmp"
	"errors"
	"strconv"
	"strings"
)

// Number is the exact decimal value of a JSON number. Nothing is rounded:
// 9007199254740993 and 1000.0000000000000000001 keep every digit, and 1e400 is
// larger than 1e399. The zero Number is 0.
type Number struct {
	negative bool
	digits   hidden // digits and at most one point, as written; empty for 0
	exponent int64  // power of ten that the digits are multiplied by
	vast     hidden // the exponent as written, where it is beyond maxExponent
}

// ErrNumber says that a text is no JSON number.
var ErrNumber = errors.New("not a JSON number")

// ParseNumber reads a JSON number (RFC 8259, section 6), without white space.
func ParseNumber(text string) (Number, error) {
	j, err := Parse(text, Limits{Bytes: len(text)})
	if err != nil || j.Type() != NumberType || j.Len() != len(text) {
		return Number{}, ErrNumber
	}
	return numberOf(j.text()), nil
}

// maxExponent keeps sums of an exponent and a length inside an int64.
const maxExponent = 1 << 40

// numberOf reads a proved number.
func numberOf(text string) Number {
	var n Number
	if text[0] == '-' {
		n.negative, text = true, text[1:]
	}
	if i := exponentMark(text); i < len(text) {
		exponent, err := strconv.ParseInt(text[i+1:], 10, 64)
		if err != nil || exponent > maxExponent || exponent < -maxExponent {
			n.vast = hide(text[i+1:])
		} else {
			n.exponent = exponent
		}
		text = text[:i]
	}
	if firstDigit(text) == len(text) {
		return Number{}
	}
	n.digits = hide(text)
	return n
}

// exponentMark is where the e of a number stands, or its end.
func exponentMark(text string) int {
	for i := range len(text) {
		if text[i]|0x20 == 'e' {
			return i
		}
	}
	return len(text)
}

// firstDigit is where the first digit that is not zero stands, or the end.
func firstDigit(digits string) int {
	i := 0
	for i < len(digits) && (digits[i] == '0' || digits[i] == '.') {
		i++
	}
	return i
}

// Comparable reports whether the number can be judged at all: an exponent
// beyond a trillion is no amount of anything. Compare and AppendCanonical are
// exact all the same.
func (n Number) Comparable() bool { return n.vast.size == 0 }

// Compare is -1, 0 or +1 as n is less than, equal to or greater than m.
func (n Number) Compare(m Number) int {
	if c := cmp.Compare(n.sign(), m.sign()); c != 0 || n.sign() == 0 {
		return c
	}
	return n.sign() * n.compareSize(m)
}

func (n Number) sign() int {
	switch {
	case n.digits.size == 0:
		return 0
	case n.negative:
		return -1
	}
	return 1
}

// compareSize compares absolute values, neither of them zero: first the place
// of the leading digit, then digit by digit.
func (n Number) compareSize(m Number) int {
	a, b := n.significand(), m.significand()
	if c := n.comparePlaces(m, a.place, b.place); c != 0 {
		return c
	}
	for {
		x, moreOfA := a.next()
		y, moreOfB := b.next()
		if x != y {
			return cmp.Compare(x, y)
		}
		if !moreOfA && !moreOfB {
			return 0
		}
	}
}

func (n Number) comparePlaces(m Number, a, b int64) int {
	if n.Comparable() && m.Comparable() {
		return cmp.Compare(a+n.exponent, b+m.exponent)
	}
	return compareDecimals(string(n.appendExponent(nil, a)), string(m.appendExponent(nil, b)))
}

// compareDecimals compares integers that are written without needless zeros.
func compareDecimals(a, b string) int {
	negativeA, negativeB := a[0] == '-', b[0] == '-'
	switch {
	case negativeA && negativeB:
		a, b = b[1:], a[1:]
	case negativeA:
		return -1
	case negativeB:
		return 1
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// significand walks the digits of a number from the first that is not zero.
type significand struct {
	digits string
	place  int64 // power of ten of the first digit, before the exponent
}

func (n Number) significand() significand {
	digits := n.digits.reveal()
	whole := strings.IndexByte(digits, '.')
	if whole < 0 {
		whole = len(digits)
	}
	first := firstDigit(digits)
	place := int64(whole - first)
	if first < whole {
		place--
	}
	return significand{digits[first:], place}
}

// next is the next digit; past the end it is '0' and false.
func (s *significand) next() (byte, bool) {
	if s.digits != "" && s.digits[0] == '.' {
		s.digits = s.digits[1:]
	}
	if s.digits == "" {
		return '0', false
	}
	c := s.digits[0]
	s.digits = s.digits[1:]
	return c, true
}

// Integer reports whether the value has no fraction: 5, 5.0 and 50e-1 have none.
func (n Number) Integer() bool {
	switch {
	case n.sign() == 0:
		return true
	case !n.Comparable():
		return n.vast.reveal()[0] != '-'
	}
	s := n.significand()
	last, place := s.place, s.place
	for c, ok := s.next(); ok; c, ok = s.next() {
		if c != '0' {
			last = place
		}
		place--
	}
	return last+n.exponent >= 0
}

// AppendCanonical appends the one form that all equal numbers share, and no
// others: an integer mantissa without trailing zeros, and an exponent where it
// is not zero.
func (n Number) AppendCanonical(dst []byte) []byte {
	if n.sign() == 0 {
		return append(dst, '0')
	}
	if n.negative {
		dst = append(dst, '-')
	}
	s := n.significand()
	start := len(dst)
	whole, fraction, _ := strings.Cut(s.digits, ".")
	dst = append(append(dst, whole...), fraction...)
	for dst[len(dst)-1] == '0' { // the first digit is none
		dst = dst[:len(dst)-1]
	}
	place := s.place + 1 - int64(len(dst)-start)
	if n.Comparable() && place+n.exponent == 0 {
		return dst
	}
	return n.appendExponent(append(dst, 'e'), place)
}

// appendExponent appends the exponent plus add as an integer without needless
// zeros.
func (n Number) appendExponent(dst []byte, add int64) []byte {
	if n.Comparable() {
		return strconv.AppendInt(dst, n.exponent+add, 10)
	}
	// A vast exponent outweighs add, which is at most the length of a text, so
	// the sum has its sign. One more digit in front takes the last carry.
	vast := n.vast.reveal()
	if vast[0] == '-' {
		dst, add = append(dst, '-'), -add
	}
	start := len(dst)
	dst = append(append(dst, '0'), strings.TrimLeft(vast, "+-0")...)
	for i := len(dst) - 1; add != 0; i-- {
		sum := int64(dst[i]-'0') + add
		digit := (sum%10 + 10) % 10
		dst[i], add = '0'+byte(digit), (sum-digit)/10
	}
	return append(dst[:start], bytes.TrimLeft(dst[start:], "0")...)
}

// Float64 is the nearest double, and whether it is the exact value. Beyond the
// largest double it is an infinity, which is never exact.
func (n Number) Float64() (f float64, exact bool) {
	if n.sign() == 0 {
		return 0, true
	}
	f, err := strconv.ParseFloat(string(n.AppendCanonical(nil)), 64)
	if err != nil {
		return f, false // out of range
	}
	// No double has more than 767 significant digits, so these are all of them.
	all := strconv.AppendFloat(nil, f, 'e', 766, 64)
	return f, numberOf(string(all)).Compare(n) == 0
}
