package toolpolicy

import "strings"

// maxShellText bounds a command, in bytes: parsing it takes time and memory that
// its sender does not pay for.
const maxShellText = 16 << 10

// maxShellJoints bounds the operators, ends of lines and expansions of a command:
// each costs far more than a plain character.
const maxShellJoints = 256

// maxSubstitutions is how deep $(...) may nest.
const maxSubstitutions = 4

// shellScan goes over a command once, before any parser does, and knows of
// every byte whether it is quoted. What it lets through is the part of the
// language that dash, bash, busybox, mksh and zsh take apart alike when they get
// it with -c: words of plain characters, quotes, backslashes, few operators.
type shellScan struct {
	text  string
	at    int
	quote byte // ', " or 0
	start bool // a word could begin here
	// outer holds, for every $( that is open, the quote that it stands in.
	outer [maxSubstitutions]byte
	depth int

	joints int
}

// plainShell reports whether shells cannot disagree about where the words and
// operators of s begin and end. Refused are, outside of quotes, everything that
// is not ASCII, tabs, braces, parentheses, comments, a tilde or an equals sign
// where some shell expands it, and an opening bracket behind a name; outside of
// single quotes, backquotes, "!" (in a terminal it recalls a command), and a "$" that
// does not begin $name, ${name} or $(...); everywhere, control characters but
// the newline.
func plainShell(s string) bool {
	if len(s) > maxShellText {
		return false
	}
	sc := shellScan{text: s, start: true}
	for sc.at < len(s) {
		var ok bool
		switch sc.quote {
		case '\'':
			ok = sc.single()
		case '"':
			ok = sc.double()
		default:
			ok = sc.bare()
		}
		if !ok {
			return false
		}
	}
	return sc.quote == 0 && sc.depth == 0 && sc.joints <= maxShellJoints
}

// peek is the byte n behind the current one; 0 at the end.
func (sc *shellScan) peek(n int) byte {
	if sc.at+n < len(sc.text) {
		return sc.text[sc.at+n]
	}
	return 0
}

func (sc *shellScan) before() byte {
	if sc.at > 0 {
		return sc.text[sc.at-1]
	}
	return 0
}

func (sc *shellScan) single() bool {
	c := sc.text[sc.at]
	if c == '\'' {
		sc.quote = 0
	}
	sc.at++
	return !isControl(c) || c == '\n'
}

func (sc *shellScan) double() bool {
	switch c := sc.text[sc.at]; c {
	case '"':
		sc.quote = 0
	case '\\':
		if sc.peek(1) == '!' || !isPrintable(sc.peek(1)) {
			return false
		}
		sc.at++
	case '$':
		return sc.dollar()
	case '`', '!':
		return false
	default:
		if isControl(c) && c != '\n' {
			return false
		}
	}
	sc.at++
	return true
}

// bare is a byte outside of quotes.
func (sc *shellScan) bare() bool {
	start := sc.start
	sc.start = false
	switch c := sc.text[sc.at]; c {
	case '\n':
		sc.joints++
		sc.start = true
	case ' ':
		sc.start = true
	case '\'', '"':
		sc.quote = c
	case '\\':
		return sc.backslash(start)
	case '$':
		return sc.dollar()
	case ')':
		return sc.endSubstitution()
	case ';', '|', '&', '<', '>':
		sc.start = true
		return sc.operator(c)
	case '#', '=': // a comment; to zsh, the path of a program
		if start {
			return false
		}
	case '~': // only where no shell reads it as a home directory
		if b := sc.before(); start || !isNameByte(b) && !strings.ContainsRune(".-^~", rune(b)) {
			return false
		}
	case '[': // behind a name, an element of an array to some
		if isNameByte(sc.before()) {
			return false
		}
	default:
		if !isNameByte(c) && !strings.ContainsRune("%+,-./:@^*?]", rune(c)) {
			return false
		}
	}
	sc.at++
	return true
}

// backslash makes one character plain. Before a newline it joins two lines,
// which is accepted between words alone.
func (sc *shellScan) backslash(start bool) bool {
	next := sc.peek(1)
	if next == '\n' {
		if b := sc.before(); b != ' ' && b != 0 {
			return false
		}
		sc.start = start
	} else if !isPrintable(next) {
		return false
	}
	sc.at += 2
	return true
}

// dollar is $name, ${name} or the beginning of $(...).
func (sc *shellScan) dollar() bool {
	sc.joints++
	switch next := sc.peek(1); {
	case next == '(':
		if sc.peek(2) == '(' || sc.depth == maxSubstitutions {
			return false
		}
		sc.outer[sc.depth] = sc.quote
		sc.depth++
		sc.quote, sc.start = 0, true
		sc.at += 2
		return true
	case next == '{':
		n := nameLength(sc.text[sc.at+2:])
		if n == 0 || sc.peek(2+n) != '}' {
			return false
		}
		sc.at += n + 3
		return true
	}
	n := nameLength(sc.text[sc.at+1:])
	sc.at += n + 1
	next := sc.peek(0)
	return n > 0 && next != '[' && next != ':' // subscripts and modifiers of zsh
}

func (sc *shellScan) endSubstitution() bool {
	if sc.depth == 0 {
		return false
	}
	sc.depth--
	sc.quote = sc.outer[sc.depth]
	sc.at++
	return true
}

// operator is one of ; | || & && < > >> >&1 >&2, and no longer one that begins
// like it.
func (sc *shellScan) operator(c byte) bool {
	sc.joints++
	switch c {
	case '<', '>':
		return sc.redirection(c)
	case ';':
		sc.at++
	default:
		if sc.at++; sc.peek(0) == c {
			sc.at++
		}
	}
	return !strings.ContainsRune(";|&<>", rune(sc.peek(0)))
}

// redirection is an operator whose target is a path, quoted or not, or one of
// the first descriptors.
func (sc *shellScan) redirection(c byte) bool {
	sc.at++
	if c == '>' && sc.peek(0) == '&' {
		target, end := sc.peek(1), sc.peek(2)
		sc.at += 2
		return (target == '1' || target == '2') && strings.ContainsRune(" \n;|&)\x00", rune(end))
	}
	if c == '>' && sc.peek(0) == '>' {
		sc.at++
	}
	return strings.ContainsRune(` /'"`, rune(sc.peek(0)))
}

func isControl(c byte) bool   { return c < 0x20 || c == 0x7F }
func isPrintable(c byte) bool { return c >= 0x20 && c < 0x7F }

func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// nameLength is how many bytes of s are the name of a variable.
func nameLength(s string) int {
	n := 0
	for n < len(s) && isNameByte(s[n]) && (n > 0 || s[n] > '9') {
		n++
	}
	return n
}
