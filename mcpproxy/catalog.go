package mcpproxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"mcpguard/toolcall"
)

// catalogue is every tool that an upstream offers, read whole. It is immutable
// but for the views that were rendered of it.
type catalogue struct {
	digest string // over the definitions, in order
	pages  []page
	tools  map[string]*toolcall.ToolDef
	pins   uint64 // Pinbook.verdicts when it was judged

	mu    sync.Mutex
	views map[viewKey]*view
}

// page is one result of tools/list as the upstream sent it.
type page struct {
	result toolcall.JSON
	cursor string // that led to it; "" for the first
}

// shelf holds the catalogue that sessions of one kind share. What an upstream
// offers may hang on the protocol revision and on the client's capabilities, so
// each combination has a shelf; a session whose upstream says that its list
// changed gets one of its own.
type shelf struct {
	flight singleflight.Group

	mu      sync.Mutex
	cat     *catalogue
	fetched time.Time
}

// How old a catalogue may be. A list is shown from a young one; a call needs
// only the definition, and looks again before it says that a tool is unknown.
const (
	listAge = 2 * time.Second
	callAge = 5 * time.Minute
	missAge = 2 * time.Second
)

// maxPages ends a catalogue that never ends.
const maxPages = 1000

// fresh is the catalogue, if it is young enough and nobody has accepted other
// definitions since it was judged.
func (s *shelf) fresh(now time.Time, age time.Duration, pins uint64) *catalogue {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cat == nil || now.Sub(s.fetched) > age || s.cat.pins != pins {
		return nil
	}
	return s.cat
}

func (s *shelf) stale() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched = time.Time{}
}

// maxShelves bounds the combinations that are remembered of one upstream.
const maxShelves = 64

// shelfFor is the shelf of a request.
func (x *exchange) shelfFor() *shelf {
	if own := x.ses.shelf.Load(); own != nil {
		return own
	}
	key := x.ses.era.String() + " " + x.version + " " + x.capabilities().Text()
	u := x.ses.up
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.shelves[key]
	if s == nil {
		if len(u.shelves) >= maxShelves {
			clear(u.shelves)
		}
		s = &shelf{}
		u.shelves[key] = s
	}
	return s
}

// diverge gives a session a shelf of its own: its upstream changed the list, for
// this session or for all.
func (ses *session) diverge() {
	ses.shelf.Store(&shelf{})
	ses.up.mu.Lock()
	defer ses.up.mu.Unlock()
	for _, s := range ses.up.shelves {
		s.stale()
	}
}

// catalogue is the upstream's catalogue, not older than age. Whoever waits for
// the same one shares a single fetch.
func (p *Proxy) catalogue(ctx context.Context, x *exchange, age time.Duration) (*catalogue, error) {
	s := x.shelfFor()
	if cat := s.fresh(p.now(), age, p.cfg.Pins.verdicts.Load()); cat != nil {
		return cat, nil
	}
	led := false
	fetched, err, _ := s.flight.Do("", func() (any, error) {
		led = true
		if cat := s.fresh(p.now(), age, p.cfg.Pins.verdicts.Load()); cat != nil {
			return cat, nil // somebody else's flight landed in between
		}
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), x.ses.up.Timeout, errIdle)
		defer cancel()
		cat, err := p.fetchCatalogue(ctx, x)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cat, s.fetched = cat, p.now()
		return cat, nil
	})
	switch {
	case err == nil:
		return fetched.(*catalogue), nil
	case led:
		return nil, err
	}
	// What went wrong was somebody else's session, not this one.
	ctx, cancel := context.WithTimeoutCause(ctx, x.ses.up.Timeout, errIdle)
	defer cancel()
	return p.fetchCatalogue(ctx, x)
}

func (p *Proxy) fetchCatalogue(ctx context.Context, x *exchange) (*catalogue, error) {
	pages, err := p.fetch(ctx, x, "tools/list")
	if err != nil {
		return nil, err
	}
	return p.shelve(ctx, x, pages)
}

