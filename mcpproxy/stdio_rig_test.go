package mcpproxy_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"mcpguard/mcpproxy"
)

// console is a client that speaks stdio: what it writes goes through a Stdio to
// an endpoint, and what comes back is read line by line.
type console struct {
	t     testing.TB
	in    *io.PipeWriter
	lines chan string
	stop  context.CancelFunc // what a signal does
	done  chan error         // of Serve
	logs  *logbook
}

// startConsole starts a Stdio; edit may change it first.
func startConsole(t testing.TB, at string, edit func(*mcpproxy.Stdio)) *console {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	transport := &http.Transport{DisableCompression: true}
	logs := &logbook{}
	s := mcpproxy.Stdio{URL: u, Header: http.Header{}, Transport: transport, In: in, Out: out,
		Drain: 10 * time.Second, DrainCut: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(logs, nil))}
	if edit != nil {
		edit(&s)
	}
	ctx, stop := context.WithCancel(t.Context())
	c := &console{t: t, in: stdin, lines: make(chan string, 64), stop: stop, done: make(chan error, 1), logs: logs}
	go func() {
		c.done <- s.Serve(ctx)
		_ = out.Close() // never fails
	}()
	go func() {
		defer close(c.lines)
		read := bufio.NewReader(stdout)
		for {
			line, err := read.ReadString('\n')
			if line != "" {
				c.lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		_ = stdin.Close() // never fails
		for range c.lines {
		}
		_ = stdout.Close() // never fails
		transport.CloseIdleConnections()
	})
	return c
}

// stdio is a client of the rig over stdio.
func (r *rig) stdio(name, path string, edit func(*mcpproxy.Stdio)) *console {
	r.t.Helper()
	return startConsole(r.t, r.url+path, func(s *mcpproxy.Stdio) {
		s.Header.Set("Authorization", "Bearer "+r.tokens[name].Reveal())
		if edit != nil {
			edit(s)
		}
	})
}

// send writes lines, without waiting for anything.
func (c *console) send(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(c.in, line+"\n"); err != nil {
			c.t.Fatal(err)
		}
	}
}

// next is the next line, without its end.
func (c *console) next() string {
	c.t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	select {
	case line, open := <-c.lines:
		if !open {
			c.t.Fatalf("stdout ended; the log:\n%s", c.logs)
		}
		if !strings.HasSuffix(line, "\n") || !gjson.Valid(line) {
			c.t.Errorf("no message on a line of its own: %q", line)
		}
		return strings.TrimSuffix(line, "\n")
	case <-late.C:
		c.t.Fatalf("no line; the log:\n%s", c.logs)
	}
	return ""
}

// ask sends one line and returns the next.
func (c *console) ask(line string) string {
	c.t.Helper()
	c.send(line)
	return c.next()
}

// reply sends one line and returns the next that is no log line: when one of
// those comes is the server's business.
func (c *console) reply(line string) string {
	c.t.Helper()
	got := c.ask(line)
	for isLogLine(got) {
		got = c.next()
	}
	return got
}

func isLogLine(line string) bool { return gjson.Get(line, "method").Str == "notifications/message" }

// hangUp closes stdin, and returns what was still said when Serve has ended.
func (c *console) hangUp() (rest []string) {
	c.t.Helper()
	_ = c.in.Close() // never fails
	if err := <-c.done; err != nil {
		c.t.Errorf("Serve: %v", err)
	}
	for line := range c.lines {
		rest = append(rest, line)
	}
	return rest
}

const helloLine = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + legacyVersion +
	`","capabilities":{},"clientInfo":{"name":"probe","version":"1"}}}`

const initializedLine = `{"jsonrpc":"2.0","method":"notifications/initialized"}`

// begin opens a legacy session.
func (c *console) begin() {
	c.t.Helper()
	if got := c.ask(helloLine); gjson.Get(got, "result.protocolVersion").Str != legacyVersion {
		c.t.Fatalf("initialize: %s", got)
	}
	c.send(initializedLine)
}

// modernLine is a message as a client of 2026-07-28 writes it.
func modernLine(t testing.TB, body string) string {
	t.Helper()
	text, _ := modernize(t, body)
	return text
}

// reasonOf is what an answer says went wrong.
func reasonOf(line string) string {
	return answered{body: line, header: http.Header{}}.reason()
}
