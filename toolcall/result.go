package toolcall

// Outcome is how a call ended. The zero Outcome says that nobody knows: the
// truth about an intent whose process died.
type Outcome uint8

// The outcomes.
const (
	OutcomeUnknown   Outcome = iota // forwarded, and never heard of again
	OutcomeOK                       // a result
	OutcomeToolError                // a tool result with isError: true
	OutcomeError                    // a JSON-RPC error of the upstream
	OutcomeRefused                  // by policy: nothing was forwarded
	OutcomeWithheld                 // a result that could not be made safe
	OutcomeFailed                   // the upstream was down, late or unreadable
	OutcomeCancelled                // the caller gave up
	OutcomeTask                     // a task: how that ended is another outcome of the same call, or nobody knows
)

func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown"
}

var outcomeNames = [...]string{"unknown", "ok", "tool_error", "error", "refused", "withheld", "failed", "cancelled", "task"}