// fetch reads all pages of a list over the session of x.
func (p *Proxy) fetch(ctx context.Context, x *exchange, method string) ([]page, error) {
	var pages []page
	cursor, size := "", 0
	for {
		result, err := p.fetchPage(ctx, x, method, cursor)
		if err != nil {
			return nil, err
		}
		if size += result.Len(); size > x.ses.up.limits.Bytes {
			return nil, &upstreamError{upstream: x.ses.up.Name, what: "lists more " + listings[method].key + " than limits.result allows"}
		}
		pages = append(pages, page{result: result, cursor: cursor})
		next, ok := result.Member("nextCursor").Str()
		if !ok || next == "" {
			return pages, nil
		}
		if cursor = next; len(pages) == maxPages {
			return nil, &upstreamError{upstream: x.ses.up.Name, what: "lists its " + listings[method].key + " without end"}
		}
	}
}

func (p *Proxy) fetchPage(ctx context.Context, x *exchange, method, cursor string) (toolcall.JSON, error) {
	b := builder{}
	b.set("jsonrpc", "2.0")
	b.set("id", "mcpguard:"+strconv.FormatInt(p.ownID.Add(1), 10))
	b.set("method", method)
	b.raw("params", "{}")
	if cursor != "" {
		b.set("params.cursor", cursor)
	}
	if x.ses.era == modern {
		b.raw("params._meta", x.ownMeta())
	}
	text, err := b.done()
	if err != nil {
		return toolcall.JSON{}, fmt.Errorf("build %s: %w", method, err)
	}
	f, err := readFrame(text, p.cfg.Limits.message())
	if err != nil {
		return toolcall.JSON{}, fmt.Errorf("build %s: %w", method, err)
	}
	a, err := x.ses.leg.send(ctx, outbound{frame: f, version: x.version, era: x.ses.era, room: x.lease, own: true})
	if err != nil {
		return toolcall.JSON{}, err
	}
	defer a.close()
	for {
		in, err := a.next()
		if err != nil {
			return toolcall.JSON{}, x.ses.up.broken(err)
		}
		if in.frame.kind == request {
			p.reject(x, in.frame, "this answer is mcpguard's own: no client reads it")
			continue
		}
		if in.frame.kind != response || !in.frame.id.Equal(f.id) {
			continue // a notification about a list that is being read
		}
		if !in.frame.err.IsZero() {
			return toolcall.JSON{}, &upstreamError{upstream: x.ses.up.Name, what: "does not list its " + listings[method].key}
		}
		return in.frame.result, nil
	}
}

// broken turns the end of a stream, where an answer should be, into a fault.
func (u *upstream) broken(err error) error {
	var fault *upstreamError
	if errors.As(err, &fault) || errors.Is(err, errSessionOver) || errors.Is(err, context.Canceled) ||
		errors.Is(err, errShutdown) || errors.Is(err, errCancelled) {
		return err
	}
	if errors.Is(err, errIdle) {
		return &upstreamError{upstream: u.Name, what: "did not answer in time", err: err}
	}
	return &upstreamError{upstream: u.Name, what: "ended its answer without a result", err: err}
}

// shelve makes the catalogue of what was fetched, or finds the one it equals:
// sessions that see the same tools share it. One whose definitions are new is
// recorded, and they are kept (catalog_keep.go). What its pins hide is not in it:
// nobody sees it, and nobody can call it.
func (p *Proxy) shelve(ctx context.Context, x *exchange, pages []page) (*catalogue, error) {
	sum := sha256.New()
	for _, pg := range pages {
		fmt.Fprintf(sum, "%d\n", pg.result.Len())
		sum.Write([]byte(pg.result.Text()))
	}
	key := string(sum.Sum(nil))
	u := x.ses.up
	u.mu.Lock()
	same := u.catalogues[key]
	u.mu.Unlock()
	if same != nil && same.pins == p.cfg.Pins.verdicts.Load() {
		return same, nil
	}
	v, err := p.pinned(ctx, x, "tools/list", pages, true)
	if err != nil {
		return nil, err
	}
	for i := range pages {
		if pages[i].result, err = without(pages[i].result, listings["tools/list"], v.held); err != nil {
			return nil, fmt.Errorf("hide what is quarantined of upstream %s: %w", u.Name, err)
		}
	}
	cat := newCatalogue(u.Name, pages)
	cat.pins = v.count
	var texts []string
	for _, pg := range pages {
		texts = append(texts, pg.result.Text())
	}
	if err := p.keepCatalogue(ctx, x, cat, "["+strings.Join(texts, ",")+"]"); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.shareLocked(key, cat)
	return cat, nil
}

