package redact

import (
	"errors"
	"fmt"

	"mcpguard/toolcall"
)

// Spec is a redaction profile as a policy file writes it.
//
// Where a path meets nothing, or null, there is nothing to do. Where it meets a
// value of the wrong shape, a string where it goes on into an object, nobody
// knows what that value is: the message is withheld. Behind a "**" that would be
// the fate of any message with a member of the same name, so there the value of
// the wrong shape is masked as a whole; right behind it every shape is normal.
type Spec struct {
	Name    string
	Paths   []string // in the syntax of toolcall.Path
	Require []string // like Paths, but a message without any such value is withheld
	Replace string   // "mask", or empty for the same
}

// Profile is a compiled Spec. It is immutable.
type Profile struct {
	name  string
	paths []profilePath
}

type profilePath struct {
	path     toolcall.Path
	required bool
}

// ErrProfile is wrapped by every error of Compile.
var ErrProfile = errors.New("bad redaction profile")

// Compile reads a profile. It returns every mistake of s, and a profile only
// when there is none.
func Compile(s Spec) (*Profile, []error) {
	var mistakes []error
	mistake := func(format string, args ...any) {
		args = append([]any{ErrProfile, s.Name}, args...)
		mistakes = append(mistakes, fmt.Errorf("%w %q: "+format, args...))
	}
	if s.Name == "" {
		mistake("it has no name")
	}
	switch s.Replace {
	case "", "mask":
	default:
		mistake("replace: %q is not available in this version (mask is)", s.Replace)
	}
	if len(s.Paths)+len(s.Require) == 0 {
		mistake("it has no paths, so it would redact nothing")
	}
	p := &Profile{name: s.Name}
	seen := map[string]bool{}
	add := func(list string, texts []string, required bool) {
		for i, text := range texts {
			path, err := toolcall.CompilePath(text)
			switch {
			case err != nil:
				mistake("%s[%d]: %w", list, i, err)
			case len(path.Steps()) > maxSteps:
				mistake("%s[%d]: a path of more than %d steps", list, i, maxSteps)
			case seen[text]:
				mistake("%s[%d]: %q stands here twice", list, i, text)
			default:
				p.paths = append(p.paths, profilePath{path, required})
			}
			seen[text] = true
		}
	}
	add("require", s.Require, true)
	add("paths", s.Paths, false)
	if mistakes != nil {
		return nil, mistakes
	}
	return p, nil
}

// maxSteps bounds one path, far above what a document of 128 levels needs.
const maxSteps = 256

// Name is the name of the profile.
func (p *Profile) Name() string { return p.name }

// Redactor is the union of some profiles. It is immutable and may be used by
// many goroutines. A nil Redactor, and one of no profiles, changes nothing.
type Redactor struct {
	rules []rule
	nodes []node
	start []state // where every path stands at the root
}

// New unites profiles. Nil profiles are left out: whoever looks a profile up by
// name refuses an unknown one before coming here.
func New(profiles ...*Profile) *Redactor {
	r := &Redactor{}
	for _, p := range profiles {
		if p == nil {
			continue
		}
		for _, path := range p.paths {
			r.add(p.name, path)
		}
	}
	return r
}

// Empty reports whether the redactor changes no document.
func (r *Redactor) Empty() bool { return r == nil || len(r.rules) == 0 }
