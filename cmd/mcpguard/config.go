package main

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"mcpguard/identity"
	"mcpguard/store"
)

// Config is mcpguard.yaml after flags, environment and defaults: complete,
// checked, with every reference resolved and every path absolute. Only
// LoadConfig makes one.
type Config struct {
	File string // the file that was read; "" when there was none

	Listen         string   // host:port of the agents' listener
	Policy         string   // a file or a folder; "" denies everything
	Store          string   // "sqlite://" and an absolute path
	Keys           string   // the keyring's folder
	TLS            *TLS     // nil: plain HTTP
	BehindTLSProxy bool     // somebody else ends TLS in front of the listener
	AllowedHosts   []string // Host values that are accepted, on loopback besides its names; none beyond loopback: any
	AllowedOrigins []string // Origin values that browsers may send; none: a request with Origin is refused

	Admin        *Admin    // nil: there is no admin listener
	ObserveUntil time.Time // until then policy stops no call; zero: it always does

	Upstreams []Upstream // in the order of the file
	Identity  Identity
	Record    Record
	Limits    Limits
	Pins      Pins
	PinLock   string // the file that says what is accepted; "": the store does

	// Stdio: the only caller is the process that started this one. There is no
	// listener.
	Stdio bool

	settings []setting // for config show, in the order of the reference
}

// TLS names the listener's certificate chain and key, in PEM.
type TLS struct{ Cert, Key string }

// Upstream is an MCP server behind mcpguard: one with a URL, or a process.
type Upstream struct {
	Name string

	URL       identity.Secret // Streamable HTTP endpoint; secret because keys hide in URLs; zero: a process
	Address   string          // scheme://host/path of URL, fit to be printed
	Headers   []SecretPair    // sent with every request
	Transport string          // auto, streamable-http or sse

	Command string            // looked up in PATH unless it holds a separator
	Args    []identity.Secret // never read by a shell
	Env     []SecretPair      // besides PATH, HOME and LANG
	Cwd     string            // absolute; "": where mcpguard was started
	Share   string            // session, caller or all: who may have one process

	Limits Limits // the general ones, or this upstream's own
	Pins   Pins   // the same

	secrets []string // of URL and Args: queries, and what references lead to
}

// SecretPair is a header or an environment variable.
type SecretPair struct {
	Name  string
	Value identity.Secret
}

// Whose sessions may have one process of a stdio upstream.
const (
	shareSession = "session"
	shareCaller  = "caller"
	shareAll     = "all"
)

// How an upstream with a URL is spoken to.
const (
	transportAuto       = "auto"
	transportStreamable = "streamable-http"
	transportSSE        = "sse"
)

// Secrets are the values that must not appear in this upstream's log lines.
func (u *Upstream) Secrets() []string {
	values := slices.Clone(u.secrets)
	for _, p := range u.Headers {
		values = append(values, p.Value.Reveal())
	}
	for _, p := range u.Env {
		values = append(values, p.Value.Reveal())
	}
	return values
}

// Identity says who may ask.
type Identity struct {
	Tokens []identity.Token // none: no static token is accepted
	Local  *LocalUser       // nil: there is no local user
}

// LocalUser is the laptop's user.
type LocalUser struct {
	Groups        []string // none: the role everyone
	TrustLoopback bool     // a loopback request without a credential is this user's
	TokenFile     string   // made at first start
}

// What is kept of arguments and results.
const (
	keepRedacted = "redacted" // after redaction
	keepDigest   = "digest"   // a keyed digest and the size
	keepNothing  = "none"     // the size
)

// How long a call waits for its record (law 2).
const (
	durabilityStrict     = "strict"
	durabilityOverlapped = "overlapped"
	durabilityRelaxed    = "relaxed"
)

// Record says what is kept of a call, and how.
type Record struct {
	Arguments  string // redacted, digest or none
	Results    string // redacted, digest or none
	Durability string // strict, overlapped or relaxed
	MaxResult  int64  // bytes of a result that are kept; of a longer one head, size and digest
	Retention  Retention
}

// Retention bounds the record; the oldest goes first.
type Retention struct {
	Age  time.Duration
	Size int64 // bytes
}

// Limits bound one message, or one person's share.
type Limits struct {
	Request   int64         // bytes of a request's body
	Result    int64         // bytes of a result
	Depth     int           // levels of nesting in JSON, at most 128
	Timeout   time.Duration // for an upstream's answer, without progress
	Idle      time.Duration // after which a session or an upstream's process ends
	Sessions  int           // live sessions per person
	Processes int           // upstream processes per person

	SessionsTotal  int // live sessions in all
	ProcessesTotal int // upstream processes in all

	Memory int64 // bytes that messages hold at once, in all
}

// onLoopback reports whether the agents' listener is reachable from this machine only.
func (c *Config) onLoopback() bool { return onLoopback(c.Listen) }

// onLoopback reports whether an address to listen on is. A host name other than
// localhost is not: what it resolves to may change.
func onLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// dir is the folder that relative paths of the file start from; "" without a
// file: the current folder.
func (c *Config) dir() string {
	if c.File == "" {
		return ""
	}
	return filepath.Dir(c.File)
}

// StorePath is the file of Store; "" where Store is none, which LoadConfig refuses.
func (c *Config) StorePath() string {
	path, err := store.Path(c.Store)
	if err != nil {
		return ""
	}
	return path
}
