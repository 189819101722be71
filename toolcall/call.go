package toolcall

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// ID names a call, a session or a record: a UUIDv7 (RFC 9562), so ids sort by
// time and are unique over replicas.
type ID [16]byte

// NewID makes an id of the current time; ids made later in a process sort later.
func NewID() (ID, error) {
	u, err := uuid.NewV7()
	return ID(u), err
}

// ParseID reads an id in its hyphenated form.
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	return ID(u), err
}

func (id ID) String() string { return uuid.UUID(id).String() }

// IsZero reports whether the id was never made.
func (id ID) IsZero() bool { return id == ID{} }

// Caller is who asks, as the credential proved it. The zero Caller is nobody,
// has no role, and is refused everywhere.
type Caller struct {
	Person  string   // the human accountable: the login's person, or the owner of a token
	Subject string   // the principal within Issuer
	Issuer  string   // who vouched: an OIDC issuer URL, "token" or "local"
	Client  string   // the agent software, verified (azp, certificate, token name); else empty
	Act     []string // RFC 8693 actors, outermost first
	Groups  []string // as the issuer named them
}

// IsZero reports whether nobody is asking.
func (c Caller) IsZero() bool { return c.Subject == "" || c.Issuer == "" }

// Key tells callers apart in tables and in the associated data of sealed
// handles: the issuer and the subject, unambiguously joined.
func (c Caller) Key() string { return fmt.Sprintf("%d:%s %s", len(c.Issuer), c.Issuer, c.Subject) }

// Kind is what a call addresses; policy selectors carry the same names.
type Kind uint8

// The kinds. NoKind matches no rule.
const (
	NoKind   Kind = iota
	Tool          // a tool by name
	Resource      // a resource by URI
	Prompt        // a prompt by name
	Request       // what a server asks of the client: sampling, elicitation, roots
	Method        // a protocol method that mcpguard does not know
)

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

var kindNames = [...]string{"none", "tool", "resource", "prompt", "request", "method"}

// Call is everything that a decision needs. It is never edited: a mutation
// makes a new Call, so what was judged is what is recorded and forwarded.
type Call struct {
	ID       ID
	Caller   Caller
	Session  ID
	Upstream string
	Kind     Kind
	Name     string   // tool or prompt name, resource URI, request kind, method
	Def      *ToolDef // of a tool; nil refuses every rule that names arguments
	Args     JSON     // the arguments object; zero where the kind has none
	Meta     JSON     // params._meta
	At       time.Time
}

// Target is how policy and people name what is called: "upstream/name".
func (c *Call) Target() string { return c.Upstream + "/" + c.Name }

// LogValue keeps arguments out of logs.
func (c *Call) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", c.ID.String()),
		slog.String("kind", c.Kind.String()),
		slog.String("upstream", c.Upstream),
		slog.Any("args", c.Args),
	)
}
