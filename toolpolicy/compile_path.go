package toolpolicy

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// pathScope reads under: a path, a list of them, or a mapping that says more.
func (c *compiler) pathScope(n *yaml.Node) pathScope {
	if n.Kind != yaml.MappingNode {
		return pathScope{roots: c.roots(n, "under")}
	}
	var p pathScope
	for key, value := range c.members(n, "under") {
		switch key.Value {
		case "root":
			p.roots = c.roots(value, "root")
		case "relative_to":
			if value.Kind == yaml.SequenceNode {
				c.fail(value, "/srv/projects", "relative_to is one path: a relative path begins in one place")
			} else if from := c.roots(value, "relative_to"); len(from) == 1 {
				p.from = from[0]
			}
		case "file_url":
			if yes, ok := c.flag(value, "file_url"); ok && !yes {
				c.fail(value, "file_url: true, or leave it out", "file_url can only be true")
			} else {
				p.urls = ok
			}
		default:
			c.unknown(key, "under", "root", "relative_to", "file_url")
		}
	}
	if _, has := mappingValue(n, "root"); !has {
		c.fail(n, "{root: /srv/projects, ...}", "under does not say where paths may lie: root")
	}
	return p
}

// roots reads plain absolute paths.
func (c *compiler) roots(n *yaml.Node, what string) []string {
	var roots []string
	for _, e := range c.oneOrMore(n, what) {
		root, ok := c.text(e, what)
		if !ok {
			continue
		}
		if root = trimSlash(root); !plainPath(root) {
			c.fail(e, "/srv/projects", "%s takes absolute paths without empty, dot or encoded segments, and %q is none", what, root)
			continue
		}
		roots = append(roots, root)
	}
	return roots
}

func (c *compiler) compileNotGlob(n *yaml.Node, where pathScope) matcher {
	m := &notGlob{pathScope: where}
	var texts []string
	for _, e := range c.oneOrMore(n, "not_glob") {
		text, ok := c.text(e, "not_glob")
		if !ok {
			continue
		}
		// A final slash would stand for an empty segment, which no path has; what
		// the glob covers includes everything below it anyhow.
		g, why := compileGlob(strings.TrimSuffix(text, "/"))
		if why == "" {
			why = g.matchesNoPath()
		}
		if why != "" {
			c.fail(e, "", "not_glob %q: %s", text, why)
			continue
		}
		m.globs = append(m.globs, g.folded())
		texts = append(texts, text)
	}
	m.text = strings.Join(texts, ", ")
	return m
}

// matchesNoPath says why a glob keeps nothing out, or "": every path that
// reaches it is plain.
func (g glob) matchesNoPath() string {
	for _, s := range g.segments {
		if s != "" && !plainSegment(strings.NewReplacer("*", "x", "?", "x").Replace(s)) {
			return "it keeps nothing out: a path with a segment like that is never judged " +
				"(dots and spaces at the end, %, invisible characters, what Unicode normalisation would change)"
		}
	}
	return ""
}
