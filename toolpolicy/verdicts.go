package toolpolicy

import (
	"strconv"
	"strings"

	"mcpguard/toolcall"
)

// Judge is [Policy.Evaluate] with the verdicts: what every rule about the call
// came to, so that the decision can be followed from the record and the text of
// the policy alone. They are rules separated by spaces, each its number in the
// policy (from 1, in the order of the files), a colon, and letters in the order
// of the text: T true, F false, A absent (false, and unknown below a "not"),
// U unknown, O absent and optional. A "?" before the letters says that the
// selector is unknown, a "+" behind them that undeclared arguments make the rule
// unknown. The letter of a rule's "if" comes behind those of its args.
//
//	3:TF 7:U 9:T+ 12: 14:O
//
// There is a letter for each matcher, also for those in not and any_of, which
// have none of their own: they follow from those of their branches. One letter
// stands for each, any and json with all that is in them, one for an argument
// whose path names many positions, and one, O, for an argument that is absent
// and optional, which is true whatever its conditions.
func (p *Policy) Judge(c *toolcall.Call) toolcall.Decision {
	var n notes
	d := p.evaluate(c, &n)
	d.Verdicts = n.text.String()
	return d
}

// notes are verdicts as they are written down. A nil *notes writes nothing.
type notes struct {
	text   strings.Builder
	judged func(rule int, verdict toolcall.Verdict) // also told, where it is set
}

// usualVerdicts is how many bytes the verdicts of most calls need.
const usualVerdicts = 48

// rule begins the verdicts of the i-th rule of the policy.
func (n *notes) rule(i int, selected toolcall.Verdict) {
	if n == nil {
		return
	}
	if n.text.Len() == 0 {
		n.text.Grow(usualVerdicts)
	} else {
		n.letter(' ')
	}
	var digits [20]byte
	n.text.Write(strconv.AppendInt(digits[:0], int64(i)+1, 10))
	n.letter(':')
	if selected == toolcall.VerdictUnknown {
		n.letter('?')
	}
}

// optionalLetter is for an argument that is absent, and may be.
const optionalLetter = 'O'

// verdict ends the verdicts of the i-th rule of the policy.
func (n *notes) verdict(i int, verdict toolcall.Verdict) {
	if n != nil && n.judged != nil {
		n.judged(i, verdict)
	}
}

func (n *notes) letter(c byte) {
	if n != nil {
		n.text.WriteByte(c)
	}
}
