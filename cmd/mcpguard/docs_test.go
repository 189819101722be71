package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documentation is tested like code: commands are run and must print what
// the page shows (docs_console_test.go), configurations load, links lead
// somewhere, and what is named exists.

// page is one Markdown file.
type page struct {
	name   string // from the root of the checkout
	text   string // without the fenced blocks
	blocks []block
}

// block is a fenced block of a page.
type block struct {
	line  int // of the opening fence
	kind  string
	noRun string // why its commands cannot be run by a test; "" runs them
	text  string
}

// blockKinds are the blocks that a page may have. What shows a terminal is
// console, so that no command escapes its test.
var blockKinds = []string{"console", "yaml", "json", "text", "calls", "lists", "mistakes"}

// languageReference has its examples run beside the language, policy by policy.
const languageReference = "docs/policy.md"

// noRunReasons are the reasons for which a command need not be run by a test.
var noRunReasons = []string{
	"it is this test suite",      // make test
	"it builds what tests build", // make build
	"it needs npm",
	"it needs the sqlite3 program",
	"it needs systemd",
}

const repository = "../.."

// pages are README.md, CHANGELOG.md and everything below docs.
func pages(t *testing.T) []page {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	var all []page
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		short, err := filepath.Rel(repository, name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := parsePage(short, string(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages were found", len(all))
	}
	return all
}

// parsePage takes the fenced blocks out of a page.
func parsePage(name, text string) (page, error) {
	p := page{name: name}
	var prose strings.Builder
	var open *block
	for i, line := range strings.Split(text, "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case open == nil && fence:
			kind, note, _ := strings.Cut(info, " ")
			reason, marked := strings.CutPrefix(note, "no-run: ")
			if note != "" && !marked || !slices.Contains(blockKinds, kind) {
				return p, fmt.Errorf("%s:%d: a block that is none of %v: %q", name, i+1, blockKinds, info)
			}
			open = &block{line: i + 1, kind: kind, noRun: reason}
		case open != nil && line == "```":
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		default:
			prose.WriteString(line + "\n")
		}
	}
	if open != nil {
		return p, fmt.Errorf("%s:%d: a block that does not end", name, open.line)
	}
	p.text = prose.String()
	return p, nil
}

func TestDocsSkipOnlyForKnownReasons(t *testing.T) {
	used := map[string]bool{}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			switch {
			case b.noRun == "":
			case b.kind != "console":
				t.Errorf("%s:%d: a %s block is never run", p.name, b.line, b.kind)
			case !slices.Contains(noRunReasons, b.noRun):
				t.Errorf("%s:%d: %q is no reason to leave out a test", p.name, b.line, b.noRun)
			}
			used[b.noRun] = true
		}
	}
	for _, reason := range noRunReasons {
		if !used[reason] {
			t.Errorf("no page gives the reason %q any more", reason)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the fragments that lead into a page.
func (p *page) anchors() map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(p.text, -1) {
		all[strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

func TestDocsLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	byName := map[string]*page{}
	linked := map[string]bool{"README.md": true}
	for i := range all {
		byName[all[i].name] = &all[i]
	}
	for _, p := range all {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			path, fragment, _ := strings.Cut(m[1], "#")
			target := p.name
			if path != "" {
				target = filepath.Join(filepath.Dir(p.name), path)
			}
			if _, err := os.Stat(filepath.Join(repository, target)); err != nil {
				t.Errorf("%s links to %s: %v", p.name, m[1], err)
				continue
			}
			linked[target] = true
			if fragment != "" && (byName[target] == nil || !byName[target].anchors()[fragment]) {
				t.Errorf("%s links to %s: there is no such heading", p.name, m[1])
			}
		}
	}
	for name := range byName {
		if !linked[name] {
			t.Errorf("no page links to %s", name)
		}
	}
}

var (
	namedFile   = regexp.MustCompile("`((?:[a-z]+/)*[a-z0-9_]+\\.go)`((?:[, ]*`[A-Za-z.]+`)*)")
	namedThing  = regexp.MustCompile("`([A-Za-z.]+)`")
	namedTest   = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]+)`")
	namedTarget = regexp.MustCompile("`make ([a-z]+)`")
	namedModule = regexp.MustCompile("`([a-z0-9.]+\\.[a-z]+/[A-Za-z0-9./-]+)`[ |]+(v[0-9][0-9A-Za-z.+-]*[0-9a-z])")
)

// Pages point into the code: files, the functions in them, tests that prove a
// promise, targets of make, versions of modules.
func TestDocsNameWhatExists(t *testing.T) {
	tests := declarations(t)
	makefile := read(t, "Makefile")
	modules := read(t, "go.mod")
	for _, p := range pages(t) {
		for _, m := range namedFile.FindAllStringSubmatch(p.text, -1) {
			text := read(t, m[1])
			for _, thing := range namedThing.FindAllStringSubmatch(m[2], -1) {
				name := thing[1][strings.LastIndexByte(thing[1], '.')+1:]
				if !regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |var |\t)` + name + `\b`).MatchString(text) {
					t.Errorf("%s: %s does not declare %s", p.name, m[1], name)
				}
			}
		}
		for _, m := range namedTest.FindAllStringSubmatch(p.text, -1) {
			if !strings.Contains(tests, "\nfunc "+m[1]+"(") {
				t.Errorf("%s: there is no test %s", p.name, m[1])
			}
		}
		for _, m := range namedTarget.FindAllStringSubmatch(p.text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: there is no make %s", p.name, m[1])
			}
		}
		for _, m := range namedModule.FindAllStringSubmatch(p.text, -1) {
			if !strings.Contains(modules, m[1]+" "+m[2]) {
				t.Errorf("%s: go.mod does not have %s %s", p.name, m[1], m[2])
			}
		}
	}
}

