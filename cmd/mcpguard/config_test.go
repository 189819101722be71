package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mcpguard/identity"
	"mcpguard/toolcall"
)

// testEnvironment has the given variables and nothing of the machine's.
func testEnvironment(variables ...string) *environment {
	return &environment{
		stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard,
		now:     func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) },
		environ: variables,
		output:  outputTable,
	}
}

// folder makes a folder of files; a policy is always there.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("policy.yaml", "version: 1\nroles: {everyone: {allow: [crm/get_customer]}}\n")
	for name, text := range files {
		write(name, text)
	}
	return dir
}

// loadText loads a configuration of that text.
func loadText(t *testing.T, text string, flags overrides, variables ...string) (*Config, error) {
	t.Helper()
	dir := folder(t, map[string]string{"mcpguard.yaml": text})
	return LoadConfig(filepath.Join(dir, "mcpguard.yaml"), flags, testEnvironment(variables...))
}

// mustLoad is loadText of a text without mistakes.
func mustLoad(t *testing.T, text string, flags overrides, variables ...string) *Config {
	t.Helper()
	c, err := loadText(t, text, flags, variables...)
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	return c
}

const smallest = "policy: policy.yaml\nupstreams: {crm: {url: http://127.0.0.1:9101/mcp}}\n"

const everything = `
listen: 127.0.0.1:9000
policy: policy.yaml
store: sqlite://state/guard.db
keys: state/keys
behind_tls_proxy: true
allowed_hosts: [guard.example.com]
allowed_origins: ["https://app.example.com"]
upstreams:
  crm:
    type: streamable-http
    url: http://127.0.0.1:9101/mcp?k=${CRM_KEY}
    headers: {Authorization: "Bearer ${env:CRM_TOKEN}"}
    transport: streamable-http
    limits: {timeout: 5s, result: 1KiB}
  fs:
    command: npx
    args: [-y, "@modelcontextprotocol/server-filesystem", "${ROOT:-/srv/projects}"]
    env: {TOKEN: "${file:fs.secret}", LITERAL: "$${not a reference}"}
    cwd: work
    share: caller
    pins: {wording: alert}
pins: {mode: strict, names: quarantine}
identity:
  tokens:
    - name: nightly-agent
      owner: sam@example.com
      sha256: "0100000000000000000000000000000000000000000000000000000000000002"
      groups: [ci]
      expires: 2027-01-31
  local: {groups: [engineers]}
record:
  arguments: digest
  results: none
  durability: overlapped
  max_result: 1MiB
  retention: {age: 30d, size: 2GiB}
limits: {request: 2MiB, depth: 64, timeout: 1m30s, sessions: 5}
`

func TestEveryKey(t *testing.T) {
	dir := folder(t, map[string]string{"conf/mcpguard.yaml": everything, "conf/policy.yaml": "version: 1\n", "conf/fs.secret": "hunter2\n"})
	c, err := LoadConfig(filepath.Join(dir, "conf", "mcpguard.yaml"), overrides{}, testEnvironment("CRM_KEY=key-1", "CRM_TOKEN=token-1"))
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	at := func(name string) string { return filepath.Join(dir, "conf", name) }
	limits := Limits{
		Request: 2 << 20, Result: 32 << 20, Depth: 64, Timeout: 90 * time.Second, Idle: 30 * time.Minute,
		Sessions: 5, Processes: 16, SessionsTotal: 10000, ProcessesTotal: 128, Memory: 256 << 20,
	}
	pins := Pins{
		Mode: pinsStrict, New: pinQuarantine, Wording: pinQuarantine, Schema: pinQuarantine, Hints: pinQuarantine,
		Hidden: pinQuarantine, Names: pinQuarantine,
	}
	ofFS := pins
	ofFS.Wording = pinAlert
	crm := limits
	crm.Timeout, crm.Result = 5*time.Second, 1<<10
	want := &Config{
		File: at("mcpguard.yaml"), Listen: "127.0.0.1:9000", Policy: at("policy.yaml"),
		Store: "sqlite://" + at("state/guard.db"), Keys: at("state/keys"), BehindTLSProxy: true,
		AllowedHosts: []string{"guard.example.com"}, AllowedOrigins: []string{"https://app.example.com"},
		Upstreams: []Upstream{{
			Name: "crm", URL: identity.NewSecret("http://127.0.0.1:9101/mcp?k=key-1"), Address: "http://127.0.0.1:9101/mcp", Transport: "streamable-http",
			Headers: []SecretPair{{"Authorization", identity.NewSecret("Bearer token-1")}}, Limits: crm, Pins: pins,
		}, {
			Name: "fs", Command: "npx", Cwd: at("work"), Share: "caller", Limits: limits, Pins: ofFS,
			Args: []identity.Secret{
				identity.NewSecret("-y"), identity.NewSecret("@modelcontextprotocol/server-filesystem"), identity.NewSecret("/srv/projects"),
			},
			Env: []SecretPair{{"TOKEN", identity.NewSecret("hunter2")}, {"LITERAL", identity.NewSecret("${not a reference}")}},
		}},
		Identity: Identity{
			Tokens: []identity.Token{{
				Name: "nightly-agent", Owner: "sam@example.com", SHA256: toolcall.Digest{0: 1, 31: 2}, Groups: []string{"ci"},
				Expires: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
			}},
			Local: &LocalUser{Groups: []string{"engineers"}, TokenFile: at("local.token")},
		},
		Record: Record{
			Arguments: keepDigest, Results: keepNothing, Durability: durabilityOverlapped, MaxResult: 1 << 20,
			Retention: Retention{Age: 30 * 24 * time.Hour, Size: 2 << 30},
		},
		Limits: limits,
		Pins:   pins,
	}
	same := cmp.Options{
		cmp.Comparer(func(a, b identity.Secret) bool { return a.Reveal() == b.Reveal() }),
		cmpopts.IgnoreUnexported(Config{}, Upstream{}),
	}
	if diff := cmp.Diff(want, c, same); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got, want := c.Upstreams[0].Secrets(), []string{"k=key-1", "Bearer token-1"}; !cmp.Equal(got, want) {
		t.Errorf("secrets of crm are %q, want %q", got, want)
	}
	if got, want := c.Upstreams[1].Secrets(), []string{"/srv/projects", "hunter2", "${not a reference}"}; !cmp.Equal(got, want) {
		t.Errorf("secrets of fs are %q, want %q", got, want)
	}
}

