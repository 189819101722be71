package mcpproxy

import (
	"maps"
	"slices"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// A policy that comes into force while clients listen may change what they see.
// Those whose lists it changes are told on the streams that they hold open, where
// the upstream has announced that it tells of changes: what was not negotiated may
// not be used (MCP 2025-11-25, Lifecycle, "Operation"), and in the handshake
// mcpguard promises nothing of its own.

// lists is a set of the lists of whose changes a server can tell.
type lists uint8

const (
	toolsLists lists = 1 << iota
	promptsLists
	resourcesLists
)

// announcement is how the change of a list is negotiated and told.
type announcement struct {
	list       lists
	kind       toolcall.Kind
	capability string // legacy: has listChanged (MCP 2025-11-25, Capability Negotiation)
	filter     string // modern: member of notifications (MCP 2026-07-28, subscriptions/listen)
	method     string
}

var announcements = [...]announcement{
	{toolsLists, toolcall.Tool, "tools", "toolsListChanged", "notifications/tools/list_changed"},
	{promptsLists, toolcall.Prompt, "prompts", "promptsListChanged", "notifications/prompts/list_changed"},
	{resourcesLists, toolcall.Resource, "resources", "resourcesListChanged", "notifications/resources/list_changed"},
}

// announcedBy is what an upstream's capabilities promise to tell of.
func announcedBy(capabilities toolcall.JSON) (all lists) {
	for _, a := range announcements {
		if capabilities.Member(a.capability).Member("listChanged").Text() == "true" {
			all |= a.list
		}
	}
	return all
}

// acknowledgedBy is what an upstream has said that a subscription will hear.
func acknowledgedBy(filter toolcall.JSON) (all lists) {
	for _, a := range announcements {
		if filter.Member(a.filter).Text() == "true" {
			all |= a.list
		}
	}
	return all
}

// listener is a stream that a client holds open and that answers no call.
type listener struct {
	x *exchange

	mu       sync.Mutex
	promised lists // what the client was promised to be told of
	due      lists // what it has to be told of
	telling  bool  // a goroutine does that
}

// listeners are the streams that are open.
type listeners struct {
	mu  sync.Mutex
	all map[*listener]struct{}
}

// join puts a stream on the table, until the returned function is called. A policy
// that came into force since its request began is told of at once.
func (p *Proxy) join(x *exchange, promised lists) (_ *listener, leave func()) {
	l := &listener{x: x, promised: promised}
	began := x.snap
	p.listeners.mu.Lock()
	if p.listeners.all == nil {
		p.listeners.all = map[*listener]struct{}{}
	}
	p.listeners.all[l] = struct{}{}
	p.listeners.mu.Unlock()
	if now := p.cfg.Judge.Current(); now.Digest() != began.Digest() {
		p.owe(l, began, now)
	}
	return l, func() {
		p.listeners.mu.Lock()
		defer p.listeners.mu.Unlock()
		delete(p.listeners.all, l)
	}
}

// PolicyChanged tells the clients who listen, and who see other lists under the
// policy after than under the one before. It does not wait until they have heard.
func (p *Proxy) PolicyChanged(before, after Snapshot) {
	for _, l := range p.listening() {
		p.owe(l, before, after)
	}
}

// listening are the streams that are open now.
func (p *Proxy) listening() []*listener {
	p.listeners.mu.Lock()
	defer p.listeners.mu.Unlock()
	return slices.Collect(maps.Keys(p.listeners.all))
}

// DefinitionsAccepted tells the clients who listen, and whom policy shows what was
// accepted, that their lists have changed.
func (p *Proxy) DefinitionsAccepted(accepted []toolcall.Pin) {
	snap := p.cfg.Judge.Current()
	for _, l := range p.listening() {
		var due lists
		for i := range accepted {
			pin := &accepted[i]
			list, kind := listOf(pin.Kind)
			if pin.Upstream == l.x.ses.up.Name && list != 0 && snap.Visible(l.x.caller, kind, pin.Upstream, pin.Name) {
				due |= list
			}
		}
		if due != 0 {
			p.note(l, due, 0)
		}
	}
}

// listOf is the list in which definitions of a kind stand.
func listOf(k toolcall.PinKind) (lists, toolcall.Kind) {
	switch k {
	case toolcall.PinTool:
		return toolsLists, toolcall.Tool
	case toolcall.PinPrompt:
		return promptsLists, toolcall.Prompt
	case toolcall.PinTemplate:
		return resourcesLists, toolcall.Resource
	}
	return 0, toolcall.NoKind
}

// owe notes what a listener has to be told of, and sees to it that somebody does.
// Several changes before it has heard of the first are one.
func (p *Proxy) owe(l *listener, before, after Snapshot) {
	p.note(l, p.differing(l.x, before, after), 0)
}

// agreed takes what the upstream has agreed to tell a subscription of, when the
// client has heard that: nothing may come before it (MCP 2026-07-28,
// subscriptions/listen).
func (p *Proxy) agreed(x *exchange, f frame) {
	if x.listens != nil && f.method == acknowledgedMethod {
		p.note(x.listens, 0, acknowledgedBy(f.params.Member("notifications")))
	}
}

const acknowledgedMethod = "notifications/subscriptions/acknowledged"

// note adds to what is due and to what is promised.
func (p *Proxy) note(l *listener, due, promised lists) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due |= due
	l.promised |= promised
	if l.due&l.promised == 0 || l.telling || !p.enter() {
		return
	}
	l.telling = true
	go func() {
		defer p.work.Done()
		p.tell(l)
	}()
}

