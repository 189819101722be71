package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// callTimeout is how long a call may take before it counts as lost.
const callTimeout = 30 * time.Second

// contender is one of what is compared.
type contender struct {
	name   string
	base   *url.URL // paths of the fixture are below it
	token  string   // bearer token; empty where none is asked for
	guards bool     // secrets must be absent from results, hidden tools from lists
	proc   *process // nil for direct: there is no proxy to measure
}

// agent is one client on one connection. It writes and reads HTTP/1.1 itself,
// so that as little as possible of the machine goes to the load.
type agent struct {
	to      *contender
	version string
	path    string
	seq     int // of calls, in ids and markers
	number  int
	session string
	conn    net.Conn
	reader  *bufio.Reader
	body    bytes.Buffer // of the last response
	out     []byte
}

func newAgent(to *contender, number int, version, path string) *agent {
	return &agent{to: to, number: number, version: version, path: path}
}

// close ends the connection; the agent can go on with a new one.
func (a *agent) close() error {
	if a.conn == nil {
		return nil
	}
	err := a.conn.Close()
	a.conn = nil
	return err
}

func (a *agent) modern() bool { return a.version == modernVersion }

// open makes the protocol's introduction: a legacy session, or nothing.
func (a *agent) open() error {
	if a.modern() {
		return nil
	}
	a.session = ""
	header, err := a.post(`{"jsonrpc":"2.0","id":"open","method":"initialize","params":{"protocolVersion":"`+a.version+
		`","capabilities":{},"clientInfo":{"name":"mcpguard-bench","version":"1"}}}`, "initialize", "")
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	a.session = header.Get(sessionHeader)
	if a.session == "" {
		return fmt.Errorf("initialize: no %s in the answer", sessionHeader)
	}
	if _, err := a.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, "notifications/initialized", ""); err != nil {
		return fmt.Errorf("notifications/initialized: %w", err)
	}
	return nil
}

// end gives a legacy session back.
func (a *agent) end() error {
	if a.session == "" {
		return nil
	}
	_, err := a.exchange(http.MethodDelete, "", "", "")
	a.session = ""
	if err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	return nil
}

// call runs the echo tool and checks what came back: this call's marker, about
// as many bytes as were asked for, and through a guard no secret.
func (a *agent) call(size int) error {
	a.seq++
	marker := fmt.Sprintf("m-%d-%d", a.number, a.seq)
	params := fmt.Sprintf(`{%s"name":"echo","arguments":{"marker":"%s","bytes":%d,"path":"/srv/orders/2026","query":"paid orders of this week","region":"eu-west"}}`,
		a.meta(), marker, size)
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%s}`, a.seq, params)
	if _, err := a.post(body, "tools/call", "echo"); err != nil {
		return err
	}
	return checkResult(a.body.Bytes(), a.seq, marker, size, a.to.guards)
}

// list asks for the long list and checks it.
func (a *agent) list(listed int) error {
	a.seq++
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/list","params":{%s}}`, a.seq, strings.TrimSuffix(a.meta(), ","))
	if _, err := a.post(body, "tools/list", ""); err != nil {
		return err
	}
	return checkList(a.body.Bytes(), listed, a.to.guards)
}

// meta is the first member of params, with the comma behind it, where the era
// wants one.
func (a *agent) meta() string {
	if !a.modern() {
		return ""
	}
	return `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + a.version + `","io.modelcontextprotocol/clientCapabilities":{},` +
		`"io.modelcontextprotocol/clientInfo":{"name":"mcpguard-bench","version":"1"}},`
}

func (a *agent) post(body, method, name string) (http.Header, error) {
	return a.exchange(http.MethodPost, body, method, name)
}

// exchange sends one message and reads the answer into a.body. After an error
// the connection is closed, because nobody knows what it would say next.
func (a *agent) exchange(verb, body, method, name string) (http.Header, error) {
	header, err := a.roundTrip(verb, body, method, name)
	if err != nil && a.conn != nil {
		_ = a.conn.Close() // the first error says more
		a.conn = nil
	}
	return header, err
}

