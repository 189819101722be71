package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"mcpguard/identity"
	"mcpguard/mcpproxy"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// admin serves people, and what watches over mcpguard: over the admin listener,
// where everybody proves who they are (law 13), and over the control socket, where
// the system vouches for the user.
type admin struct {
	guard    *guard
	log      *slog.Logger
	draining atomic.Bool // readiness is off
}

// standing is what a visitor may do. The zero standing may do nothing.
type standing uint8

const (
	nobody        standing = iota
	anyone                 // without a credential
	known                  // with one, and in no group of the admin side
	viewer                 // may look
	administrator          // may look and change
)

// visitor is who sent a request.
type visitor struct {
	caller   toolcall.Caller // zero: no credential was sent
	addr     string          // without port; "" over the control socket
	standing standing
}

// adminRoute is one line of the table: what there is, and who may have it.
type adminRoute struct {
	method, path string
	needs        standing
	serve        func(*admin, http.ResponseWriter, *http.Request, visitor)
}

// adminRoutes is all that the admin side serves.
func adminRoutes() []adminRoute {
	return []adminRoute{
		{http.MethodGet, "/livez", anyone, (*admin).livez},
		{http.MethodGet, "/readyz", anyone, (*admin).readyz},
		{http.MethodGet, "/metrics", viewer, (*admin).metrics},
		{http.MethodPost, reloadPath, administrator, (*admin).reload},
		{http.MethodPost, acceptPath, administrator, (*admin).acceptTools},
	}
}

// reloadPath is where a reload of the policy is asked for.
const reloadPath = "/api/v1/policy/reload"

// serve answers one request of a visitor.
func (a *admin) serve(w http.ResponseWriter, r *http.Request, v visitor) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	var methods []string
	for _, route := range adminRoutes() {
		if r.URL.Path != route.path || r.URL.RawPath != "" {
			continue
		}
		if methods = append(methods, route.method); r.Method != route.method {
			continue
		}
		switch {
		case v.standing >= route.needs && route.needs != nobody:
			route.serve(a, w, r, v)
		case v.standing <= anyone:
			w.Header().Set("WWW-Authenticate", "Bearer")
			adminError(w, http.StatusUnauthorized, "authentication is required: send the header Authorization: Bearer TOKEN")
		default:
			adminError(w, http.StatusForbidden, "this caller is in no group of admin.groups that may do this")
		}
		return
	}
	if len(methods) > 0 {
		w.Header()["Allow"] = methods
		adminError(w, http.StatusMethodNotAllowed, "use "+methods[0])
		return
	}
	adminError(w, http.StatusNotFound, "no such endpoint")
}

// overTCP is the handler of the admin listener.
func (a *admin) overTCP(cfg *Config) http.Handler {
	loopback := onLoopback(cfg.Admin.Listen)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// No page in a browser has anything to do here yet, not even one of this machine.
		if len(r.Header.Values("Origin")) > 0 {
			adminError(w, http.StatusForbidden, "the header Origin names a page, and pages may not call")
			return
		}
		if status, reason := mcpproxy.CheckHost(r, loopback, cfg.AllowedHosts, nil); status != 0 {
			adminError(w, status, reason)
			return
		}
		v := visitor{addr: hostOf(r.RemoteAddr), standing: anyone}
		if len(r.Header.Values("Authorization")) > 0 {
			caller, err := a.guard.people.Authenticate(r)
			if err != nil {
				a.challenge(w, r, err)
				return
			}
			v.caller, v.standing = caller, cfg.Admin.standingOf(caller)
		}
		a.serve(w, r, v)
	})
}

// standingOf is what a caller's groups give.
func (c *Admin) standingOf(caller toolcall.Caller) standing {
	in := func(groups []string) bool {
		return slices.ContainsFunc(caller.Groups, func(g string) bool { return slices.Contains(groups, g) })
	}
	switch {
	case caller.IsZero():
		return nobody
	case in(c.Admins):
		return administrator
	case in(c.Viewers):
		return viewer
	}
	return known
}

// challenge answers a credential that is not good. Why is for the log.
func (a *admin) challenge(w http.ResponseWriter, r *http.Request, err error) {
	status, header := http.StatusUnauthorized, `Bearer error="invalid_token"`
	var c interface{ Challenge() (int, string) }
	if errors.As(err, &c) {
		status, header = c.Challenge()
	}
	a.log.Info("authentication refused on the admin listener", "remote", r.RemoteAddr, "err", err)
	if header != "" {
		w.Header().Set("WWW-Authenticate", header)
	}
	adminError(w, status, "the token is not one that is good here")
}

// peopleOf are the identities of the admin listener: those of the agents' one,
// without trust in what sends no credential.
func peopleOf(c identity.Config) (mcpproxy.Authenticator, error) {
	if c.Local != nil {
		local := *c.Local
		local.TrustLoopback = false
		c.Local = &local
	}
	return identity.New(c)
}

func (a *admin) livez(w http.ResponseWriter, _ *http.Request, _ visitor) {
	say(w, http.StatusOK, "alive\n")
}

