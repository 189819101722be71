package toolpolicy

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"mcpguard/toolcall"
)

// Catalogue is what upstreams define, recorded: the tools of each, and its prompts
// where they were listed. It is immutable. A nil Catalogue knows of nothing.
type Catalogue struct{ upstreams map[string]*offer }

// offer is what one upstream defines.
type offer struct {
	tools   map[string]*toolcall.ToolDef
	names   []string // of the tools, sorted
	prompts []string // sorted; nil where they were not listed
}

var errCatalogue = errors.New(`it must hold {"upstream": {"tools": [...]}}`)

// maxCatalogue is the longest recorded catalogue, in bytes.
const maxCatalogue = 64 << 20

// ReadCatalogue reads a recorded catalogue: {"upstream": {"tools": [...],
// "prompts": [...]}}, where the lists are as the upstream gives them. Prompts may be
// left out, and other members, which lock files have, are passed over.
func ReadCatalogue(name string, text []byte) (*Catalogue, error) {
	c, err := readCatalogue(text)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue %s: %w", name, err)
	}
	return c, nil
}

func readCatalogue(text []byte) (*Catalogue, error) {
	doc, err := toolcall.Parse(string(text), toolcall.Limits{Bytes: maxCatalogue, Depth: 128})
	if err != nil {
		return nil, err
	}
	if doc.Type() != toolcall.ObjectType {
		return nil, errCatalogue
	}
	c := &Catalogue{upstreams: map[string]*offer{}}
	for m := doc.Members(); m.Next(); {
		o, err := readOffer(m.Name(), m.Value())
		if err != nil {
			return nil, fmt.Errorf("upstream %q: %w", m.Name(), err)
		}
		c.upstreams[m.Name()] = o
	}
	return c, nil
}

func readOffer(upstream string, of toolcall.JSON) (*offer, error) {
	tools := of.Member("tools")
	if tools.Type() != toolcall.ArrayType {
		return nil, errCatalogue
	}
	o := &offer{tools: map[string]*toolcall.ToolDef{}}
	for e := tools.Elements(); e.Next(); {
		def := toolcall.NewToolDef(upstream, e.Value())
		if def == nil {
			return nil, errors.New("a tool without a name")
		}
		o.tools[def.Name] = def
	}
	o.names = slices.Sorted(maps.Keys(o.tools))
	prompts := of.Member("prompts")
	if prompts.Type() != toolcall.ArrayType {
		return o, nil
	}
	o.prompts = []string{}
	for e := prompts.Elements(); e.Next(); {
		name, ok := e.Value().Member("name").Str()
		if !ok || name == "" {
			return nil, errors.New("a prompt without a name")
		}
		o.prompts = append(o.prompts, name)
	}
	slices.Sort(o.prompts)
	return o, nil
}

// Upstreams are the names of the upstreams, sorted.
func (c *Catalogue) Upstreams() []string {
	if c == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.upstreams))
}

// Tool is the definition of a tool; nil where the catalogue has none.
func (c *Catalogue) Tool(upstream, name string) *toolcall.ToolDef {
	if c == nil || c.upstreams[upstream] == nil {
		return nil
	}
	return c.upstreams[upstream].tools[name]
}

// Tools are all tools, sorted by upstream and name.
func (c *Catalogue) Tools() []*toolcall.ToolDef {
	var all []*toolcall.ToolDef
	for _, upstream := range c.Upstreams() {
		o := c.upstreams[upstream]
		for _, name := range o.names {
			all = append(all, o.tools[name])
		}
	}
	return all
}

// about are the tools that a selector is about.
func (c *Catalogue) about(s *selector) []*toolcall.ToolDef {
	if s.kind != toolcall.Tool {
		return nil
	}
	var some []*toolcall.ToolDef
	for _, def := range c.Tools() {
		if s.upstream.match(def.Upstream) && s.name.match(def.Name) {
			some = append(some, def)
		}
	}
	return some
}
