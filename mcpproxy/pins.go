package mcpproxy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// PinStore keeps what upstreams defined, and what was decided about it.
type PinStore interface {
	// KeepPins keeps pins, all or none, durably when it returns nil; of one that is
	// there already, what was decided.
	KeepPins(context.Context, []toolcall.Pin) error
	// Pins are all that are kept, without texts, the first seen of a name first.
	Pins(context.Context) ([]toolcall.Pin, error)
}

// PinAction says what becomes of a definition for one reason. The zero PinAction
// hides it.
type PinAction uint8

// The actions.
const (
	PinQuarantine PinAction = iota
	PinAlert
	PinAccept // of First alone: every other reason is there to be told
)

// PinRules say what becomes of the definitions of an upstream. The zero PinRules
// hide everything that nobody accepted. What changed in a member that this version
// does not know is always quarantined.
type PinRules struct {
	Off     bool      // nothing is pinned
	First   PinAction // what stands in the first list of its kind
	New     PinAction // a name that was not there before
	Wording PinAction // another title, description, icon, _meta, or other instructions
	Schema  PinAction // another schema, or other arguments of a prompt
	Hints   PinAction // other annotations, or another execution
	Hidden  PinAction // characters that people do not see, wherever they are found
	Names   PinAction // a name like another, or none that MCP allows, wherever it is found
}

// state is what the rules make of a definition with these causes. A definition
// without causes is one of the first list that is to be accepted.
func (r PinRules) state(causes toolcall.PinCauses, first bool) toolcall.PinState {
	worst := PinAccept
	if first {
		worst = r.First
	}
	for _, rule := range [...]struct {
		cause  toolcall.PinCauses
		action PinAction
	}{
		{toolcall.CauseNew, r.New}, {toolcall.CauseWording, r.Wording}, {toolcall.CauseSchema, r.Schema},
		{toolcall.CauseHints, r.Hints}, {toolcall.CauseOther, PinQuarantine},
		{toolcall.CauseHidden, r.Hidden}, {toolcall.CauseName, r.Names},
	} {
		if causes&rule.cause != 0 {
			worst = min(worst, rule.action)
		}
	}
	switch {
	case worst == PinQuarantine, causes == 0 && !first:
		return toolcall.PinQuarantined
	case worst == PinAlert || causes != 0:
		return toolcall.PinAlerted
	}
	return toolcall.PinAccepted
}

// PinbookConfig is what a Pinbook is made of.
type PinbookConfig struct {
	Store  PinStore
	Record Recorder
	Rules  map[string]PinRules // by upstream; one without rules has the zero PinRules
	Lock   *PinLock            // nil: what was accepted is in the store
	Log    *slog.Logger        // nil discards
	Now    func() time.Time    // nil: time.Now
}

// Pinbook knows which definitions of upstreams were accepted, and hides the others:
// tools, prompts, resource templates and instructions. It is shared by all sessions.
// The first list of a kind that an upstream shows to anybody is judged by
// PinRules.First; what comes later is a change. It is safe for concurrent use.
type Pinbook struct {
	cfg PinbookConfig

	// verdicts counts the times that somebody changed what was decided: a catalogue
	// that was made before is made again.
	verdicts atomic.Uint64

	mu     sync.Mutex
	loaded bool
	kinds  map[pinKey]*pinsOfKind
	looks  map[string][]nameOf // tools by the skeleton of their name
}

// pinKey is one kind of definitions of one upstream.
type pinKey struct {
	upstream string
	kind     toolcall.PinKind
}

// nameOf is a tool of an upstream.
type nameOf struct{ upstream, name string }

// pinsOfKind are the definitions of a kind of an upstream, by name.
type pinsOfKind struct {
	judged bool                       // the first list was
	forms  int                        // in all
	byName map[string][]*toolcall.Pin // the first seen first
	shown  map[string]toolcall.Digest // the form that the upstream gave last, since this process began
	gone   map[string]bool            // that a name is not listed any more was recorded
}