// readiness is what /readyz tells those who may look.
type readiness struct {
	Ready        bool       `json:"ready"`
	Policy       string     `json:"policy"` // digest
	PolicySince  time.Time  `json:"policy_since"`
	Draining     bool       `json:"draining"`
	Store        string     `json:"store"` // ok, or what is wrong
	Sessions     int        `json:"sessions"`
	ObserveUntil *time.Time `json:"observe_until,omitempty"` // policy stops no call until then
}

// readiness looks whether calls can be served: the policy is there, the record can
// be kept, and nobody said to stop.
func (a *admin) readiness(r *http.Request) readiness {
	g := a.guard
	state := readiness{Policy: g.engine.Current().Digest(), PolicySince: g.policies.since(), Draining: a.draining.Load(),
		Store: "ok", Sessions: g.proxy.Sessions()}
	if err := g.health.writable(r.Context()); err != nil {
		state.Store = err.Error()
	}
	if g.judge.observes() {
		state.ObserveUntil = &g.judge.until
	}
	state.Ready = state.Policy != "" && state.Store == "ok" && !state.Draining
	return state
}

func (a *admin) readyz(w http.ResponseWriter, r *http.Request, v visitor) {
	state := a.readiness(r)
	status, word := http.StatusOK, "ready\n"
	if !state.Ready {
		status, word = http.StatusServiceUnavailable, "not ready\n"
	}
	if v.standing < viewer {
		say(w, status, word)
		return
	}
	sendJSON(w, status, state)
}

func (a *admin) metrics(w http.ResponseWriter, r *http.Request, _ visitor) {
	a.guard.metrics.handler.ServeHTTP(w, r)
}

// reloadRequest is the body of a reload; none is the zero one.
type reloadRequest struct {
	AllowRemoved bool `json:"allow_removed"` // files of the policy in force may be gone
}

// reloadRefusal is why a policy was not loaded.
type reloadRefusal struct {
	Error    string          `json:"error"`
	Try      string          `json:"try,omitempty"`
	Mistakes []sourceMistake `json:"mistakes,omitempty"`
	Tests    []testResult    `json:"tests,omitempty"` // that failed
}

// sourceMistake is a mistake as policy check writes it, with its line.
type sourceMistake struct {
	mistakeJSON
	Source string `json:"source,omitempty"`
}

// mistakes are the same as the compiler told them.
func (r *reloadRefusal) mistakes() (all toolpolicy.Mistakes) {
	for _, m := range r.Mistakes {
		all = append(all, toolpolicy.Mistake{File: m.File, Line: m.Line, Col: m.Column, Message: m.Message, Hint: m.Try, Source: m.Source})
	}
	return all
}

// maxAdminBody bounds what a visitor sends, in bytes.
const maxAdminBody = 4 << 10

func (a *admin) reload(w http.ResponseWriter, r *http.Request, v visitor) {
	var wish reloadRequest
	if err := readJSON(w, r, maxAdminBody, &wish); err != nil {
		adminError(w, http.StatusBadRequest, err.Error())
		return
	}
	done, err := a.guard.policies.load(r.Context(), occasion{
		cause: "by mcpguard policy reload", by: v.caller, addr: v.addr, removed: wish.AllowRemoved})
	if err != nil {
		a.log.Warn("a policy was refused: the one in force stays", "asked by", v.caller.Person, "err", err)
		status := http.StatusServiceUnavailable
		if refused := (*refusedPolicy)(nil); errors.As(err, &refused) {
			status = http.StatusUnprocessableEntity
		}
		sendJSON(w, status, refusalOfReload(err))
		return
	}
	sendJSON(w, http.StatusOK, done)
}

func refusalOfReload(err error) reloadRefusal {
	refusal := reloadRefusal{Error: err.Error(), Try: tryOf(err)}
	var mistakes toolpolicy.Mistakes
	if errors.As(err, &mistakes) {
		refusal.Error = "the policy has " + count(len(mistakes), "mistake")
	}
	for _, m := range mistakes {
		refusal.Mistakes = append(refusal.Mistakes, sourceMistake{mistakeInJSON(m), m.Source})
	}
	var failed testFailures
	if errors.As(err, &failed) {
		refusal.Tests = failed
	}
	return refusal
}

// readJSON reads a body of at most so many bytes, with known members only. An empty one is nothing.
func readJSON(w http.ResponseWriter, r *http.Request, most int64, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	dec.DisallowUnknownFields()
	switch err := dec.Decode(into); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return errors.New("the body is not the JSON that belongs here")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body is more than one JSON value")
	}
	return nil
}

func adminError(w http.ResponseWriter, status int, reason string) {
	sendJSON(w, status, struct {
		Error string `json:"error"`
	}{reason})
}

func sendJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // of our own types only: it cannot be
		status, text = http.StatusInternalServerError, []byte(`{"error":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	send(w, status, append(text, '\n'))
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	send(w, status, []byte(text))
}

func send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails when the visitor is gone
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
