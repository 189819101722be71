package toolpolicy

import (
	"strconv"

	"mcpguard/toolcall"
)

// AppendVerdicts appends what every rule about the call came to, so that the
// decision can be followed from the record and the text of the policy alone:
// rules separated by spaces, each its number in the policy (from 1, in the
// order of the files), a colon, and a letter for each matcher in the order of
// the text: T true, F false, A absent (false), U unknown. A "?" before the
// letters says that the selector is unknown, a "+" behind them that undeclared
// arguments make the rule unknown.
//
//	3:TF 7:U 9:T+ 12:
func (p *Policy) AppendVerdicts(dst []byte, c *toolcall.Call) []byte {
	if p == nil {
		return dst
	}
	v := view{call: c}
	set := p.roles.of(&c.Caller)
	about := p.index.about(c.Kind, c.Upstream, c.Name)
	begin := len(dst)
	for i, ok := about.next(); ok; i, ok = about.next() {
		r := &p.rules[i]
		selected := r.selector.judge(&v)
		if !set.has(r.role) || selected == toolcall.VerdictFalse {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ' ')
		}
		dst = append(strconv.AppendInt(dst, int64(i)+1, 10), ':')
		if selected == toolcall.VerdictUnknown {
			dst = append(dst, '?')
		}
		for j := range r.args {
			found := v.find(r.args[j].path)
			for k := range r.args[j].tests {
				dst = append(dst, r.args[j].tests[k].outcome(found).letter())
			}
		}
		if r.refusesExtras(&v) {
			dst = append(dst, '+')
		}
	}
	return dst
}
