package mcpproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is a scripted upstream of testdata/wire. Each section "on KEY" of an
// archive is one answer to a message of that key (heard.key); they are used in
// their order, the last one again and again. A line is one of
//
//	{...}            a message; $id is the id of the request, $token its progress token
//	status 404       the HTTP status
//	header A: B      a header of the answer
//	sse              the answer is an event stream even with one message
//	raw TEXT         TEXT as a line of the event stream
//	wait KEY         go on when a message of that key has come
//
// A key without a section is answered in the standard way.
type script struct {
	t       testing.TB
	answers map[string][][]string

	mu   sync.Mutex
	saw  []heard
	more chan struct{} // closed, and made anew, when a message comes
}

func newScript(t testing.TB) *script {
	return &script{t: t, answers: map[string][][]string{}, more: make(chan struct{})}
}

func (s *script) on(key, text string) {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	s.answers[key] = append(s.answers[key], lines)
}

// note keeps what came, and takes the answer to it.
func (s *script) note(m heard) (lines []string, scripted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saw = append(s.saw, m)
	close(s.more)
	s.more = make(chan struct{})
	all := s.answers[m.key()]
	if len(all) == 0 {
		return nil, false
	}
	if len(all) > 1 {
		s.answers[m.key()] = all[1:]
	}
	return all[0], true
}

// wait waits until a message of a key has come.
func (s *script) wait(m heard, key string, gone <-chan struct{}) {
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		more := s.more
		for _, h := range s.saw {
			if h.key() == key {
				s.mu.Unlock()
				return
			}
		}
		s.mu.Unlock()
		select {
		case <-more:
		case <-gone:
			return
		case <-deadline.C:
			s.t.Errorf("%s waited in vain for %s", m.key(), key)
			return
		}
	}
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m, err := hear(r)
	if err != nil {
		s.t.Errorf("the upstream cannot read what it is sent: %v", err)
		return
	}
	lines, scripted := s.note(m)
	if !scripted {
		s.standard(w, m)
		return
	}
	status, messages, events := http.StatusOK, 0, false
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "status":
			if _, err := fmt.Sscan(rest, &status); err != nil {
				s.t.Errorf("%s: %v", line, err)
			}
		case word == "header":
			name, value, _ := strings.Cut(rest, ": ")
			w.Header().Set(name, value)
		case word == "sse", word == "raw", word == "wait":
			events = true
		case line[0] == '{':
			messages++
		default:
			s.t.Errorf("the script has no line %q", line)
		}
	}
	events = events || messages > 1
	switch {
	case events:
		w.Header().Set("Content-Type", "text/event-stream")
	case messages > 0:
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	s.play(w, r, m, lines, events)
}

func (s *script) play(w http.ResponseWriter, r *http.Request, m heard, lines []string, events bool) {
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		out := ""
		switch {
		case word == "wait":
			s.wait(m, rest, r.Context().Done())
		case line == "raw":
			out = "\n"
		case word == "raw":
			out = rest + "\n"
		case line[0] == '{' && events:
			out = "data: " + m.fill(line) + "\n\n"
		case line[0] == '{':
			out = m.fill(line)
		}
		if _, err := io.WriteString(w, out); err != nil {
			return // the proxy hung up
		}
		if f, ok := w.(http.Flusher); ok && events {
			f.Flush()
		}
	}
}

func (m heard) fill(line string) string {
	return strings.NewReplacer("$id", string(m.ID), "$token", string(m.Params.Meta.ProgressToken)).Replace(line)
}

func (s *script) standard(w http.ResponseWriter, m heard) {
	switch m.verb {
	case http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	text := standard(m)
	if text == "" {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if m.Method == "initialize" {
		w.Header().Set("Mcp-Session-Id", "upstream-session")
	}
	sayJSON(w, text)
}

// shownHeaders are the headers of which a conversation tells.
var (
	upstreamHeaders = []string{"Mcp-Session-Id", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Param-Region", "Last-Event-Id"}
	answerHeaders   = []string{"Content-Type", "Mcp-Session-Id", "Allow", "Www-Authenticate"}
)

// told is all that the upstream saw, in its order.
func (s *script) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, m := range s.saw {
		fmt.Fprintln(&b, strings.TrimSpace(m.verb))
		for _, name := range upstreamHeaders {
			if v := m.header.Get(name); v != "" {
				fmt.Fprintf(&b, "%s: %s\n", name, v)
			}
		}
		if m.text != "" {
			fmt.Fprintln(&b, m.text)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}
