package mcpproxy

import "mcpguard/toolcall"

// quota counts what somebody holds open.
type quota struct{ sessions, processes int }

func (q quota) plus(n int, more quota) quota {
	return quota{q.sessions + n*more.sessions, q.processes + n*more.processes}
}

// reserve counts what a caller opens against the caller's quota and the whole
// (law 14).
func (s *sessions) reserve(c toolcall.Caller, more quota) error {
	limits := &s.p.cfg.Limits
	s.mu.Lock()
	defer s.mu.Unlock()
	own, all := s.counts[c.Key()].plus(1, more), s.total.plus(1, more)
	if own.sessions > limits.SessionsPerCaller || all.sessions > limits.Sessions ||
		own.processes > limits.ProcessesPerCaller || all.processes > limits.Processes {
		return errTooManySessions
	}
	s.counts[c.Key()], s.total = own, all
	return nil
}

func (s *sessions) release(c toolcall.Caller, less quota) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total = s.total.plus(-1, less)
	if own := s.counts[c.Key()].plus(-1, less); own == (quota{}) {
		delete(s.counts, c.Key())
	} else {
		s.counts[c.Key()] = own
	}
}

// takeProcess counts a server process. One that sessions share is its first
// caller's, until it is gone.
func (s *sessions) takeProcess(c toolcall.Caller) error { return s.reserve(c, quota{processes: 1}) }

func (s *sessions) leaveProcess(c toolcall.Caller) { s.release(c, quota{processes: 1}) }
