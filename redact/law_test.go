package redact_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// pathSets are what the fuzzers choose from.
var pathSets = [][]string{
	{"**.ssn"},
	{"ssn", "a.#.ssn", "a.0"},
	{"a.#.b.#.c", "a.*"},
	{"**.a.b", "**.c.#.ssn"},
	{"a.**.ssn", "b.#.#"},
	{"**.*"},
	{"*.ssn", "**.ssn.a", "b"},
}

func stepsOf(t testing.TB, paths []string) [][]toolcall.Step {
	t.Helper()
	var steps [][]toolcall.Step
	for _, p := range paths {
		path, err := toolcall.CompilePath(p)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, path.Steps())
	}
	return steps
}

// checkAgainstModel redacts [data, text, foreign] where data is a root and text,
// if it is a string, a text, and compares with the slow model.
func checkAgainstModel(t *testing.T, text string, paths []string) {
	t.Helper()
	doc, err := toolcall.Parse(text, toolcall.Limits{Bytes: 1 << 16, Depth: 64})
	if err != nil || doc.Type() != toolcall.ArrayType {
		return
	}
	slow := treeOf(doc)
	var s redact.Surface
	var roots, texts []*tree
	i := 0
	for e := doc.Elements(); e.Next() && i < 2; i++ {
		if i == 0 {
			s.Roots = append(s.Roots, e.Value())
			roots = append(roots, slow.elems[0])
		} else {
			s.Texts = append(s.Texts, e.Value())
			texts = append(texts, slow.elems[1])
		}
	}
	m := &model{paths: stepsOf(t, paths)}
	m.redact(slow, roots, texts)
	if m.unsure {
		return
	}

	out, _, err := redactor(t, paths...).Redact(doc, s)
	var w *redact.Withheld
	if err != nil && !errors.As(err, &w) {
		t.Fatalf("an error that is no *Withheld: %v", err)
	}
	if (err != nil) != m.withheld {
		t.Fatalf("%v in %s\nerror %v, the model withholds: %v", paths, text, err, m.withheld)
	}
	if err != nil {
		return
	}
	// Law 1: nobody scans the output again, so it must read as a scan would have it.
	if again, err := toolcall.Parse(out.Text(), toolcall.Limits{Bytes: out.Len(), Depth: 64}); err != nil || again.Text() != out.Text() {
		t.Fatalf("%v in\n     %s\n got %s: %v", paths, text, out.Text(), err)
	}
	want := parse(t, slow.encode())
	if plain(out) != plain(want) {
		t.Fatalf("%v in\n     %s\n got %s\nwant %s", paths, text, out.Text(), want.Text())
	}
	if out.Text() != doc.Text() && plain(doc) == plain(out) && !strings.Contains(text, "0.0") && !strings.Contains(text, "-0") {
		t.Fatalf("%v changed only the spelling of\n     %s\n got %s", paths, text, out.Text())
	}
}

// generator writes random documents in which names, values and spellings repeat.
type generator struct{ *rand.Rand }

var words = []string{"123-45-6789", "23-45-67", "abcdefgh", "abcdefghij", "efghijkl", "se\"cr\\et/é", "short", "", "12345678", "98765432.10"}

func (g generator) str() string {
	s := words[g.IntN(len(words))]
	if g.IntN(3) == 0 {
		s += words[g.IntN(len(words))]
	}
	return s
}

// spell writes a string with its characters escaped at random.
func (g generator) spell(s string) string {
	q := toolcall.Quote(s).Text()
	if g.IntN(2) == 0 {
		return q
	}
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 && r != '"' && r != '\\' && r >= 0x20 && g.IntN(3) > 0 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return `"` + b.String() + `"`
}

