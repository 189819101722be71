package toolpolicy

import (
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// conditionOf compiles the last condition on one argument.
func conditionOf(t testing.TB, text string) matcher {
	t.Helper()
	p, err := Compile("policy.yaml", []byte("version: 1\nroles: {everyone: {allow: [{tool: t/x, args: {v: {"+text+"}}}]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := p.rules[0].args[0].tests
	return tests[len(tests)-1].matcher
}

// What under accepts has no spelling but its own, and is below the root after
// joining and cleaning; what not_glob accepts does not hold the name kept out,
// in any case.
func FuzzUnder(f *testing.F) {
	for _, s := range []string{"/srv/projects/a", "a/b", ".", "file:///srv/projects/a%20b", "../x", "/srv/projects/.ENV", "-x", "~/x", "file:///srv/projects/%2Eenv", "/srv/projects/.ſsh"} {
		f.Add(s)
	}
	scope := "under: {root: /srv/projects, relative_to: /srv/projects/app, file_url: true}"
	inside, off := conditionOf(f, scope), conditionOf(f, scope+", not_glob: '**/.env'")
	f.Fuzz(func(t *testing.T, s string) {
		v := toolcall.Quote(s)
		if inside.judge(v) != holds {
			return
		}
		place := s
		if rest, found := strings.CutPrefix(s, "file://"); found {
			u, err := url.Parse(s)
			if err != nil || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || u.EscapedPath() != rest {
				t.Fatalf("%q is accepted, and net/url reads %v, %v", s, u, err)
			}
			place = u.Path
		}
		if !strings.HasPrefix(place, "/") {
			place = "/srv/projects/app/" + place
		}
		clean := path.Clean(place)
		if clean != "/srv/projects" && !strings.HasPrefix(clean, "/srv/projects/") {
			t.Fatalf("%q is accepted, and leads to %q", s, clean)
		}
		if off.judge(v) != holds {
			return
		}
		for name := range strings.SplitSeq(strings.TrimPrefix(clean, "/srv/projects"), "/") {
			if strings.EqualFold(strings.TrimSpace(name), ".env") {
				t.Fatalf("%q is accepted, and %q is kept out", s, name)
			}
		}
	})
}

// What url reads, net/url reads the same, and it holds nothing else.
func FuzzURL(f *testing.F) {
	for _, s := range oddURLs(f, 400) {
		f.Add(s)
	}
	m := conditionOf(f, "url: {hosts: ['*.example.com', api.example.com], paths: /v1, deny_private: true}")
	f.Fuzz(func(t *testing.T, s string) {
		how := m.judge(toolcall.Quote(s))
		u, ok := readURL(s)
		if ok != (how != notPlainURL) {
			t.Fatalf("%q is read: %v, and judged: %s", s, ok, how)
		}
		if !ok {
			return
		}
		theirs, err := url.Parse(s)
		if err != nil || theirs.User != nil || theirs.Fragment != "" || theirs.Opaque != "" || theirs.Scheme != u.scheme {
			t.Fatalf("%q is read, and net/url reads %v, %v", s, theirs, err)
		}
		if isASCII(s) && strings.ToLower(theirs.Hostname()) != u.reading().Host && theirs.Hostname() != u.reading().Host {
			t.Fatalf("the host of %q is %q, and to net/url %q", s, u.reading().Host, theirs.Hostname())
		}
		if port := theirs.Port(); port != strconv.Itoa(u.port) && (port != "" || u.port != defaultPort(u.scheme)) {
			t.Fatalf("the port of %q is %d, and to net/url %q", s, u.port, port)
		}
		if p := theirs.EscapedPath(); p != u.path && p != "" {
			t.Fatalf("the path of %q is %q, and to net/url %q", s, u.path, p)
		}
		if how == holds && (u.scheme != "https" || !strings.HasSuffix(u.host.name, ".example.com") || u.path != "/v1" && !strings.HasPrefix(u.path, "/v1/")) {
			t.Fatalf("%q is accepted", s)
		}
	})
}

// What cidr judges, package net reads the same: an address or a network, and
// what is inside by both its ends.
func FuzzCIDR(f *testing.F) {
	for _, s := range []string{"10.0.0.1", "10.0.0.0/9", "010.0.0.1", "::ffff:10.0.0.1", "fe80::1%1", "2001:db8::/33", "0.0.0.0/0", "64:ff9b::a00:1", "::ffff:10.0.0.0/105"} {
		f.Add(s)
	}
	m := conditionOf(f, "cidr: [10.0.0.0/8, '2001:db8::/32']")
	_, v4, _ := net.ParseCIDR("10.0.0.0/8")
	_, v6, _ := net.ParseCIDR("2001:db8::/32")
	f.Fuzz(func(t *testing.T, s string) {
		how := m.judge(toolcall.Quote(s))
		p, ok := readPrefix(s)
		if ok != (how != notPlainAddress) {
			t.Fatalf("%q is read: %v, and judged: %s", s, ok, how)
		}
		if !ok {
			return
		}
		first := net.ParseIP(s)
		last := first
		if first == nil {
			ip, network, err := net.ParseCIDR(s)
			if err != nil || !network.IP.Equal(ip) {
				t.Fatalf("%q is read, and net reads %v: %v", s, network, err)
			}
			first, last = network.IP, lastOf(network)
		}
		if theirs, _ := netip.AddrFromSlice(first); theirs.Unmap() != p.Addr() {
			t.Fatalf("%q is read as %v, and by net as %v", s, p.Addr(), first)
		}
		inside := v4.Contains(first) && v4.Contains(last) || v6.Contains(first) && v6.Contains(last)
		if (how == holds) != inside {
			t.Fatalf("%q: %s, and by its ends inside: %v", s, how, inside)
		}
		if how == fails && (v4.Contains(first) || v4.Contains(last) || v6.Contains(first) || v6.Contains(last)) {
			t.Fatalf("%q fails, and an end of it is inside", s)
		}
	})
}

func lastOf(n *net.IPNet) net.IP {
	last := make(net.IP, len(n.IP))
	for i := range last {
		last[i] = n.IP[i] | ^n.Mask[i]
	}
	return last
}

// What email reads is to net/mail one address without a name, with the same
// domain.
func FuzzEmail(f *testing.F) {
	for _, s := range []string{"sam@example.com", "Sam <sam@example.com>", "a@b@example.com", "sam@EXAMPLE.com", "\"a\"@example.com", "a%b@example.com", "sam@bücher.example", "a@example.com,b@example.com"} {
		f.Add(s)
	}
	m := conditionOf(f, "email: {domains: [example.com, '*.example.org']}")
	f.Fuzz(func(t *testing.T, s string) {
		how := m.judge(toolcall.Quote(s))
		domain, ok := readMailDomain(s)
		if ok != (how != notPlainEmail) {
			t.Fatalf("%q is read: %v, and judged: %s", s, ok, how)
		}
		if !ok {
			return
		}
		list, err := mail.ParseAddressList(s)
		if err != nil || len(list) != 1 || list[0].Name != "" || list[0].Address != s {
			t.Fatalf("%q is read, and net/mail reads %v: %v", s, list, err)
		}
		if _, theirs, _ := strings.Cut(s, "@"); isASCII(theirs) && strings.ToLower(theirs) != domain.name {
			t.Fatalf("the domain of %q is %q", s, domain.name)
		}
		if how == holds && domain.name != "example.com" && !strings.HasSuffix(domain.name, ".example.org") {
			t.Fatalf("%q is accepted", s)
		}
	})
}
