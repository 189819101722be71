package toolpolicy

import (
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// Drift is where another policy leads. The zero Drift is of what is not known: it
// counts as both.
type Drift uint8

// The drifts.
const (
	Unclear   Drift = iota // nobody can tell without the calls
	Same                   // the answer is the same; another rule may give it
	Loosened               // more passes, or more is shown
	Tightened              // less does
)

func (d Drift) String() string { return [...]string{"unclear", "same", "loosened", "tightened"}[d] }

// Change is what another policy says otherwise about one call, or about all calls of
// one target by somebody.
type Change struct {
	Drift    Drift
	What     string // "allow -> deny", "other rule", "other redactions", ...
	Old, New string // what each policy says
}

// Compare judges a call by two policies; ok is false where they say the same, by the
// same rule. Redactions count where the call passes.
func Compare(old, other *Policy, c *toolcall.Call) (change Change, ok bool) {
	a, b := old.Evaluate(c), other.Evaluate(c)
	change = Change{Drift: Same, Old: said(a), New: said(b)}
	switch {
	case a.Effect != b.Effect:
		change.What, change.Drift = a.Effect.String()+" -> "+b.Effect.String(), Tightened
		if b.Effect > a.Effect {
			change.Drift = Loosened
		}
	case a.Effect != toolcall.Deny && !slices.Equal(a.Redact, b.Redact):
		change.What, change.Drift = "other redactions", redactionDrift(a.Redact, b.Redact)
		change.Old, change.New = said(a)+redacting(a), said(b)+redacting(b)
	case a.Effect == toolcall.Approve && !sameAsks(a.Asks, b.Asks):
		change.What, change.Drift = "other questions", Unclear
	case a.Rule != b.Rule:
		change.What = "other rule"
	default:
		return Change{}, false
	}
	return change, true
}

func said(d toolcall.Decision) string {
	switch {
	case d.Rule != "":
		return d.Effect.String() + " by " + d.Rule
	case d.Reason != "":
		return d.Effect.String() + ": " + d.Reason
	}
	return d.Effect.String()
}

func redacting(d toolcall.Decision) string {
	if len(d.Redact) == 0 {
		return ", redacting nothing"
	}
	return ", redacting " + strings.Join(d.Redact, " ")
}

// redactionDrift goes by names: a profile may say something else under the same name,
// which a test of results shows.
func redactionDrift(a, b []string) Drift {
	within := func(some, all []string) bool {
		return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
	}
	switch {
	case within(b, a):
		return Loosened
	case within(a, b):
		return Tightened
	}
	return Unclear
}

// sameAsks reports whether the same people are asked, for as long, and shown the same.
func sameAsks(a, b []*toolcall.Ask) bool {
	return slices.EqualFunc(a, b, func(x, y *toolcall.Ask) bool {
		return x.Within == y.Within && slices.Equal(x.By, y.By) &&
			slices.EqualFunc(x.Show, y.Show, func(p, q toolcall.Path) bool { return p.String() == q.String() })
	})
}

// CompareAccess compares what a caller may do with a target under two policies,
// without any call: what is listed, what needs a person, what depends on conditions.
// Where calls that were allowed may now be asked about and others pass, or only the
// conditions are others, the drift is Unclear.
func CompareAccess(old, other *Policy, c toolcall.Caller, t Target) (change Change, ok bool) {
	a, b := old.Access(c, t.Kind, t.Upstream, t.Name), other.Access(c, t.Kind, t.Upstream, t.Name)
	change = Change{Old: a.String(), New: b.String(), What: a.String() + " -> " + b.String()}
	switch {
	case a.Allow == b.Allow && a.Approve == b.Approve:
		if slices.Equal(a.Conditions, b.Conditions) {
			return compareRedactions(old, other, c, t, a)
		}
		change.What = "other conditions"
		change.Old, change.New = inWords(a.Conditions), inWords(b.Conditions)
	case a.passesNone(), b.Allow == Always, a.Allow == Never && b.Allow == Never && b.Approve > a.Approve:
		change.Drift = Loosened
	case b.passesNone(), a.Allow == Always, a.Allow == Never && b.Allow == Never && b.Approve < a.Approve:
		change.Drift = Tightened
	}
	return change, true
}

// compareRedactions compares what is redacted whatever rule lets a call pass.
func compareRedactions(old, other *Policy, c toolcall.Caller, t Target, both Access) (change Change, ok bool) {
	if both.passesNone() || t.Kind != toolcall.Tool {
		return Change{}, false
	}
	a, b := old.RedactionsFor(c, t.Upstream, t.Name), other.RedactionsFor(c, t.Upstream, t.Name)
	if slices.Equal(a, b) {
		return Change{}, false
	}
	return Change{redactionDrift(a, b), "other redactions", orNone(strings.Join(a, " ")), orNone(strings.Join(b, " "))}, true
}

func (a Access) passesNone() bool { return a.Allow == Never && a.Approve == Never }

func inWords(conditions []string) string {
	if len(conditions) == 0 {
		return "none"
	}
	return strings.Join(conditions, "; ")
}
