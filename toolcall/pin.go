package toolcall

import (
	"fmt"
	"strings"
	"time"
)

// Pin is what is remembered of one form of a definition that an upstream gave: of
// a tool, a prompt, a resource template, or of its instructions. One name may have
// several: those that were accepted, and those that wait for somebody to decide.
//
// A Pin without a name says that the first list of its kind was judged: what comes
// later is a change.
type Pin struct {
	Upstream string
	Kind     PinKind
	Name     string           // of a template, its URI template
	Digest   Digest           // plain SHA-256 over the canonical form of the definition
	Parts    [PinParts]Digest // the same over its parts; zero where one is empty
	State    PinState
	Causes   PinCauses
	Was      Digest    // the definition that it was compared with; zero: none
	Seen     time.Time // for the first time
	Decided  time.Time // when State became what it is
	By       string    // who decided: a person, or FirstSight, ByRule or ByLock
	Text     string    // the definition as redaction left it; "" where it was too long to keep
}

// Who decided where no person did.
const (
	FirstSight = "first sight" // it was in the first list
	ByRule     = "rule"        // pins in the configuration
	ByLock     = "lock"        // the lock file
)

// PinKind says what is defined. The zero PinKind is nothing.
type PinKind uint8

// The kinds. Their numbers are stored.
const (
	NoPinKind PinKind = iota
	PinTool
	PinPrompt
	PinTemplate
	PinInstructions
)

var pinKindNames = [...]string{"none", "tool", "prompt", "template", "instructions"}

func (k PinKind) String() string {
	if int(k) < len(pinKindNames) {
		return pinKindNames[k]
	}
	return fmt.Sprintf("pin kind(%d)", uint8(k))
}

// ParsePinKind reads what String writes; ok is false for any other text.
func ParsePinKind(s string) (k PinKind, ok bool) {
	for i, name := range pinKindNames {
		if i > 0 && name == s {
			return PinKind(i), true
		}
	}
	return NoPinKind, false
}

// PinState says whether a definition is shown. The zero PinState hides it.
type PinState uint8

// The states. Their numbers are stored.
const (
	PinQuarantined PinState = iota // hidden and refused, as if it did not exist
	PinAlerted                     // shown, and somebody should look at it
	PinAccepted                    // shown
)

var pinStateNames = [...]string{"quarantined", "alerted", "accepted"}

func (s PinState) String() string {
	if int(s) < len(pinStateNames) {
		return pinStateNames[s]
	}
	return fmt.Sprintf("pin state(%d)", uint8(s))
}

// Shown reports whether clients see such a definition.
func (s PinState) Shown() bool { return s == PinAlerted || s == PinAccepted }

// PinParts is how many parts of a definition have a digest of their own.
const PinParts = 4

// The parts of a definition: what a change of it is called.
const (
	PartWording = iota // title, description, icons, _meta: what models and people read
	PartSchema         // what may be sent, and what comes back
	PartHints          // what the upstream says of its behaviour
	PartOther          // members that this version does not know
)

// PinCauses is the set of reasons why a definition is not simply accepted.
type PinCauses uint16

// The causes. Their numbers are stored.
const (
	CauseNew     PinCauses = 1 << iota // no definition of that name was accepted before
	CauseWording                       // a part changed
	CauseSchema
	CauseHints
	CauseOther
	CauseHidden // it holds characters that people do not see, or that move a cursor
	CauseName   // its name resembles another, or is none that MCP allows
)

var causeNames = [...]string{"new", "wording", "schema", "hints", "other", "hidden", "name"}

// String lists the causes, with commas between them.
func (c PinCauses) String() string {
	var all []string
	for i, name := range causeNames {
		if c&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return strings.Join(all, ",")
}
