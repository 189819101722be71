package mcpproxy

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/tidwall/gjson"
)

// published are the messages of a schema: lines "SIDE FORM NAME" of a file in
// testdata/protocol.
func published(t *testing.T, name string) map[messageName]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../testdata/protocol", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[messageName]bool{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var side, form string
		var m messageName
		if _, err := fmt.Sscan(line, &side, &form, &m.name); err != nil {
			t.Fatalf("%s: read %q: %v", name, line, err)
		}
		m.from = map[string]sender{"client": fromClient, "server": fromServer}[side]
		switch form {
		case "request":
			m.form = request
		case "input":
			m.from, m.form = asInput, request
		case "notification":
			m.form = notification
		}
		if m.from == 0 || m.form == noFrame || all[m] {
			t.Fatalf("%s: no such message, or there twice: %q", name, line)
		}
		all[m] = true
	}
	return all
}

// The table has exactly the messages of the five published schemas and of the
// tasks extension, each in its revisions and from its side.
func TestTableIsTheProtocol(t *testing.T) {
	want := map[messageName]revisions{}
	for i, name := range revisionNames {
		for m := range published(t, name) {
			want[m] |= 1 << i
		}
	}
	extension := published(t, "tasks")
	for m := range extension {
		want[m] |= in20260728
	}
	got := map[messageName]revisions{}
	for _, m := range table() {
		name := messageName{m.from, m.form, m.name}
		if got[name] != 0 {
			t.Errorf("%s from the %s is there twice", m.name, m.from)
		}
		got[name] = m.in
		if (m.ext == tasksExtension) != extension[name] {
			t.Errorf("%s from the %s: extension %q", m.name, m.from, m.ext)
		}
	}
	for m, in := range want {
		if got[m] != in {
			t.Errorf("%s from the %s: published in %s, in the table for %s", m.name, m.from, in, got[m])
		}
		delete(got, m)
	}
	for m := range got {
		t.Errorf("%s from the %s is in no published schema", m.name, m.from)
	}
	if got := strings.Join(revisionNames[:], " "); got != strings.Join(slices.Sorted(slices.Values(mcp.ValidProtocolVersions)), " ") {
		t.Errorf("the revisions are %s, those of mcp-go %v", got, mcp.ValidProtocolVersions)
	}
}

// The lists of testdata/protocol lack no method that mcp-go has a name for.
func TestProtocolListsHaveWhatMcpGoHas(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/mark3labs/mcp-go").Output()
	if err != nil {
		t.Fatalf("find mcp-go: %v", err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "mcp", "types.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known, seen := newMethods(table()), 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Method") {
			return true
		}
		if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			name, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			seen++
			if known.foreign(name) {
				t.Errorf("%s = %q has no row", v.Names[0].Name, name)
			}
		}
		return true
	})
	if seen < 30 {
		t.Errorf("only %d names were found in mcp-go: look where they are now", seen)
	}
}

// Every row says who serves it, and refuses where it says nothing.
func TestRowsAreWhole(t *testing.T) {
	for _, m := range table() {
		where := m.name + " from the " + m.from.String()
		switch {
		case m.in == 0:
			t.Errorf("%s: in no revision", where)
		case m.sees == noPlace:
			if m.serve != nil || m.record != nothing {
				t.Errorf("%s: refused, and served", where)
			}
		case m.from == fromClient && m.serve == nil:
			t.Errorf("%s: nobody serves it", where)
		case (m.sees == byAsk) != (m.ask != ""), m.sees == byAsk && m.from == fromClient:
			t.Errorf("%s: judged as a question, and is none", where)
		case m.sees == byName:
			t.Errorf("%s: a row is not foreign", where)
		}
	}
	zero := newMethods(nil)
	if m := zero.find(fromClient, request, "tools/call", inAll); m.sees != byName {
		t.Errorf("a table without rows judges tools/call %v, not by its name", m.sees)
	}
	for _, m := range []method{{name: "tools/call", form: request, from: fromClient, in: inAll}} {
		if got := newMethods([]method{m}).find(fromClient, request, m.name, in20251125); got.sees != noPlace {
			t.Errorf("a row that says nothing is judged %v", got.sees)
		}
	}
}

