package mcpproxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// Upstream is one MCP server behind mcpguard. Exactly one of URL and Command is
// set.
type Upstream struct {
	Name      string        // in paths, selectors and records
	URL       string        // of a Streamable HTTP server
	Header    http.Header   // sent with every request: mcpguard's own credential
	Command   []string      // of a stdio server: program and arguments, no shell
	Env       []string      // NAME=value, beside PATH, HOME and LANG
	Dir       string        // working directory; "" is mcpguard's own
	Transport Transport     // how the server at URL is spoken to
	Share     Share         // which sessions may have one process
	Timeout   time.Duration // the longest silence while a call runs; 0 takes Limits.Timeout
	Result    int           // bytes of the largest message; 0 takes Limits.Result
	Secrets   []string      // values masked in what the server writes to stderr
}

// upstream is what the proxy keeps of an Upstream.
type upstream struct {
	Upstream
	at        *url.URL // of URL
	transport http.RoundTripper
	old       atomic.Bool     // it was found to speak HTTP+SSE
	limits    toolcall.Limits // of the upstream's messages
	log       *slog.Logger
	scrub     *redact.Scrubber
	memory    *memory
	launcher  *launcher                          // of its processes
	watch     Watchdog                           // nil where there is none
	room      room                               // that its processes take
	pool      pool                               // of processes that sessions share
	refuse    func(context.Context, frame) error // records that a question of a shared process is refused

	mu         sync.Mutex
	shelves    map[string]*shelf     // by what the upstream may base its lists on
	catalogues map[string]*catalogue // by content, so that shelves share them
	kept       keptCatalogues
}

var (
	errIdle     = errors.New("no message for longer than the timeout")
	errShutdown = errors.New("mcpguard is shutting down")
)

func newUpstream(u Upstream, l Limits, log *slog.Logger) (*upstream, error) {
	if (u.URL == "") == (len(u.Command) == 0) {
		return nil, errors.New("upstream " + u.Name + ": needs either a url or a command")
	}
	if u.Timeout == 0 {
		u.Timeout = l.Timeout
	}
	if u.Result == 0 {
		u.Result = l.Result
	}
	var base *url.URL
	var transport http.RoundTripper
	if u.URL != "" {
		at, err := url.Parse(u.URL)
		if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
			return nil, errors.New("upstream " + u.Name + ": the url must be http:// or https://, with a host")
		}
		at.User, at.Fragment = nil, ""
		base, transport = at, newTransport(at)
	}
	return &upstream{
		Upstream:   u,
		at:         base,
		transport:  transport,
		limits:     toolcall.Limits{Bytes: u.Result, Depth: l.Depth},
		log:        log,
		scrub:      redact.NewScrubber(u.Secrets),
		shelves:    map[string]*shelf{},
		catalogues: map[string]*catalogue{},
		kept:       newKeptCatalogues(),
		pool:       pool{muxes: map[string]*mux{}},
	}, nil
}

// lease is of what the upstream says beside answers.
func (u *upstream) lease() *lease { return u.memory.lease("upstream\x00" + u.Name) }

// newLeg opens the way of one session of a caller to the upstream.
func (u *upstream) newLeg(c toolcall.Caller, e era) (leg, error) {
	if u.URL != "" {
		return &httpLeg{up: u}, nil
	}
	l := &muxLeg{up: u, owner: c.Key()}
	switch {
	case u.Share == ShareSession:
		m, err := u.startServer(c, false, func() {})
		if err != nil {
			return nil, err
		}
		if !m.attach(l) { // it is gone already; the handshake says so
			l.mux = m
		}
	case e == modern:
		if _, err := u.join(c, l, e, ""); err != nil {
			return nil, err
		}
	default:
		l.join = func(hello string) (*mux, error) { return u.join(c, l, e, hello) }
	}
	return l, nil
}
