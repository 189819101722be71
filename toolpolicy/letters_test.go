package toolpolicy_test

import (
	"fmt"
	"strconv"
	"strings"
)

// ranks of letters: conditions that must all hold come to the least, those of
// which one must hold to the greatest.
const ranks = "FAUT"

// letters are verdicts that are read back with the rule beside them.
type letters struct{ rest string }

func (l *letters) next() byte {
	if l.rest == "" {
		return 0
	}
	c := l.rest[0]
	l.rest = l.rest[1:]
	return c
}

// readsBack says what is wrong with verdicts: whether a rule matched must follow
// from its letters and the text of the policy alone.
func (p *oraclePolicy) readsBack(c *oracleCall, verdicts string) string {
	for part := range strings.FieldsSeq(verdicts) {
		number, text, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > len(p.rules) {
			return "no rule " + number
		}
		r := &p.rules[n-1]
		text, extras := strings.CutSuffix(text, "+")
		l := &letters{text}
		out := strings.IndexByte(ranks, 'T')
		for _, cond := range r.conditions {
			out = min(out, cond.readBack(l))
		}
		if extras {
			out = min(out, strings.IndexByte(ranks, 'U'))
		}
		want := r.matches(c)
		got := map[byte]truth{'F': isFalse, 'A': isFalse, 'U': isUnknown, 'T': isTrue}
		if out < 0 || l.rest != "" || got[ranks[out]] != want {
			return fmt.Sprintf("%s reads back as %d, want %d", part, out, want)
		}
	}
	return ""
}

func (cond *condition) readBack(l *letters) int {
	if cond.path != "**" && strings.ContainsAny(cond.path, "#*") {
		return strings.IndexByte(ranks, l.next())
	}
	if cond.optional && strings.HasPrefix(l.rest, "O") {
		l.next()
		return strings.IndexByte(ranks, 'T')
	}
	return readBack(cond.tests, l)
}

func readBack(tests []oracleTest, l *letters) int {
	out := strings.IndexByte(ranks, 'T')
	for _, t := range tests {
		switch t.key {
		case "not":
			out = min(out, map[int]int{-1: -1, 0: 3, 1: 2, 2: 2, 3: 0}[readBack(t.branches[0], l)])
		case "any_of":
			greatest := 0
			for _, b := range t.branches {
				greatest = max(greatest, readBack(b, l))
			}
			out = min(out, greatest)
		default:
			out = min(out, strings.IndexByte(ranks, l.next()))
		}
	}
	return out
}
