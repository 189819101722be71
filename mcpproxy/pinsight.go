package mcpproxy

import (
	"context"

	"mcpguard/toolcall"
)

// pinKinds are the lists whose items are definitions. What resources there are
// changes all the time: policy judges each by its URI.
var pinKinds = map[string]toolcall.PinKind{
	"tools/list":               toolcall.PinTool,
	"prompts/list":             toolcall.PinPrompt,
	"resources/templates/list": toolcall.PinTemplate,
}

// pinned judges pages of a list; all of them, where whole says so.
func (p *Proxy) pinned(ctx context.Context, x *exchange, method string, pages []page, whole bool) (verdict, error) {
	l := listings[method]
	var items []sighted
	for _, pg := range pages {
		list := pg.result.Member(l.key)
		if list.Type() != toolcall.ArrayType { // no first list to take for an empty one
			return verdict{}, &upstreamError{upstream: x.ses.up.Name, what: "sent a list without the array " + l.key}
		}
		for e := list.Elements(); e.Next(); {
			if len(items) == maxSighted {
				return verdict{}, &upstreamError{upstream: x.ses.up.Name, what: "lists more " + l.key + " than can be held against what was accepted"}
			}
			name, _ := e.Value().Member(l.name).Str()
			items = append(items, sighted{name, e.Value()})
		}
	}
	return p.cfg.Pins.judge(ctx, sighting{pinKey: pinKey{x.ses.up.Name, pinKinds[method]}, items: items, whole: whole,
		record: x.pinRecord(), clean: x.pinText})
}

// pinnedPage judges a page of a list that passes page by page. The first list of a
// kind is read whole before, by mcpguard itself: otherwise it would end with its
// first page.
func (x *exchange) pinnedPage(ctx context.Context, result toolcall.JSON) (verdict, error) {
	p, method := x.p, x.frame.method
	if _, ok := pinKinds[method]; !ok {
		return verdict{}, nil
	}
	cursor, _ := x.frame.params.Member("cursor").Str()
	next, more := result.Member("nextCursor").Str()
	whole := cursor == "" && (!more || next == "")
	if !whole {
		known, err := p.cfg.Pins.knows(ctx, pinKey{x.ses.up.Name, pinKinds[method]})
		if err != nil {
			return verdict{}, err
		}
		if !known {
			pages, err := p.fetch(ctx, x, method)
			if err != nil {
				return verdict{}, err
			}
			if _, err := p.pinned(ctx, x, method, pages, true); err != nil {
				return verdict{}, err
			}
		}
	}
	return p.pinned(ctx, x, method, []page{{result: result}}, whole)
}

// knows reports whether the first list of a kind was judged, or need not be.
func (b *Pinbook) knows(ctx context.Context, key pinKey) (bool, error) {
	if b.cfg.Rules[key.upstream].Off {
		return true, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.loadLocked(ctx); err != nil {
		return false, err
	}
	return b.kindLocked(key).judged, nil
}

// pinnedHandshake are the edits that take quarantined instructions out of the
// answer to initialize or server/discover. A server without instructions has none
// in its first list.
func (x *exchange) pinnedHandshake(ctx context.Context, result toolcall.JSON) ([]toolcall.Edit, error) {
	s := sighting{pinKey: pinKey{x.ses.up.Name, toolcall.PinInstructions}, whole: true, record: x.pinRecord(), clean: x.pinText}
	instructions := result.Member(pinInstructions)
	if !instructions.IsZero() {
		s.items = []sighted{{pinInstructions, instructions}}
	}
	v, err := x.p.cfg.Pins.judge(ctx, s)
	if err != nil || !v.held[pinInstructions] {
		return nil, err
	}
	return []toolcall.Edit{{At: instructions}}, nil
}

// without takes the definitions that are hidden out of a page.
func without(result toolcall.JSON, l listing, held map[string]bool) (toolcall.JSON, error) {
	if len(held) == 0 {
		return result, nil
	}
	var edits []toolcall.Edit
	for e := result.Member(l.key).Elements(); e.Next(); {
		if name, _ := e.Value().Member(l.name).Str(); held[name] {
			edits = append(edits, toolcall.Edit{At: e.Value()})
		}
	}
	return toolcall.Splice(result, edits)
}
