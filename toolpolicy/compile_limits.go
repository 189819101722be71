package toolpolicy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// What a limit may ask for. Each bounds what has to be kept for one caller.
const (
	maxCalls    = 1_000_000 // calls in a span
	maxAtOnce   = 10_000
	maxDistinct = 1_000
)

// compileLimits reads one limit or a list of them, of a rule or, with a nil rule,
// of a role.
func (c *compiler) compileLimits(n *yaml.Node, owner string, r *rule) []*toolcall.Limit {
	var out []*toolcall.Limit
	seen := map[string]bool{}
	for _, e := range c.oneOrMore(n, "limit") {
		before := len(c.mistakes)
		l := &toolcall.Limit{Owner: owner, File: c.name, Line: e.Line, Observe: r != nil && r.observe}
		switch e.Kind {
		case yaml.AliasNode:
			continue
		case yaml.ScalarNode:
			c.shortLimit(l, e)
		default:
			c.longLimit(l, e)
		}
		if len(c.mistakes) == before {
			c.checkLimit(l, e, r)
		}
		if len(c.mistakes) > before {
			continue
		}
		l.ID = limitID(l)
		l.Words = limitWords(l)
		if seen[l.ID] {
			c.fail(e, "keep the lower one", "two limits count the same")
		}
		seen[l.ID] = true
		out = append(out, l)
	}
	return out
}

// shortForm is how a rate is written on one line.
const shortForm = "20/hour per caller"

// shortLimit reads "20/hour per caller", "5/minute per caller and tool".
func (c *compiler) shortLimit(l *toolcall.Limit, n *yaml.Node) {
	text, ok := c.text(n, "limit")
	if !ok {
		return
	}
	rate, per, found := strings.Cut(text, " per ")
	count, unit, slash := strings.Cut(rate, "/")
	if !found || !slash {
		c.fail(n, shortForm, "limit %q is not written COUNT/UNIT per WHO", text)
		return
	}
	l.Form = toolcall.Calls
	l.Most = c.counted(n, count, maxCalls, "limit")
	if l.Every = spans[unit]; l.Every == 0 {
		c.fail(n, nearest(unit, unitNames[:]), "a limit is counted in a second, minute, hour or day, not in %q", unit)
	}
	for _, who := range strings.Split(per, " and ") {
		c.addScope(l, n, who)
	}
	l.Burst = l.Most
}

// longLimit reads a limit that is a mapping.
func (c *compiler) longLimit(l *toolcall.Limit, n *yaml.Node) {
	var kept limitKeys
	for key, value := range c.members(n, "a limit") {
		switch key.Value {
		case "calls", "at_once", "sum", "distinct":
			if kept.form != nil {
				c.fail(key, "write two limits", "a limit counts one thing, and this one has %s already", kept.form.Value)
				continue
			}
			kept.form = key
			c.limitForm(l, key, value)
		case "max":
			kept.max = value
		case "per":
			for _, e := range c.oneOrMore(value, "per") {
				if who, ok := c.text(e, "per"); ok {
					c.addScope(l, e, who)
				}
			}
		case "every":
			kept.every = key
			l.Every = time.Duration(c.span(value, "every")) * time.Second
		case "burst":
			kept.burst = key
			l.Burst = c.whole(value, maxCalls, "burst")
		case "errors":
			if s, ok := c.text(value, "errors"); ok && s != "free" {
				c.fail(value, "errors: free", "errors can only be free")
			}
			l.ErrorsFree = true
		case "observe":
			observe, _ := c.flag(value, "observe")
			l.Observe = l.Observe || observe
		default:
			c.unknown(key, "a limit", "calls", "at_once", "sum", "distinct", "max", "every", "per", "burst", "errors", "observe")
		}
	}
	if n.Kind == yaml.MappingNode {
		c.limitNeeds(l, n, &kept)
	}
}

// limitKeys are keys of a limit that only make sense together with others.
type limitKeys struct{ form, max, every, burst *yaml.Node }

