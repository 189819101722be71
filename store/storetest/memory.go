package storetest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// ErrDisk is how Memory fails when it is told to.
var ErrDisk = errors.New("the disk failed")

// Memory is a store that keeps everything until the process ends, and that
// fails as disks do. The zero Memory is empty and ready for use.
type Memory struct {
	mu         sync.Mutex
	chains     map[string][]audit.Entry
	order      []string
	identities map[audit.Ref]audit.Identity
	seen       map[audit.Ref]time.Time
	sessions   map[toolcall.ID]about
	blobs      map[string][]byte
	tasks      []toolcall.Task // in the order of their calls
	pins       []toolcall.Pin
	windows    map[toolcall.Digest]toolcall.Window
	appends    int

	keep  func(n int) (kept int, fail bool)
	blind bool
	gate  chan struct{}
}

// about is what the first entry of a session says of it.
type about struct{ upstream, client string }

// FailLost makes every Append and Purge fail without keeping anything.
func (m *Memory) FailLost() { m.fault(func(int) (int, bool) { return 0, true }) }

// FailKept makes every Append and Purge keep everything and report a failure.
func (m *Memory) FailKept() { m.fault(func(n int) (int, bool) { return n, true }) }

// FailAfter makes every Append keep its first n entries and report a failure.
func (m *Memory) FailAfter(n int) { m.fault(func(all int) (int, bool) { return min(n, all), true }) }

// Blind makes Last fail, or not.
func (m *Memory) Blind(blind bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blind = blind
}

// Heal ends all faults but Block.
func (m *Memory) Heal() {
	m.fault(nil)
	m.Blind(false)
}

func (m *Memory) fault(keep func(int) (int, bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep = keep
}

// Block holds every Append back until release is called.
func (m *Memory) Block() (release func()) {
	gate := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gate = gate
	return sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.gate = nil
		close(gate)
	})
}

// Appends is how many Appends were made.
func (m *Memory) Appends() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.appends
}

// Tamper lets a test change what is stored of a chain, as somebody with the
// file could.
func (m *Memory) Tamper(chain string, change func([]audit.Entry) []audit.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.chains[chain] = change(m.chains[chain])
}

// Append implements audit.Sink.
func (m *Memory) Append(ctx context.Context, es []audit.Entry) error {
	m.mu.Lock()
	gate := m.gate
	m.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.appends++
	kept, fail := len(es), false
	if m.keep != nil {
		kept, fail = m.keep(len(es))
	}
	for i := range es[:kept] {
		if err := m.add(es[i]); err != nil {
			return err
		}
	}
	if fail {
		return ErrDisk
	}
	return nil
}

func (m *Memory) add(e audit.Entry) error {
	if m.chains == nil {
		m.chains = map[string][]audit.Entry{}
		m.identities = map[audit.Ref]audit.Identity{}
		m.seen = map[audit.Ref]time.Time{}
		m.sessions = map[toolcall.ID]about{}
	}
	have := m.chains[e.Chain]
	if e.Seq == 0 || len(have) > 0 && e.Seq <= have[len(have)-1].Seq {
		return fmt.Errorf("entry %d of chain %s is there, or cannot be", e.Seq, e.Chain)
	}
	if have == nil {
		m.order = append(m.order, e.Chain)
	}
	if !e.Who.IsZero() && !e.Identity.IsZero() {
		m.identities[e.Who] = e.Identity
		m.seen[e.Who] = e.At
	}
	if _, ok := m.sessions[e.Session]; !ok && !e.Session.IsZero() {
		m.sessions[e.Session] = about{e.Upstream, e.Client}
	}
	for _, b := range e.Blobs {
		m.keepBlob(b.Digest, b.Data)
	}
	e.Body, e.Identity = bytes.Clone(e.Body), audit.Identity{}
	e.Blobs = slices.Clone(e.Blobs)
	for i := range e.Blobs {
		e.Blobs[i].Data = nil
	}
	m.chains[e.Chain] = append(have, e)
	return nil
}

