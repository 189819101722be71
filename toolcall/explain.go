package toolcall

// Explain says how much of a decision its caller is told. The record has all of
// it. The zero Explain tells nothing but that the call is denied.
type Explain uint8

// The levels, each with what the one before it tells.
const (
	ExplainNothing  Explain = iota // that the call is denied
	ExplainRule                    // by which rule, and its reason
	ExplainArgument                // which argument, and what would pass
	ExplainLimits                  // the same before the call: in the list of tools
)

var explainNames = [...]string{"nothing", "rule", "argument", "limits"}

func (e Explain) String() string {
	if int(e) < len(explainNames) {
		return explainNames[e]
	}
	return explainNames[ExplainNothing]
}

// ParseExplain reads the name of a level; false for any other text.
func ParseExplain(name string) (Explain, bool) {
	for i, n := range explainNames {
		if n == name {
			return Explain(i), true
		}
	}
	return ExplainNothing, false
}

// ExplainLevels are the names of the levels, in their order.
func ExplainLevels() []string { return append([]string(nil), explainNames[:]...) }

// Told is what the caller may hear of a denial: its rule, its reason and its
// closest miss, as far as the level goes.
func (d *Decision) Told() (rule, reason string, miss Miss) {
	const plain = "policy does not allow this call"
	switch {
	case d.Explain == ExplainNothing:
		return "", plain, Miss{}
	case d.Rule != "":
		return d.Rule, d.Reason, Miss{}
	case d.Explain == ExplainRule && !d.Miss.IsZero():
		return "", d.Miss.Rule + " does not allow these arguments", Miss{Rule: d.Miss.Rule}
	case d.Reason == "":
		return "", plain, Miss{}
	}
	return "", d.Reason, d.Miss
}
