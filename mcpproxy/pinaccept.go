package mcpproxy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// PinTarget names a definition that waits to be accepted.
type PinTarget struct {
	Upstream string
	Kind     toolcall.PinKind // NoPinKind: whichever has the name
	Name     string
	Digest   string // how it begins, in hexadecimal; "" where one alone waits
}

func (t PinTarget) String() string { return t.Upstream + "/" + t.Name }

// Errors of Accept, to be tested with errors.Is.
var (
	// ErrNotWaiting: nothing of that name waits.
	ErrNotWaiting = errors.New("nothing of that name waits to be accepted")
	// ErrSeveralWait: what is named is not one definition.
	ErrSeveralWait = errors.New("several definitions wait under that name")
	// ErrLockRules: the lock file is the authority.
	ErrLockRules = errors.New("the lock file says what is accepted")
)

// Accept shows what waited, from the next list and the next call on: all targets or,
// with an error, none. Each must name one definition, so that nobody accepts another
// than they looked at. It is recorded under the name of who, durably, before it is
// true. Forms that were accepted before stay accepted.
func (b *Pinbook) Accept(ctx context.Context, who toolcall.Caller, targets []PinTarget) ([]toolcall.Pin, error) {
	switch {
	case who.IsZero():
		return nil, errors.New("accept definitions: nobody says who accepts them")
	case len(targets) == 0:
		return nil, errors.New("accept definitions: none is named")
	case b.cfg.Lock != nil:
		return nil, fmt.Errorf("accept definitions: %w", ErrLockRules)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.loadLocked(ctx); err != nil {
		return nil, err
	}
	var accepted []toolcall.Pin
	var notes []audit.Record
	now, by := b.cfg.Now(), who.Person
	if by == "" {
		by = who.Subject
	}
	taken := map[*toolcall.Pin]bool{}
	for _, t := range targets {
		found, err := b.oneLocked(t)
		if err != nil {
			return nil, fmt.Errorf("accept %s: %w", t, err)
		}
		if taken[found] {
			continue
		}
		taken[found] = true
		p := *found
		p.State, p.Decided, p.By = toolcall.PinAccepted, now, by
		rec := audit.Record{Kind: audit.ToolChange, At: now, Caller: who}
		describePin(&rec, &p, whyOf(&p))
		accepted, notes = append(accepted, p), append(notes, rec)
	}
	if err := putAll(ctx, b.cfg.Record, notes); err != nil {
		return nil, fmt.Errorf("record what is accepted: %w", err)
	}
	if err := b.cfg.Store.KeepPins(ctx, accepted); err != nil {
		b.forgetLocked()
		b.verdicts.Add(1) // some of it may be true
		return nil, fmt.Errorf("accept definitions: %w", err)
	}
	for _, p := range accepted {
		b.addLocked(p)
	}
	b.verdicts.Add(1)
	return accepted, nil
}

// oneLocked is the one definition that waits under a name.
func (b *Pinbook) oneLocked(t PinTarget) (*toolcall.Pin, error) {
	var found []*toolcall.Pin
	for key, k := range b.kinds {
		if key.upstream != t.Upstream || t.Kind != toolcall.NoPinKind && key.kind != t.Kind {
			continue
		}
		for _, p := range k.byName[t.Name] {
			if p.State != toolcall.PinAccepted && strings.HasPrefix(p.Digest.String(), strings.ToLower(t.Digest)) {
				found = append(found, p)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, ErrNotWaiting
	case 1:
		return found[0], nil
	}
	return nil, ErrSeveralWait
}
