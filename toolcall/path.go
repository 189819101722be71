package toolcall

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Path is a compiled path into JSON, in the part of gjson's syntax that names
// positions, and nothing that computes:
//
//	customer.address.city   members by name; a backslash before any character
//	                        takes its meaning away: a\.b is the name "a.b"
//	rows.0.id               the first element of an array (or a member named "0")
//	rows.#.ssn              that member of every element
//	headers.*               every member of an object, or element of an array
//	**.ssn                  a member of that name at any depth, the top included
//
// Modifiers (@), literals (!), pipes (|), queries, multipaths, wildcards inside
// a name and ? are refused: gjson reads them as computations, and silence would
// be a hole. A Single path that both can follow leads both to the same value.
type Path struct {
	text  string
	steps []Step
}

// Step is one part of a path.
type Step struct {
	Kind  StepKind
	Name  string // of StepName, decoded
	Index int    // of a StepName that is also an array index (unescaped digits), or -1
}

// StepKind says what a step selects.
type StepKind uint8

// The kinds of steps.
const (
	StepName StepKind = iota // one member, or one element where Name is an index
	StepEach                 // "#": every element of an array
	StepAny                  // "*": every member and every element
	StepDeep                 // "**": this value and everything below it
)

// ErrPath is wrapped by every error of CompilePath.
var ErrPath = errors.New("bad path")

// CompilePath compiles text; the error says which part is refused, and why.
func CompilePath(text string) (Path, error) {
	refuse := func(why string) (Path, error) {
		return Path{}, fmt.Errorf("%w %q: %s", ErrPath, text, why)
	}
	if text == "" {
		return refuse("it is empty")
	}
	if !utf8.ValidString(text) {
		return refuse("it is not UTF-8, so it names nothing")
	}
	p := Path{text: text}
	for rest, more := text, true; more; {
		var part string
		part, rest, more = cutStep(rest)
		step, why := compileStep(part)
		if why != "" {
			return refuse(why)
		}
		if n := len(p.steps); step.Kind == StepDeep && n > 0 && p.steps[n-1].Kind == StepDeep {
			return refuse("** follows **")
		}
		p.steps = append(p.steps, step)
	}
	if p.steps[len(p.steps)-1].Kind == StepDeep {
		return refuse("it ends in **: name what to find there, or use *")
	}
	return p, nil
}

// cutStep cuts at the first dot that no backslash precedes.
func cutStep(s string) (part, rest string, more bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '.':
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func compileStep(part string) (Step, string) {
	switch part {
	case "":
		return Step{}, "a part is empty (two dots, or a dot at an end)"
	case "#":
		return Step{Kind: StepEach}, ""
	case "*":
		return Step{Kind: StepAny}, ""
	case "**":
		return Step{Kind: StepDeep}, ""
	}
	var name strings.Builder
	for i := 0; i < len(part); i++ {
		switch c := part[i]; c {
		case '\\':
			if i++; i == len(part) {
				return Step{}, "a backslash with nothing behind it"
			}
			name.WriteByte(part[i])
		case '#':
			return Step{}, "# stands only alone between dots, for every element, and queries like #(...) are not supported: write \\# for the character"
		case '*', '?':
			return Step{}, "* stands only alone between dots, ? not at all: write \\" + string(c) + " for the character"
		case '@', '|', '{', '}', '[', ']', '!':
			return Step{}, "the character " + string(c) + " computes in gjson: write \\" + string(c) + " for the character"
		default:
			name.WriteByte(c)
		}
	}
	return Step{Kind: StepName, Name: name.String(), Index: indexOf(part)}, ""
}

// indexOf is the array index that a part is, as written: no escape, no sign, no
// leading zero; or -1.
func indexOf(part string) int {
	i, err := strconv.Atoi(part)
	if err != nil || i < 0 || strconv.Itoa(i) != part {
		return -1
	}
	return i
}

// String is the path as it was written.
func (p Path) String() string { return p.text }

// IsZero reports whether p was never compiled.
func (p Path) IsZero() bool { return len(p.steps) == 0 }

// Steps are the parts of the path; they must not be changed.
func (p Path) Steps() []Step { return p.steps }

// Single reports whether the path names at most one position in any document.
func (p Path) Single() bool {
	for _, s := range p.steps {
		if s.Kind != StepName {
			return false
		}
	}
	return true
}

// Lookup says what Get found at a path.
type Lookup uint8

// What can be found. Blocked is a value of the wrong type on the way: a rule
// must not take it for absence.
const (
	Absent Lookup = iota
	Found
	Blocked
)

// Get is the value at a Single path. For any other path it is Blocked. It reads
// what stands before the value once, and allocates nothing for names without
// escapes.
func (j JSON) Get(p Path) (JSON, Lookup) {
	if p.IsZero() || j.IsZero() {
		return JSON{}, Absent
	}
	s, at, l := j.text(), 0, j.leaps()
	for i := range p.steps {
		step := &p.steps[i]
		switch {
		case step.Kind == StepName && s[at] == '{':
			at = memberAt(s, at, step.Name, &l)
		case step.Kind == StepName && s[at] == '[' && step.Index >= 0:
			at = elementAt(s, at, step.Index, &l)
		default:
			return JSON{}, Blocked
		}
		if at < 0 {
			return JSON{}, Absent
		}
	}
	return j.valueAt(&l, at), Found
}
