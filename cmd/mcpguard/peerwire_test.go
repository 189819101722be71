package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// wire speaks MCP to a server byte for byte, so that two roads to one server can
// be compared.
type wire interface {
	// send sends one message and returns the response to it as it came, or
	// nothing for a notification.
	send(t *testing.T, message string) []byte
	// progress returns the progress notifications that came before that response.
	progress() [][]byte
}

// httpWire is Streamable HTTP in the era that version belongs to.
type httpWire struct {
	url     string
	version string
	session string
	steps   [][]byte
}

func (w *httpWire) progress() [][]byte { return w.steps }

const modernVersion = "2026-07-28"

func (w *httpWire) send(t *testing.T, message string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	w.steps = nil
	sent := envelopeOf(t, []byte(message))
	if w.session != "" || w.version == modernVersion {
		request.Header.Set("Mcp-Protocol-Version", w.version)
	}
	if w.session != "" {
		request.Header.Set("Mcp-Session-Id", w.session)
	}
	if w.version == modernVersion {
		request.Header.Set("Mcp-Method", sent.Method)
		if name := sent.Params.Name + sent.Params.URI; name != "" {
			request.Header.Set("Mcp-Name", name)
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", message, err)
	}
	body, err := io.ReadAll(response.Body)
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		t.Fatalf("%s: %v", message, err)
	}
	if id := response.Header.Get("Mcp-Session-Id"); id != "" {
		w.session = id
	}
	if len(sent.ID) == 0 {
		if response.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: status %d: %s", message, response.StatusCode, body)
		}
		return nil
	}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		answer, steps := eventFor(t, body, sent.ID)
		w.steps = steps
		return answer
	}
	return bytes.TrimSpace(body)
}

// eventFor finds the response to a request in an event stream, and the progress
// that was told before it.
func eventFor(t *testing.T, stream []byte, id json.RawMessage) (answer []byte, steps [][]byte) {
	t.Helper()
	for event := range bytes.SplitSeq(bytes.ReplaceAll(stream, []byte("\r\n"), []byte("\n")), []byte("\n\n")) {
		var data []byte
		for line := range bytes.SplitSeq(event, []byte("\n")) {
			if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok {
				data = append(data, bytes.TrimPrefix(rest, []byte(" "))...)
			}
		}
		if len(data) > 0 {
			e := envelopeOf(t, data)
			if e.Method == "" && bytes.Equal(e.ID, id) {
				return data, steps
			}
			if e.Method == progressMethod {
				steps = append(steps, data)
			}
		}
	}
	t.Fatalf("no response to %s in the stream:\n%s", id, stream)
	return nil, nil
}

const progressMethod = "notifications/progress"

// stdioWire is a server process that speaks over its stdin and stdout.
type stdioWire struct {
	in    io.Writer
	lines chan []byte // what the server writes; closed at its end
	steps [][]byte
}

func (w *stdioWire) progress() [][]byte { return w.steps }

// startStdio starts a server; it is told to end with the test.
func startStdio(t *testing.T, program string, args ...string) *stdioWire {
	t.Helper()
	return startStdioCommand(t, exec.Command(program, args...))
}

func startStdioCommand(t *testing.T, cmd *exec.Cmd) *stdioWire {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &stdioWire{in: in, lines: make(chan []byte, 16)}
	go func() {
		defer close(w.lines)
		reader := bufio.NewReader(out)
		for {
			line, err := reader.ReadBytes('\n')
			if len(line) > 0 {
				w.lines <- bytes.TrimSpace(line)
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		ending := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() }) // Wait says so
		defer ending.Stop()
		for range w.lines { // it may still have something to say
		}
		if err := cmd.Wait(); err != nil {
			t.Logf("%s: %v", cmd.Path, err)
		}
	})
	return w
}

func (w *stdioWire) send(t *testing.T, message string) []byte {
	t.Helper()
	w.steps = nil
	if _, err := io.WriteString(w.in, message+"\n"); err != nil {
		t.Fatal(err)
	}
	sent := envelopeOf(t, []byte(message))
	if len(sent.ID) == 0 {
		return nil
	}
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		select {
		case line, open := <-w.lines:
			if !open {
				t.Fatalf("%s: the server ended", message)
			}
			e := envelopeOf(t, line)
			if e.Method == "" && bytes.Equal(e.ID, sent.ID) {
				return line
			}
			if e.Method == progressMethod {
				w.steps = append(w.steps, line)
			}
		case <-late.C:
			t.Fatalf("%s: no answer", message)
		}
	}
}

