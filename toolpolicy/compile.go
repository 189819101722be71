package toolpolicy

import (
	"cmp"
	"regexp"
	"slices"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v4"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// Compile compiles a policy of one file. The error is Mistakes: all of them,
// each at its line and column.
func Compile(name string, text []byte) (*Policy, error) {
	return CompileFiles([]File{{name, text}})
}

// CompileFiles compiles the files of a policy folder into one policy, in the
// order of their names. Each file is a whole document with its own version; a
// role or a redaction profile stands in one file only. The error is Mistakes.
func CompileFiles(files []File) (*Policy, error) {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	c := &compiler{
		places:   map[string]place{},
		profiles: map[string]int{},
		roles: roles{
			byGroup: map[string]bits{}, bySubject: map[string]bits{}, byClient: map[string]bits{},
		},
	}
	names := make([]string, len(files))
	var documents []*document
	for i, f := range files {
		names[i] = f.Name
		d := parseDocument(f.Name, f.Text)
		if i > 0 && f.Name == files[i-1].Name {
			d.failAt(0, 0, "", "two files have this name")
		}
		documents = append(documents, d)
	}
	if len(files) == 0 {
		return nil, Mistakes{{File: "policy", Message: "there is no file to compile"}}
	}
	// Profiles come first: rules and roles of every file may name them.
	for _, d := range documents {
		c.document = d
		c.compileProfiles()
	}
	for _, d := range documents {
		c.document = d
		c.compileDocument()
	}
	var mistakes Mistakes
	for _, d := range documents {
		mistakes = append(mistakes, d.mistakes...)
	}
	if len(mistakes) > 0 {
		return nil, mistakes.sorted(names)
	}
	for i := range files {
		files[i].Text = slices.Clone(files[i].Text)
	}
	numberPlaces(c.rules)
	p := &Policy{
		files:  files,
		digest: digestOf(files),
		rules:  c.rules,
		index:  newIndex(c.rules),
		roles:  c.roles,
		profiles: profiles{
			compiled: c.compiled,
			masks:    c.masks,
			byName:   c.profiles,
			always:   c.always,
			unions:   new(unions),
		},
		outside: newOutside(c.rules),
	}
	for i := range p.rules {
		if w := p.rules[i].when; w != nil {
			w.roles = &p.roles
			p.personal = p.personal || w.listable()
		}
	}
	return p, nil
}

// compiler gathers a policy from its documents.
type compiler struct {
	*document // the one at hand

	places   map[string]place // of roles, profiles and rules, by their kind and name
	rules    []rule
	roles    roles
	profiles map[string]int
	compiled []*redact.Profile
	masks    []*redact.Profile
	always   []always
	cel      *cel.Env // made for the first expression
	queues   int      // conditions so far that wait for others
}

// place is where something was defined first.
type place struct {
	file string
	line int
}

// define notes a name; ok is false, after a mistake, when it was there already.
func (c *compiler) define(n *yaml.Node, kind, name string) (ok bool) {
	if first, dup := c.places[kind+" "+name]; dup {
		c.fail(n, "", "the %s %q is defined twice, first in %s:%d", kind, name, first.file, first.line)
		return false
	}
	c.places[kind+" "+name] = place{c.name, n.Line}
	return true
}

// nameForm is what roles, rules and profiles may be called: names stand in
// records and messages, joined by slashes and spaces.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

func (c *compiler) checkName(n *yaml.Node, kind, name string) bool {
	if nameForm.MatchString(name) && len(name) <= 100 {
		return true
	}
	c.fail(n, "letters, digits, dots, hyphens and underscores", "%q is no name for a %s", name, kind)
	return false
}

func (c *compiler) compileDocument() {
	if c.root == nil {
		return
	}
	version := false
	for key, value := range c.members(c.root, "a policy") {
		switch key.Value {
		case "version":
			version = true
			if value.Kind != yaml.ScalarNode || value.Value != "1" || scalarKind(value) != numberScalar {
				c.fail(value, "version: 1", "this version of the policy language is not known")
			}
		case "roles":
			for name, role := range c.members(value, "roles") {
				c.compileRole(name, role)
			}
		case "redactions": // compiled already
		default:
			c.unknown(key, "a policy", "version", "roles", "redactions")
		}
	}
	if !version && c.root.Kind == yaml.MappingNode {
		c.fail(c.root, "version: 1", "the policy does not say its version")
	}
}

func (c *compiler) compileRole(name, n *yaml.Node) {
	if !c.checkName(name, "role", name.Value) || !c.define(name, "role", name.Value) {
		return
	}
	role := len(c.roles.names)
	if role == maxSet {
		c.fail(name, "", "more than %d roles", maxSet)
		return
	}
	c.roles.names = append(c.roles.names, name.Value)
	c.roles.redact = append(c.roles.redact, bits{})
	c.roles.limits = append(c.roles.limits, nil)
	who, client := false, false
	explain, first := toolcall.ExplainArgument, len(c.rules)
	for key, value := range c.members(n, "a role") {
		switch key.Value {
		case "groups", "subjects", "clients":
			if name.Value == everyone {
				c.fail(key, "leave it out, or write another role", "everyone is the role of every caller, so it takes no %s", key.Value)
				continue
			}
			holders := map[string]map[string]bits{
				"groups": c.roles.byGroup, "subjects": c.roles.bySubject, "clients": c.roles.byClient,
			}[key.Value]
			for _, s := range c.texts(value, key.Value) {
				holders[s] = holders[s].with(role)
			}
			who = who || key.Value != "clients"
			client = client || key.Value == "clients"
		case "redact":
			c.roles.redact[role] = c.profileSet(value)
		case "explain":
			if level, ok := c.explain(value); ok {
				explain = level
			}
		case "limit":
			c.roles.limits[role] = c.compileLimits(value, name.Value, nil)
		case "allow":
			c.compileRules(name.Value, role, allows, value)
		case "approve":
			c.compileRules(name.Value, role, approves, value)
		case "deny":
			c.compileRules(name.Value, role, denies, value)
		default:
			c.unknown(key, "a role", "groups", "subjects", "clients", "redact", "limit", "explain", "allow", "approve", "deny")
		}
	}
	for _, l := range c.roles.limits[role] {
		l.Explain = explain
	}
	for i := range c.rules[first:] {
		r := &c.rules[first+i]
		if !r.explains {
			r.explain = explain
		}
		for _, l := range r.limits {
			l.Explain = r.explain
		}
	}
	if !who && !client && name.Value != everyone && n.Kind == yaml.MappingNode {
		c.fail(name, "groups: [...]", "nobody has the role %q: it names no groups, subjects or clients", name.Value)
	}
	if !who {
		c.roles.anyPerson = c.roles.anyPerson.with(role)
	}
	if !client {
		c.roles.anyClient = c.roles.anyClient.with(role)
	}
}

// profileSet reads a list of names of redaction profiles.
func (c *compiler) profileSet(n *yaml.Node) bits {
	var set bits
	for _, e := range c.elements(n, "redact") {
		name, ok := c.text(e, "an entry of redact")
		if !ok {
			continue
		}
		i, known := c.profiles[name]
		if !known {
			names := make([]string, 0, len(c.profiles))
			for p := range c.profiles {
				names = append(names, p)
			}
			slices.Sort(names)
			hint := nearest(name, names)
			if len(names) == 0 {
				hint = `redactions: {` + name + `: {paths: ["**.ssn"]}}, beside roles`
			}
			c.fail(e, hint, "there is no redaction profile %q", name)
			continue
		}
		set = set.with(i)
	}
	return set
}

// compileProfiles compiles the redactions of a document. A profile with
// mistakes keeps its name, so that rules that use it are not blamed.
func (c *compiler) compileProfiles() {
	if c.root == nil || c.root.Kind != yaml.MappingNode {
		return
	}
	for key, value := range c.members(c.root, "a policy") {
		if key.Value != "redactions" {
			continue
		}
		for name, profile := range c.members(value, "redactions") {
			if c.checkName(name, "redaction profile", name.Value) && c.define(name, "redaction profile", name.Value) {
				c.compileProfile(name, profile)
			}
		}
	}
}

func (c *compiler) compileProfile(name, n *yaml.Node) {
	number := len(c.compiled)
	if number == maxSet {
		c.fail(name, "", "more than %d redaction profiles", maxSet)
		return
	}
	c.profiles[name.Value] = number
	c.compiled, c.masks = append(c.compiled, nil), append(c.masks, nil)
	before := len(c.mistakes)
	spec := redact.Spec{Name: name.Value}
	for key, value := range c.members(n, "a redaction profile") {
		switch key.Value {
		case "paths":
			spec.Paths = c.profilePaths(value, "paths")
		case "require":
			spec.Require = c.profilePaths(value, "require")
		case "replace":
			spec.Replace, _ = c.text(value, "replace")
		case "tools":
			for _, e := range c.elements(value, "tools") {
				if s, ok := c.selectorText(e, "an entry of tools"); ok {
					c.always = append(c.always, always{number, s.upstream, s.name})
				}
			}
		default:
			c.unknown(key, "a redaction profile", "paths", "require", "tools", "replace")
		}
	}
	if len(c.mistakes) > before {
		return
	}
	profile, mistakes := redact.Compile(spec)
	for _, err := range mistakes {
		c.fail(name, "", "%v", err)
	}
	c.compiled[number] = profile
	if len(spec.Require) > 0 && profile != nil {
		spec.Paths, spec.Require = slices.Concat(spec.Require, spec.Paths), nil
		c.masks[number], _ = redact.Compile(spec) // the same paths, found good above
	}
}

// profilePaths reads paths and compiles each alone first, so that a mistake is
// told where it stands.
func (c *compiler) profilePaths(n *yaml.Node, what string) []string {
	paths := c.texts(n, what)
	if len(paths) != len(n.Content) {
		return paths
	}
	for i, p := range paths {
		if _, err := toolcall.CompilePath(p); err != nil {
			c.fail(n.Content[i], "", "%v", err)
		}
	}
	return paths
}
