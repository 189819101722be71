package mcpproxy

import (
	"errors"
	"fmt"

	"mcpguard/toolcall"
)

// PinLock is the content of a lock file: what was reviewed of each upstream.
// Nothing else is shown. The zero PinLock has nothing.
type PinLock struct {
	pins map[pinKey]map[string]*toolcall.Pin
}

// pinLists are the members of an upstream in a lock file, which are those of the
// results that list them (MCP), and where the name of an item stands.
var pinLists = []struct {
	kind         toolcall.PinKind
	list, member string
}{
	{toolcall.PinTool, "tools", "name"},
	{toolcall.PinPrompt, "prompts", "name"},
	{toolcall.PinTemplate, "resourceTemplates", "uriTemplate"},
}

// pinInstructions is the name of an upstream's instructions among its definitions,
// and their member in a lock file and in a handshake.
const pinInstructions = "instructions"

// Bounds of a lock file.
const (
	maxLock      = 64 << 20 // bytes
	maxLockDepth = 128 + 8  // levels: the deepest definition in its place
)

// ParseLock reads a lock file:
//
//	{"UPSTREAM": {"tools": [...], "prompts": [...], "resourceTemplates": [...], "instructions": "..."}}
//
// with definitions as the upstream sends them. It is strict: what it does not know
// is an error, and so are two definitions of a name.
func ParseLock(text string) (*PinLock, error) {
	doc, err := toolcall.Parse(text, toolcall.Limits{Bytes: maxLock, Depth: maxLockDepth})
	if err != nil {
		return nil, err
	}
	if doc.Type() != toolcall.ObjectType {
		return nil, errors.New("it is no object of upstreams")
	}
	l := &PinLock{pins: map[pinKey]map[string]*toolcall.Pin{}}
	for u := doc.Members(); u.Next(); {
		if u.Value().Type() != toolcall.ObjectType {
			return nil, fmt.Errorf("upstream %q is no object", u.Name())
		}
		for m := u.Value().Members(); m.Next(); {
			if err := l.member(u.Name(), m.Name(), m.Value()); err != nil {
				return nil, fmt.Errorf("upstream %q: %w", u.Name(), err)
			}
		}
	}
	return l, nil
}

func (l *PinLock) member(upstream, name string, value toolcall.JSON) error {
	if name == pinInstructions {
		if value.Type() != toolcall.StringType {
			return errors.New("instructions is no text")
		}
		return l.add(upstream, toolcall.PinInstructions, pinInstructions, value)
	}
	for _, of := range pinLists {
		if of.list != name {
			continue
		}
		if value.Type() != toolcall.ArrayType {
			return errors.New(name + " is no list")
		}
		for e := value.Elements(); e.Next(); {
			item, ok := e.Value().Member(of.member).Str()
			if !ok || item == "" {
				return fmt.Errorf("an entry of %s has no %s", name, of.member)
			}
			if err := l.add(upstream, of.kind, item, e.Value()); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("there is no member %q: tools, prompts, resourceTemplates or instructions", name)
}

func (l *PinLock) add(upstream string, kind toolcall.PinKind, name string, def toolcall.JSON) error {
	key := pinKey{upstream, kind}
	if l.pins[key] == nil {
		l.pins[key] = map[string]*toolcall.Pin{}
	}
	if l.pins[key][name] != nil {
		return fmt.Errorf("the %s %q is there twice", kind, name)
	}
	p := formOf(upstream, kind, name, def)
	l.pins[key][name] = &p
	return nil
}

// find is the definition of that name, or nil.
func (l *PinLock) find(key pinKey, name string) *toolcall.Pin { return l.pins[key][name] }