// tell says what is due until nothing is. A client that does not read holds up
// nobody but this goroutine, and has one of them at most.
func (p *Proxy) tell(l *listener) {
	for {
		l.mu.Lock()
		due := l.due & l.promised
		l.due &^= due
		l.telling = due != 0
		l.mu.Unlock()
		if due == 0 {
			return
		}
		for _, a := range announcements {
			if due&a.list == 0 {
				continue
			}
			text, err := l.x.announcement(a.method)
			if err != nil {
				p.log.Error("tell a client that a list has changed", "session", l.x.ses.id, "err", err)
				continue
			}
			l.x.out.say(text, p.cfg.Judge.Current().Digest())
		}
	}
}

// announcement is the notification. A modern one names the subscription that it
// belongs to.
func (x *exchange) announcement(method string) (string, error) {
	b := builder{}
	b.set("jsonrpc", "2.0")
	b.set("method", method)
	if x.ses.era == modern {
		b.raw("params", "{}")
		b.raw("params._meta", `{`+toolcall.Quote(mcp.MetaKeySubscriptionID).Text()+`:`+x.frame.id.Text()+`}`)
	}
	return b.done()
}

// differing is which lists of a caller two policies make different. Tools are
// compared as the caller is shown them, where a catalogue is there to look at;
// lists that pass page by page, by what the policies show of any.
func (p *Proxy) differing(x *exchange, before, after Snapshot) (changed lists) {
	for _, a := range announcements {
		if a.kind == toolcall.Tool {
			if same, known := p.sameTools(x, before, after); known {
				if !same {
					changed |= a.list
				}
				continue
			}
		}
		if before.ListKey(x.caller, a.kind, x.ses.up.Name) != after.ListKey(x.caller, a.kind, x.ses.up.Name) {
			changed |= a.list
		}
	}
	return changed
}

// sameTools compares what two policies show of the catalogue at hand; known is
// false when there is none, or it cannot be shown.
func (p *Proxy) sameTools(x *exchange, before, after Snapshot) (same, known bool) {
	shelf := x.shelfFor()
	shelf.mu.Lock()
	cat := shelf.cat
	shelf.mu.Unlock()
	if cat == nil {
		return false, false
	}
	first, err := p.viewOf(x.under(before), cat)
	if err != nil {
		return false, false
	}
	second, err := p.viewOf(x.under(after), cat)
	if err != nil {
		return false, false
	}
	for i := range first.pages {
		if first.pages[i].result.Text() != second.pages[i].result.Text() {
			return false, true
		}
	}
	return true, true
}

// under is as much of x as rendering a list needs, under another policy.
func (x *exchange) under(snap Snapshot) *exchange {
	return &exchange{p: x.p, ses: x.ses, caller: x.caller, version: x.version, client: x.client, snap: snap}
}

// Sessions is how many sessions are open.
func (p *Proxy) Sessions() int {
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	return p.sessions.total.sessions
}
