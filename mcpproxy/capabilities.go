package mcpproxy

import (
	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// What a client declares that it can do tells a server what it may ask for. What
// no rule allows is taken out, so that a well-behaved server never asks. It is
// kept from the others by the judgement of what they ask.

// narrowed is a client's message without the capabilities of which nothing could
// be allowed to this caller at this upstream.
func (p *Proxy) narrowed(f frame, declared toolcall.JSON, snap Snapshot, c toolcall.Caller, up *upstream) (frame, error) {
	var edits []toolcall.Edit
	for m := declared.Members(); m.Next(); {
		name, value := m.Name(), m.Value()
		known := name
		if folded := foldsTo(capabilityNames, name); folded != "" {
			known = folded // some servers read it as that
		}
		switch known {
		case "sampling", "elicitation", "roots":
			if !snap.Visible(c, toolcall.Request, up.Name, known) {
				edits = append(edits, toolcall.Edit{At: value})
			}
		case "tasks": // of the client's own, which mcpguard does not follow
			edits = append(edits, toolcall.Edit{At: value})
		case "extensions":
			if value.Type() != toolcall.ObjectType {
				edits = append(edits, toolcall.Edit{At: value})
				continue
			}
			for e := value.Members(); e.Next(); {
				if !p.methods.follows(e.Name()) && !snap.Visible(c, toolcall.Method, up.Name, e.Name()) {
					edits = append(edits, toolcall.Edit{At: e.Value()})
				}
			}
		}
	}
	return f.edited(edits)
}

// capabilityNames are the capabilities of a client that policy has to do with.
var capabilityNames = []string{"elicitation", "extensions", "roots", "sampling", "tasks"}

// follows reports whether messages of an extension are in the table, and served.
func (t methods) follows(extension string) bool {
	for _, m := range t {
		if m.ext == extension && m.sees != noPlace {
			return true
		}
	}
	return false
}

// narrow takes out of a modern request what narrowed does: there, each request
// declares the client's capabilities.
func (x *exchange) narrow() error {
	if x.ses.era != modern {
		return nil
	}
	f, err := x.p.narrowed(x.frame, x.frame.meta().Member(mcp.MetaKeyClientCapabilities), x.snap, x.caller, x.ses.up)
	if err != nil {
		return err
	}
	x.frame = f
	x.client.capabilities = f.meta().Member(mcp.MetaKeyClientCapabilities)
	return nil
}
