package toolpolicy

import (
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v4"
)

// compileURL reads url: {hosts: [...], deny_private: true, ...}.
func (c *compiler) compileURL(n *yaml.Node) matcher {
	before := len(c.mistakes)
	m := &webURL{anyHost: true, anyPath: true}
	for key, value := range c.members(n, "url") {
		switch key.Value {
		case "schemes":
			m.schemes = c.urlSchemes(value)
		case "hosts":
			m.hosts, m.anyHost = c.hostPatterns(value, "hosts"), false
		case "ports":
			m.ports = c.ports(value)
		case "paths":
			m.paths, m.anyPath = c.urlPaths(value), false
		case "deny_private":
			if yes, ok := c.flag(value, "deny_private"); ok && !yes {
				c.fail(value, "deny_private: true, or leave it out", "deny_private can only be true")
			}
			m.refusePrivate = true
		default:
			c.unknown(key, "url", "schemes", "hosts", "ports", "paths", "deny_private")
		}
	}
	switch {
	case n.Kind != yaml.MappingNode:
	case m.anyHost && !m.refusePrivate:
		c.fail(n, "{hosts: [api.example.com]}", "url does not say where it may lead: hosts, or deny_private: true for all of the public internet")
	case m.refusePrivate:
		for _, p := range m.hosts {
			if h := (host{name: p.name, addr: p.addr}); !p.below && !h.isPublic() || p.below && !isPublicName("x."+p.name) {
				c.fail(n, "", "deny_private refuses the host %s, which the rule lists", p.text)
			}
		}
	}
	if len(c.mistakes) > before {
		return nil
	}
	return m
}

// checkPublicOnly refuses deny_private where a rule forbids.
func (c *compiler) checkPublicOnly(n *yaml.Node, m matcher, at spot) {
	if u, ok := m.(*webURL); ok && u.refusePrivate && at.quantifier == some {
		c.fail(n, "an allow rule with deny_private", "deny_private says what passes: a deny rule with it would deny the public internet and let the private through")
	}
}

func (c *compiler) urlSchemes(n *yaml.Node) []string {
	var out []string
	known := []string{"https", "http", "wss", "ws"}
	for _, e := range c.oneOrMore(n, "schemes") {
		s, ok := c.text(e, "schemes")
		switch {
		case !ok:
			continue
		case !slices.Contains(known, s):
			c.fail(e, nearest(s, known), "schemes can be https, http, wss and ws, which all readers of URLs read alike, not %q", s)
			continue
		}
		out = append(out, s)
	}
	return out
}

// hostPatterns reads hosts of url and domains of email.
func (c *compiler) hostPatterns(n *yaml.Node, what string) []hostPattern {
	var out []hostPattern
	for _, e := range c.oneOrMore(n, what) {
		text, ok := c.text(e, what)
		if !ok {
			continue
		}
		p, why := compileHost(text)
		if why != "" {
			c.fail(e, "", "%s %q: %s", what, text, why)
			continue
		}
		out = append(out, p)
	}
	return out
}

func (c *compiler) ports(n *yaml.Node) []int {
	var out []int
	for _, e := range c.oneOrMore(n, "ports") {
		port, ok := readPort(e.Value)
		if e.Kind != yaml.ScalarNode || scalarKind(e) != numberScalar || !ok {
			c.fail(e, "443", "ports are whole numbers from 1 to 65535")
			continue
		}
		out = append(out, port)
	}
	return out
}

func (c *compiler) urlPaths(n *yaml.Node) []string {
	var out []string
	for _, e := range c.oneOrMore(n, "paths") {
		text, ok := c.text(e, "paths")
		if !ok {
			continue
		}
		path, ok := readURLPath(text)
		if !ok || path != text {
			c.fail(e, "/v1", "paths are written as in a plain URL, from the first slash, without a query, and %q is none", text)
			continue
		}
		out = append(out, trimSlash(path))
	}
	return out
}

func (c *compiler) compileCIDR(n *yaml.Node) matcher {
	before := len(c.mistakes)
	m := &cidr{}
	for _, e := range c.oneOrMore(n, "cidr") {
		text, ok := c.text(e, "cidr")
		if !ok {
			continue
		}
		p, ok := readPrefix(text)
		if !ok {
			hint := "10.0.0.0/8"
			if given, err := netip.ParsePrefix(text); err == nil && !given.Addr().Is4In6() {
				hint = given.Masked().String()
			}
			c.fail(e, hint, "cidr takes addresses, and prefixes without bits behind their length, and %q is none", text)
			continue
		}
		m.prefixes = append(m.prefixes, p)
		m.v4 = m.v4 || p.Addr().Is4()
	}
	if len(c.mistakes) > before {
		return nil
	}
	return m
}

// compileEmail reads email: {domains: [...]}.
func (c *compiler) compileEmail(n *yaml.Node) matcher {
	before := len(c.mistakes)
	m := &email{}
	for key, value := range c.members(n, "email") {
		if key.Value != "domains" {
			c.unknown(key, "email", "domains")
			continue
		}
		m.domains = c.hostPatterns(value, "domains")
		for i, p := range m.domains {
			if p.addr.IsValid() {
				c.fail(value, "example.com", "domains %q: an address is no domain", m.domains[i].text)
			}
		}
	}
	if _, has := mappingValue(n, "domains"); n.Kind == yaml.MappingNode && !has {
		c.fail(n, "{domains: [example.com]}", "email does not say at which domains: domains")
	}
	if len(c.mistakes) > before {
		return nil
	}
	return m
}
