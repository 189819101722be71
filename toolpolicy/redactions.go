package toolpolicy

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// profiles are the redaction profiles of a policy, by number in the order of
// the files.
type profiles struct {
	compiled []*redact.Profile
	masks    []*redact.Profile // of those with "require": the same without its demand
	byName   map[string]int
	always   []always
	unions   *unions
}

// always is a selector for which a profile is on whoever calls.
type always struct {
	profile        int
	upstream, name wild
}

// choice is a set of profiles: some whole, of others only what they mask. A
// profile in both is whole.
type choice struct{ whole, masks bits }

// masksOnly marks the name of a profile whose demand ("require") is left out.
// No profile is called so.
const masksOnly = "?"

// union is what one choice of profiles comes to.
type union struct {
	names    []string
	redactor *redact.Redactor
}

// unions remembers the choices that were asked for, so that a decision need not
// build one again. Readers take no lock.
type unions struct {
	known atomic.Pointer[map[choice]*union]
	write sync.Mutex
}

// maxUnions bounds the memory; choices beyond it are built each time.
const maxUnions = 1024

func (ps *profiles) union(set choice) *union {
	set.masks = set.masks.without(set.whole)
	known := ps.unions.known.Load()
	if known != nil {
		if u := (*known)[set]; u != nil {
			return u
		}
	}
	u := new(union)
	var members []*redact.Profile
	for i, p := range ps.compiled {
		name := p.Name()
		switch {
		case set.whole.has(i):
		case !set.masks.has(i):
			continue
		case ps.masks[i] != nil:
			name, p = name+masksOnly, ps.masks[i]
		}
		u.names = append(u.names, name)
		members = append(members, p)
	}
	u.redactor = redact.New(members...)
	ps.unions.remember(set, u)
	return u
}

func (us *unions) remember(set choice, u *union) {
	us.write.Lock()
	defer us.write.Unlock()
	next := map[choice]*union{set: u}
	if known := us.known.Load(); known != nil {
		if len(*known) >= maxUnions {
			return
		}
		maps.Copy(next, *known)
	}
	us.known.Store(&next)
}

// names are the profiles of a set in the order of the files; nil when empty.
func (ps *profiles) names(set choice) []string {
	if set == (choice{}) {
		return nil
	}
	return ps.union(set).names
}

// outside is what the rules of one role put on results of one upstream, or
// pattern of upstreams, whatever the kind and name they select.
type outside struct {
	role     int
	upstream wild
	redact   bits
}

// newOutside gathers the rules in force by role and upstream, so that there are
// few to look through for a message.
func newOutside(rules []rule) []outside {
	type key struct {
		role     int
		upstream string
	}
	var all []outside
	at := map[key]int{}
	for i := range rules {
		r := &rules[i]
		if r.observe || r.redact == (bits{}) {
			continue
		}
		k := key{r.role, r.selector.upstream.text}
		n, known := at[k]
		if !known {
			n = len(all)
			at[k] = n
			all = append(all, outside{role: r.role, upstream: r.selector.upstream})
		}
		all[n].redact = all[n].redact.union(r.redact)
	}
	return all
}

// redactionsOf are the profiles of the roles, and those that are always on for
// what is called: for a tool those that select it, for everything else of an
// upstream those that select all its tools, and where no name is known those
// that select any.
func (p *Policy) redactionsOf(set bits, kind toolcall.Kind, upstream, name string) bits {
	var out bits
	for i := range p.roles.names {
		if set.has(i) {
			out = out.union(p.roles.redact[i])
		}
	}
	for i := range p.profiles.always {
		a := &p.profiles.always[i]
		if !a.upstream.match(upstream) {
			continue
		}
		if name == "" || a.name.everything() || kind == toolcall.Tool && a.name.match(name) {
			out = out.with(a.profile)
		}
	}
	return out
}

// RedactionsFor names the profiles for messages that no call is judged for:
// those of all roles of the caller, and those whose "tools" select the tool.
//
// With an empty tool, for what an upstream says beside calls, it is everything
// that some call there could be redacted by: every profile that selects some
// tool of the upstream, and those of all rules of the caller's roles about
// something of it, so that what is masked in an answer is masked in a log line.
// Of the rules' profiles only the masks count, and their names say so: a list
// or a log line need not hold what a rule requires of a result.
func (p *Policy) RedactionsFor(c toolcall.Caller, upstream, tool string) []string {
	if p == nil {
		return nil
	}
	set := p.roles.of(&c)
	out := choice{whole: p.redactionsOf(set, toolcall.Tool, upstream, tool)}
	if tool == "" {
		// A list or a log line need not have what a result must have.
		out.masks, out.whole = out.whole, bits{}
		for i := range p.outside {
			if o := &p.outside[i]; set.has(o.role) && o.upstream.match(upstream) {
				out.masks = out.masks.union(o.redact)
			}
		}
	}
	return p.profiles.names(out)
}

// Redactor is the union of the named profiles, by names of a Decision or of
// RedactionsFor. The same names give the same Redactor. A name that the policy
// does not have, and a nil Policy, give one that withholds every document.
func (p *Policy) Redactor(names []string) *redact.Redactor {
	if p == nil {
		return withholdAll()
	}
	var set choice
	for _, name := range names {
		name, masks := strings.CutSuffix(name, masksOnly)
		i, ok := p.profiles.byName[name]
		switch {
		case !ok:
			return withholdAll()
		case masks:
			set.masks = set.masks.with(i)
		default:
			set.whole = set.whole.with(i)
		}
	}
	return p.profiles.union(set).redactor
}

// WithoutDemands are the names of the same profiles without what they demand
// ("require"): of what is said beside a result nothing can be demanded.
func (p *Policy) WithoutDemands(names []string) []string {
	masks := make([]string, 0, len(names))
	for _, name := range names {
		masks = append(masks, strings.TrimSuffix(name, masksOnly)+masksOnly)
	}
	return masks
}

// withholdAll requires what stands deeper than strict JSON nests (128 levels),
// so that every document lacks it.
func withholdAll() *redact.Redactor {
	const deeper = 200
	path := strings.TrimSuffix(strings.Repeat("x.", deeper), ".")
	p, mistakes := redact.Compile(redact.Spec{Name: "unknown profile", Require: []string{path}})
	if mistakes != nil {
		panic(mistakes[0]) // a constant that compiles, kept so by a test
	}
	return redact.New(p)
}
