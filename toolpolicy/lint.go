package toolpolicy

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// Warning is something in a policy that compiles and is most likely not what its
// author meant. A policy with warnings decides as it says.
type Warning struct {
	Name string // what it warns of, the same in every version: "shadowed-rule"
	Rule string // id of the rule
	Mistake
}

// Known is what a policy can be held against.
type Known struct {
	Catalogue *Catalogue // what upstreams define; nil: nobody knows
	Upstreams []string   // names of the configured upstreams; none: nobody knows
}

// Lint looks for rules that cannot do what they say (names, paths, types and values
// that no tool has), that other rules leave nothing to, and that let through what
// nobody thought of. The warnings are in the order of the files. What is not known
// is not warned of.
func (p *Policy) Lint(k Known) []Warning {
	if p == nil {
		return nil
	}
	l := linter{policy: p, catalogue: k.Catalogue, sources: sourcesOf(p.files), upstreams: slices.Concat(k.Upstreams, k.Catalogue.Upstreams())}
	l.about = make([][]*toolcall.ToolDef, len(p.rules))
	for i := range p.rules {
		l.about[i] = k.Catalogue.about(&p.rules[i].selector)
	}
	for i := range p.rules {
		l.lintNames(i)
		l.lintArguments(i)
		l.lintShadows(i)
		l.lintOpen(i)
		l.lintExpression(i)
	}
	order := func(file string) int {
		return slices.IndexFunc(p.files, func(f File) bool { return f.Name == file })
	}
	slices.SortStableFunc(l.found, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(order(a.File), order(b.File)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return l.found
}

// linter gathers the warnings about one policy.
type linter struct {
	policy    *Policy
	catalogue *Catalogue
	upstreams []string // that are known
	sources   []source // of each rule
	about     [][]*toolcall.ToolDef
	found     []Warning
}

// source is where a rule is written.
type source struct {
	document *document
	node     *yaml.Node
}

// sourcesOf finds the text of each rule of a policy that compiled, in the order in
// which the compiler meets them.
func sourcesOf(files []File) []source {
	var all []source
	for _, f := range files {
		d := parseDocument(f.Name, f.Text)
		roles, _ := mappingValue(d.root, "roles")
		if roles == nil {
			continue
		}
		for _, role := range d.members(roles, "roles") {
			for key, rules := range d.members(role, "a role") {
				if key.Value != "allow" && key.Value != "approve" && key.Value != "deny" {
					continue
				}
				for _, n := range rules.Content {
					all = append(all, source{d, n})
				}
			}
		}
	}
	return all
}

// warn notes a warning about the i-th rule, at a node of its text.
func (l *linter) warn(i int, n *yaml.Node, name, hint, format string, args ...any) {
	d := l.sources[i].document
	d.fail(n, hint, format, args...)
	l.found = append(l.found, Warning{Name: name, Rule: l.policy.rules[i].id, Mistake: d.mistakes[len(d.mistakes)-1]})
}

// selectorNode is where the i-th rule says what it is about.
func (l *linter) selectorNode(i int) *yaml.Node {
	n := l.sources[i].node
	if value, ok := mappingValue(n, l.policy.rules[i].selector.kind.String()); ok && n.Kind == yaml.MappingNode {
		return value
	}
	return n
}

// argumentNode is where the i-th rule begins to speak of an argument, or where it
// writes one condition on it.
func (l *linter) argumentNode(i int, a *argument, condition string) *yaml.Node {
	n := l.sources[i].node
	args, ok := mappingValue(n, "args")
	if !ok {
		return n
	}
	for j := 0; j+1 < len(args.Content); j += 2 {
		key, value := args.Content[j], args.Content[j+1]
		if key.Value != a.path.String() {
			continue
		}
		for k := 0; value.Kind == yaml.MappingNode && k+1 < len(value.Content); k += 2 {
			if value.Content[k].Value == condition {
				return value.Content[k]
			}
		}
		return key
	}
	return args
}

// keyOf is the key of a condition, by the words that say what would pass.
func keyOf(t *test) string {
	key, _, _ := strings.Cut(t.words.want, " ")
	return strings.TrimSuffix(key, ":")
}

// unconditional reports whether a rule is about every call of what it selects.
func (r *rule) unconditional() bool { return len(r.args) == 0 && r.when == nil }
