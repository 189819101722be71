package mcpproxy

import (
	"strings"
	"unicode"

	"mcpguard/toolcall"
)

// hidesText reports whether some text of a definition, a member name or a value,
// holds what people do not see or what moves a terminal's cursor: control
// characters (ANSI escapes begin with one), bidirectional controls, tag characters,
// zero-width characters and variation selectors, but where scripts and emoji need
// them.
func hidesText(v toolcall.JSON) bool {
	if s, ok := v.Str(); ok {
		return hasHidden(s)
	}
	for m := v.Members(); m.Next(); {
		if hasHidden(m.Name()) || hidesText(m.Value()) {
			return true
		}
	}
	for e := v.Elements(); e.Next(); {
		if hidesText(e.Value()) {
			return true
		}
	}
	return false
}

// hasHidden is hidesText for one text.
func hasHidden(s string) bool {
	before, joined := rune(0), false
	for _, r := range s {
		if joined && (r < 0x80 || hidden(r) && r != emojiStyle) { // joins nothing to anything
			return true
		}
		joined = false
		switch {
		case r == '\n' || r == '\t' || r == '\r':
		case r == zeroWidthJoiner || r == zeroWidthNonJoiner:
			if before < 0x80 || hidden(before) && before != emojiStyle {
				return true
			}
			joined = true
		case r == textStyle || r == emojiStyle: // one, behind what can have styles
			if hidden(before) || before < 0x80 && !strings.ContainsRune("#*0123456789", before) {
				return true
			}
		case hidden(r):
			return true
		}
		before = r
	}
	return joined
}

const (
	zeroWidthNonJoiner = 0x200c
	zeroWidthJoiner    = 0x200d
	textStyle          = 0xfe0e // variation selector 15
	emojiStyle         = 0xfe0f // variation selector 16
)

// hidden reports whether a character has no shape of its own: controls (Cc, which
// terminals obey), formats (Cf, with the bidirectional controls and the tags),
// private ones, separators of lines, variation selectors, and letters that are
// blank.
func hidden(r rune) bool {
	const lineSeparator, paragraphSeparator, blankBraille = 0x2028, 0x2029, 0x2800
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) ||
		r == lineSeparator || r == paragraphSeparator || r == blankBraille
}

// maxToolName is how long a name may be (MCP 2025-11-25, Tools, "Tool Names").
const maxToolName = 128

// oddName reports whether a name is none that MCP allows for tools: 1 to 128
// letters, digits, "_", "-", "." and "/".
func oddName(name string) bool {
	if name == "" || len(name) > maxToolName {
		return true
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("_-./", c) < 0 {
			return true
		}
	}
	return false
}

// skeleton is what a name looks like at a glance: two names with the same skeleton
// can be taken for each other. It follows the idea of UTS 39, section 4, with a
// table of the letters that look like Latin ones, and goes further: case and
// separators do not count.
func skeleton(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 0xff01 && r <= 0xff5e { // full width
			r -= 0xfee0
		}
		if latin, ok := looksLike[r]; ok {
			r = latin
		}
		r = unicode.ToLower(r)
		if latin, ok := looksLike[r]; ok {
			r = latin
		}
		if strings.ContainsRune("-_./ ", r) || hidden(r) {
			continue
		}
		b.WriteRune(r)
	}
	return strings.NewReplacer("rn", "m", "vv", "w").Replace(b.String())
}

// looksLike maps what resembles a Latin letter, by its shape in either case.
var looksLike = map[rune]rune{
	'0': 'o', '1': 'l', '|': 'l', 'I': 'l', 'i': 'l',
	// Cyrillic
	'а': 'a', 'А': 'a', 'в': 'b', 'В': 'b', 'с': 'c', 'С': 'c', 'ԁ': 'd', 'е': 'e', 'Е': 'e', 'ё': 'e', 'һ': 'h', 'н': 'h', 'Н': 'h',
	'і': 'l', 'І': 'l', 'ї': 'l', 'ј': 'j', 'Ј': 'j', 'к': 'k', 'К': 'k', 'ӏ': 'l', 'м': 'm', 'М': 'm', 'о': 'o', 'О': 'o', 'р': 'p', 'Р': 'p',
	'ԛ': 'q', 'ѕ': 's', 'Ѕ': 's', 'т': 't', 'Т': 't', 'у': 'y', 'У': 'y', 'ѵ': 'v', 'ԝ': 'w', 'х': 'x', 'Х': 'x', 'г': 'r',
	// Greek
	'α': 'a', 'Α': 'a', 'Β': 'b', 'β': 'b', 'ϲ': 'c', 'ε': 'e', 'Ε': 'e', 'Η': 'h', 'ι': 'l', 'Ι': 'l', 'κ': 'k', 'Κ': 'k', 'Μ': 'm',
	'Ν': 'n', 'ν': 'v', 'ο': 'o', 'Ο': 'o', 'ρ': 'p', 'Ρ': 'p', 'τ': 't', 'Τ': 't', 'υ': 'u', 'Υ': 'y', 'χ': 'x', 'Χ': 'x', 'Ζ': 'z',
	// Armenian, and Latin letters beyond ASCII
	'օ': 'o', 'ո': 'n', 'ս': 'u', 'հ': 'h', 'ց': 'g', 'ı': 'l', 'ɡ': 'g', 'ɩ': 'l', 'ʟ': 'l', 'ſ': 's', 'ƨ': 's', 'ⅼ': 'l', 'ℓ': 'l',
}