// NewPinbook makes a Pinbook.
func NewPinbook(cfg PinbookConfig) (*Pinbook, error) {
	if cfg.Store == nil || cfg.Record == nil {
		return nil, fmt.Errorf("make a pinbook: a seam is missing")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Pinbook{cfg: cfg, kinds: map[pinKey]*pinsOfKind{}, looks: map[string][]nameOf{}}, nil
}

// loadLocked reads what was decided before this process.
func (b *Pinbook) loadLocked(ctx context.Context) error {
	if b.loaded {
		return nil
	}
	all, err := b.cfg.Store.Pins(ctx)
	if err != nil {
		return fmt.Errorf("read what was accepted of upstreams: %w", err)
	}
	for i := range all {
		if _, ours := b.cfg.Rules[all[i].Upstream]; ours {
			b.addLocked(all[i])
		}
	}
	b.loaded = true
	return nil
}

// forgetLocked lets the book be read again: after an error, what the store has of
// it is not known.
func (b *Pinbook) forgetLocked() {
	b.loaded, b.kinds, b.looks = false, map[pinKey]*pinsOfKind{}, map[string][]nameOf{}
}

func (b *Pinbook) kindLocked(key pinKey) *pinsOfKind {
	k := b.kinds[key]
	if k == nil {
		k = &pinsOfKind{byName: map[string][]*toolcall.Pin{}, shown: map[string]toolcall.Digest{}, gone: map[string]bool{}}
		b.kinds[key] = k
	}
	return k
}

// addLocked takes a pin into the book, or another decision about one that is there.
func (b *Pinbook) addLocked(p toolcall.Pin) {
	p.Text = ""
	k := b.kindLocked(pinKey{p.Upstream, p.Kind})
	if p.Name == "" {
		k.judged = true
		return
	}
	if have := k.find(p.Name, p.Digest); have != nil {
		have.State, have.Decided, have.By = p.State, p.Decided, p.By
		return
	}
	if p.Kind == toolcall.PinTool && len(k.byName[p.Name]) == 0 {
		look := skeleton(p.Name)
		b.looks[look] = append(b.looks[look], nameOf{p.Upstream, p.Name})
	}
	k.byName[p.Name] = append(k.byName[p.Name], &p)
	k.forms++
}

func (k *pinsOfKind) find(name string, digest toolcall.Digest) *toolcall.Pin {
	for _, p := range k.byName[name] {
		if p.Digest == digest {
			return p
		}
	}
	return nil
}

// base is the definition that a new one of the name is compared with: of those
// that are shown, the one that was decided last.
func (k *pinsOfKind) base(name string) (last *toolcall.Pin) {
	for _, p := range k.byName[name] {
		if p.State.Shown() && (last == nil || !p.Decided.Before(last.Decided)) {
			last = p
		}
	}
	return last
}

// waiting counts the forms of a name that nobody accepted.
func (k *pinsOfKind) waiting(name string) (n int) {
	for _, p := range k.byName[name] {
		if p.State != toolcall.PinAccepted {
			n++
		}
	}
	return n
}

// resembles is another tool with a name that can be taken for this one. The same
// name at two upstreams is no resemblance: whoever names a tool names its upstream.
func (b *Pinbook) resembles(upstream, name string) bool {
	for _, other := range b.looks[skeleton(name)] {
		if other.name != name {
			return true
		}
	}
	return false
}

// What a hostile upstream can make the book remember of one kind. What is beyond
// is hidden, and not remembered.
const (
	maxPins     = 4096     // definitions of all names
	maxSighted  = 16384    // definitions in one list; a longer one is refused
	maxWaiting  = 16       // definitions of one name that nobody accepted
	maxPinText  = 32 << 10 // bytes of a definition; of a longer one the digests
	maxPinNotes = 100      // records about the definitions of one list
)

// holds reports whether a name stands for nothing now: the definition that the
// upstream gave last is quarantined. It is for what can be asked for without a
// list.
func (b *Pinbook) holds(ctx context.Context, upstream string, kind toolcall.PinKind, name string) (bool, error) {
	rules := b.cfg.Rules[upstream]
	if rules.Off {
		return false, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.loadLocked(ctx); err != nil {
		return true, err
	}
	key := pinKey{upstream, kind}
	k := b.kindLocked(key)
	forms := k.byName[name]
	if len(forms) == 0 && k.forms >= maxPins {
		return true, nil // it may be one of those beyond what is remembered
	}
	if len(forms) == 0 {
		return b.cfg.Lock != nil && b.cfg.Lock.find(key, name) == nil || b.cfg.Lock == nil && rules.First == PinQuarantine, nil
	}
	last := forms[len(forms)-1]
	if digest, seen := k.shown[name]; seen {
		if last = k.find(name, digest); last == nil {
			return true, nil // beyond what is remembered
		}
	}
	return !b.stateLocked(last).Shown(), nil
}

// stateLocked is what counts: what the lock file says, where there is one.
func (b *Pinbook) stateLocked(p *toolcall.Pin) toolcall.PinState {
	if b.cfg.Lock == nil {
		return p.State
	}
	if locked := b.cfg.Lock.find(pinKey{p.Upstream, p.Kind}, p.Name); locked != nil && locked.Digest == p.Digest {
		return toolcall.PinAccepted
	}
	return toolcall.PinQuarantined
}

// describePin adds a pin to a record.
func describePin(rec *audit.Record, p *toolcall.Pin, why string) {
	rec.Upstream, rec.Target = p.Upstream, cut(p.Name, maxName)
	switch p.Kind {
	case toolcall.PinTool:
		rec.TargetKind = toolcall.Tool
	case toolcall.PinPrompt:
		rec.TargetKind = toolcall.Prompt
	case toolcall.PinTemplate:
		rec.TargetKind = toolcall.Resource
	}
	if !p.Digest.IsZero() {
		rec.Definition = p.Digest.String()
	}
	rec.Reason = redact.Public(why)
}
