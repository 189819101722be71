package toolcall

import "sync"

// scan proves that s is exactly one JSON value which every parser reads alike,
// and returns where the value starts and ends between white space.
//
// Refused are, beyond RFC 8259's grammar: two members of one object whose names
// are equal after unescaping, invalid UTF-8, escaped lone surrogates, a byte
// order mark, anything after the value, and more than depth levels of nesting.
// On accept it allocates nothing once its scratch memory has grown.
func (sc *scanner) scan(s string, depth int) (start, end int, err error) {
	start = space(s, 0)
	end = sc.value(s, start, depth)
	if end >= 0 {
		if rest := space(s, end); rest < len(s) {
			end = sc.fail(rest, "data after the JSON value")
		}
	}
	if end < 0 {
		return 0, 0, &SyntaxError{Offset: sc.failedAt, Reason: sc.reason}
	}
	return start, end, nil
}

// scanner is the scratch memory of one scan. Its methods take the text as an
// argument, which keeps it in registers, and return where what they scanned
// ends, or failed.
type scanner struct {
	names    nameStack
	long     []span // values that are, or may become, long
	failedAt int
	reason   string
}

const failed = -1

var scanners = sync.Pool{New: func() any { return new(scanner) }}

func (sc *scanner) release() {
	sc.names.reset()
	sc.long = sc.long[:0]
	scanners.Put(sc)
}

func (sc *scanner) fail(at int, reason string) int {
	sc.failedAt, sc.reason = at, reason
	return failed
}

// space skips white space from i on.
func space(s string, i int) int {
	for i < len(s) && s[i] <= ' ' && (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t') {
		i++
	}
	return i
}

// value scans the value that starts at i, with at most depth levels of nesting.
func (sc *scanner) value(s string, i, depth int) int {
	if i >= len(s) {
		return sc.fail(i, "the text ends where a value should start")
	}
	switch c := s[i]; c {
	case '"':
		end, _ := sc.str(s, i)
		if end-i >= longValue && len(sc.long) < maxSpans {
			sc.long = append(sc.long, span{i, end})
		}
		return end
	case '{':
		if depth <= 0 {
			return sc.fail(i, "nested too deeply")
		}
		return sc.shut(sc.open(i), sc.object(s, i, depth-1))
	case '[':
		if depth <= 0 {
			return sc.fail(i, "nested too deeply")
		}
		return sc.shut(sc.open(i), sc.array(s, i, depth-1))
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return sc.number(s, i)
	case 't':
		return sc.literal(s, i, "true")
	case 'f':
		return sc.literal(s, i, "false")
	case 'n':
		return sc.literal(s, i, "null")
	}
	return sc.fail(i, noValue(s[i:]))
}

// noValue says why no value starts where s does.
func noValue(s string) string {
	const mark = "\xEF\xBB\xBF"
	switch {
	case len(s) >= len(mark) && s[:len(mark)] == mark:
		return "a byte order mark"
	case s[0] == '}' || s[0] == ']' || s[0] == ',':
		return "a value is missing"
	}
	return "no value can start with this character"
}

func (sc *scanner) literal(s string, i int, want string) int {
	if len(s)-i < len(want) || s[i:i+len(want)] != want {
		return sc.fail(i, "not a JSON literal (true, false, null)")
	}
	return i + len(want)
}

func (sc *scanner) array(s string, i, depth int) int {
	i = space(s, i+1)
	if i < len(s) && s[i] == ']' {
		return i + 1
	}
	for {
		if i = sc.value(s, i, depth); i < 0 {
			return failed
		}
		i = space(s, i)
		switch {
		case i >= len(s):
			return sc.fail(i, "the text ends inside an array")
		case s[i] == ',':
			i = space(s, i+1)
		case s[i] == ']':
			return i + 1
		default:
			return sc.fail(i, "expected a comma or ] in an array")
		}
	}
}

func (sc *scanner) object(s string, i, depth int) int {
	i = space(s, i+1)
	if i < len(s) && s[i] == '}' {
		return i + 1
	}
	names := sc.names.open()
	for {
		switch {
		case i >= len(s):
			return sc.fail(i, "the text ends inside an object")
		case s[i] != '"':
			return sc.fail(i, "expected a member name in double quotes")
		}
		at := i
		end, escaped := sc.str(s, i)
		if end < 0 {
			return failed
		}
		if !sc.names.add(&names, s, at, end, escaped) {
			return sc.fail(at, repeatedName)
		}
		if i = space(s, end); i >= len(s) || s[i] != ':' {
			return sc.fail(i, "expected a colon after a member name")
		}
		if i = sc.value(s, space(s, i+1), depth); i < 0 {
			return failed
		}
		i = space(s, i)
		switch {
		case i >= len(s):
			return sc.fail(i, "the text ends inside an object")
		case s[i] == ',':
			i = space(s, i+1)
			continue
		case s[i] != '}':
			return sc.fail(i, "expected a comma or } in an object")
		}
		if at := sc.names.close(names, s); at >= 0 {
			return sc.fail(at, repeatedName)
		}
		return i + 1
	}
}

const repeatedName = "a member name that this object already has"

// number scans RFC 8259's number.
func (sc *scanner) number(s string, i int) int {
	if s[i] == '-' {
		i++
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
	case i < len(s) && '1' <= s[i] && s[i] <= '9':
		i = digits(s, i)
	default:
		return sc.fail(i, "a number without digits")
	}
	if i < len(s) && s[i] == '.' {
		end := digits(s, i+1)
		if end == i+1 {
			return sc.fail(end, "a number without digits behind its point")
		}
		i = end
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		end := digits(s, i)
		if end == i {
			return sc.fail(end, "a number without digits in its exponent")
		}
		i = end
	}
	return i
}

// digits skips decimal digits from i on.
func digits(s string, i int) int {
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	return i
}
