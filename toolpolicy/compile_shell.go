package toolpolicy

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// compileShell reads shell: {programs, allow, read_under, write_under}; nil
// after a mistake.
func (c *compiler) compileShell(n *yaml.Node) matcher {
	before := len(c.mistakes)
	m := &shell{}
	for key, value := range c.members(n, "shell") {
		switch key.Value {
		case "programs":
			m.programs = c.compilePrograms(value)
		case "allow":
			m.uses = c.shellUses(value)
		case "read_under":
			m.read = c.roots(value, key.Value)
		case "write_under":
			m.write = c.roots(value, key.Value)
		default:
			c.unknown(key, "shell", "programs", "allow", "read_under", "write_under")
		}
	}
	c.needsPrograms(n, "shell")
	if len(c.mistakes) > before {
		return nil
	}
	return m
}

// compileArgv reads argv: {programs}; nil after a mistake.
func (c *compiler) compileArgv(n *yaml.Node) matcher {
	before := len(c.mistakes)
	m := &argv{}
	for key, value := range c.members(n, "argv") {
		if key.Value != "programs" {
			c.unknown(key, "argv", "programs")
			continue
		}
		m.programs = c.compilePrograms(value)
	}
	c.needsPrograms(n, "argv")
	if len(c.mistakes) > before {
		return nil
	}
	return m
}

func (c *compiler) needsPrograms(n *yaml.Node, what string) {
	if _, has := mappingValue(n, "programs"); n.Kind == yaml.MappingNode && !has {
		c.fail(n, "programs: [ls, cat]", "%s does not say which programs may run", what)
	}
}

func (c *compiler) shellUses(n *yaml.Node) shellUse {
	var uses shellUse
	for _, e := range c.elements(n, "allow") {
		name, ok := c.text(e, "an entry of allow")
		if !ok {
			continue
		}
		i := slices.Index(shellUses[:], name)
		if i < 0 {
			hint := nearest(name, shellUses[:])
			if hint == "" {
				hint = strings.Join(shellUses[:], ", ")
			}
			c.fail(e, hint, "a shell command has no construct %q to allow", name)
			continue
		}
		uses |= 1 << i
	}
	return uses
}

// compilePrograms reads names, and mappings of a name and what its arguments
// may be. A name may stand in several entries.
func (c *compiler) compilePrograms(n *yaml.Node) programs {
	p := programs{byName: map[string][]program{}}
	var usages []string
	for _, e := range c.elements(n, "programs") {
		var (
			name  string
			entry program
		)
		switch e.Kind {
		case yaml.AliasNode:
			continue
		case yaml.MappingNode:
			name, entry = c.compileProgram(e)
		default:
			name, _ = c.programName(e)
			entry.anyArgs = true
			if runsPrograms(name) {
				c.fail(e, "{name: "+name+", flags: [...], operands: {...}}",
					"%s can run other programs or code by its arguments: say which ones it may have, or args: any", name)
			}
		}
		if name == "" {
			continue
		}
		usages = append(usages, entry.usage(name))
		p.byName[name] = append(p.byName[name], entry)
	}
	p.text = strings.Join(usages, ", ")
	return p
}

// compileProgram reads {name, first, flags, operands} or {name, args}.
func (c *compiler) compileProgram(n *yaml.Node) (name string, p program) {
	var args, others *yaml.Node
	for key, value := range c.members(n, "a program") {
		switch key.Value {
		case "name":
			name, _ = c.programName(value)
			continue
		case "args":
			args = key
			text, ok := c.text(value, "args")
			if ok && text != "any" && text != "none" {
				c.fail(value, "any, or none; or flags and operands in place of args", "args of a program is any or none")
			}
			p.anyArgs = text == "any"
			continue
		case "first":
			p.first = c.texts(value, "first")
		case "flags":
			p.flags = c.flags(value)
		case "operands":
			if value.Kind != yaml.MappingNode {
				c.fail(value, "{under: /srv/projects}", "operands takes conditions, as an argument does")
			} else {
				p.operands = c.compileMatchers(value, spot{quantifier: every, element: true})
			}
		default:
			c.unknown(key, "a program", "name", "first", "flags", "operands", "args")
		}
		others = key
	}
	_, named := mappingValue(n, "name")
	switch {
	case !named:
		c.fail(n, "name: ls", "a program has no name")
	case args != nil && others != nil:
		c.fail(args, "", "args says all about the arguments of a program, and %s stands beside it", others.Value)
	case args == nil && others == nil:
		c.fail(n, "args: any, args: none, or flags and operands", "the rule does not say which arguments the program may have")
	}
	return name, p
}

// flags are words that begin with "-", with "*" for any characters.
func (c *compiler) flags(n *yaml.Node) []wild {
	var out []wild
	for _, e := range c.elements(n, "flags") {
		text, ok := c.text(e, "an entry of flags")
		if ok && (text == "-" || !strings.HasPrefix(text, "-")) {
			c.fail(e, "-"+text, "a flag begins with \"-\"; other arguments are operands")
		}
		out = append(out, compileWild(text))
	}
	return out
}

// programName is a name to be found along the PATH, or an absolute path. A
// relative path would be another program after cd.
func (c *compiler) programName(n *yaml.Node) (string, bool) {
	name, ok := c.text(n, "the name of a program")
	if !ok {
		return "", false
	}
	if why := ownShellCommand(name); why != "" {
		c.fail(n, "", "%s cannot be a program of a rule: %s", name, why)
		return "", false
	}
	if strings.HasPrefix(name, "/") && plainPath(name) && name != "/" {
		return name, true
	}
	for i := range len(name) {
		if !isNameByte(name[i]) && (i == 0 || strings.IndexByte("+-.", name[i]) < 0) {
			c.fail(n, "git, or /usr/bin/git", "a program is a name of letters, digits and _+-. or an absolute path, and %q is none", name)
			return "", false
		}
	}
	return name, true
}
