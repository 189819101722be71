package toolpolicy

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"mcpguard/toolcall"
)

// sandbox is a place where real shells run commands and only stubs can be found.
type sandbox struct {
	t     *testing.T
	shell []string // how it is started, before the command
	bin   string   // the stubs: the whole PATH
	log   string   // one file for each process that ran
	work  string   // the working directory, and where redirections lead
}

// stubs are the programs of the sandbox. None is a command of some shell itself.
var stubs = []string{"ls", "cat", "git", "rm", "evil"}

// stub notes its name and arguments and ends with the status that it is told.
const stub = `#!/bin/sh
{ printf '%s\0' "${0##*/}" "$@"; } >"$STUB_LOG/$$"
exit "$STUB_STATUS"
`

func newSandbox(t *testing.T, shell ...string) *sandbox {
	t.Helper()
	path, err := exec.LookPath(shell[0])
	if err != nil {
		missing(t, shell[0], err)
	}
	shell[0] = path
	root := t.TempDir()
	s := &sandbox{t: t, shell: shell, bin: root + "/bin", log: root + "/log", work: root + "/work"}
	for _, dir := range []string{s.bin, s.log, s.work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range stubs {
		if err := os.WriteFile(filepath.Join(s.bin, name), []byte(stub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// did is what a shell did: how often it ran which words, and the files it made.
type did struct {
	ran   map[string]int
	files []string
}

// run has the command read by the shell; every stub ends with the status.
func (s *sandbox) run(command string, status int) did {
	s.t.Helper()
	for _, dir := range []string{s.log, s.work} {
		for _, e := range s.list(dir) {
			if err := os.RemoveAll(filepath.Join(dir, e)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(s.work+"/in", nil, 0o644); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.shell[0], append(slices.Clone(s.shell[1:]), "-c", command)...)
	cmd.Dir = s.work
	cmd.Env = []string{"PATH=" + s.bin, "STUB_LOG=" + s.log, fmt.Sprintf("STUB_STATUS=%d", status), "X=a b", "LC_ALL=C.UTF-8"}
	// What runs in the background holds the end of a pipe open and is waited for.
	alive, held, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = alive.Close() }()
	cmd.ExtraFiles = []*os.File{held}
	if err := errors.Join(cmd.Start(), held.Close()); err != nil {
		s.t.Fatal(err)
	}
	if err := alive.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	_ = cmd.Wait() // the status is the stubs'
	if n, err := alive.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) || ctx.Err() != nil {
		s.t.Fatalf("%q did not end: %v, %v", command, err, ctx.Err())
	}
	d := did{ran: map[string]int{}}
	for _, e := range s.list(s.log) {
		words, err := os.ReadFile(filepath.Join(s.log, e))
		if err != nil {
			s.t.Fatal(err)
		}
		d.ran[string(words)]++
	}
	for _, e := range s.list(s.work) {
		if e != "in" {
			d.files = append(d.files, filepath.Join(s.work, e))
		}
	}
	return d
}

func (s *sandbox) list(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// parses reports whether the shell finds no fault with the syntax.
func (s *sandbox) parses(command string) bool {
	args := append(slices.Clone(s.shell[1:]), "-n", "-c", command)
	return exec.CommandContext(s.t.Context(), s.shell[0], args...).Run() == nil
}

// check holds the shell to the reading of a command: with stubs that all
// succeed and with stubs that all fail it runs nothing else and opens nothing
// else, and between the two everything that was read.
func (s *sandbox) check(command string, read *script) {
	s.t.Helper()
	if !s.parses(command) {
		s.t.Errorf("%q was read, and %s does not parse it", command, s.shell[0])
		return
	}
	want := map[string]int{}
	literal := true
	var written []string
	for _, c := range read.commands {
		want[s.key(c.words)]++
		for _, w := range c.words {
			literal = literal && !w.expands
		}
		for _, f := range c.files {
			if f.writes {
				written = append(written, f.path.text)
			}
		}
	}
	ran := map[string]bool{}
	for status := range 2 {
		d := s.run(command, status)
		counts := map[string]int{}
		for words, n := range d.ran {
			if !literal {
				words, _, _ = strings.Cut(words, "\x00")
				words += "\x00"
			}
			counts[words] += n
		}
		allowed := maps.Clone(want)
		if !literal {
			allowed = map[string]int{}
			for words, n := range want {
				name, _, _ := strings.Cut(words, "\x00")
				allowed[name+"\x00"] += n
			}
		}
		for words, n := range counts {
			ran[words] = true
			if n > allowed[words] {
				s.t.Errorf("%q: %s ran %q %d times, and %d times were read", command, s.shell[0], words, n, allowed[words])
			}
		}
		for _, f := range d.files {
			if !slices.Contains(written, f) {
				s.t.Errorf("%q: %s made %s, which was not read", command, s.shell[0], f)
			}
		}
		if status == 1 {
			for words := range allowed {
				if !ran[words] {
					s.t.Errorf("%q: %s never ran %q, which was read", command, s.shell[0], words)
				}
			}
		}
	}
}

func (s *sandbox) key(words []shellWord) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(w.text + "\x00")
	}
	return b.String()
}

// harmless reports whether a command can be given to a real shell: only stubs by
// their names, and only files of the sandbox.
func (s *sandbox) harmless(read *script) bool {
	for _, c := range read.commands {
		if c.words[0].expands || !slices.Contains(stubs, c.words[0].text) {
			return false
		}
		for _, f := range c.files {
			if rest, ok := strings.CutPrefix(f.path.text, s.work+"/"); !ok || rest == "" || strings.Contains(rest, "/") || f.path.expands {
				return false
			}
			if !f.writes && !strings.HasSuffix(f.path.text, "/in") {
				return false
			}
		}
	}
	return true
}

// pieces are what hostile commands are made of.
func (s *sandbox) pieces() []string {
	return []string{
		"ls", "cat", "git", "rm", "evil", " ", " ", " ", " ", "  ", "\n", ";", "&&", "||", "|", "&", "|&", "&>", " > ", ">", ">>", "<", "<<", "2>", "2>&1", ">&2", "1>&",
		"'", "'", `"`, `"`, `\`, "\\\n", "$", "(", ")", "$(", "$(ls)", "`", "{", "}", "${", "$X", "${X}", `"$X"`, "X=", "=", "~", "#", "*", "?", "[", "]", "!", "^", "%", "@", "+", ",", ":",
		"-", "-n", "a", "b1", "2", "10", "é", "\u00a0", "\u2028", "\t", "\r", "/dev/null", s.work + "/out", s.work + "/in", `'a b'`, `"c d"`, `\ `, `\\`, `\"`, `\$`, "{a,b}", "if", "then", "fi", "time", "do",
	}
}

// sentence is a command that mostly means something.
func (s *sandbox) sentence(r *rand.Rand) string {
	words := []string{
		"a", "-l", "HEAD~1", "a=b", "x#y", `\*`, "'x y'", "''", `'\'`, "'!'", "'é'", "'Á\u0088'", "'two\nlines'", "'$(evil)'", "'`evil`'",
		`"p;q"`, `"it's"`, `a"b"'c'`, `"\\"`, `"\n"`, `"é\"ü"`, "$X", `"$X"`, "*", "$(git z)", `"$(git "q w")"`, "\\\n",
		">" + s.work + "/out", "2>" + s.work + "/err", "<" + s.work + "/in", "2>&1", ">/dev/null",
	}
	var b strings.Builder
	for i := range 1 + r.IntN(4) {
		if i > 0 {
			b.WriteString([]string{" | ", " && ", "||", "; ", "\n", " & ", "|", ";"}[r.IntN(8)])
		}
		b.WriteString(stubs[r.IntN(len(stubs))])
		for range r.IntN(4) {
			b.WriteString(" " + words[r.IntN(len(words))])
		}
	}
	return b.String()
}

// mutant is a sentence with pieces put in and bytes taken out.
func (s *sandbox) mutant(r *rand.Rand, pieces []string) string {
	text := s.sentence(r)
	for range 1 + r.IntN(4) {
		at := r.IntN(len(text) + 1)
		if r.IntN(3) == 0 && at < len(text) {
			text = text[:at] + text[at+1:]
		} else {
			text = text[:at] + pieces[r.IntN(len(pieces))] + text[at:]
		}
	}
	return strings.ToValidUTF8(text, "")
}

// soup is pieces in any order, behind the name of a program.
func (s *sandbox) soup(r *rand.Rand, pieces []string) string {
	var b strings.Builder
	b.WriteString("ls")
	for range 1 + r.IntN(9) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

var shellSeed = flag.Uint64("shellseed", 1, "which random commands TestShellReadsAsShellsDo gives to shells")

// What is read is what real shells do, no more and no less.
func TestShellReadsAsShellsDo(t *testing.T) {
	count := 60 // of each kind
	if testing.Short() {
		count = 15
	}
	// By itself zsh runs nothing where a pattern matches no file, or is none: less than was read.
	for _, shell := range [][]string{{"dash"}, {"bash", "--norc"}, {"bash", "--posix"}, {"busybox", "sh"}, {"mksh"}, {"zsh", "-f", "-o", "nonomatch", "-o", "nobadpattern"}} {
		t.Run(strings.Join(shell, " "), func(t *testing.T) {
			t.Parallel() // it waits for processes, most of the time
			s := newSandbox(t, shell...)
			pieces := s.pieces()
			r := rand.New(rand.NewPCG(*shellSeed, 0))
			makers := []func() string{
				func() string { return s.sentence(r) },
				func() string { return s.mutant(r, pieces) },
				func() string { return s.soup(r, pieces) },
			}
			tried := 0
			for i, make := range makers {
				for done := 0; done < count; {
					if tried++; tried > 1000*count {
						t.Fatalf("only %d commands of kind %d were read", done, i)
					}
					command := make()
					read, ok := readShell(command)
					if !ok || !s.harmless(&read) {
						continue
					}
					s.check(command, &read)
					done++
				}
			}
			t.Logf("%d of %d commands were read and run", len(makers)*count, tried)
		})
	}
}

// Of the corpus, what a rule allows and the sandbox can run, shells read alike.
func TestShellCorpusInShells(t *testing.T) {
	a, err := txtar.ParseFile("../testdata/match/shell.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, shell := range [][]string{{"dash"}, {"bash", "--norc"}, {"busybox", "sh"}} {
		t.Run(shell[0], func(t *testing.T) {
			s := newSandbox(t, shell...)
			ran := 0
			for line := range strings.Lines(string(a.Files[1].Data)) {
				_, call, ok := strings.Cut(line, " ")
				call, _, arrow := strings.Cut(call, " => ")
				j, err := toolcall.Parse(call, toolcall.Limits{Bytes: 1 << 16, Depth: 10})
				if !ok || !arrow || err != nil {
					continue
				}
				command, _ := j.Member("args").Member("command").Str()
				read, ok := readShell(command)
				if ok && s.harmless(&read) {
					s.check(command, &read)
					ran++
				}
			}
			if ran < 20 {
				t.Errorf("only %d commands of the corpus were run", ran)
			}
		})
	}
}
