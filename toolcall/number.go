package toolcall

import (
	"cmp"
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// Number is the exact decimal value of a JSON number. Nothing is rounded:
// 9007199254740993 and 1000.0000000000000000001 keep every digit, and 1e400 is
// larger than 1e399. The zero Number is 0.
type Number struct {
	negative bool
	digits   string // significant digits and at most one point, as written
	exponent int64  // power of ten that the digits are multiplied by
	vast     bool   // the exponent is beyond any that can be compared
}

// ErrNumber says that a text is no JSON number.
var ErrNumber = errors.New("not a JSON number")

// ParseNumber reads a JSON number (RFC 8259, section 6).
func ParseNumber(text string) (Number, error) {
	j, err := Parse(text, Limits{Bytes: len(text), Depth: 0})
	if err != nil || j.Type() != NumberType {
		return Number{}, ErrNumber
	}
	return numberOf(j.text), nil
}

// numberOf reads a proved number.
func numberOf(text string) Number {
	var n Number
	if text[0] == '-' {
		n.negative, text = true, text[1:]
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exp, err := strconv.ParseInt(text[i+1:], 10, 64)
		n.exponent, n.vast = exp, err != nil || exp > maxExponent || exp < -maxExponent
		text = text[:i]
	}
	n.digits = text
	if n.isZero() {
		return Number{}
	}
	return n
}

// maxExponent keeps sums of an exponent and a length inside an int64.
const maxExponent = 1 << 40

func (n Number) isZero() bool {
	for i := range len(n.digits) {
		if c := n.digits[i]; c != '0' && c != '.' {
			return false
		}
	}
	return true
}

// Comparable reports whether the number can be judged at all: an exponent
// beyond a trillion is no amount of anything.
func (n Number) Comparable() bool { return !n.vast }

// Compare is -1, 0 or +1 as n is less than, equal to or greater than m. Both
// must be Comparable.
func (n Number) Compare(m Number) int {
	switch {
	case n.sign() != m.sign():
		return cmp.Compare(n.sign(), m.sign())
	case n.sign() == 0:
		return 0
	}
	c := n.compareSize(m)
	if n.negative {
		return -c
	}
	return c
}

func (n Number) sign() int {
	switch {
	case n.digits == "":
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
	if c := cmp.Compare(a.place, b.place); c != 0 {
		return c
	}
	for {
		x, okX := a.next()
		y, okY := b.next()
		if x != y {
			return cmp.Compare(x, y)
		}
		if !okX && !okY {
			return 0
		}
	}
}

// significand walks the digits of a number from the first that is not zero.
type significand struct {
	digits string
	place  int64 // power of ten of the first digit
}

func (n Number) significand() significand {
	whole := strings.IndexByte(n.digits, '.')
	if whole < 0 {
		whole = len(n.digits)
	}
	first := strings.IndexFunc(n.digits, func(r rune) bool { return r != '0' && r != '.' })
	place := int64(whole - first)
	if first < whole {
		place--
	}
	return significand{n.digits[first:], place + n.exponent}
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
	if n.sign() == 0 {
		return true
	}
	s := n.significand()
	last, place := s.place, s.place
	for {
		c, ok := s.next()
		if !ok {
			return last >= 0
		}
		if c != '0' {
			last = place
		}
		place--
	}
}

// AppendCanonical appends the one form that all equal numbers share: an integer
// mantissa without trailing zeros, and an exponent where it is not zero.
func (n Number) AppendCanonical(dst []byte) []byte {
	if n.sign() == 0 {
		return append(dst, '0')
	}
	if n.negative {
		dst = append(dst, '-')
	}
	s := n.significand()
	start, place := len(dst), s.place
	for c, ok := s.next(); ok; c, ok = s.next() {
		dst = append(dst, c)
		place--
	}
	for len(dst) > start+1 && dst[len(dst)-1] == '0' {
		dst, place = dst[:len(dst)-1], place+1
	}
	if place++; place != 0 {
		dst = strconv.AppendInt(append(dst, 'e'), place, 10)
	}
	return dst
}

// Float64 is the nearest double, and whether it is the exact value.
func (n Number) Float64() (f float64, exact bool) {
	if n.sign() == 0 {
		return 0, true
	}
	if n.vast || n.exponent > 400 || n.exponent < -1200 || len(n.digits) > 1200 {
		return 0, false
	}
	r, ok := new(big.Rat).SetString(string(n.AppendCanonical(nil)))
	if !ok {
		return 0, false
	}
	return r.Float64()
}
