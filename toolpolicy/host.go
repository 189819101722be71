package toolpolicy

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// hostName is a DNS name as it is looked up: in lower case, and in punycode
// where it is international (RFC 5890). It is empty when readers could look up
// different names, or a person see another than what is looked up:
//
//   - anything but letters, digits and hyphens, empty labels, a final dot,
//     labels of more than 63 and names of more than 253 characters (RFC 1035)
//   - a last label that begins with a digit: some take it for an address
//   - what IDNA (UTS 46) maps to something else, or reads in two ways: ß, ς
//     and joiners, which IDNA 2003 and 2008 disagree about
//   - a label that mixes scripts, like Latin with Cyrillic
func hostName(s string) string {
	if len(s) > maxHostBytes {
		return "" // IDNA takes quadratic time
	}
	name := strings.ToLower(s)
	international := strings.HasPrefix(name, "xn--") || strings.Contains(name, ".xn--")
	if !isASCII(s) {
		if strings.ContainsAny(s, "ßςẞ\u200c\u200d") {
			return ""
		}
		ascii, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return ""
		}
		name, international = ascii, true
	}
	if !lettersDigitsHyphens(name) || international && !readsBack(name, s) {
		return ""
	}
	return name
}

// maxHostBytes is more than any name of 253 characters has in UTF-8.
const maxHostBytes = 253 * utf8.UTFMax

// readsBack reports whether a name in punycode shows as what was given and is
// looked up again as itself, each label in one script.
func readsBack(name, given string) bool {
	shown, err := idna.Lookup.ToUnicode(name)
	if err != nil || !isASCII(given) && shown != given {
		return false
	}
	again, err := idna.Lookup.ToASCII(shown)
	if err != nil || again != name || shown == name {
		return false
	}
	for label := range strings.SplitSeq(shown, ".") {
		if !oneScript(label) {
			return false
		}
	}
	return true
}

func lettersDigitsHyphens(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	last := name[strings.LastIndexByte(name, '.')+1]
	return last < '0' || last > '9'
}

// scriptsTogether are scripts that one language writes in one word (UTS 39,
// 5.1, without Latin, which has look-alikes in most of them).
var scriptsTogether = [...][]*unicode.RangeTable{
	{unicode.Han, unicode.Hiragana, unicode.Katakana},
	{unicode.Han, unicode.Hangul},
	{unicode.Han, unicode.Bopomofo},
}

// oneScript reports whether the letters of a label are of one script, or of
// scripts that one language mixes. Digits and marks of no script do not count.
func oneScript(label string) bool {
	for _, together := range scriptsTogether {
		if allIn(label, together...) {
			return true
		}
	}
	for _, r := range label {
		if !unicode.In(r, unicode.Common, unicode.Inherited) {
			return allIn(label, scriptOf(r))
		}
	}
	return true
}

func allIn(label string, tables ...*unicode.RangeTable) bool {
	for _, r := range label {
		if !unicode.In(r, unicode.Common, unicode.Inherited) && !unicode.In(r, tables...) {
			return false
		}
	}
	return true
}

// scriptOf is the table of a character's script. Without one, which is so for
// characters that are not assigned, the table is empty and has nothing in it.
func scriptOf(r rune) *unicode.RangeTable {
	for _, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return table
		}
	}
	return &unicode.RangeTable{}
}

// literalAddress is the address that a host of a URL is, in its usual form:
// four decimals, or IPv6 in brackets as RFC 5952 writes it, without a zone. The
// other forms that some readers know (127.1, 0x7f.1, 2130706433, an IPv4
// address mapped into IPv6) are none.
func literalAddress(host string) (netip.Addr, bool) {
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return netip.Addr{}, false
		}
	}
	// What ends in no digit is no IPv4 address; asking costs an error.
	if inner == "" || !bracketed && (inner[len(inner)-1] < '0' || inner[len(inner)-1] > '9') {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(inner)
	if err != nil || a.Is4() == bracketed || a.Is4In6() || a.Zone() != "" {
		return netip.Addr{}, false
	}
	var usual [48]byte
	return a, string(a.AppendTo(usual[:0])) == inner
}

// hostPattern is a host that a policy lists: a name, an address, or all names
// below a name.
type hostPattern struct {
	text  string     // as the policy writes it
	name  string     // as hostName makes it; empty for an address
	addr  netip.Addr // zero for a name
	below bool       // *.name: one label or more in front of it, and not name itself
}

// compileHost reads example.com, *.example.com, 192.0.2.1 or [2001:db8::1].
func compileHost(text string) (p hostPattern, why string) {
	p.text = text
	if a, ok := literalAddress(text); ok {
		p.addr = a
		return p, ""
	}
	rest, below := strings.CutPrefix(text, "*.")
	p.name, p.below = hostName(rest), below
	_, err := netip.ParseAddr(text)
	switch {
	case p.name != "":
		return p, ""
	case err == nil && strings.Contains(text, ":"):
		return p, "an address of IPv6 stands in brackets, as in a URL, and in its usual form"
	case text == "*":
		return p, "it would stand for every host"
	case strings.Contains(rest, "*"):
		return p, "* stands only in front, for one label or more: *.example.com"
	case strings.ContainsAny(text, "/@?#") || strings.Count(text, ":") == 1:
		return p, "only the host is written here, without scheme, user, port or path"
	}
	return p, "it is no host name with one reading, and no address in its usual form"
}

func (p *hostPattern) match(h host) bool {
	switch {
	case p.addr.IsValid():
		return p.addr == h.addr
	case p.below:
		front, found := strings.CutSuffix(h.name, p.name)
		return found && len(front) > 1 && front[len(front)-1] == '.'
	}
	return p.name == h.name
}

// host is where a URL or mail address leads: a name or an address.
type host struct {
	name string
	addr netip.Addr
}

func (h host) isOneOf(patterns []hostPattern) bool {
	for i := range patterns {
		if patterns[i].match(h) {
			return true
		}
	}
	return false
}

// readHost reads the host of a URL, without its port.
func readHost(s string) (h host, ok bool) {
	if a, ok := literalAddress(s); ok {
		return host{addr: a}, true
	}
	name := hostName(s)
	return host{name: name}, name != ""
}
