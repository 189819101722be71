package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// attack is one way in which a hostile caller tries to starve others: requests
// one after the other on each of its connections, or one request on each that is
// held open.
type attack struct {
	name    string
	about   string
	clients int
	// message is what is sent; its number tells one from the next.
	message func(number int64) string
	// fresh messages belong to no session.
	fresh bool
	// hold keeps the connection when its request was sent, and lets the answer
	// come until these words; "" waits for its first byte.
	hold  bool
	until string
	verb  string // of what is held; POST unless it says otherwise
	// missing is how many bytes of the body never come.
	missing int
}

// attacks are those of law 14: a caller with a valid token, no rights beyond
// those of the others, and as many connections as it likes.
func attacks() []attack {
	call := func(tool, arguments string) func(int64) string {
		return func(number int64) string {
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":{%s}}}`, number, tool, arguments)
		}
	}
	echo := func(size int, more string) func(int64) string {
		return call("echo", fmt.Sprintf(`"marker":"m-0-0","bytes":%d,"path":"/srv/orders/2026","query":"paid orders","region":"eu-west"%s`, size, more))
	}
	return []attack{
		{name: "calls", about: "calls that are allowed, as fast as answers come", clients: 64, message: echo(1<<10, "")},
		{name: "sessions", about: "sessions opened as fast as answers come, and never ended", clients: 64, fresh: true,
			message: func(number int64) string {
				return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"initialize","params":{"protocolVersion":"%s","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}`, number, legacyVersion)
			}},
		{name: "refusals", about: "calls of a tool that does not exist", clients: 64, message: call("none", "")},
		{name: "garbage", about: "messages that are no JSON", clients: 64, message: func(int64) string { return `{"jsonrpc":` }},
		{name: "bodies", about: "calls with arguments of 900 KiB", clients: 32,
			message: echo(1, `,"padding":"`+strings.Repeat("x", 900<<10)+`"`)},
		{name: "slow-bodies", about: "requests whose body does not come", clients: 600, hold: true, missing: 512 << 10, message: echo(1, "")},
		{name: "slow-reads", about: "results of 4 MiB that are not read", clients: 600, hold: true, message: echo(4<<20, "")},
		{name: "questions", about: "calls whose server asks something that is not answered", clients: 600, hold: true, until: "elicitation/create",
			message: call(askName, "")},
		{name: "streams", about: "streams of a session, held open", clients: 600, hold: true, verb: http.MethodGet, until: "data:",
			message: func(int64) string { return "" }},
	}
}

// attacker is the hostile caller.
type attacker struct {
	to       *contender
	session  string
	taken    atomic.Int64 // requests that mcpguard served
	refused  atomic.Int64 // requests that it answered with an error
	cut      atomic.Int64 // connections that it ended, or refused
	messages atomic.Int64
}

// runAttacker is the process of the hostile caller. It yields to everything else
// on the machine: a real one would have a machine of its own. It attacks until it
// is told to end, and then says what it got.
func runAttacker(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("attacker", flag.ContinueOnError)
	base := flags.String("to", "", "mcpguard's address")
	token := flags.String("token", "", "the caller's token")
	name := flags.String("attack", "", "name of the attack")
	if err := flags.Parse(args); err != nil {
		return err
	}
	to, err := url.Parse(*base)
	if err != nil {
		return fmt.Errorf("read -to: %w", err)
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19); err != nil {
		return fmt.Errorf("yield to others: %w", err)
	}
	for _, at := range attacks() {
		if at.name == *name {
			return at.wage(ctx, &attacker{to: &contender{name: at.name, base: to, token: *token}}, out)
		}
	}
	return fmt.Errorf("read -attack: no attack is called %q", *name)
}

// again is how soon an attacker comes back on a connection that was ended.
const again = 100 * time.Millisecond

// wage runs an attack on all its connections until ctx ends.
func (at attack) wage(ctx context.Context, a *attacker, out io.Writer) error {
	if !at.fresh {
		first := newAgent(a.to, 0, legacyVersion, benchPath)
		if err := errors.Join(first.open(), first.close()); err != nil {
			return fmt.Errorf("open the attacker's session: %w", err)
		}
		a.session = first.session
	}
	var running sync.WaitGroup
	for range at.clients {
		running.Go(func() {
			for ctx.Err() == nil {
				run := a.repeat
				if at.hold {
					run = a.hold
				}
				if err := run(ctx, at); err != nil {
					a.cut.Add(1)
					select {
					case <-ctx.Done():
					case <-time.After(again):
					}
				}
			}
		})
	}
	running.Wait()
	_, err := fmt.Fprintf(out, "%d %d %d\n", a.taken.Load(), a.refused.Load(), a.cut.Load())
	return err
}

// conn is a connection that ends with ctx.
func (a *attacker) conn(ctx context.Context) (net.Conn, func(), error) {
	c, err := (&net.Dialer{Timeout: callTimeout}).DialContext(ctx, "tcp", a.to.base.Host)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetReadBuffer(4 << 10) // best effort: what is not read should not be buffered here
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, func() { stop(); _ = c.Close() }, nil
}

// request is one request of the attacker, with more or less of its body.
func (a *attacker) request(verb, session, body string, length int) string {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n",
		verb, a.to.base.Path+benchPath, a.to.base.Host, a.to.token)
	if session != "" {
		head += sessionHeader + ": " + session + "\r\n" + versionHeader + ": " + legacyVersion + "\r\n"
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, length, body)
}

// count notes how a request was answered.
func (a *attacker) count(answer *http.Response) {
	if answer.StatusCode/100 == 2 {
		a.taken.Add(1)
	} else {
		a.refused.Add(1)
	}
}

// repeat sends messages on one connection, as fast as answers come.
func (a *attacker) repeat(ctx context.Context, at attack) error {
	c, done, err := a.conn(ctx)
	if err != nil {
		return err
	}
	defer done()
	session := a.session
	if at.fresh {
		session = ""
	}
	reader := bufio.NewReader(c)
	for ctx.Err() == nil {
		body := at.message(a.messages.Add(1))
		if _, err := io.WriteString(c, a.request(http.MethodPost, session, body, len(body))); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		a.count(answer)
		_, err = io.Copy(io.Discard, answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if answer.Close {
			return errors.New("mcpguard ended the connection")
		}
	}
	return nil
}

// hold sends one request and keeps the connection for as long as it is let. What
// is refused, or ended, is tried again.
func (a *attacker) hold(ctx context.Context, at attack) error {
	c, done, err := a.conn(ctx)
	if err != nil {
		return err
	}
	defer done()
	verb := at.verb
	if verb == "" {
		verb = http.MethodPost
	}
	body := at.message(a.messages.Add(1))
	if _, err := io.WriteString(c, a.request(verb, a.session, body, len(body)+at.missing)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	reader := bufio.NewReaderSize(c, 16)
	if at.missing > 0 {
		// It is served while nothing is said, and refused by an answer.
		a.taken.Add(1)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		a.taken.Add(-1)
		a.count(answer)
		return errors.Join(errors.New("refused"), answer.Body.Close())
	}
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	defer func() { _ = c.Close(); _ = answer.Body.Close() }() // in this order: Close would read the rest
	a.count(answer)
	if answer.StatusCode/100 != 2 {
		return errors.New("refused")
	}
	if at.until == "" {
		<-ctx.Done()
		return nil
	}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() { // until the stream ends, which is not soon
	}
	return errors.New("mcpguard ended the stream")
}
