package mcpproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"mcpguard/toolcall"
)

// handleState is what a handle carries, sealed. It lets a session outlive the
// process that minted it: the upstream's own id is in there.
type handleState struct {
	Session  string    `json:"s"`
	Upstream string    `json:"u"`
	ID       string    `json:"i,omitempty"` // the upstream's session id
	Version  string    `json:"v"`
	Client   string    `json:"c,omitempty"`
	Build    string    `json:"b,omitempty"`
	Started  time.Time `json:"t"`
	Tied     bool      `json:"h,omitempty"` // to what ends with the mcpguard that minted it
	Lists    lists     `json:"l,omitempty"` // session.announced
}

const purposeSession = "session"

// aad binds a handle to its caller and its upstream (law 7).
func aad(c toolcall.Caller, upstream string, more ...string) []byte {
	b := fmt.Appendf(nil, "%s\x00%d:%s\x00%s", c.Key(), len(c.Client), c.Client, upstream)
	for _, m := range more {
		b = append(append(b, 0), m...)
	}
	return b
}

// mint gives a legacy session its handle.
func (s *sessions) mint(ses *session, upstreamID string) error {
	state, err := json.Marshal(handleState{
		Session: ses.id.String(), Upstream: ses.up.Name, ID: upstreamID, Version: ses.version,
		Client: ses.client.Name, Build: ses.client.Version, Started: s.p.now().UTC(), Tied: ses.leg.tied(), Lists: ses.announced,
	})
	if err != nil {
		return fmt.Errorf("mint a session handle: %w", err)
	}
	ses.handle = s.p.cfg.Keys.Seal(purposeSession, aad(ses.caller, ses.up.Name), state)
	s.name(ses.handle, ses)
	return nil
}

// revive opens a session again whose handle this process did not mint: after a
// restart, or on another replica. The seal proves the handle; the record says
// whether the session has ended. A stdio server died with its process.
func (s *sessions) revive(ctx context.Context, up *upstream, c toolcall.Caller, handle string) (*session, error) {
	text, err := s.p.cfg.Keys.Open(purposeSession, aad(c, up.Name), handle)
	if err != nil || up.URL == "" {
		return nil, errNoSession
	}
	var state handleState
	if err := json.Unmarshal(text, &state); err != nil || state.Upstream != up.Name || state.Tied {
		return nil, errNoSession
	}
	id, err := toolcall.ParseID(state.Session)
	if err != nil || s.p.now().Sub(state.Started) > s.p.cfg.Limits.SessionLife {
		return nil, errNoSession
	}
	ended, err := s.p.cfg.Archive.Ended(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("revive a session: %w", err)
	}
	if ended {
		return nil, errNoSession
	}
	ses, err := s.openAs(id, up, legacy, c, clientInfo{Name: state.Client, Version: state.Build})
	if err != nil {
		return nil, err
	}
	ses.handle, ses.version, ses.announced = handle, state.Version, state.Lists
	if h, ok := ses.leg.(*httpLeg); ok {
		h.session, h.version = state.ID, state.Version
	}
	if there := s.name(handle, ses); there != ses {
		s.release(c, quota{sessions: 1})
		return there, nil
	}
	return ses, nil
}
