package toolpolicy

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode/utf16"
)

// ecmaPattern writes an RE2 expression in the part of ECMA-262 that means the
// same to every reader of JSON Schema, with the "u" flag and without; false
// where there is none. A character beyond the basic plane is two to some of
// them, so it may stand only where one and two make no difference.
func ecmaPattern(text string) (string, bool) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	ok := writeECMA(&b, tree)
	return b.String(), ok
}

func writeECMA(b *strings.Builder, re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEmptyMatch:
		b.WriteString("(?:)")
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return false
		}
		for _, r := range re.Rune {
			if !oneUnit(r) {
				return false
			}
			writeUnit(b, r)
		}
	case syntax.OpCharClass:
		if !narrowClass(re.Rune) {
			return false
		}
		writeClass(b, "[", re.Rune)
	case syntax.OpBeginText:
		b.WriteByte('^')
	case syntax.OpEndText:
		b.WriteByte('$')
	case syntax.OpWordBoundary:
		b.WriteString(`\b`)
	case syntax.OpCapture:
		return writeECMA(b, re.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return writeRepeat(b, re)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !writePart(b, sub, sub.Op == syntax.OpAlternate) {
				return false
			}
		}
	case syntax.OpAlternate:
		for i, sub := range re.Sub {
			if i > 0 {
				b.WriteByte('|')
			}
			if !writeECMA(b, sub) {
				return false
			}
		}
	default:
		return false
	}
	return true
}

// writePart writes an expression, in a group where it must not fall apart.
func writePart(b *strings.Builder, re *syntax.Regexp, group bool) bool {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
		group = group || re.Op == syntax.OpAlternate || re.Op == syntax.OpConcat
	}
	if group {
		b.WriteString("(?:")
		defer b.WriteByte(')')
	}
	return writeECMA(b, re)
}

func writeRepeat(b *strings.Builder, re *syntax.Regexp) bool {
	sub := re.Sub[0]
	for sub.Op == syntax.OpCapture {
		sub = sub.Sub[0]
	}
	many := re.Op == syntax.OpStar || re.Op == syntax.OpPlus
	if holes, wide := wideClass(sub); wide && many {
		writeClass(b, "[^", holes)
	} else if single := sub.Op == syntax.OpCharClass || sub.Op == syntax.OpLiteral && len(sub.Rune) == 1; !writePart(b, sub, !single) {
		return false
	}
	switch re.Op {
	case syntax.OpStar:
		b.WriteByte('*')
	case syntax.OpPlus:
		b.WriteByte('+')
	case syntax.OpQuest:
		b.WriteByte('?')
	default:
		fmt.Fprintf(b, "{%d", re.Min)
		switch {
		case re.Max < 0:
			b.WriteByte(',')
		case re.Max != re.Min:
			fmt.Fprintf(b, ",%d", re.Max)
		}
		b.WriteByte('}')
	}
	return true
}

// The characters that are two units of UTF-16, and the halves of them, which no
// text of JSON holds alone.
const (
	firstAstral, lastAstral = 0x10000, 0x10FFFF
	firstHalf, lastHalf     = 0xD800, 0xDFFF
)

func oneUnit(r rune) bool { return r < firstAstral && !utf16.IsSurrogate(r) }

// narrowClass reports whether every character of a class is one unit.
func narrowClass(ranges []rune) bool {
	for i := 0; i < len(ranges); i += 2 {
		if !oneUnit(ranges[i]) || !oneUnit(ranges[i+1]) || ranges[i] < firstHalf && ranges[i+1] > lastHalf {
			return false
		}
	}
	return len(ranges) > 0
}

// wideClass is what a class leaves out that has every character of two units.
func wideClass(re *syntax.Regexp) (holes []rune, ok bool) {
	switch re.Op {
	case syntax.OpAnyCharNotNL:
		return []rune{'\n', '\n'}, true
	case syntax.OpCharClass:
	default:
		return nil, false
	}
	next := rune(0)
	for i := 0; i < len(re.Rune); i += 2 {
		if re.Rune[i] > next {
			holes = append(holes, next, re.Rune[i]-1)
		}
		next = re.Rune[i+1] + 1
	}
	return holes, next > lastAstral && narrowClass(holes)
}

func writeClass(b *strings.Builder, open string, ranges []rune) {
	b.WriteString(open)
	for i, r := range ranges {
		switch first := i%2 == 0; {
		case !first && r == ranges[i-1]:
			continue
		case !first:
			b.WriteByte('-')
		}
		if r == '-' {
			b.WriteString(`\x2d`) // else it makes a range
		} else {
			writeUnit(b, r)
		}
	}
	b.WriteByte(']')
}

// writeUnit writes one character so that RE2 and ECMA-262 read it alike, outside
// classes and in them.
func writeUnit(b *strings.Builder, r rune) {
	switch {
	case strings.ContainsRune(`^$\.*+?()[]{}|`, r):
		b.WriteByte('\\')
		b.WriteRune(r)
	case r < 0x20 || r >= 0x7F && r < 0x100:
		fmt.Fprintf(b, `\x%02x`, r)
	default:
		b.WriteRune(r)
	}
}
