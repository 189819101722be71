package toolpolicy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// File is one file of a policy: a name for messages, and its text.
type File struct {
	Name string
	Text []byte
}

// Policy is a compiled policy. It is immutable and safe for concurrent use. A
// nil Policy denies every call, shows nothing and withholds every result.
type Policy struct {
	files    []File
	digest   string
	rules    []rule // in the order of the files
	index    index
	roles    roles
	profiles profiles
	outside  []outside
	personal bool // what lists show depends on more of a caller than the roles
}

// verb is what a matching rule does.
type verb uint8

const (
	denies verb = iota
	approves
	allows
)

func (v verb) String() string { return [...]string{"deny", "approve", "allow"}[v] }

// rule is one compiled entry of a role.
type rule struct {
	id       string
	role     int
	verb     verb
	file     string
	line     int
	selector selector
	args     []argument
	when     *expression // its "if"; nil without
	because  string
	asks     []*toolcall.Ask // of approve: one
	redact   bits            // profiles
	limits   []*toolcall.Limit
	extra    bool // undeclared arguments do not matter
	reads    bool
	observe  bool
	shown    bool // hide: false
	queues   bool // judging it waits for others: see [Policy.Queues]
	explain  toolcall.Explain
	explains bool // explain is the rule's own, not its role's
}

// maxSet is how many roles, and how many profiles, a policy may have.
const maxSet = 256

// bits is a set of small numbers. It is comparable and never allocates.
type bits [maxSet / 64]uint64

func (b bits) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bits) with(i int) bits {
	b[i/64] |= 1 << (i % 64)
	return b
}

func (b bits) union(c bits) bits {
	for i := range b {
		b[i] |= c[i]
	}
	return b
}

func (b bits) intersect(c bits) bits {
	for i := range b {
		b[i] &= c[i]
	}
	return b
}

func (b bits) without(c bits) bits {
	for i := range b {
		b[i] &^= c[i]
	}
	return b
}

// roles finds what roles a caller has.
type roles struct {
	names     []string
	byGroup   map[string]bits
	bySubject map[string]bits
	byClient  map[string]bits
	anyPerson bits // roles that name neither groups nor subjects
	anyClient bits // roles that name no clients
	redact    []bits
	limits    [][]*toolcall.Limit
}

// of is the set of the caller's roles. Groups and subjects say who: one of
// them is enough. Clients say with which software: where a role names clients,
// the caller's must be among them. Nobody has no role.
func (r *roles) of(c *toolcall.Caller) bits {
	if c.IsZero() {
		return bits{}
	}
	who := r.anyPerson.union(r.bySubject[c.Subject])
	for _, g := range c.Groups {
		who = who.union(r.byGroup[g])
	}
	with := r.anyClient
	if c.Client != "" {
		with = with.union(r.byClient[c.Client])
	}
	return who.intersect(with)
}

// Roles are the names of the caller's roles, sorted. Everybody but the zero
// Caller has "everyone".
func (p *Policy) Roles(c toolcall.Caller) []string {
	if c.IsZero() {
		return nil
	}
	if p == nil {
		return []string{everyone}
	}
	return p.roles.namesFor(&c)
}

// namesFor are the names of the roles of somebody, sorted.
func (r *roles) namesFor(c *toolcall.Caller) []string {
	names := []string{everyone}
	set := r.of(c)
	for i, name := range r.names {
		if set.has(i) && name != everyone {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// everyone is the role of every caller.
const everyone = "everyone"

// Digest is "sha256:" and the hexadecimal digest of names and texts of the
// files, whatever the order in which they were given. A nil Policy has none.
func (p *Policy) Digest() string {
	if p == nil {
		return ""
	}
	return p.digest
}

// Files are the texts that were compiled, sorted by name, to be kept under the
// digest.
func (p *Policy) Files() []File {
	if p == nil {
		return nil
	}
	files := make([]File, len(p.files))
	for i, f := range p.files {
		files[i] = File{f.Name, slices.Clone(f.Text)}
	}
	return files
}

// digestOf separates names and texts by their lengths, so that no two sets of
// files share a digest.
func digestOf(files []File) string {
	h := sha256.New()
	for _, f := range files {
		for _, part := range [][]byte{[]byte(f.Name), f.Text} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write(part)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// VisibilityKey is equal for callers who see the same lists under this policy:
// the names of their roles and, where an "if" that lists depend on reads more of
// the caller, all of the caller. It is empty for those who see nothing.
func (p *Policy) VisibilityKey(c toolcall.Caller) string {
	if p == nil {
		return ""
	}
	key := strings.Join(p.Roles(c), " ")
	if p.personal && !c.IsZero() {
		key += fmt.Sprintf(" %q", []any{c.Person, c.Subject, c.Issuer, c.Client, c.Act, c.Groups})
	}
	return key
}
