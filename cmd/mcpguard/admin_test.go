package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/identity"
	"mcpguard/store"
	"mcpguard/toolcall"
)

// house is a guard with its admin side, as serve joins them.
type house struct {
	t      *testing.T
	dir    string
	cfg    *Config
	guard  *guard
	desk   *desk
	agents string            // URL of the agents' listener
	tokens map[string]string // by group
}

const houseGroups = "viewers, admins, agents"

func openHouse(t *testing.T, policy string, change func(*Config)) *house {
	t.Helper()
	up := httptest.NewServer(echoUpstream(64))
	t.Cleanup(up.Close)
	h := &house{t: t, tokens: map[string]string{}}
	var entries []string
	for group := range strings.SplitSeq(houseGroups, ", ") {
		token := identity.NewToken()
		h.tokens[group] = token.Reveal()
		entries = append(entries, fmt.Sprintf("{name: %s, owner: sam@example.com, sha256: %q, groups: [%s], expires: 2099-01-01}", group, token.Digest(), group))
	}
	h.dir = folder(t, map[string]string{"policy.yaml": policy, "mcpguard.yaml": "listen: 127.0.0.1:0\npolicy: policy.yaml\nstore: sqlite://record.db\nkeys: keys/\n" +
		"upstreams: {echo: {url: " + up.URL + "/mcp}}\nidentity: {local: {trust_loopback: true, groups: [admins]}, tokens: [" + strings.Join(entries, ", ") + "]}\n" +
		"admin: {listen: '127.0.0.1:0', groups: {viewer: [viewers], admin: [admins]}}\n"})
	env := osEnvironment()
	env.stderr = io.Discard
	cfg, err := LoadConfig(filepath.Join(h.dir, "mcpguard.yaml"), overrides{}, env)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(cfg)
	}
	log := slog.New(slog.DiscardHandler)
	if h.guard, err = wire(t.Context(), cfg, env, log); err != nil {
		t.Fatal(err)
	}
	if h.desk, err = openAdmin(h.guard, cfg, log); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(h.guard.handler())
	h.cfg, h.agents = cfg, front.URL
	t.Cleanup(func() {
		front.Close()
		if err := errors.Join(h.desk.close(), h.guard.close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return h
}

// ask sends a request to the admin listener, with headers given as "Name: value".
func (h *house) ask(method, url string, headers ...string) (status int, body string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, url, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Add(name, value)
	}
	return h.do(req)
}

func (h *house) do(req *http.Request) (status int, body string) {
	h.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := readAllOf(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, text
}

func readAllOf(r io.Reader) (string, error) {
	text, err := io.ReadAll(r)
	return string(text), err
}

func (h *house) bearer(group string) string { return "Authorization: Bearer " + h.tokens[group] }

// records are all of some kinds.
func (h *house) records(kinds ...audit.Kind) (some []audit.Record) {
	h.t.Helper()
	r, err := store.OpenReader(h.t.Context(), h.cfg.Store)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			h.t.Error(err)
		}
	}()
	for e, err := range r.Chain(h.t.Context(), chainName, 0) {
		if err != nil {
			h.t.Fatal(err)
		}
		rec, err := audit.Decode(e)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, k := range kinds {
			if rec.Kind == k {
				some = append(some, rec)
			}
		}
	}
	return some
}

const openPolicy = "version: 1\nroles: {everyone: {allow: [\"*/*\"]}}\n"

// Nobody is anonymous on the admin side, loopback and trust in it included (law
// 13): everything but a bare "alive" and "ready" asks for a caller of the right
// group, and nothing of it is on the agents' listener.
func TestLawNobodyIsAnonymousOnTheAdminSide(t *testing.T) {
	h := openHouse(t, openPolicy, nil)
	const yes, who, no = http.StatusOK, http.StatusUnauthorized, http.StatusForbidden
	for _, c := range []struct {
		method, path string
		want         map[string]int // by visitor
	}{
		{http.MethodGet, "/livez", map[string]int{"": yes, "bad": who, "agents": yes, "viewers": yes, "admins": yes}},
		{http.MethodGet, "/readyz", map[string]int{"": yes, "bad": who, "agents": yes, "viewers": yes, "admins": yes}},
		{http.MethodGet, "/metrics", map[string]int{"": who, "bad": who, "agents": no, "viewers": yes, "admins": yes}},
		{http.MethodPost, reloadPath, map[string]int{"": who, "bad": who, "agents": no, "viewers": no, "admins": yes}},
		{http.MethodPost, acceptPath, map[string]int{"": who, "bad": who, "agents": no, "viewers": no, "admins": http.StatusBadRequest}}, // nothing is named
	} {
		for visitor, want := range c.want {
			var headers []string
			switch {
			case visitor == "bad":
				headers = []string{"Authorization: Bearer " + identity.NewToken().Reveal()}
			case visitor != "":
				headers = []string{h.bearer(visitor)}
			}
			status, body := h.ask(c.method, h.desk.at+c.path, headers...)
			if status != want {
				t.Errorf("%s %s of %q: %d %s, want %d", c.method, c.path, visitor, status, body, want)
			}
			detailed := strings.Contains(body, "sha256:")
			if c.path == "/readyz" && detailed != (visitor == "viewers" || visitor == "admins") {
				t.Errorf("/readyz tells %q %s", visitor, body)
			}
		}
	}
	tested := map[string]bool{"/livez": true, "/readyz": true, "/metrics": true, reloadPath: true, acceptPath: true}
	for _, route := range adminRoutes() {
		if !tested[route.path] {
			t.Errorf("%s is not asked for above", route.path)
		}
		if status, _ := h.ask(route.method, h.agents+route.path, h.bearer("admins")); status != http.StatusNotFound {
			t.Errorf("%s on the agents' listener: %d", route.path, status)
		}
	}
}