func TestDefaults(t *testing.T) {
	c := mustLoad(t, smallest, overrides{})
	dir := filepath.Dir(c.File)
	if c.Listen != "127.0.0.1:8437" || c.StorePath() != filepath.Join(dir, "mcpguard.db") || c.Keys != filepath.Join(dir, "keys") {
		t.Errorf("listen %s, store %s, keys %s", c.Listen, c.Store, c.Keys)
	}
	if c.Record.Durability != durabilityStrict || c.Record.Arguments != keepRedacted || c.Record.Results != keepRedacted {
		t.Errorf("the record is kept as %+v", c.Record)
	}
	if c.Record.Retention != (Retention{90 * 24 * time.Hour, 10 << 30}) {
		t.Errorf("retention is %+v: a disk would fill", c.Record.Retention)
	}
	if c.TLS != nil || c.BehindTLSProxy || len(c.Identity.Tokens) > 0 {
		t.Errorf("TLS %v, behind a proxy %v, tokens %v", c.TLS, c.BehindTLSProxy, c.Identity.Tokens)
	}
	if l := c.Identity.Local; l == nil || l.TrustLoopback || len(l.Groups) > 0 || l.TokenFile != filepath.Join(dir, "local.token") {
		t.Errorf("the local user is %+v", l)
	}
}

// There is a local user where the file says so, or says nothing of identity.
func TestLocalUserIsAskedFor(t *testing.T) {
	const tokens = `identity: {tokens: [{name: a, owner: sam, sha256: "` + "01" + `00000000000000000000000000000000000000000000000000000000000000", expires: 2027-01-31}]}` + "\n"
	if c := mustLoad(t, smallest+tokens, overrides{}); c.Identity.Local != nil {
		t.Errorf("beside tokens there is a local user nobody asked for: %+v", c.Identity.Local)
	}
	if c := mustLoad(t, smallest+"identity: {local: {}}\n", overrides{}); c.Identity.Local == nil {
		t.Error("a local user that was asked for is missing")
	}
	trust := overrides{settings: map[string]string{"identity.local.trust_loopback": "true"}}
	if c := mustLoad(t, smallest+tokens, trust); c.Identity.Local == nil || !c.Identity.Local.TrustLoopback {
		t.Error("--trust-loopback makes no local user")
	}
}

// flag > variable > file > default, and config show says which it was.
func TestPrecedence(t *testing.T) {
	const file = smallest + "limits: {depth: 10}\n"
	variable := "MCPGUARD_LIMITS_DEPTH=20"
	flag := overrides{settings: map[string]string{"limits.depth": "30"}}
	for _, c := range []struct {
		name   string
		config *Config
		depth  int
		origin string
	}{
		{"default", mustLoad(t, smallest, overrides{}), 128, "default"},
		{"file", mustLoad(t, file, overrides{}), 10, "mcpguard.yaml:3:17"},
		{"variable over file", mustLoad(t, file, overrides{}, variable), 20, "MCPGUARD_LIMITS_DEPTH"},
		{"flag over both", mustLoad(t, file, flag, variable), 30, "--depth"},
		{"variable over default", mustLoad(t, smallest, overrides{}, variable), 20, "MCPGUARD_LIMITS_DEPTH"},
	} {
		if c.config.Limits.Depth != c.depth {
			t.Errorf("%s: depth is %d, want %d", c.name, c.config.Limits.Depth, c.depth)
		}
		for _, s := range c.config.settings {
			if s.Key == "limits.depth" && !strings.HasSuffix(s.Origin, c.origin) {
				t.Errorf("%s: origin is %s, want %s", c.name, s.Origin, c.origin)
			}
		}
	}
}