// envelope is what telling messages apart takes.
type envelope struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name string `json:"name"`
		URI  string `json:"uri"`
	} `json:"params"`
}

func envelopeOf(t *testing.T, message []byte) envelope {
	t.Helper()
	var e envelope
	if err := json.Unmarshal(message, &e); err != nil {
		t.Fatalf("read %q: %v", message, err)
	}
	return e
}

// legacyOpening are the messages that a legacy session starts with.
func legacyOpening(version string) []string {
	return []string{
		fmt.Sprintf(`{"jsonrpc":"2.0","id":"open","method":"initialize","params":{"protocolVersion":%q,"capabilities":{},"clientInfo":{"name":"peer","version":"1"}}}`, version),
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
	}
}

// modernMeta is what a modern request must say of itself.
const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modernVersion +
	`","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"peer","version":"1"}}`

// call is a tools/call with its arguments as text.
func call(id int, tool, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, tool, arguments)
}

// ask is any other request.
func ask(id int, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, params)
}

// modern is a request with the modern era's _meta in its params.
func modern(request string) string {
	head, params, _ := strings.Cut(request, `"params":{`)
	if params != "}}" {
		params = "," + params
	}
	return head + `"params":{` + modernMeta + params
}

// compareWires sends the same messages down both roads and compares the bytes of
// what comes back.
func compareWires(t *testing.T, direct, through wire, messages []string) {
	t.Helper()
	answers, failures, steps := 0, 0, 0
	for _, message := range messages {
		want, got := direct.send(t, message), through.send(t, message)
		switch method := envelopeOf(t, []byte(message)).Method; {
		case strings.HasSuffix(method, "/list"):
			want, got = listResult(t, want), outcome(t, got)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%s:\ndirect           %s\nthrough mcpguard %s", message, abridged(want, got), abridged(got, want))
		}
		if asked, told := direct.progress(), through.progress(); !slices.EqualFunc(asked, told, bytes.Equal) {
			t.Errorf("%s: progress\ndirect           %s\nthrough mcpguard %s", message, asked, told)
		}
		steps += len(direct.progress())
		if len(want) > 0 {
			answers++
		}
		if bytes.Contains(want, []byte(`"isError":true`)) || bytes.Contains(want, []byte(`"error":{`)) || bytes.HasPrefix(want, []byte(`{"code":`)) {
			failures++
		}
	}
	t.Logf("%d answers compared (%d of them failures), %d steps of progress", answers, failures, steps)
	if 2*failures > answers {
		t.Errorf("%d of %d answers are failures: that says little about the server", failures, answers)
	}
	message := call(1000, "no_such_tool", `{}`)
	if strings.Contains(messages[0], modernMeta) {
		message = modern(message)
	}
	if got := through.send(t, message); !bytes.Contains(got, []byte(`"error":{"code":-32602,`)) {
		t.Errorf("a tool that does not exist: %s, want error -32602", got)
	}
}

// listResult is the result of a list as it should come through mcpguard, which
// answers lists from its catalogue: the envelope is its own, and no shared cache
// may keep what was filtered for one caller (DESIGN law 9).
func listResult(t *testing.T, answer []byte) []byte {
	t.Helper()
	return bytes.Replace(outcome(t, answer), []byte(`"cacheScope":"public"`), []byte(`"cacheScope":"private"`), 1)
}

// outcome is the result or error of an answer, byte for byte.
func outcome(t *testing.T, answer []byte) []byte {
	t.Helper()
	var a struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("read %q: %v", answer, err)
	}
	if len(a.Result) == 0 {
		return a.Error
	}
	return a.Result
}

// abridged is a long answer around where it begins to differ from another.
func abridged(answer, other []byte) string {
	const window = 300
	at := 0
	for at < len(answer) && at < len(other) && answer[at] == other[at] {
		at++
	}
	from, to := max(0, at-window), min(len(answer), at+window)
	return fmt.Sprintf("%d bytes, from byte %d on: %s", len(answer), from, answer[from:to])
}