// A route that says nothing of who may have it is nobody's.
func TestRoutesWithoutAStandingRefuse(t *testing.T) {
	for _, route := range adminRoutes() {
		if route.needs == nobody {
			t.Errorf("%s is open to nobody", route.path)
		}
	}
	if got := (&Admin{}).standingOf(toolcall.Caller{Person: "sam", Subject: "sam", Issuer: "token", Groups: []string{"admins"}}); got != known {
		t.Errorf("without groups a caller is %d", got)
	}
}

// Pages in a browser, and names rebound to this machine, are refused before
// anything else.
func TestAdminListenerChecksWhereARequestComesFrom(t *testing.T) {
	h := openHouse(t, openPolicy, nil)
	for name, c := range map[string]struct {
		header string
		want   int
	}{
		"a page":                {"Origin: https://evil.example", http.StatusForbidden},
		"a page of the machine": {"Origin: http://localhost:3000", http.StatusForbidden},
		"a rebound name":        {"Host: evil.example", http.StatusForbidden},
		"localhost":             {"Host: localhost:8438", http.StatusOK},
	} {
		if status, body := h.ask(http.MethodGet, h.desk.at+"/readyz", h.bearer("admins"), c.header); status != c.want {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.want)
		}
	}
	for path, want := range map[string]int{"/": 404, "/metrics/": 404, "//metrics": 404, "/%6detrics": 404, "/console/": 404} {
		if status, _ := h.ask(http.MethodGet, h.desk.at+path, h.bearer("admins")); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if status, _ := h.ask(http.MethodGet, h.desk.at+reloadPath, h.bearer("admins")); status != http.StatusMethodNotAllowed {
		t.Errorf("GET of a reload: %d", status)
	}
}

// Readiness goes with the store, and comes back with it although nobody calls
// meanwhile; it is off before calls are refused.
func TestReadiness(t *testing.T) {
	h := openHouse(t, openPolicy, nil)
	ready := func() int {
		status, _ := h.ask(http.MethodGet, h.desk.at+"/readyz")
		return status
	}
	if got := ready(); got != http.StatusOK {
		t.Fatalf("at the start: %d", got)
	}
	file := h.cfg.StorePath()
	if err := os.Rename(file, file+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := h.guard.record.Put(audit.Record{Kind: audit.Event}).Wait(t.Context()); err == nil {
		t.Fatal("a record was kept in a file that is gone")
	}
	if got := ready(); got != http.StatusServiceUnavailable {
		t.Errorf("without a store: %d", got)
	}
	if _, body := h.ask(http.MethodGet, h.desk.at+"/metrics", h.bearer("viewers")); !strings.Contains(body, "mcpguard_store_failed 1") {
		t.Error("the metrics do not tell of the store")
	}
	if err := os.Rename(file+".gone", file); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ready() != http.StatusOK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it stays unready with the store back")
		}
	}
	h.desk.admin.draining.Store(true)
	if got := ready(); got != http.StatusServiceUnavailable {
		t.Errorf("while it drains: %d", got)
	}
	if status, _ := h.ask(http.MethodGet, h.desk.at+"/livez"); status != http.StatusOK {
		t.Errorf("it still lives: %d", status)
	}
}

// The control socket is its user's alone, whatever was there before.
func TestControlSocketIsTheUsers(t *testing.T) {
	h := openHouse(t, openPolicy, nil)
	socket := h.cfg.ControlPath()
	for path, want := range map[string]fs.FileMode{socket: 0o600, filepath.Dir(socket): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %#o, want %#o", path, got, want)
		}
	}
	status, body, err := askControl(t.Context(), socket, reloadPath, reloadRequest{})
	if err != nil || status != http.StatusOK || !strings.Contains(string(body), `"changed":false`) {
		t.Errorf("asked: %d %s, %v", status, body, err)
	}
	if err := os.Chmod(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := askControl(t.Context(), socket, reloadPath, reloadRequest{}); exitCode(err) != exitUnreachable {
		t.Errorf("a folder that others may enter is used: %v", err)
	}
	if _, err := listenControl(socket); err == nil || !strings.Contains(err.Error(), "lets others in") {
		t.Errorf("a folder that others may enter is taken over: %v", err)
	}
}

// Connections of another user are hung up on, before a word is read.
func TestControlSocketHangsUpOnOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c", "socket")
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	served := false
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(peers{l, os.Geteuid() + 1, slog.New(slog.DiscardHandler)}) }()
	_, _, err = askControl(t.Context(), path, reloadPath, reloadRequest{})
	if exitCode(err) != exitUnreachable {
		t.Errorf("another user's server is asked: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) || served {
		t.Errorf("another user was served: %v, %v", served, err)
	}
}

// A socket that a dead process left behind is replaced, and answers nobody before.
func TestControlSocketAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c", "socket")
	dead, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := askControl(t.Context(), path, reloadPath, reloadRequest{}); exitCode(err) != exitUnreachable || !strings.Contains(err.Error(), "no server answers") {
		t.Errorf("a dead one answers: %v", err)
	}
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
