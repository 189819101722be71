package mcpproxy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpguard/mcpproxy"
)

// childEnv makes the test binary a stdio server: of the kind "standard",
// "banner" (which greets on stdout first), "refuses" (its handshake) or "dead" (which ends at once).
const childEnv = "MCPGUARD_TEST_CHILD"

// childSecret is a secret that the configuration gives the child.
const childSecret = "hunter2-hunter2"

// stdioUpstream is a stdio server of a kind, as a proxy is told of it.
func stdioUpstream(t testing.TB, name, kind string) mcpproxy.Upstream {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return mcpproxy.Upstream{Name: name, Command: []string{self, "-test.run=^$"},
		Env: []string{childEnv + "=" + kind, "CHILD_SECRET=" + childSecret}, Secrets: []string{childSecret}}
}

// child is the server. What it does with a call of the tool echo hangs on the
// argument "text"; any other text is answered in the standard way.
type child struct {
	kind      string
	out       *bufio.Writer
	held      []heard  // calls whose text begins with "hold", unanswered
	cancelled []string // texts of calls that were cancelled
	asking    heard    // the call that waits for the answer to a question
	methods   []string // of what was heard, calls aside
	greeted   string   // the handshake as it came
}

func runChild(kind string) int {
	c := &child{kind: kind, out: bufio.NewWriter(os.Stdout)}
	switch kind {
	case "dead":
		return 3
	case "banner":
		c.say("Welcome! This server greets its guests on stdout.")
		c.say("")
	}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return 0
		}
		if err != nil {
			return 1
		}
		var m heard
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			fmt.Fprintln(os.Stderr, "not a message:", line)
			return 1
		}
		c.handle(m, strings.TrimSpace(line))
	}
}

func (c *child) say(line string) {
	_, _ = c.out.WriteString(line + "\n") // without a reader there is nobody to tell
	_ = c.out.Flush()
}

func logLine(text string) string {
	return `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"` + text + `"}}`
}

func (c *child) handle(m heard, line string) {
	if m.key() == "prompts/list" { // two pages
		if m.Params.Cursor == "" {
			c.say(m.result(`{"prompts":[{"name":"a"}],"nextCursor":"two"}`))
		} else {
			c.say(m.result(`{"prompts":[{"name":"b"}]}`))
		}
		return
	}
	var args struct{ Text string }
	if m.Method == "tools/call" {
		_ = json.Unmarshal(m.Params.Arguments, &args) // other tools have other arguments
	}
	if m.Method != "" && m.Method != "tools/call" && m.Method != "tools/list" {
		c.methods = append(c.methods, strings.TrimSuffix(m.Method+" "+m.Params.URI, " "))
	}
	if m.Method == "initialize" {
		c.greeted = line
	}
	answer := standard(m)
	switch text := args.Text; {
	case m.Method == "initialize" && c.kind == "refuses":
		c.say(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"error":{"code":-5,"message":"not today"}}`)
	case m.Method == "notifications/cancelled":
		c.cancel(string(m.Params.RequestID))
	case m.Method == "notifications/initialized":
		c.say(logLine("nobody listens yet"))
	case m.Method == "subscriptions/listen":
		about := `"_meta":{"io.modelcontextprotocol/subscriptionId":` + string(m.ID) + `}`
		c.say(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{` + about + `}}`)
		c.say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{` + about + `}}`)
		c.say(m.result(`{"resultType":"complete",` + about + `}`))
	case m.Method == "tasks/result": // each process counts its tasks from 1
		c.say(m.result(`{"content":[],"structuredContent":{"pid":` + strconv.Itoa(os.Getpid()) + `}}`))
	case m.Method == "":
		c.say(c.asking.result(`{"content":[],"structuredContent":` + line + `}`))
	case text == "ask":
		c.asking = m
		c.say(`{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"who?"}}`)
	case text == "ask by id":
		c.asking = m
		c.say(`{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"who?","_meta":{"io.modelcontextprotocol/subscriptionId":` + string(m.ID) + `}}}`)
	case text == "announce":
		c.say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		c.say(logLine("about a call"))
		c.say(answer)
	case text == "batch":
		c.say("[" + answer + "," + logLine("of a batch") + "]")
	case text == "pid":
		c.say(m.result(`{"content":[],"structuredContent":` + strconv.Itoa(os.Getpid()) + `}`))
	case text == "methods":
		methods, _ := json.Marshal(c.methods) // a []string always marshals
		c.say(m.result(`{"content":[],"structuredContent":` + string(methods) + `}`))
	case text == "greeted":
		c.say(m.result(`{"content":[],"structuredContent":` + c.greeted + `}`))
	case text == "updated":
		c.say(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"res://a/b"}}`)
		c.say(answer)
	case m.Method == "resources/subscribe" || m.Method == "resources/unsubscribe":
		c.say(m.result(`{}`))
	case text == "crash":
		os.Exit(3)
	case text == "long line":
		c.say(m.result(`{"content":[],"structuredContent":"` + strings.Repeat("x", 2<<20) + `"}`))
	case text == "garbage":
		c.say(m.result(`{"content":[],"content":[]}`))
	case text == "stderr flood":
		for range 2000 {
			fmt.Fprintln(os.Stderr, strings.Repeat("noise ", 200), os.Getenv("CHILD_SECRET"))
		}
		c.say(answer)
	case text == "wrong ids":
		c.say(`{"jsonrpc":"2.0","id":999999,"result":{"of":"nobody"}}`)
		c.say(`{"jsonrpc":"2.0","id":"` + string(m.ID) + `","result":{"of":"a string"}}`)
		c.say(answer)
		c.say(m.result(`{"of":"a second answer"}`))
	case text == "environment":
		env, _ := json.Marshal(os.Environ()) // a []string always marshals
		c.say(m.result(`{"content":[],"structuredContent":` + string(env) + `}`))
	case text == "tool error":
		c.say(m.result(`{"content":[],"isError":true}`))
	case text == "error":
		c.say(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"error":{"code":-5,"message":"no"}}`)
	case text == "task":
		c.say(m.result(`{"task":{"taskId":"1"}}`))
	case text == "deaf":
		time.Sleep(time.Hour) // until TERM
	case strings.HasPrefix(text, "hold"):
		c.held = append(c.held, m)
	case text == "release":
		for i := len(c.held) - 1; i >= 0; i-- {
			c.say(standard(c.held[i]))
		}
		c.held = nil
		c.say(answer)
	case text == "cancelled":
		texts, _ := json.Marshal(c.cancelled) // a []string always marshals
		c.say(m.result(`{"content":[],"structuredContent":` + string(texts) + `}`))
	case text == "progress":
		c.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + string(m.Params.Meta.ProgressToken) + `,"progress":1}}`)
		c.say(answer)
	case answer != "":
		c.say(answer)
	}
}

func (c *child) cancel(id string) {
	for i, m := range c.held {
		if string(m.ID) == id {
			var args struct{ Text string }
			_ = json.Unmarshal(m.Params.Arguments, &args) // it was read before
			c.cancelled = append(c.cancelled, args.Text)
			c.held = append(c.held[:i], c.held[i+1:]...)
			return
		}
	}
}
