package toolpolicy

import (
	"net/netip"
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// cidr: the value is an IP address, or a prefix, that lies inside one of the
// prefixes. An IPv4 address mapped into IPv6 is that IPv4 address. A value
// that lies inside only in part is unknown, and so is one of IPv6 that may
// stand for an IPv4 address where the rule lists some.
type cidr struct {
	prefixes []netip.Prefix
	v4       bool // one of them is of IPv4
}

func (m *cidr) judge(v toolcall.JSON) outcome {
	s, ok := v.Str()
	if !ok {
		return notText
	}
	given, ok := readPrefix(s)
	if !ok {
		return notPlainAddress
	}
	partly := false
	for _, p := range m.prefixes {
		if p.Overlaps(given) {
			if p.Bits() <= given.Bits() {
				return holds
			}
			partly = true
		}
	}
	switch {
	case partly:
		return partlyInside
	case m.v4 && given.Addr().Is6() && mayBeV4(given):
		return embedsAddress
	}
	return fails
}

func mayBeV4(p netip.Prefix) bool {
	return isISATAP(p.Addr()) || slices.ContainsFunc(embedsV4[:], p.Overlaps)
}

func (m *cidr) words() words {
	texts := make([]string, len(m.prefixes))
	for i, p := range m.prefixes {
		texts[i] = p.String()
	}
	list := strings.Join(texts, " or ")
	return words{"cidr " + list, "outside", "is not in " + list}
}

// readPrefix reads an address, as a prefix of its own, or a prefix without bits
// behind its length: net.ParseCIDR drops them, and Python refuses them. Zones,
// leading zeros and the short forms of IPv4 are refused.
func readPrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Masked() != p {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, true
}