// limitForm reads what a limit counts.
func (c *compiler) limitForm(l *toolcall.Limit, key, value *yaml.Node) {
	switch key.Value {
	case "calls":
		l.Form, l.Most = toolcall.Calls, c.whole(value, maxCalls, "calls")
	case "at_once":
		l.Form, l.Most = toolcall.AtOnce, c.whole(value, maxAtOnce, "at_once")
	case "sum", "distinct":
		l.Form = toolcall.Sum
		if key.Value == "distinct" {
			l.Form = toolcall.Distinct
		}
		if text, ok := c.text(value, key.Value); ok {
			l.Path = c.countedPath(value, text)
		}
	}
}

// countedPath compiles the path of an argument that is counted.
func (c *compiler) countedPath(n *yaml.Node, text string) toolcall.Path {
	p, err := toolcall.CompilePath(text)
	switch {
	case err != nil:
		c.fail(n, "", "%v", err)
	case !p.Single():
		c.fail(n, "", "the path %q names many positions, and a limit counts one value of a call", text)
	}
	return p
}

// limitNeeds notes what a limit lacks, and what has no meaning in it.
func (c *compiler) limitNeeds(l *toolcall.Limit, n *yaml.Node, k *limitKeys) {
	if k.form == nil {
		c.fail(n, "calls: 20", "the limit does not say what it counts: calls, at_once, sum or distinct")
		return
	}
	valued := l.Form == toolcall.Sum || l.Form == toolcall.Distinct
	switch {
	case valued && k.max == nil:
		c.fail(n, "max: 100", "%s says no max", k.form.Value)
	case !valued && k.max != nil:
		c.fail(k.max, "", "max has no meaning with %s, which says how many itself", k.form.Value)
	case l.Form == toolcall.Sum:
		l.Max = c.budget(k.max)
	case l.Form == toolcall.Distinct:
		l.Most = c.whole(k.max, maxDistinct, "max")
	}
	switch {
	case l.Form == toolcall.AtOnce && k.every != nil:
		c.fail(k.every, "", "every has no meaning with at_once, which counts what is under way")
	case l.Form != toolcall.AtOnce && k.every == nil:
		c.fail(n, "every: 1h", "%s says no time: every", k.form.Value)
	}
	switch {
	case k.burst == nil:
		l.Burst = l.Most
	case l.Form != toolcall.Calls:
		c.fail(k.burst, "", "burst belongs to calls")
	case l.Burst > l.Most:
		c.fail(k.burst, "", "burst is over calls")
	}
	if l.Per == 0 {
		c.fail(n, "per: caller", "the limit does not say what is counted together: per")
	}
	switch {
	case !l.ErrorsFree:
	case l.Form == toolcall.AtOnce:
		c.fail(n, "", "errors has no meaning with at_once: what has ended is not counted")
	case l.Form == toolcall.Distinct:
		c.fail(n, "", "errors has no meaning with distinct: what a value was good for is known when it fails, too")
	}
}

// checkLimit notes what a limit cannot be where it stands.
func (c *compiler) checkLimit(l *toolcall.Limit, n *yaml.Node, r *rule) {
	valued := l.Form == toolcall.Sum || l.Form == toolcall.Distinct
	if r == nil {
		if valued {
			c.fail(n, "", "a limit on the values of an argument stands in a rule: the calls of a role have no argument in common")
		}
		return
	}
	switch kind := r.selector.kind; {
	case valued && kind != toolcall.Tool:
		c.fail(n, "", "a limit on the values of an argument stands in a rule about a tool")
	case l.Per.Has(toolcall.PerTool) && kind != toolcall.Tool && kind != toolcall.NoKind:
		c.fail(n, "per: upstream", "per: tool has no meaning in a rule about a %s: the client chooses its name", kind)
	case l.Form == toolcall.AtOnce && kind == toolcall.Request:
		c.fail(n, "", "at_once has no meaning in a rule about a request: a person answers it")
	}
}

