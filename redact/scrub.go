package redact

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minSecret is from how many bytes on a known secret is searched for: a shorter
// one would blank out half the log.
const minSecret = 6

// maxLine is the longest line that a log gets, in bytes; of longer ones the end
// is dropped, and said so.
const maxLine = 4 << 10

// maxScrubbed is how much of a line is looked at.
const maxScrubbed = 64 << 10

// Scrubber makes single lines safe to log: what an upstream writes to stderr,
// and messages of errors that may quote it. It masks the secrets that mcpguard
// itself holds and gave to that upstream, and whatever has the shape of a
// credential. It is a net, not a proof: a secret that it does not know and that
// has no shape of its own goes through. It is immutable and does not print.
type Scrubber struct{ secrets []string }

// NewScrubber knows the given secrets; those shorter than 6 bytes are left out.
// A secret of several lines is known line by line.
func NewScrubber(secrets []string) *Scrubber {
	s := &Scrubber{}
	for _, secret := range secrets {
		for part := range strings.Lines(secret) {
			if part = strings.TrimSpace(part); len(part) >= minSecret {
				s.secrets = append(s.secrets, part)
			}
		}
	}
	slices.Sort(s.secrets)
	s.secrets = slices.Compact(s.secrets)
	return s
}

// Format keeps the secrets out of every fmt verb.
func (s *Scrubber) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte(s.LogValue().String()))
}

// LogValue keeps the secrets out of structured logs.
func (s *Scrubber) LogValue() slog.Value {
	if s == nil {
		return slog.StringValue("[no scrubber]")
	}
	return slog.StringValue(fmt.Sprintf("[scrubber of %d secrets]", len(s.secrets)))
}

// Line is line without control characters and terminal sequences, with every
// known secret masked, spelled plainly, in JSON escapes or percent-encoded, and
// with every credential shape masked; at most 4 KiB of it. A nil Scrubber knows
// no secrets.
func (s *Scrubber) Line(line string) Clean {
	cut := len(line) > maxScrubbed
	if cut {
		line = line[:maxScrubbed]
	}
	line = printable(line)
	if s != nil {
		line = s.maskKnown(line)
	}
	for _, shape := range shapes {
		line = shape.mask(line)
	}
	if cut && len(line) < maxLine {
		// Masks made it short enough to show where it was cut, and there may
		// stand a half of a secret.
		line = line[:max(0, len(line)-s.longest())]
		return Clean{strings.ToValidUTF8(line, "") + " [cut]"}
	}
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine], "") + " [cut]"
	}
	return Clean{line}
}

// longest is the longest form in which a known secret can stand in a line, or
// that a shape can have.
func (s *Scrubber) longest() int {
	longest := 1 << 10
	if s != nil {
		for _, secret := range s.secrets {
			longest = max(longest, 6*len(secret))
		}
	}
	return longest
}

// maskKnown masks the known secrets, as they stand and behind JSON escapes or
// percent-encoding.
func (s *Scrubber) maskKnown(line string) string {
	hits := s.known(line)
	for _, decode := range [...]func(string, int) (int, rune){jsonEscapeAt, percentAt} {
		decoded, places := decodeWith(line, decode)
		if len(decoded) == len(line) {
			continue
		}
		deeper := s.known(decoded)
		for i := range deeper {
			deeper[i].start, deeper[i].end = places[deeper[i].start], places[deeper[i].end]
		}
		hits = merge(hits, deeper)
	}
	if len(hits) == 0 {
		return line
	}
	var b strings.Builder
	at := 0
	for _, h := range hits {
		b.WriteString(line[at:h.start])
		b.WriteString(maskWord)
		at = h.end
	}
	b.WriteString(line[at:])
	return b.String()
}

// known finds the known secrets in text; what overlaps is one hit.
func (s *Scrubber) known(text string) []hit {
	var hits []hit
	for _, secret := range s.secrets {
		var of []hit
		for from := 0; ; from++ {
			i := strings.Index(text[from:], secret)
			if i < 0 {
				break
			}
			from += i
			end := from + len(secret)
			if last := len(of) - 1; last >= 0 && from <= of[last].end {
				of[last].end = end
			} else {
				of = append(of, hit{start: from, end: end})
			}
		}
		hits = merge(hits, of)
	}
	return hits
}

// decodeWith decodes a line; places tells for each decoded byte, and for the
// end, where it came from.
func decodeWith(line string, decode func(string, int) (int, rune)) (decoded string, places []int) {
	out := make([]byte, 0, len(line))
	for i := 0; i < len(line); {
		n, r := decode(line, i)
		before := len(out)
		if n == 1 {
			out = append(out, line[i])
		} else if r < 0 { // a byte, maybe of a longer character
			out = append(out, byte(-r))
		} else {
			out = utf8.AppendRune(out, r)
		}
		for range len(out) - before {
			places = append(places, i)
		}
		i += n
	}
	return string(out), append(places, len(line))
}

func jsonEscapeAt(s string, i int) (int, rune) {
	if s[i] != '\\' {
		return 1, 0
	}
	return escapeAt(s, i)
}

// percentAt decodes %XX to a byte, handed over as its negative.
func percentAt(s string, i int) (int, rune) {
	if s[i] != '%' || i+3 > len(s) {
		return 1, 0
	}
	b, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
	if err != nil || b == 0 {
		return 1, 0 // a percent sign
	}
	return 3, -rune(b)
}

// printable drops terminal sequences, and what a terminal or a reader would act
// on instead of showing it; tabs become spaces, broken UTF-8 U+FFFD.
func printable(line string) string {
	line = terminal.ReplaceAllString(strings.ToValidUTF8(line, "\uFFFD"), "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), r == '\u2028', r == '\u2029', unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, line)
}
