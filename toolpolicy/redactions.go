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
	byName   map[string]int
	always   []always
	unions   *unions
}

// always is a selector for which a profile is on whoever calls.
type always struct {
	profile        int
	upstream, name wild
}

// union is what one set of profiles comes to.
type union struct {
	names    []string
	redactor *redact.Redactor
}

// unions remembers the sets that were asked for, so that a decision need not
// build one again. Readers take no lock.
type unions struct {
	known atomic.Pointer[map[bits]*union]
	write sync.Mutex
}

// maxUnions bounds the memory; sets beyond it are built each time.
const maxUnions = 1024

func (ps *profiles) union(set bits) *union {
	known := ps.unions.known.Load()
	if known != nil {
		if u := (*known)[set]; u != nil {
			return u
		}
	}
	u := new(union)
	var members []*redact.Profile
	for i, p := range ps.compiled {
		if set.has(i) {
			u.names = append(u.names, p.Name())
			members = append(members, p)
		}
	}
	u.redactor = redact.New(members...)
	ps.unions.remember(set, u)
	return u
}

func (us *unions) remember(set bits, u *union) {
	us.write.Lock()
	defer us.write.Unlock()
	next := map[bits]*union{set: u}
	if known := us.known.Load(); known != nil {
		if len(*known) >= maxUnions {
			return
		}
		maps.Copy(next, *known)
	}
	us.known.Store(&next)
}

// names are the profiles of a set in the order of the files; nil when empty.
func (ps *profiles) names(set bits) []string {
	if set == (bits{}) {
		return nil
	}
	return ps.union(set).names
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
// With an empty tool, for what an upstream says of itself, it is every profile
// that selects some tool of the upstream.
func (p *Policy) RedactionsFor(c toolcall.Caller, upstream, tool string) []string {
	if p == nil {
		return nil
	}
	return p.profiles.names(p.redactionsOf(p.roles.of(&c), toolcall.Tool, upstream, tool))
}

// Redactor is the union of the named profiles. The same names give the same
// Redactor. A name that the policy does not have, and a nil Policy, give one
// that withholds every document.
func (p *Policy) Redactor(names []string) *redact.Redactor {
	if p == nil {
		return withholdAll()
	}
	var set bits
	for _, name := range names {
		i, ok := p.profiles.byName[name]
		if !ok {
			return withholdAll()
		}
		set = set.with(i)
	}
	return p.profiles.union(set).redactor
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