// spans are those that have a name.
var spans = map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

var unitNames = [...]string{"second", "minute", "hour", "day"}

// scopes are what per may name.
var scopes = [...]struct {
	name  string
	scope toolcall.Scope
}{
	{"caller", toolcall.PerCaller}, {"client", toolcall.PerClient}, {"role", toolcall.PerRole},
	{"tool", toolcall.PerTool}, {"upstream", toolcall.PerUpstream},
}

func (c *compiler) addScope(l *toolcall.Limit, n *yaml.Node, who string) {
	var names []string
	for _, s := range scopes {
		if s.name == who {
			if l.Per.Has(s.scope) {
				c.fail(n, "", "%q stands twice in per", who)
			}
			l.Per |= s.scope
			return
		}
		names = append(names, s.name)
	}
	c.fail(n, nearest(who, names), "per is caller, client, role, tool or upstream, not %q", who)
}

// whole reads a whole number from 1 to most.
func (c *compiler) whole(n *yaml.Node, most int64, what string) int64 {
	text := ""
	if n.Kind == yaml.ScalarNode && scalarKind(n) == numberScalar {
		text = n.Value
	}
	return c.counted(n, text, most, what)
}

func (c *compiler) counted(n *yaml.Node, text string, most int64, what string) int64 {
	count, err := strconv.ParseInt(text, 10, 64)
	if err != nil || count < 1 || count > most || strconv.FormatInt(count, 10) != text {
		c.fail(n, "20", "%s takes a whole number from 1 to %d", what, most)
		return 0
	}
	return count
}

// budget reads the max of a sum.
func (c *compiler) budget(n *yaml.Node) toolcall.Number {
	most, text, ok := c.number(n, "max")
	if !ok {
		return most
	}
	if a, why := amountOf(most, largest); why != "" || a.Sign() == 0 {
		c.fail(n, "10000", "max must be above 0 and at most 1e%d, with at most %d decimals, and %s is not", integers, decimals, text)
	}
	return most
}

// limitID names what is counted: by where the limit stands and what it counts,
// not by its numbers. A limit that becomes stricter goes on with what it has
// counted.
func limitID(l *toolcall.Limit) string {
	return fmt.Sprintf("%s %s %s every %s per %s", l.Owner, formNames[l.Form], l.Path.String(), l.Every, scopeWords(l.Per))
}

var formNames = [...]string{toolcall.NoMeasure: "", toolcall.Calls: "calls", toolcall.AtOnce: "at_once",
	toolcall.Sum: "sum", toolcall.Distinct: "distinct"}

func scopeWords(s toolcall.Scope) string {
	var names []string
	for _, known := range scopes {
		if s.Has(known.scope) {
			names = append(names, known.name)
		}
	}
	return strings.Join(names, " and ")
}

// limitWords are what a caller is told that is used up.
func limitWords(l *toolcall.Limit) string {
	per := " per " + scopeWords(l.Per)
	most := strconv.FormatInt(l.Most, 10)
	calls := " calls"
	if l.Most == 1 {
		calls = " call"
	}
	switch l.Form {
	case toolcall.Calls:
		return most + calls + spanWords(l.Every) + per
	case toolcall.AtOnce:
		return most + calls + " at once" + per
	case toolcall.Sum:
		most, _ := amountOf(l.Max, largest)
		return "a sum of " + amountText(most) + " of " + l.Path.String() + spanWords(l.Every) + per
	case toolcall.Distinct:
		return most + " different values of " + l.Path.String() + spanWords(l.Every) + per
	}
	return ""
}

func spanWords(d time.Duration) string {
	switch d {
	case time.Second:
		return " a second"
	case time.Minute:
		return " a minute"
	case time.Hour:
		return " an hour"
	case 24 * time.Hour:
		return " a day"
	}
	return " every " + plainDuration(d)
}

// plainDuration is 1h30m0s without the parts that say nothing.
func plainDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