func (a *agent) roundTrip(verb, body, method, name string) (http.Header, error) {
	if a.conn == nil {
		conn, err := net.Dial("tcp", a.to.base.Host)
		if err != nil {
			return nil, err
		}
		a.conn, a.reader = conn, bufio.NewReaderSize(conn, 64<<10)
	}
	if err := a.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return nil, err
	}
	a.out = a.appendRequest(a.out[:0], verb, body, method, name)
	if _, err := a.conn.Write(a.out); err != nil {
		return nil, fmt.Errorf("send %s: %w", method, err)
	}
	answer, err := http.ReadResponse(a.reader, nil)
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", method, err)
	}
	a.body.Reset()
	if n := answer.ContentLength; n > 0 {
		a.body.Grow(int(n) + bytes.MinRead)
	}
	_, err = a.body.ReadFrom(answer.Body)
	if closing := answer.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", method, err)
	}
	if answer.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s: status %d: %.200s", method, answer.StatusCode, a.body.Bytes())
	}
	if answer.Close {
		_ = a.conn.Close() // the server closes it anyway
		a.conn = nil
	}
	return answer.Header, nil
}

func (a *agent) appendRequest(b []byte, verb, body, method, name string) []byte {
	b = append(b, verb+" "+a.to.base.Path+a.path+" HTTP/1.1\r\nHost: "+a.to.base.Host+
		"\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"...)
	if a.to.token != "" {
		b = append(b, "Authorization: Bearer "+a.to.token+"\r\n"...)
	}
	if a.session != "" {
		b = append(b, sessionHeader+": "+a.session+"\r\n"...)
	}
	if a.session != "" || a.modern() {
		b = append(b, versionHeader+": "+a.version+"\r\n"...)
	}
	if a.modern() {
		b = append(b, "Mcp-Method: "+method+"\r\n"...)
		if name != "" {
			b = append(b, "Mcp-Name: "+name+"\r\n"...)
		}
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// checkResult says what is wrong with the answer to a call, if anything.
func checkResult(body []byte, id int, marker string, size int, guarded bool) error {
	if !bytes.Contains(body, fmt.Appendf(nil, `"id":%d,`, id)) {
		return fmt.Errorf("call %d: an answer to something else: %.200s", id, body)
	}
	if bytes.Contains(body, []byte(`"error":{`)) || bytes.Contains(body, []byte(`"isError":true`)) {
		return fmt.Errorf("call %d failed: %.300s", id, body)
	}
	if !bytes.Contains(body, []byte(marker)) {
		return fmt.Errorf("call %d: its marker %s is not in the answer: %.200s", id, marker, body)
	}
	if len(body) < size/2 {
		return fmt.Errorf("call %d: %d bytes came back of %d", id, len(body), size)
	}
	if !guarded {
		return nil
	}
	for _, mark := range secretMarks {
		if bytes.Contains(body, []byte(mark)) {
			return fmt.Errorf("call %d: a secret came through (%q)", id, mark)
		}
	}
	return nil
}

// checkList says what is wrong with the answer to tools/list at bigPath.
func checkList(body []byte, listed int, guarded bool) error {
	var answer struct {
		Result struct {
			Tools []struct {
				Name string `json:"name"`
			} `json:"tools"`
		} `json:"result"`
	}
	// Counting names costs less than parsing 80 KB for each call would.
	seen := bytes.Count(body, []byte(`"name":"search_`))
	hidden := bytes.Count(body, []byte(`"name":"admin_`))
	want := hiddenTools
	if guarded {
		want = 0
	}
	if seen == listed-hiddenTools && hidden == want {
		return nil
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&answer); err != nil && err != io.EOF {
		return fmt.Errorf("tools/list: %w: %.200s", err, body)
	}
	return fmt.Errorf("tools/list: %d tools, of which %d that policy hides; expected %d and %d: %.200s",
		len(answer.Result.Tools), hidden, listed-hiddenTools+want, want, body)
}