// declarations are the texts of all tests.
func declarations(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"*/*_test.go", "*/*/*_test.go"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}

// read is a file of the checkout.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// The reference has a row for every setting, with its default, and names every
// key that this version refuses.
func TestDocsReferenceIsComplete(t *testing.T) {
	reference := read(t, "docs/configuration.md")
	for _, k := range settingKeys {
		standard := "none"
		if k.standard != "" {
			standard = "`" + k.standard + "`"
		}
		if row := "\n| `" + k.key + "` | " + standard + " |"; !strings.Contains(reference, row) {
			t.Errorf("docs/configuration.md has no row that begins with %q", row[1:])
		}
	}
	for key := range laterKeys {
		if !strings.Contains(reference, "`"+key+"`") {
			t.Errorf("docs/configuration.md does not say that %s is refused", key)
		}
	}
	for _, key := range append(upstreamKeys, "listen", "allowed_hosts", "allowed_origins", "identity.tokens", "identity.local.groups") {
		if !strings.Contains(reference, "| `"+key+"` |") {
			t.Errorf("docs/configuration.md has no row for %s", key)
		}
	}
}

// A page is read as it is meant, and a mistake in one is found.
func TestDocsAreParsed(t *testing.T) {
	p, err := parsePage("a.md", "# One `two`\ntext\n```console no-run: it needs npm\n$ npx\n```\nmore\n")
	if err != nil || len(p.blocks) != 1 || p.text != "# One `two`\ntext\nmore\n\n" || !p.anchors()["one-two"] {
		t.Errorf("read as %+v, %v", p, err)
	}
	if b := p.blocks[0]; b != (block{3, "console", "it needs npm", "$ npx\n"}) {
		t.Errorf("the block is %+v", b)
	}
	for _, text := range []string{"```sh\nrm\n```\n", "```\nrm\n```\n", "```console\n$ a\n", "```console skip\n```\n"} {
		if _, err := parsePage("a.md", text); err == nil {
			t.Errorf("%q is a page", text)
		}
	}
}

// The examples of the policy language are run in its own room.
func TestDocsLanguageIsTestedElsewhere(t *testing.T) {
	if !strings.Contains(declarations(t), `"../`+languageReference+`"`) {
		t.Errorf("no test reads %s", languageReference)
	}
}

// JSON on a page is JSON.
func TestDocsJSONIsJSON(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.kind == "json" && !json.Valid([]byte(b.text)) {
				t.Errorf("%s:%d: it is not JSON", p.name, b.line)
			}
		}
	}
}
