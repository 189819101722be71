package toolpolicy_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

var update = flag.Bool("update", false, "rewrite the mistakes in testdata/policy as they are now")

// Every archive of testdata/policy holds a policy (one file policy.yaml, or
// several of other names, for a folder) and what is to become of it:
//
//	-- calls --     GROUPS CALL => EFFECT [RULE] [: REASON]
//	-- lists --     GROUPS KIND UPSTREAM/NAME => listed|hidden
//	-- mistakes --  what Render says
//	-- tools.json --  the catalogue, {"upstream": {"tools": [...]}}
//
// GROUPS are joined by commas, "-" is a caller without any and "nobody" none.
func TestCorpus(t *testing.T) {
	archives, err := filepath.Glob("../testdata/policy/*.txtar")
	if err != nil || len(archives) < 10 {
		t.Fatalf("found %d archives: %v", len(archives), err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			runArchive(t, path, a)
		})
	}
}

func runArchive(t *testing.T, path string, a *txtar.Archive) {
	var files []toolpolicy.File
	sections := map[string]*txtar.File{}
	for i, f := range a.Files {
		switch f.Name {
		case "calls", "lists", "mistakes", "tools.json":
			sections[f.Name] = &a.Files[i]
		default:
			files = append(files, toolpolicy.File{Name: f.Name, Text: f.Data})
		}
	}
	section := func(name string) (string, bool) {
		f, ok := sections[name]
		if !ok {
			return "", false
		}
		return string(f.Data), true
	}
	p, err := toolpolicy.CompileFiles(files)
	if want, ok := section("mistakes"); ok {
		var ms toolpolicy.Mistakes
		if !errors.As(err, &ms) {
			t.Fatalf("compiled, or failed otherwise: %v", err)
		}
		if got := ms.Render(); got != want {
			if !*update {
				t.Fatalf("mistakes (-want +got):\n%s", cmp.Diff(want, got))
			}
			sections["mistakes"].Data = []byte(got)
			if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var catalogue toolcall.JSON
	if text, ok := section("tools.json"); ok {
		catalogue = parse(t, text)
	}
	ran := 0
	calls, _ := section("calls")
	for line := range lines(calls) {
		checkCall(t, p, catalogue, line)
		ran++
	}
	lists, _ := section("lists")
	for line := range lines(lists) {
		checkList(t, p, line)
		ran++
	}
	if ran == 0 {
		t.Fatal("the archive checks nothing")
	}
}

// lines are the lines that are neither empty nor comments.
func lines(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") && !yield(line) {
				return
			}
		}
	}
}

func checkCall(t *testing.T, p *toolpolicy.Policy, catalogue toolcall.JSON, line string) {
	t.Helper()
	asked, want, ok := cutLast(line, " => ")
	if !ok {
		t.Fatalf("no => in %q", line)
	}
	groups, text, _ := strings.Cut(asked, " ")
	c := callOf(t, parse(t, strings.TrimSpace(text)), catalogue)
	c.Caller = member(groups)
	d := p.Evaluate(c)
	want, reason, hasReason := strings.Cut(strings.TrimSpace(want), " : ")
	got := d.Effect.String()
	if strings.Contains(want, " ") {
		got += " " + d.Rule
	}
	if got != strings.TrimSpace(want) {
		t.Errorf("%s\n got %s (rule %q, %q)", line, got, d.Rule, d.Reason)
	}
	if _, told, _ := d.Told(); hasReason && told != reason {
		t.Errorf("%s\n got the reason %q", line, told)
	}
	if d.Effect == toolcall.Allow && d.Rule == "" {
		t.Errorf("%s\n allowed by no rule", line)
	}
}

func checkList(t *testing.T, p *toolpolicy.Policy, line string) {
	t.Helper()
	asked, want, ok := cutLast(line, " => ")
	fields := strings.SplitN(asked, " ", 3)
	if !ok || len(fields) != 3 {
		t.Fatalf("no list line: %q", line)
	}
	upstream, name, _ := strings.Cut(fields[2], "/")
	if got := p.Visible(member(fields[0]), kinds[fields[1]], upstream, name).String(); got != want {
		t.Errorf("%s\n got %s", line, got)
	}
}

var kinds = map[string]toolcall.Kind{
	"tool": toolcall.Tool, "resource": toolcall.Resource, "prompt": toolcall.Prompt,
	"request": toolcall.Request, "method": toolcall.Method,
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// member is a caller in some groups.
func member(groups string) toolcall.Caller {
	switch groups {
	case "nobody":
		return toolcall.Caller{}
	case "-":
		return toolcall.Caller{Subject: "sam", Issuer: "test"}
	}
	return toolcall.Caller{Subject: "sam", Issuer: "test", Groups: strings.Split(groups, ",")}
}

func parse(t testing.TB, text string) toolcall.JSON {
	t.Helper()
	j, err := toolcall.Parse(text, toolcall.Limits{Bytes: 1 << 20, Depth: 128})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return j
}

// callOf reads {"tool": "upstream/name", "args": {...}, "at": TIME}. Without a
// catalogue the tool declares the arguments that the call gives.
func callOf(t testing.TB, j, catalogue toolcall.JSON) *toolcall.Call {
	t.Helper()
	for name, kind := range kinds {
		target, ok := j.Member(name).Str()
		if !ok {
			continue
		}
		upstream, rest, _ := strings.Cut(target, "/")
		c := &toolcall.Call{Kind: kind, Upstream: upstream, Name: rest, Args: j.Member("args")}
		if at, ok := j.Member("at").Str(); ok {
			var err error
			if c.At, err = time.Parse(time.RFC3339, at); err != nil {
				t.Fatal(err)
			}
		}
		if kind != toolcall.Tool {
			return c
		}
		if catalogue.IsZero() {
			c.Def = declaring(t, rest, c.Args)
			return c
		}
		for e := catalogue.Member(upstream).Member("tools").Elements(); e.Next(); {
			if def := toolcall.NewToolDef(upstream, e.Value()); def != nil && def.Name == rest {
				c.Def = def
			}
		}
		return c
	}
	t.Fatalf("no call: %s", j.Text())
	return nil
}

func declaring(t testing.TB, name string, args toolcall.JSON) *toolcall.ToolDef {
	t.Helper()
	var properties []string
	for m := args.Members(); m.Next(); {
		properties = append(properties, m.RawName().Text()+":{}")
	}
	return toolcall.NewToolDef("", parse(t, fmt.Sprintf(`{"name":%s,"inputSchema":{"properties":{%s}}}`,
		toolcall.Quote(name).Text(), strings.Join(properties, ","))))
}
