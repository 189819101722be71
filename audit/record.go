package audit

import (
	"fmt"
	"time"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// Kind says what a record tells of. NoKind is refused.
type Kind uint8

// The kinds. Their numbers are stored: new ones are added at the end.
const (
	NoKind        Kind = iota
	SessionStart       // a session began
	SessionEnd         // a session ended, or was found to have ended
	Intent             // a call was allowed and is about to be forwarded
	Outcome            // how a forwarded call ended; an Intent without one: nobody knows
	Refusal            // a call was refused: nothing was forwarded
	List               // a list was shown to the caller
	PolicyLoaded       // another policy decides from here on
	Catalogue          // what an upstream offers was fetched or changed
	Purged             // older records were removed: the tombstone of a prefix of the chain
	Viewed             // somebody read recorded sessions
	Event              // anything else that mcpguard itself tells
	PolicyRefused      // a policy was not loaded: the one in force stays
	ToolChange         // a definition of an upstream is new or another, or somebody accepted one
)

var kindNames = [...]string{"none", "session_start", "session_end", "intent", "outcome", "refusal", "list",
	"policy_loaded", "catalogue", "purged", "viewed", "event", "policy_refused", "tool_change"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// A Record is one thing that happened. Absent fields stay zero and take no
// room. An Outcome need not repeat what the Intent of its Call told.
//
// What a caller sent and an upstream answered is in here only as a
// redact.Clean, and as digests keyed with the store's mac key.
type Record struct {
	Kind    Kind
	Session toolcall.ID // zero: of no session
	Call    toolcall.ID // ties an Intent and its Outcome
	Task    toolcall.ID // of a request about a task: the Call that made it
	At      time.Time   // zero: the time of Put

	Caller        toolcall.Caller // kept as a reference to a row that can be erased
	Roles         []string        // as policy gave them at the time
	ClientName    string          // what the client says of itself, unproved
	ClientVersion string
	ClientAddr    string // network address without port

	Edge       string // set by Decode: Config.Edge of the writer
	Era        string // protocol version
	Upstream   string
	Method     string // JSON-RPC method
	Target     string // tool, prompt, URI
	TargetKind toolcall.Kind
	Catalogue  string // digests of what the decision was made with
	Definition string
	Policy     string

	Args       redact.Clean
	ArgsDigest toolcall.Digest // keyed; of the params as forwarded
	ArgsSize   int             // bytes, before redaction
	ArgsBlob   toolcall.Digest // set by Decode: where Args are kept when they are long

	Effect   toolcall.Effect // of an Intent, a Refusal and a List
	Rule     string
	File     string
	Line     int
	Reason   redact.Clean
	Verdicts string   // of each matcher, as the policy writes them
	Shadow   []string // ids of observed rules that would have decided otherwise
	Would    string   // "deny" or "approve": what policy said where the whole deployment is only observed; "" where it decided

	Outcome      toolcall.Outcome
	Result       redact.Clean
	ResultDigest toolcall.Digest // keyed; of the result as it came
	ResultSize   int             // bytes, before redaction
	ResultCut    bool            // set by Decode: Result is only the head of a result over MaxResult
	ResultBlob   toolcall.Digest // set by Decode: where Result is kept when it is long
	Error        redact.Clean
	Findings     []redact.Finding

	Stages     []Stage
	Durability string // strict, overlapped or relaxed

	Purge Purge // of Purged only
}

// Stage is how long one stage of a call took.
type Stage struct {
	Name string
	Took time.Duration // kept to the microsecond
}

// Purge is the content of a tombstone: the chain goes on behind entry UpTo,
// whose hash was Hash.
type Purge struct {
	UpTo   uint64
	Hash   toolcall.Digest
	Before time.Time // entries before it were too old; zero when room was the reason
}
