package toolcall

import "time"

// Effect is what policy says about a call. The zero Effect denies.
type Effect uint8

// The effects, in the order of precedence: deny beats approve beats allow.
const (
	Deny Effect = iota
	Approve
	Allow
)

func (e Effect) String() string {
	switch e {
	case Approve:
		return "approve"
	case Allow:
		return "allow"
	}
	return "deny"
}

// Decision is the answer of a policy to one call. Its strings and slices point
// into the compiled policy and must not be changed. The zero Decision denies.
type Decision struct {
	Effect  Effect
	Rule    string   // id of the deciding rule, "" when nothing matched
	File    string   // where the rule stands
	Line    int      // 1-based
	Reason  string   // the rule's "because", or the closest miss in words
	Miss    Miss     // of a denial by default: the nearest rule and what it lacked
	Asks    []*Ask   // of Approve: every question that must be answered yes
	Redact  []string // names of the redaction profiles that apply to the result
	Reads   bool     // every deciding allow rule is marked "reads: true"
	Policy  string   // digest of the policy that decided
	Explain Explain  // how much of it the caller is told
	Shadow  []string // ids of observed rules that would have decided otherwise

	Observed bool   // Effect is Allow because the whole deployment is only observed
	Would    Effect // where Observed: what policy said

	Limits     []*Limit      // of Allow and Approve: what the call takes of, all of it or none
	RetryAfter time.Duration // of a denial by a limit: when the call could pass; 0: never as it is

	Verdicts string // what each matcher came to, as the policy writes it down; "" where nobody asked
}

// Ask is a question that a person must answer before a call runs.
type Ask struct {
	Rule   string
	By     []string // groups whose members may answer
	Within int64    // seconds until the question counts as denied
	Show   []Path   // arguments shown to the approver
}

// Miss is the closest rule that did not match, for a caller who must correct
// a call. Its parts name the rule, the argument and what would have passed;
// they never quote the argument's value.
type Miss struct {
	Rule string // id
	Path string // the argument
	Want string // what would pass, as the policy says it: "max 500"
	Got  string // why it did not: "absent", "over", "not a number", ...
}

// IsZero reports whether there was no rule near enough to name.
func (m Miss) IsZero() bool { return m.Rule == "" }

// Verdict is the outcome of a condition.
type Verdict uint8

// The verdicts. VerdictUnknown is the zero value: what cannot be judged is never true.
const (
	VerdictUnknown Verdict = iota
	VerdictFalse
	VerdictTrue
)
