package toolpolicy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"go.yaml.in/yaml/v4"

	"mcpguard/toolcall"
)

// expressionSeeds are expressions that compile, of every construct.
var expressionSeeds = []string{
	`args.a == 1`, `args.a != "x"`, `!(args.a in [1, "x", null])`, `args.a in args.l`, `args.l == args.o`, `args.o != {"p": 1}`, `args.a < 2.5`,
	`args.l.all(i, i != "x")`, `args.l.exists(i, i.p == 1)`, `args.l.exists_one(i, i == 1)`, `args.l.filter(i, i == 1).size() > 0`, `args.l.map(i, i + 1) == [2]`,
	`has(args.a) || has(args.o.p)`, `!has(args.o.p.q)`, `args.all(k, k in ["a", "l", "o"])`, `args.size() == 3 && "a" in args`, `args.o["p"] == args.l[0]`,
	`args.a ? args.l[0] == 1 : args.o.p == 1`, `args.a == null`, `args.a + 1 > 2`, `args.a * 2 - 1 >= args.a / 2`, `args.a % 2 == 0`, `-args.a < 0`,
	`args.a.startsWith("x") && args.a.endsWith("y")`, `args.a.contains("x")`, `args.a.matches("^x+$")`, `args.a.split(",")[0] == "x"`,
	`args.a.lowerAscii().trim().substring(1).indexOf("x") < args.a.upperAscii().lastIndexOf("X")`, `args.a.charAt(0) == "x"`,
	`int(args.a) == 1`, `double(args.a) > 1.0`, `string(args.a) == "1"`, `timestamp(args.a).getHours("+02:00") < 8`, `duration(args.a) < duration("1h")`,
	`args.o == {"p": [1, {"q": null}]}`, `[args.o] == [{"p": 1}]`, `{"p": args.a} == args.o`, `size(args.l) + size(args.o) > 1`, `args == {"a": 1}`,
}

var argumentSeeds = []string{
	`{"a":1,"l":[1],"o":{"p":1}}`, `{"a":"x","l":["x",1],"o":{"P":1}}`, `{"a":null,"l":[],"o":[]}`, `{"a":0.5,"l":{"x":1},"o":"p"}`, `{}`,
	`{"a":true,"l":[null,{"p":1}],"o":{"p":[1,{"q":null}]}}`, `{"A":1,"a":0.1}`, `{"a":"2020-01-01T00:00:00+02:00"}`, `{"a":9007199254740993,"l":[1e400,-0]}`,
	`{"a":"1","l":[[1]],"o":{"p":{"q":1}}}`, `{"a":-5,"l":[1.0,10e-1],"o":{"p":1,"r":2}}`,
}

// No expression and no argument makes anything panic or take long. What comes out
// true or false, CEL itself says as well, of the same arguments read by
// encoding/json: what is ours only ever makes an answer unknown.
func FuzzExpression(f *testing.F) {
	for i, e := range expressionSeeds {
		for j := range argumentSeeds {
			f.Add(e, argumentSeeds[(i+j)%len(argumentSeeds)])
		}
	}
	plain, err := cel.NewEnv(cel.Variable("args", cel.MapType(cel.StringType, cel.DynType)), ext.Strings(), cel.DefaultUTCTimeZone(true))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, expression, args string) {
		text, err := json.Marshal(expression)
		if err != nil || len(args) > 4096 {
			return
		}
		p, err := Compile("policy.yaml", []byte("version: 1\nroles: {everyone: {allow: [{tool: t/x, if: "+string(text)+"}]}}\n"))
		checkPlaces(t, string(text)+"\n\n", err)
		j, parseErr := toolcall.Parse(args, toolcall.Limits{Bytes: 4096, Depth: 20})
		if err != nil || parseErr != nil || j.Type() != toolcall.ObjectType {
			return
		}
		begin := time.Now()
		o := p.rules[0].when.judge(toolcall.Call{Args: j, At: begin})
		if took := time.Since(begin); took > 2*time.Second {
			t.Fatalf("%s of %s took %v", expression, args, took)
		}
		if o != holds && o != fails || p.rules[0].when.reads != readsArgs {
			return
		}
		checked, issues := plain.Compile(expression)
		if issues.Err() != nil {
			return // numbers of two types, which CEL compares where it is told to
		}
		program, err := plain.Program(checked)
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(strings.NewReader(args))
		decoder.UseNumber()
		var decoded any
		if err := decoder.Decode(&decoded); err != nil {
			t.Fatal(err)
		}
		out, _, err := program.Eval(map[string]any{"args": native(decoded)})
		if err != nil || out != types.Bool(o == holds) {
			t.Fatalf("%s of %s is %c, and CEL says %v (%v)", expression, args, o.letter(), out, err)
		}
	})
}

// native turns numbers into those of Go that CEL knows.
func native(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = native(e)
		}
	case []any:
		for i, e := range v {
			v[i] = native(e)
		}
	case json.Number:
		n, err := toolcall.ParseNumber(v.String())
		if err != nil || !n.Integer() {
			f, _ := v.Float64() //nolint:errcheck // out of range is an infinity, which ours never is
			return f
		}
		if f, err := v.Float64(); err == nil && f >= -1<<62 && f <= 1<<62 {
			return int64(f)
		}
	}
	return v
}

// A place in an expression is the same character in the file, in whatever way of
// YAML the expression is written.
func FuzzPlaceIn(f *testing.F) {
	f.Add("args.a == 1 &&\n  args.b == \"é\"\n", uint8(0))
	f.Add("a  b\n\nc d\te", uint8(1))
	f.Add("it's a \"b\" \\ c", uint8(2))
	f.Fuzz(func(t *testing.T, text string, style uint8) {
		styles := []yaml.Style{0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle}
		value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: styles[int(style)%len(styles)]}
		out, err := yaml.Dump(&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
			{Kind: yaml.ScalarNode, Tag: "!!str", Value: "if"}, value}})
		if err != nil {
			return
		}
		d := parseDocument("p.yaml", out)
		if len(d.mistakes) > 0 || d.root == nil || d.root.Kind != yaml.MappingNode || len(d.root.Content) != 2 {
			return
		}
		n := d.root.Content[1]
		for i, want := range []rune(n.Value) {
			line, col := d.placeIn(n, i)
			if line < 1 || line > len(d.lines) || col < 1 {
				t.Fatalf("%q: no place for character %d: %d:%d", out, i, line, col)
			}
			if line == n.Line && col == n.Column || strings.ContainsRune(" \t\n\r", want) {
				continue // the place of the whole, or of what folding changes
			}
			at := []rune(d.lines[line-1])
			if col > len(at) || at[col-1] != want && at[col-1] != '\\' {
				t.Fatalf("%q: character %d, %q, is not at %d:%d", out, i, want, line, col)
			}
		}
	})
}

// What cannot be made is told, and never used.
func TestExpressionsThatDoNotCompile(t *testing.T) {
	_, err := Compile("p.yaml", []byte("version: 1\nroles: {everyone: {deny: [{tool: t/x, if: args.a ==}], allow: [t/x]}}\n"))
	var ms Mistakes
	if !errors.As(err, &ms) || len(ms) != 1 || ms[0].Line != 2 {
		t.Errorf("got %v", err)
	}
}
