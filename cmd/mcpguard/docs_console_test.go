package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"mcpguard/identity"
	"mcpguard/toolpolicy"
)

// TestDocsRun goes through each page as a reader would, in a folder of its own:
// it writes the files, runs the commands, and connects an agent as the page says.
func TestDocsRun(t *testing.T) {
	for _, p := range pages(t) {
		if p.name == languageReference {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t)
			for _, b := range p.blocks {
				r.keep(b, true) // so that a file may come after the one that names it
			}
			for _, b := range p.blocks {
				r.at = fmt.Sprintf("%s:%d", p.name, b.line)
				switch {
				case b.noRun != "":
				case b.kind == "yaml":
					r.keep(b, false)
				case b.kind == "json":
					r.connect(b.text)
				case b.kind == "console":
					r.console(b.text)
				}
			}
		})
	}
}

// reader follows one page.
type reader struct {
	t     *testing.T
	at    string
	dir   string
	env   []string
	crm   string // address of the server that pages call 127.0.0.1:9101
	guard string // address of mcpguard, which pages call 127.0.0.1:8437

	// token is what the agent of the page holds, digest what its files say of
	// it: those of the page's last mcpguard token new, if it has one.
	token, digest string
}

// The addresses that pages use.
const (
	pageCRM   = "127.0.0.1:9101"
	pageGuard = "127.0.0.1:8437"
	anyPort   = "127.0.0.1:0"
)

func newReader(t *testing.T) *reader {
	t.Helper()
	crm := httptest.NewServer(server.NewStreamableHTTPServer(newDemoCRM()))
	t.Cleanup(crm.Close)
	cert, key := certificate(t)
	r := &reader{t: t, crm: crm.Listener.Addr().String()}
	r.dir = folder(t, map[string]string{"cert.pem": cert, "key.pem": key})
	token := identity.NewToken()
	r.token, r.digest = token.Reveal(), token.Digest().String()
	r.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + t.TempDir(), "CRM_TOKEN=swordfish"}
	return r
}

// fileName is the name that a yaml block carries in its first line.
var fileName = regexp.MustCompile(`^# ([a-z_]+\.yaml)\n`)

var (
	digestOfToken = regexp.MustCompile(`sha256: "[0-9a-f]{64}"`)
	expiryOfToken = regexp.MustCompile(`expires: [0-9-]+`)
)