func (g generator) value(depth int) string {
	kind := g.IntN(10)
	if depth <= 0 {
		kind %= 5
	}
	switch kind {
	case 0:
		return [...]string{"null", "true", "false"}[g.IntN(3)]
	case 1:
		return [...]string{"7", "12345678", "-98765432.10e5", "0"}[g.IntN(4)]
	case 2, 3, 4:
		return g.spell(g.str())
	case 5:
		return g.spell(g.value(depth - 1)) // JSON in a string
	case 6:
		var list []string
		for range g.IntN(4) {
			list = append(list, g.value(depth-1))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	var list []string
	names := []string{"ssn", "SSN", "a", "b", "c", "123-45-6789", "x abcdefgh"}
	g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, n := range names[:g.IntN(5)] {
		list = append(list, g.spell(n)+" : "+g.value(depth-1))
	}
	return "{" + strings.Join(list, ",") + "}"
}

// surface writes a document as checkAgainstModel takes it.
func (g generator) surface() string {
	text := g.value(3)
	if g.IntN(2) == 0 {
		text = "{\"ssn\":" + g.value(1) + "}"
	}
	data := g.value(4)
	if g.IntN(3) == 0 {
		text = data // as servers are told to say it twice
	}
	return "[ " + data + " , " + g.spell(text) + " , " + g.value(3) + "]"
}

func TestRedactIsTheSlowModel(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(3, 4))}
	for range 30_000 {
		checkAgainstModel(t, g.surface(), pathSets[g.IntN(len(pathSets))])
		if t.Failed() {
			return
		}
	}
}

func FuzzRedact(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(5, 6))}
	for i := range 40 {
		f.Add(g.surface(), uint8(i))
	}
	f.Fuzz(func(t *testing.T, text string, set uint8) {
		checkAgainstModel(t, text, pathSets[int(set)%len(pathSets)])
	})
}

// The law itself: a value under a path, and every copy of it, however deeply
// encoded, is in nothing that a client can decode from the answer; and what
// stood around it is there byte for byte.
func TestNoPlantedSecretSurvives(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(7, 8))}
	for round := range 3000 {
		secret := fmt.Sprintf("S%07d-\"q\\é%d", round, g.IntN(10))
		structured := `{"rows":[{"x":` + g.spell("before"+secret) + `},{"ssn":` + g.spell(secret) + `,"keep":[1.50,"\u0041\/"]}]}`
		prose := "look: " + secret + " and {\"again\": " + toolcall.Quote(secret).Text() + "}"
		blocks := []string{structured, prose, g.spell(structured), `{"note":` + g.spell(g.spell(`{"n":`+g.spell(secret)+`}`)) + `,"ssn":` + g.spell(secret) + `}`}
		var content []string
		for range 1 + g.IntN(4) {
			content = append(content, `{"type":"text","text":`+g.spell(blocks[g.IntN(len(blocks))])+`,"odd\/field":`+g.spell("x"+secret)+`}`)
		}
		doc := parse(t, `{"content":[`+strings.Join(content, ",")+`],"structuredContent":`+structured+`,"_meta":{"a":`+g.spell(secret+"y")+`}}`)
		out, _, err := redactor(t, "**.ssn").Redact(doc, result(doc))
		if err != nil {
			t.Fatalf("%s: %v", doc.Text(), err)
		}
		if where := survives(out.Text(), secret, 0); where != "" {
			t.Fatalf("%q survives in %s\nof %s\nfrom %s", secret, where, out.Text(), doc.Text())
		}
		kept := `"keep":[1.50,"\u0041\/"]`
		if n, m := strings.Count(out.Text(), kept), strings.Count(doc.Text(), kept); n != m {
			t.Fatalf("untouched bytes changed: %d of %d left in %s", n, m, out.Text())
		}
	}
}

// survives looks for secret in text and in every string that a client could
// decode from it, as encoding/json reads it.
func survives(text, secret string, depth int) string {
	if strings.Contains(text, secret) {
		return text
	}
	if depth > 6 {
		return ""
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err == nil {
		return survivesIn(v, secret, depth+1)
	}
	// Prose: what a reader makes of the escapes in it.
	if i := strings.IndexByte(text, '\\'); i >= 0 {
		var b strings.Builder
		for rest := text; rest != ""; {
			n, s := unescapeOne(rest)
			b.WriteString(s)
			rest = rest[n:]
		}
		if b.Len() < len(text) {
			return survives(b.String(), secret, depth+1)
		}
	}
	return ""
}

func survivesIn(v any, secret string, depth int) string {
	switch v := v.(type) {
	case string:
		return survives(v, secret, depth)
	case []any:
		for _, e := range v {
			if where := survivesIn(e, secret, depth); where != "" {
				return where
			}
		}
	case map[string]any:
		for name, e := range v {
			if strings.Contains(name, secret) {
				return name
			}
			if where := survivesIn(e, secret, depth); where != "" {
				return where
			}
		}
	}
	return ""
}
