package mcpproxy

import (
	"context"
	"strconv"

	"github.com/tidwall/sjson"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// listing says where in a list's result the items stand and what names them.
type listing struct {
	key  string // member of the result
	name string // member of an item
	kind toolcall.Kind
}

var listings = map[string]listing{
	"tools/list":               {"tools", "name", toolcall.Tool},
	"prompts/list":             {"prompts", "name", toolcall.Prompt},
	"resources/list":           {"resources", "uri", toolcall.Resource},
	"resources/templates/list": {"resourceTemplates", "uriTemplate", toolcall.Resource},
}

// shows reports whether the caller may see an item.
func (l listing) shows(x *exchange, name string) bool {
	if l.name == "uri" {
		return x.reachable(name)
	}
	return x.snap.Visible(x.caller, l.kind, x.ses.up.Name, name)
}

// toolsList answers tools/list from the catalogue, which also the calls are
// judged by: what is listed is what can be called (law 9).
func (p *Proxy) toolsList(ctx context.Context, x *exchange) {
	cat, err := p.catalogue(ctx, x, listAge)
	if err != nil {
		p.fail(x, err)
		return
	}
	v, err := p.viewOf(x, cat)
	if err != nil {
		p.fail(x, err)
		return
	}
	cursor, _ := x.frame.params.Member("cursor").Str()
	for i, pg := range cat.pages {
		if pg.cursor != cursor {
			continue
		}
		result, err := x.sealCursor(v.pages[i].result, v.pages[i].next)
		if err != nil {
			p.fail(x, err)
			return
		}
		x.catalogue = cat.digest
		p.listed(ctx, x, result, v.shown, v.hidden)
		return
	}
	p.refuse(ctx, x, badHandle("cursor"))
}

// listed records a list and sends it.
func (p *Proxy) listed(ctx context.Context, x *exchange, result toolcall.JSON, shown, hidden int) {
	if err := p.recordList(ctx, x, shown, hidden); err != nil {
		p.fail(x, err)
		return
	}
	x.out.result(x.frame.id, result)
}

func (p *Proxy) recordList(ctx context.Context, x *exchange, shown, hidden int) error {
	rec := x.record(audit.List)
	rec.Effect = toolcall.Allow
	rec.Reason = redact.Public(strconv.Itoa(shown) + " shown, " + strconv.Itoa(hidden) + " hidden")
	if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
		return unrecorded(err)
	}
	return nil
}

// listResult filters a list that passes page by page.
func listResult(ctx context.Context, x *exchange, f frame) (frame, error) {
	l := listings[x.frame.method]
	v, err := x.pinnedPage(ctx, f.result)
	if err != nil {
		return frame{}, err
	}
	result, err := without(f.result, l, v.held)
	if err != nil {
		return frame{}, err
	}
	var seen map[string]bool
	if _, pinned := pinKinds[x.frame.method]; pinned { // of a name one definition was judged, the first
		seen = map[string]bool{}
	}
	result, shown, hidden, err := x.filter(result, l, seen)
	if err != nil {
		return frame{}, err
	}
	if result, err = x.sealCursor(result, result.Member("nextCursor")); err != nil {
		return frame{}, err
	}
	if err := x.p.recordList(ctx, x, shown, hidden); err != nil {
		return frame{}, err
	}
	return f.with(f.result, result)
}

// filter takes out of a list what the caller may not see. Order and bytes of the
// rest stay; a page may end up empty and still lead to the next. With seen,
// only the first item of each name stays. An item without one name is nobody's.
func (x *exchange) filter(result toolcall.JSON, l listing, seen map[string]bool) (_ toolcall.JSON, shown, hidden int, _ error) {
	items := result.Member(l.key)
	if items.Type() != toolcall.ArrayType {
		return toolcall.JSON{}, 0, 0, &upstreamError{upstream: x.ses.up.Name, what: "sent a list without the array " + l.key}
	}
	var keep []toolcall.JSON
	for e := items.Elements(); e.Next(); {
		name, ok := e.Value().Member(l.name).Str()
		twice := seen != nil && seen[name]
		if seen != nil {
			seen[name] = true
		}
		folded := noFoldedNames(e.Value(), []string{l.name}) != nil // to some readers it is another's name
		if !ok || name == "" || twice || folded || !l.shows(x, name) {
			hidden++
			continue
		}
		keep = append(keep, e.Value())
	}
	if hidden > 0 {
		var err error
		if result, err = toolcall.Splice(result, []toolcall.Edit{{At: items, With: toolcall.Array(keep...)}}); err != nil {
			return toolcall.JSON{}, 0, 0, err
		}
	}
	if x.ses.era == modern {
		var err error
		if result, err = private(result); err != nil {
			return toolcall.JSON{}, 0, 0, err
		}
	}
	return result, len(keep), hidden, nil
}

// maxListTTL is the longest that a client may keep a filtered list.
const maxListTTL = 10_000 // milliseconds

// private marks a filtered list as this caller's own (MCP 2026-07-28, Caching):
// a shared cache would show it to others.
func private(result toolcall.JSON) (toolcall.JSON, error) {
	text := result.Text()
	var err error
	if s, _ := result.Member("cacheScope").Str(); s != "private" {
		if text, err = sjson.Set(text, "cacheScope", "private"); err != nil {
			return toolcall.JSON{}, err
		}
	}
	ttl, ok := result.Member("ttlMs").Number()
	limit, _ := toolcall.Integer(maxListTTL).Number()
	if !ok || !ttl.Comparable() || ttl.Compare(limit) > 0 {
		if text, err = sjson.Set(text, "ttlMs", maxListTTL); err != nil {
			return toolcall.JSON{}, err
		}
	}
	return toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: maxDepth})
}

// maxDepth admits every depth that Limits could have admitted.
const maxDepth = 1 << 20
