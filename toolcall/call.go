package toolcall

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// ID names a call, a session or a record: a UUIDv7 (RFC 9562), so ids sort by
// time and are unique over replicas.
type ID [16]byte

// NewID makes an id of the current time; ids made later in a process sort later.
func NewID() (ID, error) {
	u, err := uuid.NewV7()
	if err != nil {
		return ID{}, fmt.Errorf("make an id: %w", err)
	}
	return ID(u), nil
}

// ErrID says that a text is no id.
var ErrID = errors.New("not an id: want 36 characters like 0197f4a2-5c1e-7b3a-9d2f-3f6b1c2d4e5f")

// ParseID reads an id in the one form that String writes, in either case.
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return ID{}, ErrID
	}
	return ID(u), nil
}

// String is the id in hexadecimal with hyphens.
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
func (c Caller) Key() string {
	return strconv.Itoa(len(c.Issuer)) + ":" + c.Issuer + " " + c.Subject
}

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
