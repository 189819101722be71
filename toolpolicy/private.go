package toolpolicy

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// reserved are the parts of the address space that are not the public internet
// (the registries of RFC 6890, and what clouds put beside them). Of IPv6 only
// 2000::/3 is public at all, which leaves out loopback, link-local and private
// addresses, multicast, NAT64 (RFC 6052, 8215) and mapped addresses.
var reserved = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),         // this network (RFC 791)
	netip.MustParsePrefix("10.0.0.0/8"),        // private (RFC 1918)
	netip.MustParsePrefix("100.64.0.0/10"),     // carrier-grade NAT (RFC 6598); Alibaba's metadata
	netip.MustParsePrefix("127.0.0.0/8"),       // loopback (RFC 1122)
	netip.MustParsePrefix("168.63.129.16/32"),  // Azure's host
	netip.MustParsePrefix("169.254.0.0/16"),    // link-local (RFC 3927); metadata of most clouds
	netip.MustParsePrefix("172.16.0.0/12"),     // private (RFC 1918)
	netip.MustParsePrefix("192.0.0.0/24"),      // protocol assignments (RFC 6890); Oracle's metadata
	netip.MustParsePrefix("192.0.2.0/24"),      // documentation (RFC 5737)
	netip.MustParsePrefix("192.88.99.0/24"),    // relays of 6to4 (RFC 7526)
	netip.MustParsePrefix("192.168.0.0/16"),    // private (RFC 1918)
	netip.MustParsePrefix("198.18.0.0/15"),     // benchmarks (RFC 2544)
	netip.MustParsePrefix("198.51.100.0/24"),   // documentation (RFC 5737)
	netip.MustParsePrefix("203.0.113.0/24"),    // documentation (RFC 5737)
	netip.MustParsePrefix("224.0.0.0/3"),       // multicast, reserved, broadcast (RFC 5771, 1112)
	netip.MustParsePrefix("2001::/23"),         // protocol assignments (RFC 2928), Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),     // documentation (RFC 3849)
	netip.MustParsePrefix("2002::/16"),         // 6to4: an IPv4 address inside (RFC 3056)
	netip.MustParsePrefix("2620:4f:8000::/48"), // AS112 (RFC 7534)
	netip.MustParsePrefix("3fff::/20"),         // documentation (RFC 9637)
}

// publicV6 is what has been given out of IPv6 (RFC 4291, 2.4).
var publicV6 = netip.MustParsePrefix("2000::/3")

// isPublic reports whether an address belongs to the public internet.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || a.Is6() && (!publicV6.Contains(a) || isISATAP(a)) {
		return false
	}
	return !slices.ContainsFunc(reserved[:], func(p netip.Prefix) bool { return p.Contains(a) })
}

// isISATAP tells addresses that hold an IPv4 address in their last four bytes
// (RFC 5214, 6.1), under any prefix.
func isISATAP(a netip.Addr) bool {
	b := a.As16()
	return (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5E && b[11] == 0xFE
}

// embedsV4 tells IPv6 prefixes that IPv4 addresses stand in, so that what is
// sent there may arrive at an IPv4 address.
var embedsV4 = [...]netip.Prefix{
	netip.MustParsePrefix("::/96"),           // IPv4-compatible (RFC 4291, 2.5.5.1)
	netip.MustParsePrefix("::ffff:0:0/96"),   // IPv4-mapped (2.5.5.2)
	netip.MustParsePrefix("::ffff:0:0:0/96"), // IPv4-translated (RFC 2765)
	netip.MustParsePrefix("64:ff9b::/96"),    // NAT64 (RFC 6052)
	netip.MustParsePrefix("64:ff9b:1::/48"),  // NAT64 (RFC 8215)
	netip.MustParsePrefix("2001::/32"),       // Teredo (RFC 4380)
	netip.MustParsePrefix("2002::/16"),       // 6to4 (RFC 3056)
}

// privateZones are zones of the public suffix list that lead to no public host:
// .onion (RFC 7686), and .arpa with home.arpa in it (RFC 8375).
var privateZones = [...]string{"onion", "arpa"}

// isPublicName reports whether a name, in lower case, is one of the public DNS:
// its top-level domain is in the public suffix list. So localhost, .local,
// .internal, .corp, names without a dot and what a cluster completes to its own
// (db.staging, kubernetes.default.svc) are none. Where a name leads is not asked:
// only who connects can know.
func isPublicName(name string) bool {
	top := name[strings.LastIndexByte(name, '.')+1:]
	if top == name || slices.Contains(privateZones[:], top) {
		return false
	}
	_, listed := publicsuffix.PublicSuffix(top)
	return listed
}

func (h host) isPublic() bool {
	if h.addr.IsValid() {
		return isPublic(h.addr)
	}
	return isPublicName(h.name)
}