// What the file says starts from its folder; what a flag says, from the
// current one.
func TestRelativePaths(t *testing.T) {
	t.Chdir(folder(t, map[string]string{"other.yaml": "version: 1\n"}))
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, smallest, overrides{settings: map[string]string{"policy": "other.yaml"}}, "MCPGUARD_STORE=sqlite://here.db")
	if want := filepath.Join(here, "other.yaml"); c.Policy != want {
		t.Errorf("the flag's policy is %s, want %s", c.Policy, want)
	}
	if want := filepath.Join(here, "here.db"); c.StorePath() != want {
		t.Errorf("the variable's store is %s, want %s", c.StorePath(), want)
	}
	if want := filepath.Join(filepath.Dir(c.File), "keys"); c.Keys != want {
		t.Errorf("the default's keys are in %s, want %s", c.Keys, want)
	}
}

func TestWithoutAFile(t *testing.T) {
	t.Chdir(folder(t, nil))
	flags := overrides{settings: map[string]string{"policy": "policy.yaml"}, upstreamCmd: `server --root "/srv/two words"`}
	c, err := LoadConfig("", flags, testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	u := c.Upstreams[0]
	if len(c.Upstreams) != 1 || u.Name != "upstream" || u.Command != "server" || len(u.Args) != 2 || u.Args[1].Reveal() != "/srv/two words" {
		t.Errorf("the upstream is %q %q with %d arguments", u.Name, u.Command, len(u.Args))
	}
	if _, err := LoadConfig("", overrides{}, testEnvironment()); err == nil {
		t.Error("nothing at all is a configuration")
	}
	if _, err := LoadConfig("missing.yaml", flags, testEnvironment()); err == nil {
		t.Error("a file that was named and is missing is passed over")
	}
	if _, err := LoadConfig("", flags, testEnvironment("MCPGUARD_CONFIG=missing.yaml")); err == nil {
		t.Error("a file that MCPGUARD_CONFIG names and is missing is passed over")
	}
}

// A flag's upstream takes the place of the file's.
func TestFlagUpstreamReplaces(t *testing.T) {
	c := mustLoad(t, smallest, overrides{upstream: "https://mcp.example.com/mcp"})
	if len(c.Upstreams) != 1 || c.Upstreams[0].Address != "https://mcp.example.com/mcp" || c.Upstreams[0].Limits != c.Limits {
		t.Errorf("upstreams are %d, the first %s", len(c.Upstreams), c.Upstreams[0].Address)
	}
}

// The table of settings is sound: every default loads, and no two keys share a
// variable or a flag that is bound.
func TestSettingsTable(t *testing.T) {
	variables := map[string]string{}
	for i := range settingKeys {
		k := &settingKeys[i]
		if other := variables[k.variable()]; other != "" {
			t.Errorf("%s and %s share %s", k.key, other, k.variable())
		}
		variables[k.variable()] = k.key
		text := k.standard
		if k.path {
			text, _ = absolute("", text)
		}
		if k.standard == "" {
			continue
		}
		if err := k.assign(&Config{}, text); err != nil {
			t.Errorf("the default of %s: %v", k.key, err)
		}
	}
	if err := new(Limits).assign("no such", "1"); err == nil {
		t.Error("a limit that does not exist is set")
	}
}

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{smallest, everything, "a: &x [*x]", "- a", "a: {b: [", "upstreams: {a: 1, b: [], c: {env: 1}}", "limits: {depth: }"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := &loader{
			config: &Config{File: "mcpguard.yaml"}, env: testEnvironment(), origins: map[string]origin{}, given: map[string]bool{},
			file: parseYAML("mcpguard.yaml", []byte(text)),
		}
		l.load()
		l.check()
		found := l.all()
		// Without the policy's file on disk nothing is ever right.
		if len(found) == 0 {
			t.Errorf("%q has no mistake", text)
		}
		var printed bytes.Buffer
		report(&printed, found)
		if printed.Len() == 0 {
			t.Error("the mistakes print as nothing")
		}
	})
}

// A file of the largest size is read in a moment, whatever is in it.
func TestLargeConfigIsReadInAMoment(t *testing.T) {
	var b strings.Builder
	b.WriteString("policy: policy.yaml\nupstreams:\n")
	for i := 0; b.Len() < maxConfig-100; i++ {
		fmt.Fprintf(&b, "  u%d: {command: \"a\\\n b\"}\n", i)
	}
	start := time.Now()
	c := mustLoad(t, b.String(), overrides{})
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%d upstreams took %v", len(c.Upstreams), took)
	}
}