// keep writes the file that a yaml block is, and loads it. In the first round
// files are written only, and not over one another.
func (r *reader) keep(b block, first bool) {
	r.t.Helper()
	if b.kind != "yaml" {
		return
	}
	m := fileName.FindStringSubmatch(b.text)
	if m == nil {
		if !first {
			r.fragment(b.text)
		}
		return
	}
	path := filepath.Join(r.dir, m[1])
	if _, err := os.Stat(path); err == nil && first {
		return
	}
	text := strings.NewReplacer(pageCRM, r.crm, pageGuard, anyPort).Replace(b.text)
	text = digestOfToken.ReplaceAllString(text, `sha256: "`+r.digest+`"`)
	text = expiryOfToken.ReplaceAllString(text, "expires: 2099-12-31") // the page's day will come
	if m[1] == "mcpguard.yaml" && !strings.Contains(text, "\nlisten:") {
		text += "listen: " + anyPort + "\n" // the page means the default, which may be taken here
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if first {
		return
	}
	var err error
	switch m[1] {
	case "mcpguard.yaml":
		_, err = LoadConfig(path, overrides{}, &environment{environ: r.env})
	case "policy.yaml":
		_, err = loadPolicy(path)
	case "policy_test.yaml":
		_, err = toolpolicy.LoadTests(path, []byte(text))
	default:
		err = errors.New("no page may show such a file")
	}
	if err != nil {
		r.t.Errorf("%s: %s does not load:\n%v", r.at, m[1], err)
	}
}

// fragment compiles a part of a policy: roles, redactions, or rules of a role.
func (r *reader) fragment(text string) {
	r.t.Helper()
	whole := "version: 1\n" + text
	if strings.HasPrefix(text, "version:") {
		whole = text
	}
	if _, err := toolpolicy.Compile("fragment.yaml", []byte(whole)); err != nil {
		r.t.Errorf("%s: it is no part of a policy, and names no file:\n%v", r.at, err)
	}
}

// step is a command with the output that the page shows.
type step struct {
	command string
	want    []string
	code    string // of a following `echo $?`; "0" without one
}

func steps(text string) []step {
	var all []step
	open := false // the last line ended in a backslash
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		command, starts := strings.CutPrefix(line, "$ ")
		last := len(all) - 1
		switch {
		case open:
			all[last].command += "\n" + line
		case starts:
			all = append(all, step{command: command, code: "0"})
		case last >= 0:
			all[last].want = append(all[last].want, line)
		}
		open = (starts || open) && strings.HasSuffix(line, `\`)
	}
	var joined []step
	for _, s := range all {
		if s.command == "echo $?" && len(joined) > 0 {
			joined[len(joined)-1].code = strings.Join(s.want, "\n")
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

func (r *reader) console(text string) {
	r.t.Helper()
	for _, s := range steps(text) {
		s.command = strings.ReplaceAll(s.command, "go run ./cmd/mcpguard", "mcpguard")
		if strings.HasPrefix(s.command, "mcpguard serve") {
			r.serve(s)
			continue
		}
		var out bytes.Buffer
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		cmd := r.sh(ctx, s.command)
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		cancel()
		code := fmt.Sprint(cmd.ProcessState.ExitCode())
		if cmd.ProcessState == nil || code != s.code {
			r.t.Fatalf("%s: $ %s\nended with %v, want exit code %s\n%s", r.at, s.command, err, s.code, &out)
		}
		r.learn(out.String())
		if got := r.seen(out.String()); !shows(s.want, got) {
			r.t.Errorf("%s: $ %s\nprints\n%s\nand the page shows\n%s", r.at, s.command, strings.Join(got, "\n"), strings.Join(s.want, "\n"))
		}
	}
}

// sh runs a command as the page's reader would. A single one takes the shell's
// place, so that signals reach it.
func (r *reader) sh(ctx context.Context, command string) *exec.Cmd {
	if !strings.ContainsAny(command, "|;&") {
		command = "exec " + command
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir, cmd.Env = r.dir, r.env
	return cmd
}

var (
	newToken  = regexp.MustCompile(`mcpg_[A-Za-z0-9_-]{43}`)
	newDigest = regexp.MustCompile(`[0-9a-f]{64}`)
)

// learn remembers a token that was made, for the configuration and the agent.
func (r *reader) learn(out string) {
	if token := newToken.FindString(out); token != "" {
		r.token, r.digest = token, newDigest.FindString(out)
	}
}

// seen is an output as a page would show it.
func (r *reader) seen(out string) []string {
	pairs := []string{r.crm, pageCRM, anyPort, pageGuard, r.dir + "/", ""}
	if r.guard != "" {
		pairs = append(pairs, r.guard, pageGuard)
	}
	return strings.Split(strings.TrimRight(strings.NewReplacer(pairs...).Replace(out), "\n"), "\n")
}

// shows reports whether an output is what a page shows: "..." stands for any
// lines, and within a line for any text.
func shows(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0 || len(got) == 1 && got[0] == ""
	}
	if want[0] == "..." {
		for n := range len(got) + 1 {
			if len(want) == 1 || shows(want[1:], got[n:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 0 && showsLine(want[0], got[0]) && shows(want[1:], got[1:])
}

func showsLine(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(want, " ")), regexp.QuoteMeta("..."), ".*")
	return regexp.MustCompile("^" + pattern + "$").MatchString(strings.TrimRight(got, " "))
}

// serve starts mcpguard, and waits until it has said what the page shows. It
// stays up until the page ends.
func (r *reader) serve(s step) {
	r.t.Helper()
	out := &transcript{changed: make(chan struct{}, 1)}
	cmd := r.sh(context.Background(), s.command)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r.t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return // it has ended, and the test has said so
		}
		if err := <-ended; err != nil {
			r.t.Errorf("%s: $ %s\nended with %v\n%s", r.at, s.command, err, out)
		}
	})
	patience := time.After(time.Minute)
	for {
		text := out.String()
		if m := listening.FindStringSubmatch(text); m != nil {
			r.guard = m[1]
		}
		if shows(append(s.want, "..."), r.seen(text)) {
			return
		}
		select {
		case <-out.changed:
		case err := <-ended:
			ended <- err
			r.t.Fatalf("%s: $ %s\nended early: %v\n%s", r.at, s.command, err, out)
		case <-patience:
			r.t.Fatalf("%s: $ %s\nprints\n%s\nand the page shows\n%s", r.at, s.command, text, strings.Join(s.want, "\n"))
		}
	}
}

var listening = regexp.MustCompile(`mcpguard is listening: http://([^/]+)/mcp`)

// transcript is an output that is read while it grows.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// What a page shows is compared strictly, but for what it leaves out.
func TestDocsOutputIsCompared(t *testing.T) {
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"a\nb", "a\nb", true},
		{"a\nb", "a\nb\nc", false},
		{"a", "b", false},
		{"a...", "abc", true},
		{"a...c", "abd", false},
		{"...\nc", "a\nb\nc", true},
		{"a\n...", "a", true},
		{"a\n...\nd", "a\nb\nc", false},
		{"", "a", false},
		{"a(b)", "a(b)", true},
		{"a.b", "acb", false},
	} {
		if got := shows(strings.Split(c.want, "\n"), strings.Split(c.got, "\n")); got != c.same {
			t.Errorf("%q shows %q: %v, want %v", c.want, c.got, got, c.same)
		}
	}
	got := steps("$ a \\\n  b\nout\n$ c\n$ echo $?\n3\n")
	if len(got) != 2 || got[0].command != "a \\\n  b" || len(got[0].want) != 1 || got[0].code != "0" || got[1].code != "3" {
		t.Errorf("read as %+v", got)
	}
}