// shareLocked lets sessions share a catalogue that is read once more. What one
// upstream's take together is bounded like one of its messages: it may send another
// list each time that it is asked.
func (u *upstream) shareLocked(key string, cat *catalogue) {
	size := func(c *catalogue) (bytes int) {
		for i := range c.pages {
			bytes += c.pages[i].result.Len()
		}
		return bytes
	}
	all := size(cat)
	for _, other := range u.catalogues {
		all += size(other)
	}
	if len(u.catalogues) >= maxShelves || all > u.limits.Bytes {
		clear(u.catalogues)
	}
	u.catalogues[key] = cat
}

func newCatalogue(upstream string, pages []page) *catalogue {
	cat := &catalogue{pages: pages, tools: map[string]*toolcall.ToolDef{}, views: map[viewKey]*view{}}
	sum := sha256.New()
	for _, pg := range pages {
		for e := pg.result.Member("tools").Elements(); e.Next(); {
			d := toolcall.NewToolDef(upstream, e.Value())
			if d == nil || cat.tools[d.Name] != nil {
				continue // nameless, or a name that is taken: not shown, not callable
			}
			cat.tools[d.Name] = d
			sum.Write(d.Digest[:])
		}
	}
	cat.digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return cat
}

// showLimits shows the limits of policy in the definitions of a page. Calls are judged
// by the upstream's own definitions all the same.
func (x *exchange) showLimits(result toolcall.JSON, cat *catalogue) (toolcall.JSON, error) {
	var edits []toolcall.Edit
	for e := result.Member("tools").Elements(); e.Next(); {
		name, _ := e.Value().Member("name").Str()
		def := cat.tools[name]
		if def == nil {
			continue
		}
		if told := x.snap.Narrow(x.caller, def); told.Text() != def.Raw.Text() {
			edits = append(edits, toolcall.Edit{At: e.Value(), With: told})
		}
	}
	return toolcall.Splice(result, edits)
}

// viewKey tells apart who sees what of a catalogue.
type viewKey struct {
	policy, visibility string
	era                era
}

// view is a catalogue as one kind of caller sees it: rendered once.
type view struct {
	pages  []rendered
	shown  int
	hidden int
}

// rendered is a filtered page. Its cursor is sealed for each caller anew.
type rendered struct{ result, next toolcall.JSON }

// maxViews bounds the renderings kept of one catalogue.
const maxViews = 64

func (p *Proxy) viewOf(x *exchange, cat *catalogue) (*view, error) {
	key := viewKey{x.snap.Digest(), x.snap.VisibilityKey(x.caller), x.ses.era}
	cat.mu.Lock()
	defer cat.mu.Unlock()
	if v := cat.views[key]; v != nil {
		return v, nil
	}
	v := &view{}
	seen := map[string]bool{}
	for _, pg := range cat.pages {
		result, shown, hidden, err := x.filter(pg.result, listing{key: "tools", name: "name", kind: toolcall.Tool}, seen)
		if err != nil {
			return nil, err
		}
		if result, err = x.showLimits(result, cat); err != nil {
			return nil, err
		}
		if r := x.redactAll(); !r.Empty() {
			if result, _, err = r.Redact(result, surfaceOf(result)); err != nil {
				return nil, &Refusal{Stage: "redact", Code: codeInternal, Reason: "the list could not be redacted safely", err: err}
			}
		}
		v.pages = append(v.pages, rendered{result, result.Member("nextCursor")})
		v.shown, v.hidden = v.shown+shown, v.hidden+hidden
	}
	if len(cat.views) >= maxViews {
		clear(cat.views)
	}
	cat.views[key] = v
	return v, nil
}
