package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"
)

// soakAgent is one agent of the soak, on connections of its own.
type soakAgent struct {
	run    *soakRun
	token  string
	client *http.Client
	handle string
}

// session opens a session, calls, and leaves it in one of the ways.
func (a *soakAgent) session(ctx context.Context, way int) error {
	a.handle = ""
	if _, err := a.post(ctx, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"soak","version":"1"}}}`, http.StatusOK, "serverInfo"); err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	a.run.sessions.Add(1)
	if _, err := a.post(ctx, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, http.StatusAccepted, ""); err != nil {
		return err
	}
	for id := range 3 {
		if err := a.call(ctx, id+1); err != nil {
			return err
		}
	}
	switch way {
	case endDeleted:
		return a.do(ctx, http.MethodDelete, "", func(res *http.Response) error {
			if res.StatusCode != http.StatusNoContent {
				return fmt.Errorf("end a session: status %d", res.StatusCode)
			}
			return nil
		})
	case endStream:
		return a.hangUp(ctx, http.MethodGet, "", "hello")
	case endCalling:
		_, body := a.message(4, "slow")
		return a.hangUp(ctx, http.MethodPost, body, "notifications/progress")
	}
	return nil
}

// marker is what a call carries that its answer must carry too.
func marker(number int64) string { return "m" + strconv.FormatInt(number, 10) }

// marks is a set of numbers of calls, in little room: what the test itself keeps
// must not look like a leak.
type marks struct {
	mu  sync.Mutex
	set []bool
}

func (m *marks) mark(number int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for int64(len(m.set)) <= number {
		m.set = append(m.set, false)
	}
	m.set[number] = true
}

// message is a call of a tool with a number of its own.
func (a *soakAgent) message(id int, tool string) (number int64, body string) {
	number = a.run.calls.Add(1)
	return number, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{"marker":%q},"_meta":{"progressToken":1}}}`, id, tool, marker(number))
}

// call runs the quick tool, whose answer must be this call's and redacted.
func (a *soakAgent) call(ctx context.Context, id int) error {
	number, body := a.message(id, "echo")
	marker := marker(number)
	text, err := a.post(ctx, body, http.StatusOK, `"marker":"`+marker+`"`)
	if err != nil {
		return fmt.Errorf("call %s: %w", marker, err)
	}
	if strings.Contains(text, "900-55-0001") {
		return fmt.Errorf("call %s: the secret came through: %s", marker, text)
	}
	a.run.answered.mark(number)
	return nil
}

// post sends one message and wants an answer with a status and words in it.
func (a *soakAgent) post(ctx context.Context, body string, status int, want string) (text string, err error) {
	err = a.do(ctx, http.MethodPost, body, func(res *http.Response) error {
		all, err := io.ReadAll(res.Body)
		text = string(all)
		if err == nil && (res.StatusCode != status || !strings.Contains(text, want)) {
			err = fmt.Errorf("status %d: %.300s", res.StatusCode, text)
		}
		if h := res.Header.Get("Mcp-Session-Id"); h != "" {
			a.handle = h
		}
		return err
	})
	return text, err
}

// hangUp opens a stream, waits until some words have come, and closes the
// connection.
func (a *soakAgent) hangUp(ctx context.Context, method, body, words string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return a.do(ctx, method, body, func(res *http.Response) error {
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			if strings.Contains(lines.Text(), words) {
				return nil
			}
		}
		return fmt.Errorf("%s: status %d: the stream ended without %q: %w", method, res.StatusCode, words, lines.Err())
	})
}

func (a *soakAgent) do(ctx context.Context, method, body string, read func(*http.Response) error) error {
	req, err := http.NewRequestWithContext(ctx, method, a.run.url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.handle != "" {
		req.Header.Set("Mcp-Session-Id", a.handle)
		req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	}
	res, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // hanging up is the point, and a read error was told
	return read(res)
}

// soakUpstream is a legacy server with sessions, a quick tool, one that takes its
// time and tells progress, and a stream that says hello and stays open.
type soakUpstream struct {
	number     atomic.Int64
	open       atomic.Int64 // requests and streams under way
	executions atomic.Int64
	ran        marks
}

func newSoakUpstream() *soakUpstream { return &soakUpstream{} }

// soakWork is how long the slow tool works after its progress.
const soakWork = 50 * time.Millisecond

func (u *soakUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.open.Add(1)
	defer u.open.Add(-1)
	switch r.Method {
	case http.MethodDelete:
		w.WriteHeader(http.StatusOK)
		return
	case http.MethodGet:
		w.Header().Set("Content-Type", "text/event-stream")
		u.say(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hello"}}`)
		<-r.Context().Done()
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the guard hung up
	}
	message := gjson.ParseBytes(body)
	answer := func(result string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, message.Get("id").Raw, result)
	}
	whole := func(result string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer(result)) // fails when the guard hung up
	}
	switch message.Get("method").Str {
	case "initialize":
		w.Header().Set("Mcp-Session-Id", fmt.Sprintf("up-%d", u.number.Add(1)))
		whole(`{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"soak","version":"1"}}`)
	case "tools/list":
		const schema = `"inputSchema":{"type":"object","properties":{"marker":{"type":"string"}}}`
		whole(`{"tools":[{"name":"echo",` + schema + `},{"name":"slow",` + schema + `}]}`)
	case "tools/call":
		marker := message.Get("params.arguments.marker").Str
		u.executions.Add(1)
		number, err := strconv.ParseInt(strings.TrimPrefix(marker, "m"), 10, 64)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		u.ran.mark(number)
		result := fmt.Sprintf(`{"content":[],"structuredContent":{"marker":%q,"ssn":"900-55-0001"}}`, marker)
		if message.Get("params.name").Str == "echo" {
			whole(result)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		u.say(w, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`)
		time.Sleep(soakWork)
		u.say(w, answer(result))
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

func (u *soakUpstream) say(w http.ResponseWriter, message string) {
	_, _ = io.WriteString(w, "data: "+message+"\n\n") // fails when the guard hung up
	_ = http.NewResponseController(w).Flush()
}