func (m *Memory) keepBlob(digest string, data []byte) {
	if m.blobs == nil {
		m.blobs = map[string][]byte{}
	}
	if _, ok := m.blobs[digest]; !ok {
		m.blobs[digest] = bytes.Clone(data)
	}
}

// Last implements audit.Sink.
func (m *Memory) Last(_ context.Context, chain string) (audit.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blind {
		return audit.Entry{}, ErrDisk
	}
	es := m.chains[chain]
	if len(es) == 0 {
		return audit.Entry{}, nil
	}
	e := m.show(es[len(es)-1])
	e.Prev = toolcall.Digest{}
	if n := len(es); n > 1 {
		e.Prev = es[n-2].Hash
	}
	return e, nil
}

func (m *Memory) show(e audit.Entry) audit.Entry {
	e.Identity = m.identities[e.Who]
	e.Upstream, e.Client = m.sessions[e.Session].upstream, m.sessions[e.Session].client
	e.Body = bytes.Clone(e.Body)
	e.Blobs = nil
	return e
}

// Expired implements audit.Pruner; a body counts as its length.
func (m *Memory) Expired(_ context.Context, chain string, before time.Time, maxBytes int64, most int) (audit.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	es := m.chains[chain]
	var used int64
	for i := range es {
		used += int64(len(es[i].Body))
	}
	var found audit.Entry
	useful := false
	for i := range es {
		tooMuch := maxBytes > 0 && used > maxBytes
		if i == len(es)-1 || i == most || !tooMuch && !es[i].At.Before(before) {
			break
		}
		useful = useful || es[i].Kind != audit.Purged
		found = audit.Entry{Chain: chain, Seq: es[i].Seq, Hash: es[i].Hash}
	}
	if !useful {
		return audit.Entry{}, nil
	}
	return found, nil
}

// Purge implements audit.Pruner.
func (m *Memory) Purge(_ context.Context, upTo uint64, tombstone audit.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	keep, fail := 1, false
	if m.keep != nil {
		keep, fail = m.keep(1)
	}
	if keep > 0 {
		if err := m.purge(upTo, tombstone); err != nil {
			return err
		}
	}
	if fail {
		return ErrDisk
	}
	return nil
}

func (m *Memory) purge(upTo uint64, tombstone audit.Entry) error {
	if upTo == 0 || upTo >= tombstone.Seq {
		return errors.New("nothing of it may go")
	}
	gone := map[string]bool{}
	kept := m.chains[tombstone.Chain]
	for len(kept) > 0 && kept[0].Seq <= upTo {
		for _, b := range kept[0].Blobs {
			gone[b.Digest] = true
		}
		kept = kept[1:]
	}
	for _, e := range kept {
		for _, b := range e.Blobs {
			delete(gone, b.Digest)
		}
	}
	for digest := range gone {
		delete(m.blobs, digest)
	}
	m.chains[tombstone.Chain] = slices.Clone(kept)
	if err := m.add(tombstone); err != nil {
		return err
	}
	oldest := m.chains[tombstone.Chain][0].At
	for ref, seen := range m.seen {
		if seen.Before(oldest) {
			delete(m.identities, ref)
			delete(m.seen, ref)
		}
	}
	return nil
}

// EraseIdentity removes the names behind a reference.
func (m *Memory) EraseIdentity(_ context.Context, ref audit.Ref) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.identities[ref]; !ok {
		return fmt.Errorf("erase identity %s: %w", ref, audit.ErrNotFound)
	}
	delete(m.identities, ref)
	return nil
}

// PutBlob implements audit.Blobs.
func (m *Memory) PutBlob(_ context.Context, _, digest string, b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keepBlob(digest, b)
	return nil
}

// Blob implements audit.Blobs.
func (m *Memory) Blob(_ context.Context, digest string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[digest]
	if !ok {
		return nil, fmt.Errorf("read blob %s: %w", digest, audit.ErrNotFound)
	}
	return bytes.Clone(b), nil
}

