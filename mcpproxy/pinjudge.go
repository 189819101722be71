package mcpproxy

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// sighting is a list of an upstream, or a page of one.
type sighting struct {
	pinKey
	items  []sighted
	whole  bool                       // nothing of the kind is on another page
	record audit.Record               // what every record about it begins with
	clean  func(toolcall.JSON) string // a definition as it may be kept
}

// sighted is one definition. An empty name is nobody's, and never shown anyway.
type sighted struct {
	name string
	def  toolcall.JSON
}

// verdict is what becomes of a sighting.
type verdict struct {
	held  map[string]bool // the names that are hidden
	count uint64          // Pinbook.verdicts when it was judged
}

// judge decides about the definitions of a list. What is new is durable, in the
// record and then in the store, before it is shown; after an error nothing of the
// list may be. Two first lists at once are judged one after the other: the second
// is compared with the first.
func (b *Pinbook) judge(ctx context.Context, s sighting) (v verdict, err error) {
	rules := b.cfg.Rules[s.upstream]
	if rules.Off {
		return verdict{count: b.verdicts.Load()}, nil
	}
	forms := make([]toolcall.Pin, len(s.items)) // here: lists of other upstreams need not wait for it
	for i, item := range s.items {
		forms[i] = formOf(s.upstream, s.kind, item.name, item.def)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.loadLocked(ctx); err != nil {
		return v, err
	}
	v = verdict{held: map[string]bool{}, count: b.verdicts.Load()}
	k := b.kindLocked(s.pinKey)
	first := !k.judged && s.whole
	var changed []toolcall.Pin
	seen, fresh := map[string]bool{}, map[string]bool{}
	looks := map[string]string{} // of the names that are new here
	dropped := 0
	for i, item := range s.items {
		if item.name == "" || seen[item.name] {
			continue // of two with a name, the first alone is looked at: neither the other is shown
		}
		seen[item.name] = true
		p := forms[i]
		have := k.find(p.Name, p.Digest)
		if have != nil && b.stateLocked(have) == have.State {
			v.hold(have)
			k.shown[p.Name] = p.Digest
			continue
		}
		if have != nil { // the lock file says otherwise than before
			p = *have
			p.State, p.By, p.Decided = b.stateLocked(have), toolcall.ByLock, b.cfg.Now()
			changed = append(changed, p)
			v.hold(&p)
			continue
		}
		if k.forms+len(fresh) >= maxPins || k.waiting(p.Name) >= maxWaiting {
			v.held[p.Name] = true
			if len(k.byName[p.Name]) > 0 { // of a name that is not remembered, holds asks nothing
				k.shown[p.Name] = p.Digest
			}
			dropped++
			continue
		}
		if s.kind == toolcall.PinTool {
			look := skeleton(p.Name)
			if other, there := looks[look]; oddName(p.Name) || b.resembles(s.upstream, p.Name) || there && other != p.Name {
				p.Causes |= toolcall.CauseName
			}
			looks[look] = p.Name
		}
		b.decideLocked(&p, k, rules, first, item.def)
		fresh[p.Name] = true
		p.Text = textOf(s, item.def)
		changed = append(changed, p)
		v.hold(&p)
	}
	if dropped > 0 {
		b.cfg.Log.Warn("an upstream defines more than is remembered: the rest is hidden", "upstream", s.upstream, "kind", s.kind.String(), "hidden", dropped)
	}
	gone := k.missing(s, seen)
	if len(changed) == 0 && len(gone) == 0 && !first {
		return v, nil
	}
	if err := b.noteLocked(ctx, s, changed, gone, first); err != nil {
		return v, err
	}
	if first {
		now := b.cfg.Now()
		changed = append(changed, toolcall.Pin{Upstream: s.upstream, Kind: s.kind, State: toolcall.PinAccepted, Seen: now, Decided: now, By: toolcall.FirstSight})
	}
	if err := b.cfg.Store.KeepPins(ctx, changed); err != nil {
		b.forgetLocked()
		return v, fmt.Errorf("keep what upstream %s defines: %w", s.upstream, err)
	}
	for _, p := range changed {
		b.addLocked(p)
		if p.Name != "" {
			k.shown[p.Name] = p.Digest
		}
	}
	for _, name := range gone {
		k.gone[name] = true
	}
	return v, nil
}

func (v *verdict) hold(p *toolcall.Pin) {
	if !p.State.Shown() {
		v.held[p.Name] = true
	}
}

// decideLocked says what becomes of a form that was not seen before.
func (b *Pinbook) decideLocked(p *toolcall.Pin, k *pinsOfKind, rules PinRules, first bool, def toolcall.JSON) {
	p.Seen = b.cfg.Now()
	p.Decided, p.By = p.Seen, toolcall.ByRule
	if hidesText(def) {
		p.Causes |= toolcall.CauseHidden
	}
	was := k.base(p.Name)
	if b.cfg.Lock != nil {
		was = b.cfg.Lock.find(pinKey{p.Upstream, p.Kind}, p.Name)
	}
	switch {
	case b.cfg.Lock != nil && was != nil && was.Digest == p.Digest:
		p.State, p.By = toolcall.PinAccepted, toolcall.ByLock
		return
	case was != nil:
		p.Was = was.Digest
		p.Causes |= changesOf(p, was)
	case !first || rules.First != PinAccept || b.cfg.Lock != nil:
		p.Causes |= toolcall.CauseNew
	}
	if b.cfg.Lock != nil {
		p.State, p.By = toolcall.PinQuarantined, toolcall.ByLock
		return
	}
	p.State = rules.state(p.Causes, first)
	if first && p.State == toolcall.PinAccepted {
		p.By = toolcall.FirstSight
	}
}

// missing are the names that were shown once and are not listed any more. Each is
// told once in the life of a process: an upstream that lists other tools for other
// clients would tell it again and again.
func (k *pinsOfKind) missing(s sighting, seen map[string]bool) (names []string) {
	if !s.whole || !k.judged {
		return nil
	}
	for name := range k.byName {
		if !seen[name] && !k.gone[name] && k.base(name) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// noteLocked makes durable what becomes of a list: each change, and of a first
// list how much of it was accepted.
func (b *Pinbook) noteLocked(ctx context.Context, s sighting, changed []toolcall.Pin, gone []string, first bool) error {
	var notes []audit.Record
	accepted := 0
	note := func(p *toolcall.Pin, why string) {
		rec := s.record
		describePin(&rec, p, why)
		notes = append(notes, rec)
	}
	for i := range changed {
		p := &changed[i]
		if first && p.State == toolcall.PinAccepted {
			accepted++
			continue
		}
		note(p, whyOf(p))
		b.cfg.Log.Warn("an upstream's definition is "+p.State.String(), "upstream", p.Upstream, "kind", p.Kind.String(),
			"name", cut(p.Name, maxEcho), "causes", p.Causes.String(), "digest", p.Digest.String())
	}
	for _, name := range gone {
		note(&toolcall.Pin{Upstream: s.upstream, Kind: s.kind, Name: name}, "removed: it is not listed any more")
	}
	if more := len(notes) - maxPinNotes; more > 0 {
		notes = notes[:maxPinNotes]
		note(&toolcall.Pin{Upstream: s.upstream, Kind: s.kind}, strconv.Itoa(more)+" more "+s.kind.String()+" definitions changed")
	}
	// What a first list of tools holds, its catalogue tells.
	if accepted > 0 && s.kind != toolcall.PinTool {
		note(&toolcall.Pin{Upstream: s.upstream, Kind: s.kind}, toolcall.FirstSight+": "+strconv.Itoa(accepted)+" accepted")
	}
	return putAll(ctx, b.cfg.Record, notes)
}

// whyOf is a decision about a definition in words.
func whyOf(p *toolcall.Pin) string {
	why := p.State.String()
	if p.Causes != 0 {
		why += ": " + p.Causes.String()
	}
	if !p.Was.IsZero() {
		why += "; before " + p.Was.String()
	}
	return why
}

// putAll makes records durable, with one wait for all.
func putAll(ctx context.Context, to Recorder, recs []audit.Record) error {
	commits := make([]*audit.Commit, len(recs))
	for i, rec := range recs {
		commits[i] = to.Put(rec)
	}
	for _, c := range commits {
		if err := c.Wait(ctx); err != nil {
			return unrecorded(err)
		}
	}
	return nil
}

// textOf is a definition as it is kept for people who compare.
func textOf(s sighting, def toolcall.JSON) string {
	if def.Len() > maxPinText {
		return ""
	}
	text := s.clean(def)
	if len(text) > maxPinText {
		return ""
	}
	return text
}

// pinRecord begins the records about what the upstream of x defines.
func (x *exchange) pinRecord() audit.Record {
	rec := x.record(audit.ToolChange)
	rec.Call = toolcall.ID{}
	return rec
}

// pinText is a definition as redaction for this caller leaves it.
func (x *exchange) pinText(def toolcall.JSON) string {
	r := x.redactAll()
	if r == nil {
		r = redact.New()
	}
	clean, _, err := r.Clean(def, surfaceOf(def))
	if err != nil {
		return ""
	}
	return clean.String()
}