// A message has a place in its own revision, from its own side, in its own form.
func TestEveryMessageInEveryPlace(t *testing.T) {
	known := newMethods(table())
	names := map[string]bool{}
	for m := range known {
		names[m.name] = true
	}
	for i, revision := range revisionNames {
		in := published(t, revision)
		if i == len(revisionNames)-1 {
			for m := range published(t, "tasks") {
				in[m] = true
			}
		}
		for name := range names {
			for _, from := range [...]sender{fromClient, fromServer, asInput} {
				for _, form := range [...]frameKind{request, notification} {
					m := messageName{from, form, name}
					got := known.find(from, form, name, 1<<i)
					want := in[m] && known[m].sees != noPlace
					if (got.sees != noPlace) != want {
						t.Errorf("%s, form %d, from the %s in %s: judged %v, to be served: %v", name, form, from, revision, got.sees, want)
					}
				}
			}
		}
	}
}

// Every row is used in a conversation of testdata/wire.
func TestEveryRowHasAConversation(t *testing.T) {
	paths, err := filepath.Glob("../testdata/wire/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("find the conversations: %v, %d", err, len(paths))
	}
	said := map[messageName]bool{}
	note := func(from sender, text string) {
		messages := []gjson.Result{gjson.Parse(text)}
		if messages[0].IsArray() {
			messages = messages[0].Array()
		}
		for _, m := range messages {
			form := notification
			if m.Get("id").Exists() {
				form = request
			}
			said[messageName{from, form, m.Get("method").String()}] = true
			m.Get("result.inputRequests").ForEach(func(_, entry gjson.Result) bool {
				said[messageName{asInput, request, entry.Get("method").String()}] = true
				return true
			})
		}
	}
	number := regexp.MustCompile(`^[0-9]+$`)
	filler := strings.NewReplacer("$id", "1", "$token", "1")
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			switch text := string(f.Data); {
			case number.MatchString(f.Name):
				head, body, _ := strings.Cut(text, "\n\n")
				if strings.Contains(head, " BEGIN ") {
					body = `{"id":1,"method":"initialize"}`
				}
				note(fromClient, strings.TrimSpace(body))
			case strings.HasPrefix(f.Name, "on "):
				for line := range strings.Lines(text) {
					if line = strings.TrimSpace(line); strings.HasPrefix(line, "{") || strings.HasPrefix(line, "[") {
						note(fromServer, filler.Replace(line))
					}
				}
			}
		}
	}
	for m := range newMethods(table()) {
		if !said[m] {
			t.Errorf("no conversation has %s (form %d) from the %s", m.name, m.form, m.from)
		}
	}
}

// rowText is a row as docs/protocol.md prints it.
func rowText(m method) string {
	sees := map[judgement]string{
		noPlace: "refused: not followed", free: "free", byTarget: "`" + m.kind.String() + "` rules, by `params." + m.target + "`",
		byAnswer: "its answer is filtered by `" + m.kind.String() + "` rules", byTask: "as the call that made the task", byAsk: "`request: UPSTREAM/" + m.ask + "`",
	}[m.sees]
	if m.sees == byTarget {
		switch m.name {
		case "completion/complete":
			sees = "`prompt` or `resource` rules, by `params.ref`"
		case listenMethod:
			sees = "`resource` rules, each URI; each task as its call"
		}
	}
	record := map[keeping]string{nothing: "", asCall: "intent, outcome", asEvent: "event", asList: "list", asSession: "session"}[m.record]
	form := map[frameKind]string{request: "request", notification: "notification"}[m.form]
	in := m.in.String()
	if m.ext != "" && m.in&in20260728 != 0 {
		in += " (2026-07-28: extension)"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", m.name, form, m.from, in, sees, record)
}

// docs/protocol.md prints the table as it is; -update rewrites it.
func TestDocsPrintTheTable(t *testing.T) {
	const path = "../docs/protocol.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const head = "| message | form | sent by | revisions | policy | record |\n|---|---|---|---|---|---|\n"
	before, rest, found := strings.Cut(string(text), head)
	if !found {
		t.Fatalf("%s has no table under\n%s", path, head)
	}
	end := strings.Index("\n"+rest, "\n\n") // the table ends with an empty line
	if end < 0 {
		t.Fatalf("%s: the table has no end", path)
	}
	var want strings.Builder
	for _, m := range table() {
		want.WriteString(rowText(m))
	}
	if got := rest[:end]; got == want.String() {
		return
	} else if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(path, []byte(before+head+want.String()+rest[end:]), 0o644); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Errorf("%s prints another table (-want +got):\n%s", path, cmp.Diff(want.String(), got))
	}
}
