package toolpolicy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Mistake is one thing wrong with a file, at the place where it stands.
type Mistake struct {
	File    string
	Line    int    // 1-based; 0 when the whole file is meant
	Col     int    // 1-based, in characters; 0 when the whole line is meant
	Message string // what is wrong
	Hint    string // what to write instead; may be empty
	Source  string // the offending line, without its line break
}

func (m Mistake) String() string {
	switch {
	case m.Line == 0:
		return m.File + ": " + m.Message
	case m.Col == 0:
		return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Col, m.Message)
}

// Mistakes are all that is wrong, in the order of the files. As an error they
// read one to a line; Render shows them to a person.
type Mistakes []Mistake

func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// Render is the text for a terminal: each mistake with its source line, a
// caret below the place, and what to try.
//
//	policy.yaml:6:22: unknown matcher "maxx"
//	    6 |     args: {amount: {maxx: 500}}
//	      |                     ^
//	  try: max
func (ms Mistakes) Render() string {
	var b strings.Builder
	for _, m := range ms {
		b.WriteString(m.String() + "\n")
		if m.Line > 0 {
			fmt.Fprintf(&b, "%5d | %s\n", m.Line, m.Source)
			if m.Col > 0 {
				fmt.Fprintf(&b, "      | %s^\n", indentTo(m.Source, m.Col))
			}
		}
		if m.Hint != "" {
			b.WriteString("  try: " + m.Hint + "\n")
		}
	}
	return b.String()
}

// indentTo is white space as wide as the characters before col; tabs stay
// tabs, so that the caret stands right whatever their width.
func indentTo(line string, col int) string {
	var b strings.Builder
	for _, r := range line {
		if col--; col <= 0 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// sorted brings mistakes into the order of their places. Files keep the order
// in which they were given.
func (ms Mistakes) sorted(files []string) Mistakes {
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Col, b.Col))
	})
	return ms
}

// nearest is the word that somebody who wrote got most likely meant, or "".
func nearest(got string, words []string) string {
	best, distance := "", 3
	if utf8.RuneCountInString(got) <= 3 {
		distance = 2
	}
	for _, w := range words {
		if d := editDistance(strings.ToLower(got), w); d < distance {
			best, distance = w, d
		}
	}
	return best
}

// editDistance is the number of insertions, deletions, replacements and swaps
// of neighbours that lead from a to b (optimal string alignment).
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(x)][len(y)]
}
