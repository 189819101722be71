package redact

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// Detector finds secrets by what they look like, whoever they belong to. It is
// immutable, safe for concurrent use, and takes time linear in the text: a byte
// says which classes can stand there, and each looks no further than its form
// goes or eats what it has read. Only [NewDetector] makes one; the zero Detector
// looks for nothing.
//
// It knows forms, not meanings: a password that looks like a word is not found,
// and neither is a secret that was encoded, cut in halves, or written in other
// characters.
type Detector struct {
	classes uint32      // by number in the table
	at      [256]uint32 // the classes to try where a byte stands
}

// Find is one secret in a text, from the byte Start to before the byte End.
type Find struct {
	Class      string
	Start, End int
}

// Secrets names all classes of credentials together.
const Secrets = "secrets"

// NewDetector looks for the classes of these names; [Secrets] stands for all
// that are credentials. No name, and a name that is none, are errors.
func NewDetector(names ...string) (*Detector, error) {
	d := &Detector{}
	for _, name := range names {
		before := d.classes
		for i := range classes {
			if classes[i].name == name || name == Secrets && classes[i].credential {
				d.add(i)
			}
		}
		if d.classes == before && !slices.Contains(DetectorNames(), name) {
			return nil, fmt.Errorf("there is no class of secrets %q", name)
		}
	}
	if d.classes == 0 {
		return nil, fmt.Errorf("a detector needs the name of a class")
	}
	return d, nil
}

func (d *Detector) add(i int) {
	d.classes |= 1 << i
	for _, c := range []byte(classes[i].at) {
		d.at[c] |= 1 << i
	}
}

// DetectorNames are the names that NewDetector knows, [Secrets] first.
func DetectorNames() []string {
	names := []string{Secrets}
	for i := range classes {
		names = append(names, classes[i].name)
	}
	return names
}

// Find is the first secret in s that begins at or behind the byte from. Where
// two begin together, it is that of the class that comes first in DetectorNames.
func (d *Detector) Find(s string, from int) (Find, bool) {
	for i := from; i < len(s); i++ {
		for set := d.at[s[i]]; set != 0; set &= set - 1 {
			n := bits.TrailingZeros32(set)
			if start, end := classes[n].match(s, i, from); end > start {
				return Find{classes[n].name, start, end}, true
			}
		}
	}
	return Find{}, false
}

// maxQuoted is how deep JSON inside texts is read, as texts in it are.
const maxQuoted = 4

// Holds reports whether a secret stands anywhere in v: in its strings, decoded,
// those that are names of members included; in strings of JSON inside them; and
// in its numbers.
func (d *Detector) Holds(v toolcall.JSON) bool { return d.holds(v, 0) }

func (d *Detector) holds(v toolcall.JSON, depth int) bool {
	text := v.Text()
	for text != "" {
		open := strings.IndexByte(text, '"')
		if open < 0 {
			open = len(text)
		}
		if _, found := d.Find(text[:open], 0); found {
			return true
		}
		if open == len(text) {
			return false
		}
		end := toolcall.StringEnd(text, open)
		if d.inString(text[open:end], depth) {
			return true
		}
		text = text[end:]
	}
	return false
}

func (d *Detector) inString(quoted string, depth int) bool {
	s := quoted[1 : len(quoted)-1]
	if strings.IndexByte(s, '\\') < 0 {
		_, found := d.Find(s, 0)
		return found // JSON in it has no escapes, so it stands here as it is
	}
	j, err := toolcall.Parse(quoted, toolcall.Limits{Bytes: len(quoted)})
	if err != nil {
		return true // not a string of a proved text
	}
	s, _ = j.Str()
	if _, found := d.Find(s, 0); found {
		return true
	}
	if depth == maxQuoted || strings.IndexByte(s, '\\') < 0 {
		return false
	}
	inner, err := toolcall.Parse(s, toolcall.Limits{Bytes: len(s), Depth: maxNesting})
	return err == nil && d.holds(inner, depth+1)
}
