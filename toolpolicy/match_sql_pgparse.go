package toolpolicy

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/wasilibs/go-pgquery/parser"

	"mcpguard/toolcall"
)

// pgTurn lets one text at a time into PostgreSQL's parser, and none after it
// has failed. The parser is WebAssembly that the module keeps in a pool of the
// process: each text parsed beside another would make an instance more, at a
// second of work and a quarter of a gigabyte that are never given back. That
// pool is the process's, so this is too.
var pgTurn pgGate

type pgGate struct {
	sync.Mutex
	stopped bool // an instance that has trapped goes back to the pool, and nobody knows what is in its memory
}

const (
	// maxPGDepth bounds how deep a tree can be, in tokens (see pgDepth). The
	// parser has a small stack that it does not watch: from three times this
	// depth on it traps, or runs forever.
	maxPGDepth = 200
	// pgQueryDepth is what a query in brackets adds, whose nodes take more stack.
	pgQueryDepth = 6
	// maxPGComments bounds comments, which the scanner reads again for each
	// that is nested.
	maxPGComments = 100
	// maxPGTree is the longest tree that is read, in bytes. A text within
	// maxSQL makes at most a tenth of it.
	maxPGTree = 64 << 20
	// maxPGNesting is the deepest JSON of a tree that maxPGDepth lets through.
	maxPGNesting = 10 * maxPGDepth
)

// startPostgres makes the parser's instance, so that no call waits for it.
func startPostgres() bool {
	_, how := parsePostgres("SELECT 1")
	return how == holds
}

// parsePostgres reads a text with PostgreSQL's grammar, into the tree that
// libpg_query writes as JSON.
func parsePostgres(text string) (tree toolcall.JSON, how outcome) {
	// A backslash before a quote ends the text in one setting of
	// standard_conforming_strings, and goes on in the other.
	if strings.Contains(text, `\'`) || strings.Count(text, "/*") > maxPGComments {
		return tree, notPlainSQL
	}
	written, how := pgTurn.parse(text)
	if how != holds {
		return tree, how
	}
	tree, err := toolcall.ParseLong(written, toolcall.Limits{Bytes: maxPGTree, Depth: maxPGNesting})
	if err != nil {
		return tree, notPlainSQL
	}
	return tree, holds
}

func (g *pgGate) parse(text string) (tree string, how outcome) {
	g.Lock()
	defer g.Unlock()
	if g.stopped {
		return "", parserStopped
	}
	defer func() {
		if recover() != nil {
			g.stopped = true
			tree, how = "", parserStopped
		}
	}()
	tokens, err := parser.ScanToProtobuf(text)
	if err != nil {
		return "", notSQL
	}
	if depth, ok := pgDepth(text, tokens); !ok || depth > maxPGDepth {
		return "", notPlainSQL
	}
	tree, err = parser.ParseToJSON(text)
	if err != nil {
		return "", notSQL
	}
	return tree, holds
}

// pgLevel is what stands between two brackets.
type pgLevel struct {
	run     int // tokens since the last comma, AND or OR
	longest int // the longest run before
	chained int // words that make what is before and behind them deeper, whatever stands between
	query   int // pgQueryDepth where a SELECT stands in it
	inner   int // the depth of the deepest brackets in it
}

func (l *pgLevel) depth() int { return 1 + max(l.run, l.longest) + l.chained + l.query + l.inner }

// pgDepth is a bound on how deep the tree of a text is. A level of the tree
// costs a token at least, and lists and chains of AND or OR make one level;
// so no tree is deeper than the tokens between two of those, summed over the
// brackets around them. The tokens are those of PostgreSQL's own scanner.
func pgDepth(text string, tokens []byte) (depth int, ok bool) {
	levels := []pgLevel{{}}
	ok = pgTokens(tokens, func(start, end uint64) bool {
		if start > end || end > uint64(len(text)) {
			return false
		}
		top := &levels[len(levels)-1]
		switch token := text[start:end]; {
		case strings.HasPrefix(token, "--"), strings.HasPrefix(token, "/*"):
		case token == "(", token == "[":
			top.run++
			levels = append(levels, pgLevel{})
		case token == ")", token == "]":
			if len(levels) == 1 {
				return false
			}
			levels = levels[:len(levels)-1]
			outer := &levels[len(levels)-1]
			outer.inner = max(outer.inner, top.depth())
		case token == ",", token == ";", strings.EqualFold(token, "AND"), strings.EqualFold(token, "OR"):
			top.longest, top.run = max(top.longest, top.run), 0
		case pgChains(token):
			top.chained++
			if strings.EqualFold(token, "SELECT") {
				top.query = pgQueryDepth
			}
		default:
			top.run++
		}
		return true
	})
	for i := range levels {
		depth += levels[i].depth()
	}
	return depth, ok
}

// pgChains reports whether a word ties what stands before it to what follows,
// over commas, AND and OR.
func pgChains(token string) bool {
	for _, word := range [...]string{"UNION", "INTERSECT", "EXCEPT", "JOIN", "CASE", "BETWEEN", "SELECT"} {
		if strings.EqualFold(token, word) {
			return true
		}
	}
	return false
}

// pgTokens calls found with the start and end of each token of a ScanResult, as
// protocol buffers write it: field 2 is a token, whose fields 1 and 2 are its
// start, left out where it is 0, and its end. It reports whether all was read
// and found wanted all.
func pgTokens(b []byte, found func(start, end uint64) bool) bool {
	return pgFields(b, func(field, _ uint64, message []byte) bool {
		if field != 2 {
			return true
		}
		var start, end uint64
		read := pgFields(message, func(field, value uint64, _ []byte) bool {
			switch field {
			case 1:
				start = value
			case 2:
				end = value
			}
			return true
		})
		return read && found(start, end)
	})
}

// pgFields reads fields that are numbers or bytes; there are no others in a
// ScanResult.
func pgFields(b []byte, found func(field, value uint64, bytes []byte) bool) bool {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
		value, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
		var bytes []byte
		switch tag & 7 {
		case 0:
		case 2:
			if value > uint64(len(b)) {
				return false
			}
			bytes, b = b[:value], b[value:]
		default:
			return false
		}
		if !found(tag>>3, value, bytes) {
			return false
		}
	}
	return true
}
