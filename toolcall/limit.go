package toolcall

import "time"

// Limit bounds what calls may use within a span of time, for all calls of one
// scope together. It is part of a compiled policy and never changes.
type Limit struct {
	ID    string // what is counted is kept under it, so it outlives a change of the numbers
	Owner string // id of the rule, or name of the role, that the limit stands in
	File  string
	Line  int // 1-based

	Form Measure
	Per  Scope
	Most int64 // calls, calls at once, or different values

	Every time.Duration // the span; 0 of AtOnce
	Burst int64         // of Calls: so many may come together; at most Most
	Path  Path          // of Sum and Distinct: the argument
	Max   Number        // of Sum

	ErrorsFree bool    // a call that its upstream says has failed is given back
	Explain    Explain // how much of its refusals the caller is told
	Observe    bool    // refuses nothing; decisions tell what it would have refused

	Words string // what is used up, for the caller: "20 calls an hour per caller"
}

// Measure is what a limit counts. The zero Measure counts nothing and admits nothing.
type Measure uint8

// The measures. Their numbers are stored.
const (
	NoMeasure Measure = iota
	Calls             // calls, at a rate
	AtOnce            // calls that are under way
	Sum               // the sum of an argument
	Distinct          // the different values of an argument
)

// Scope is a set of what calls must have in common to be counted together. None
// of it is chosen by the client.
type Scope uint8

// The members of a Scope. PerRole alone is everybody to whom the limit applies.
const (
	PerCaller   Scope = 1 << iota // issuer and subject
	PerClient                     // verified client software; all that is not verified is one
	PerRole                       // nothing more than the limit itself
	PerTool                       // upstream and tool
	PerUpstream                   // upstream
)

// Has reports whether s holds p.
func (s Scope) Has(p Scope) bool { return s&p != 0 }

// Settlement says how a call ended that had taken of limits.
type Settlement struct {
	Outcome Outcome   // OutcomeRefused: it was never forwarded, and all is given back
	At      time.Time // when that was known
	Until   time.Time // of OutcomeTask: when the task is forgotten
	More    bool      // it was answered by a question: the same call goes on with another request
}

// Window is what was counted for one scope of one limit, as it is kept.
type Window struct {
	Key   Digest    // keyed; of the limit and the scope
	State []byte    // opaque; nil: nothing is left, and the row may go
	Until time.Time // when nothing of it counts any more
}
