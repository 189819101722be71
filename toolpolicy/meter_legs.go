package toolpolicy

import (
	"encoding/binary"
	"math"
	"time"

	"mcpguard/toolcall"
)

// One execution is charged once, whatever its legs. An upstream may answer by a
// question (MCP 2026-07-28, multi round-trip requests); then the client makes the
// request again, with the answer. That request is another leg of the same call,
// and takes of no rate and no budget while what the first one took counts there.
//
// Nobody but the client says which call it goes on with, so it must be one that
// was asked, of the same caller, about the same target with the same arguments,
// and each can be gone on with once: whoever sends the answer twice makes two calls.

// What is kept of calls that may go on.
const (
	legLife     = int64(24 * time.Hour) // as long as a client may carry what it was asked
	legsOfOwner = 64                    // the oldest beyond go, and are charged again
)

// leg is the one more request that a call may go on with.
type leg struct {
	call   toolcall.ID // whose answer asked
	about  toolcall.Digest
	owner  toolcall.Digest
	expiry int64 // nanoseconds since 1970: legLife after the execution was charged
}

// paid reports whether what the execution took of a limit still counts there. What
// does not is taken again: charges of many spans would otherwise pay for as many
// executions in one. Of at_once a leg has paid nothing.
func (g *leg) paid(l *toolcall.Limit, now int64) bool {
	return g != nil && now-(g.expiry-legLife) < int64(l.Every)
}

type legs struct {
	keys   Keys
	byCall map[toolcall.ID]*leg
	owners map[toolcall.Digest][]toolcall.ID // the oldest first
	dirty  map[toolcall.ID]struct{}          // changed since they were kept
}

func newLegs(keys Keys) legs {
	return legs{keys, map[toolcall.ID]*leg{}, map[toolcall.Digest][]toolcall.ID{}, map[toolcall.ID]struct{}{}}
}

// of is the leg that lets a call of the same caller about the same go on with an
// earlier one; nil: none does.
func (s *legs) of(earlier toolcall.ID, like leg, now int64) *leg {
	g := s.byCall[earlier]
	if g == nil || g.expiry <= now || g.owner != like.owner || g.about != like.about {
		return nil
	}
	return g
}

func (s *legs) owner(c *toolcall.Call) toolcall.Digest {
	return s.keys.MAC(digestOwner, []byte(c.Caller.Issuer), []byte(c.Caller.Subject))
}

func (s *legs) about(c *toolcall.Call) toolcall.Digest {
	return s.keys.MAC(digestAbout, []byte(c.Upstream), []byte{byte(c.Kind)}, []byte(c.Name), c.Args.AppendCanonical(nil))
}

// use uses a leg up.
func (s *legs) use(g *leg) {
	if g == nil {
		return
	}
	delete(s.byCall, g.call)
	s.dirty[g.call] = struct{}{}
	of := s.owners[g.owner]
	for i, id := range of {
		if id == g.call {
			of = append(of[:i], of[i+1:]...)
			break
		}
	}
	if s.owners[g.owner] = of; len(of) == 0 {
		delete(s.owners, g.owner)
	}
}

// restore puts back a leg whose request was never forwarded.
func (s *legs) restore(g *leg) {
	if g != nil {
		s.add(g)
		s.dirty[g.call] = struct{}{}
	}
}

// make lets a call go on. One that went on with another was charged with that.
func (s *legs) make(r *reservation, now int64) {
	g := &leg{call: r.call.ID, about: s.about(r.call), owner: s.owner(r.call), expiry: now + legLife}
	if r.leg != nil {
		g.expiry = r.leg.expiry
	}
	for len(s.owners[g.owner]) >= legsOfOwner {
		s.use(s.byCall[s.owners[g.owner][0]])
	}
	s.restore(g)
}

func (s *legs) add(g *leg) {
	s.byCall[g.call] = g
	s.owners[g.owner] = append(s.owners[g.owner], g.call)
}

func (s *legs) sweep(now int64) {
	for _, g := range s.byCall {
		if g.expiry <= now {
			s.use(g)
		}
	}
}

// row is the leg of a call as it is kept.
func (s *legs) row(call toolcall.ID) toolcall.Window {
	w := toolcall.Window{Key: s.keys.MAC(digestLeg, call[:])}
	g := s.byCall[call]
	if g == nil {
		return w
	}
	w.Until = time.Unix(0, g.expiry).UTC()
	w.State = append(append(append([]byte{legState}, g.call[:]...), g.about[:]...), g.owner[:]...)
	w.State = binary.BigEndian.AppendUint64(w.State, uint64(g.expiry))
	return w
}

// legState begins the state of a leg, where that of a window has its measure.
const legState = math.MaxUint8

func readLeg(b []byte) (*leg, error) {
	if len(b) != 1+16+32+32+8 {
		return nil, errState
	}
	return &leg{
		call: toolcall.ID(b[1:17]), about: toolcall.Digest(b[17:49]), owner: toolcall.Digest(b[49:81]),
		expiry: int64(binary.BigEndian.Uint64(b[81:])),
	}, nil
}