// Ended reports whether the end of a session was recorded.
func (m *Memory) Ended(_ context.Context, session toolcall.ID) (bool, error) {
	return slices.ContainsFunc(m.of(session), func(e audit.Entry) bool { return e.Kind == audit.SessionEnd }), nil
}

// Chains implements audit.Reader.
func (m *Memory) Chains(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.order), nil
}

// Chain implements audit.Reader.
func (m *Memory) Chain(_ context.Context, chain string, after uint64) iter.Seq2[audit.Entry, error] {
	return walk(m.match(func(e audit.Entry) bool { return e.Chain == chain && e.Seq > after }))
}

// Entries implements audit.Reader.
func (m *Memory) Entries(_ context.Context, session toolcall.ID) iter.Seq2[audit.Entry, error] {
	return walk(m.of(session))
}

func walk(es []audit.Entry) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m *Memory) of(session toolcall.ID) []audit.Entry {
	es := m.match(func(e audit.Entry) bool { return e.Session == session })
	slices.SortStableFunc(es, func(a, b audit.Entry) int { return a.At.Compare(b.At) })
	return es
}

func (m *Memory) match(want func(audit.Entry) bool) (es []audit.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.order {
		for _, e := range m.chains[name] {
			if want(e) {
				e = m.show(e)
				e.Prev = toolcall.Digest{}
				es = append(es, e)
			}
		}
	}
	return es
}

// Sessions implements audit.Reader.
func (m *Memory) Sessions(_ context.Context, f audit.Filter) (found []audit.SessionInfo, err error) {
	at := map[toolcall.ID]int{}
	decided := map[toolcall.ID]bool{}
	for _, e := range m.match(func(e audit.Entry) bool { return !e.Session.IsZero() }) {
		i, ok := at[e.Session]
		if !ok {
			i = len(found)
			at[e.Session] = i
			found = append(found, audit.SessionInfo{ID: e.Session, Who: e.Who, Identity: e.Identity, Upstream: e.Upstream,
				Client: e.Client, Start: e.At, Last: e.At})
		}
		tally(&found[i], e)
		if e.Kind == audit.Intent || e.Kind == audit.Refusal {
			decided[e.Session] = decided[e.Session] || slices.Contains(f.Effects, e.Effect)
		}
	}
	slices.Reverse(found)
	prefix := strings.ReplaceAll(f.Prefix, "-", "")
	if len(prefix) > 2*len(toolcall.ID{}) || strings.Trim(prefix, "0123456789abcdefABCDEF") != "" {
		return nil, fmt.Errorf("list sessions: %q is %w", f.Prefix, audit.ErrPrefix)
	}
	found = slices.DeleteFunc(found, func(s audit.SessionInfo) bool {
		return !strings.HasPrefix(hex.EncodeToString(s.ID[:]), strings.ToLower(prefix)) ||
			s.Last.Before(f.Since) ||
			f.Caller != "" && !slices.Contains([]string{s.Identity.Person, s.Identity.Subject, s.Identity.Client}, f.Caller) ||
			f.Upstream != "" && s.Upstream != f.Upstream ||
			len(f.Effects) > 0 && !decided[s.ID]
	})
	if f.Limit > 0 && len(found) > f.Limit {
		found = found[:f.Limit]
	}
	return found, nil
}

func tally(s *audit.SessionInfo, e audit.Entry) {
	if e.At.Before(s.Start) {
		s.Start = e.At
	}
	if e.At.After(s.Last) {
		s.Last = e.At
	}
	switch {
	case e.Kind == audit.Intent:
		s.Calls++
		s.Failed++
	case e.Kind == audit.Refusal:
		s.Refused++
	case e.Kind == audit.Outcome && e.Outcome == toolcall.OutcomeOK && s.Failed > 0:
		s.Failed--
	}
}
