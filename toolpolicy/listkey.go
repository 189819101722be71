package toolpolicy

import (
	"strconv"
	"strings"

	"mcpguard/toolcall"
)

// ListKey is what a list of one kind shows a caller of an upstream, whatever the
// upstream offers: two policies with the same key show the same. Two with different
// keys may do so too. It is empty for a nil Policy.
func (p *Policy) ListKey(c toolcall.Caller, kind toolcall.Kind, upstream string) string {
	if p == nil {
		return ""
	}
	var b strings.Builder
	set := p.roles.of(&c)
	for i := range p.rules {
		r := &p.rules[i]
		if r.observe || r.selector.kind != kind || !set.has(r.role) || !r.selector.upstream.match(upstream) {
			continue
		}
		what := "lists"
		switch {
		case r.verb != denies:
		case len(r.args) > 0: // some arguments may pass: it hides nothing
			continue
		case r.shown:
			what = "shows"
		default:
			what = "hides"
		}
		b.WriteString(what + " " + strconv.Quote(r.selector.text))
		if r.when != nil { // it may read the caller
			b.WriteString(" if " + strconv.Quote(r.when.checked.Source().Content()))
		}
		b.WriteByte('\n')
	}
	for _, name := range p.RedactionsFor(c, upstream, "") {
		b.WriteString("masks " + name + "\n")
	}
	return b.String()
}
