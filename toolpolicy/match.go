package toolpolicy

import (
	"mcpguard/toolcall"
)

// matcher is one condition on the value of one argument. It is immutable and
// does not allocate when the value needs no decoding.
type matcher interface {
	// judge looks at a value that is present.
	judge(v toolcall.JSON) outcome
	// words are what would pass, why a value that fails does not, and the same
	// as the end of a sentence: "max 500", "over", "is over max 500".
	words() words
}

type words struct{ want, got, sentence string }

// outcome is what came of a condition, fine enough to be told in words. The
// zero outcome is unknown.
type outcome uint8

const (
	unjudged   outcome = iota
	holds              // the only true one
	fails              // false
	absent             // false: neither given nor declared with a default
	blocked            // unknown: something on the way to it is no object or list
	variant            // unknown: a name beside it differs only by case
	undefined          // unknown: absent, and the tool's schema is not known
	unanswered         // unknown: absent, and a "not" asks for the contrary
	mixed              // unknown: true at some of the positions of a path, and not at others
	unnamed            // unknown: a JSON text has members that no path names
	isNull             // unknown: null may count as given or as absent
	notNumber          // unknown, as are all below
	notText
	notSized
	notList
	notJSON
	notSameType
	notPlainPath
	notPlainRelative
	notPlainFileURL
	notPlainText
	tooVast
	tooLaborious
	tooNested
	notPlainURL
	unsaidURL
	notPlainAddress
	partlyInside
	embedsAddress
	notPlainEmail
	notPlainShell
	notLiteral
	notPlainArgument
	notWords
	notSQL
	notPlainSQL
	unclearTable
	deniedColumn
	parserStopped
	lacking // unknown, of an expression, as are all below
	notGiven
	notComparable
	notExact
	tooLong
	tooCostly
	failing
)

func (o outcome) verdict() toolcall.Verdict {
	switch o {
	case holds:
		return toolcall.VerdictTrue
	case fails, absent:
		return toolcall.VerdictFalse
	}
	return toolcall.VerdictUnknown
}

// letter is the outcome in a record of verdicts.
func (o outcome) letter() byte {
	switch o {
	case holds:
		return 'T'
	case fails:
		return 'F'
	case absent:
		return 'A'
	}
	return 'U'
}

func (o outcome) String() string {
	switch o {
	case absent, unanswered:
		return "absent"
	case mixed:
		return "right in some places and not in others"
	case unnamed:
		return "JSON with members that no condition names"
	case blocked:
		return "inside a value that is no object or list"
	case variant:
		return "given under a name that differs only by case"
	case undefined:
		return "absent, and the tool's schema is not known"
	case isNull:
		return "null"
	case notNumber:
		return "not a number"
	case notText:
		return "not a text"
	case notSized:
		return "not a text, list or object"
	case notList:
		return "not a list"
	case notJSON:
		return "not a JSON text with one reading"
	case notSameType:
		return "of another type"
	case notPlainPath:
		return "not a plain absolute path"
	case notPlainRelative:
		return "not a plain path"
	case notPlainFileURL:
		return "not a plain file URL"
	case notPlainText:
		return "a text with dot segments, backslashes or control characters"
	case tooVast:
		return "a number beyond comparison"
	case tooLaborious:
		return "too long a text for the pattern"
	case tooNested:
		return "in a value too large and too deep to look through"
	case notPlainURL:
		return "not a plain URL"
	case unsaidURL:
		return "a URL of a scheme or port that the rule does not speak of"
	case notPlainAddress:
		return "not a plain IP address or prefix"
	case partlyInside:
		return "a prefix that lies inside only in part"
	case embedsAddress:
		return "an IPv6 address that may stand for an IPv4 address"
	case notPlainEmail:
		return "not one plain mail address"
	case notPlainShell:
		return "not a command that all shells read alike"
	case notLiteral:
		return "a command with words that only the shell can work out"
	case notPlainArgument:
		return "a command with an argument or file that cannot be judged"
	case notWords:
		return "not a list of a program and its arguments"
	case lacking:
		return "about something that is absent"
	case notGiven:
		return "about something that is not known of the caller, the session or the time"
	case notComparable:
		return "about values whose types do not fit"
	case notExact:
		return "about a number that no double holds exactly"
	case tooLong:
		return "about a text, list or object that is too large for an expression"
	case tooCostly:
		return "more work than an expression may cost"
	case failing:
		return "an expression that failed"
	case notSQL:
		return "not SQL of this dialect"
	case notPlainSQL:
		return "SQL with something in it that is not judged"
	case unclearTable:
		return "SQL that may mean a table of another schema"
	case deniedColumn:
		return "SQL that names a column kept out, or could touch it without a name"
	case parserStopped:
		return "not judged: the parser of SQL has stopped, and starts again with the server"
	}
	return "not judged"
}

// and is Kleene's: false wins over unknown, unknown over true.
func and(a, b toolcall.Verdict) toolcall.Verdict {
	switch {
	case a == toolcall.VerdictFalse || b == toolcall.VerdictFalse:
		return toolcall.VerdictFalse
	case a == toolcall.VerdictTrue && b == toolcall.VerdictTrue:
		return toolcall.VerdictTrue
	}
	return toolcall.VerdictUnknown
}

func outcomeOf(b bool) outcome {
	if b {
		return holds
	}
	return fails
}
