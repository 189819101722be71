package redact

// creditCard is a number of 13 to 19 digits, alone or with single spaces or
// hyphens between groups, that a card scheme issues (ISO/IEC 7812-1: by its
// first digits and its length) and whose check digit is right.
func creditCard(s string, i, _ int) (start, end int) {
	if !begins(s, i, &alnum) || isFraction(s, i) {
		return 0, 0
	}
	var number [19]byte
	n := 0
	for j := i; j < len(s); j++ {
		switch c := s[j]; {
		case isDigit(c):
			if n == len(number) {
				return start, end
			}
			number[n] = c - '0'
			n++
			if cardLength(&number, n) && endsNumber(s, j+1) && luhn(number[:n]) {
				start, end = i, j+1
			}
			continue
		case (c == ' ' || c == '-') && j > i && isDigit(s[j-1]):
			continue
		}
		break
	}
	return start, end
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isFraction reports whether digits at i stand behind a decimal point.
func isFraction(s string, i int) bool { return i > 1 && s[i-1] == '.' && isDigit(s[i-2]) }

// endsNumber reports whether a number can end at i: no letter, digit or
// decimals follow.
func endsNumber(s string, i int) bool {
	return ends(s, i, &alnum) && (i+1 >= len(s) || s[i] != '.' || !isDigit(s[i+1]))
}

// cardLength reports whether a scheme issues numbers of n digits that begin so.
func cardLength(number *[19]byte, n int) bool {
	if n < 13 {
		return false
	}
	two := int(number[0])*10 + int(number[1])
	three := two*10 + int(number[2])
	four := three*10 + int(number[3])
	switch {
	case number[0] == 4: // Visa
		return n == 13 || n == 16 || n == 19
	case 51 <= two && two <= 55 || 2221 <= four && four <= 2720: // Mastercard
		return n == 16
	case two == 34 || two == 37: // American Express
		return n == 15
	case four == 6011 || 644 <= three && three <= 649 || two == 65 || two == 62: // Discover, UnionPay
		return n >= 16
	case 3528 <= four && four <= 3589: // JCB
		return n >= 16
	case 300 <= three && three <= 305 || two == 36 || two == 38 || two == 39: // Diners Club
		return n == 14 || n >= 16
	}
	return false
}

// luhn checks the check digit (ISO/IEC 7812-1, annex B).
func luhn(number []byte) bool {
	sum := 0
	for i := range number {
		d := int(number[len(number)-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// iban is an account number with the length of its country and the right check
// digits (ISO 13616-1), in one piece or in groups with single spaces between.
func iban(s string, i, _ int) (start, end int) {
	if len(s) < i+15 || !isDigit(s[i+2]) || !isDigit(s[i+3]) || !begins(s, i, &alnum) {
		return 0, 0
	}
	length := ibanLength(s[i]&^0x20, s[i+1]&^0x20)
	var chars [34]byte
	n, j := 0, i
	for ; n < length && j < len(s); j++ {
		c := s[j]
		switch {
		case alnum.has(c):
			chars[n] = c
			n++
		case c != ' ' || s[j-1] == ' ':
			return 0, 0
		}
	}
	if length == 0 || n < length || !ends(s, j, &alnum) {
		return 0, 0
	}
	remainder := 0
	for k := range n {
		c := chars[(k+4)%n] // the first four characters count last
		if isDigit(c) {
			remainder = (remainder*10 + int(c-'0')) % 97
		} else {
			remainder = (remainder*100 + int(c&^0x20-'A') + 10) % 97
		}
	}
	if remainder != 1 {
		return 0, 0
	}
	return i, j
}

// ibanLength is the number of characters in a country's account numbers (IBAN
// Registry, release 99), or 0.
func ibanLength(a, b byte) int {
	switch string([]byte{a, b}) {
	case "NO":
		return 15
	case "BE":
		return 16
	case "DK", "FI", "FK", "FO", "GL", "NL", "SD":
		return 18
	case "MK", "SI":
		return 19
	case "AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK":
		return 20
	case "CH", "HR", "LI", "LV":
		return 21
	case "BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS", "VA":
		return 22
	case "AE", "GI", "IL", "IQ", "OM", "SO", "TL":
		return 23
	case "AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG":
		return 24
	case "LY", "PT", "ST":
		return 25
	case "IS", "TR":
		return 26
	case "BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM":
		return 27
	case "AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "NI", "PL", "SV":
		return 28
	case "BR", "EG", "PS", "QA", "UA":
		return 29
	case "JO", "KW", "MU", "YE":
		return 30
	case "MT", "SC":
		return 31
	case "LC":
		return 32
	case "RU":
		return 33
	}
	return 0
}

// usSSN is a number of the form 123-45-6789, with hyphens or spaces, that the
// Social Security Administration could have issued: no area 000, 666 or from
// 900 up, no group 00, no serial 0000.
func usSSN(s string, i, _ int) (start, end int) {
	const form = "ddd-dd-dddd"
	if len(s) < i+len(form) || !begins(s, i, &base64url) || isFraction(s, i) {
		return 0, 0
	}
	t := s[i : i+len(form)]
	for j := range len(form) {
		if form[j] == 'd' && !isDigit(t[j]) || form[j] == '-' && (t[j] != t[3] || t[j] != '-' && t[j] != ' ') {
			return 0, 0
		}
	}
	if t[:3] == "000" || t[:3] == "666" || t[0] == '9' || t[4:6] == "00" || t[7:] == "0000" {
		return 0, 0
	}
	if !ends(s, i+len(form), &base64url) {
		return 0, 0
	}
	return i, i + len(form)
}
