package mcpproxy

import (
	"crypto/sha256"
	"hash"
	"slices"

	"mcpguard/toolcall"
)

// pinParts say which part of a definition each member belongs to (MCP: Tool,
// Prompt, ResourceTemplate). A member that is not here is toolcall.PartOther: what
// it means is not known, and a change of it is held back. Words that stand inside a
// schema count as schema.
var pinParts = map[toolcall.PinKind]map[string]int{
	toolcall.PinTool: {
		"name": toolcall.PartWording, "title": toolcall.PartWording, "description": toolcall.PartWording,
		"icons": toolcall.PartWording, "_meta": toolcall.PartWording,
		"inputSchema": toolcall.PartSchema, "outputSchema": toolcall.PartSchema,
		"annotations": toolcall.PartHints, "execution": toolcall.PartHints,
	},
	toolcall.PinPrompt: {
		"name": toolcall.PartWording, "title": toolcall.PartWording, "description": toolcall.PartWording,
		"icons": toolcall.PartWording, "_meta": toolcall.PartWording,
		"arguments": toolcall.PartSchema,
	},
	toolcall.PinTemplate: {
		"name": toolcall.PartWording, "title": toolcall.PartWording, "description": toolcall.PartWording,
		"icons": toolcall.PartWording, "_meta": toolcall.PartWording,
		"uriTemplate": toolcall.PartSchema, "mimeType": toolcall.PartSchema,
		"annotations": toolcall.PartHints,
	},
}

// partCauses is what a change of each part is called.
var partCauses = [toolcall.PinParts]toolcall.PinCauses{
	toolcall.PartWording: toolcall.CauseWording, toolcall.PartSchema: toolcall.CauseSchema,
	toolcall.PartHints: toolcall.CauseHints, toolcall.PartOther: toolcall.CauseOther,
}

// formOf is the pin of a definition, before anything is decided about it.
func formOf(upstream string, kind toolcall.PinKind, name string, def toolcall.JSON) toolcall.Pin {
	p := toolcall.Pin{Upstream: upstream, Kind: kind, Name: name, Digest: sha256.Sum256(def.AppendCanonical(nil))}
	var sums [toolcall.PinParts]hash.Hash
	add := func(part int, name string, value toolcall.JSON) {
		if sums[part] == nil {
			sums[part] = sha256.New()
		}
		sums[part].Write(value.AppendCanonical(toolcall.AppendQuoted(nil, name)))
	}
	if kind == toolcall.PinInstructions {
		add(toolcall.PartWording, "", def)
	}
	for _, m := range sortedMembers(def) {
		part, known := pinParts[kind][m.name]
		switch {
		case !known:
			part = toolcall.PartOther
		case m.name == "annotations" && m.value.Type() == toolcall.ObjectType: // its title is read by people
			for _, a := range sortedMembers(m.value) {
				if a.name == "title" {
					add(toolcall.PartWording, "annotations.title", a.value)
				} else {
					add(toolcall.PartHints, "annotations."+a.name, a.value)
				}
			}
			continue
		}
		add(part, m.name, m.value)
	}
	for i, sum := range sums {
		if sum != nil {
			sum.Sum(p.Parts[i][:0])
		}
	}
	return p
}

type pinMember struct {
	name  string
	value toolcall.JSON
}

// sortedMembers are the members of an object by name: their order is no part of a
// definition.
func sortedMembers(object toolcall.JSON) []pinMember {
	var all []pinMember
	for m := object.Members(); m.Next(); {
		all = append(all, pinMember{m.Name(), m.Value()})
	}
	slices.SortFunc(all, func(a, b pinMember) int {
		if a.name < b.name {
			return -1
		}
		return 1 // no two are equal
	})
	return all
}

// changesOf names what differs between a definition and the one before it.
func changesOf(p, was *toolcall.Pin) (c toolcall.PinCauses) {
	for i := range p.Parts {
		if p.Parts[i] != was.Parts[i] {
			c |= partCauses[i]
		}
	}
	if c == 0 && p.Digest != was.Digest {
		return toolcall.CauseOther
	}
	return c
}
