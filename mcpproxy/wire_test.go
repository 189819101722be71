package mcpproxy_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/tidwall/gjson"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/wire as they are now")

// Every archive of testdata/wire is a whole conversation through the proxy:
//
//	-- policy.yaml --    the policy
//	-- on KEY --         what the upstream answers (wirescript_test.go)
//	-- N --              a message of a client: "CALLER ERA PATH", headers, an empty
//	                     line, the body. ERA is POST, GET or DELETE for a request as it
//	                     stands, LEGACY for one with the caller's last session, MODERN
//	                     for one with the headers and _meta of 2026-07-28, TASKS for one
//	                     whose client follows tasks besides, BEGIN for a
//	                     legacy handshake of which nothing is told. "until 2" behind the
//	                     path goes on with the next message after two events.
//	                     "CALLER WAIT N" reads the answer to message N to its end.
//	-- N answer --       what the client got
//	-- upstream saw --   what the upstream was sent
//	-- records --        what was recorded
//
// ${N.session}, ${N.cursor}, ${N.state}, ${N.task} and ${N.event} (the first event
// id) stand for what answer N gave away; other event ids are told as
// <event STREAM.NUMBER>.
// The last three kinds of section are written by -update.
func TestConversations(t *testing.T) {
	paths, err := filepath.Glob("../testdata/wire/*.txtar")
	if err != nil {
		t.Fatalf("find the conversations: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := string(txtar.Format(newConversation(t, txtar.Parse(text)).run()))
			if got == string(text) {
				return
			}
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s is another conversation now (-want +got):\n%s", path, cmp.Diff(string(text), got))
		})
	}
}

// conversation is one archive while it runs.
type conversation struct {
	t        *testing.T
	in       *txtar.Archive
	upstream *script
	rig      *rig
	agents   map[string]*agent
	streams  map[string]*stream // by number of the message
	answers  map[string]string
	given    map[string]string // what ${N.x} stands for
}

func newConversation(t *testing.T, in *txtar.Archive) *conversation {
	c := &conversation{t: t, in: in, upstream: newScript(t), agents: map[string]*agent{},
		streams: map[string]*stream{}, answers: map[string]string{}, given: map[string]string{}}
	policy := ""
	for _, f := range in.Files {
		if f.Name == "policy.yaml" {
			policy = string(f.Data)
		}
		if key, ok := strings.CutPrefix(f.Name, "on "); ok {
			c.upstream.on(key, string(f.Data))
		}
	}
	server := httptest.NewServer(c.upstream)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	frozen := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	c.rig = newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{{Name: "crm", URL: server.URL}},
		now: func() time.Time { return frozen }})
	return c
}

// run goes through the conversation and returns the archive with what happened.
func (c *conversation) run() *txtar.Archive {
	for _, f := range c.in.Files {
		if _, err := strconv.Atoi(f.Name); err == nil {
			c.message(f.Name, string(f.Data))
		}
	}
	for _, s := range c.streams {
		s.rest()
	}
	for n, s := range c.streams {
		c.answer(n, s.res, s.text)
	}
	c.rig.close() // what is still under way is recorded now
	out := &txtar.Archive{Comment: c.in.Comment}
	for _, f := range c.in.Files {
		if strings.HasSuffix(f.Name, " answer") || f.Name == "upstream saw" || f.Name == "records" {
			continue
		}
		out.Files = append(out.Files, f)
		if text, ok := c.answers[f.Name]; ok {
			out.Files = append(out.Files, txtar.File{Name: f.Name + " answer", Data: []byte(c.normal(text))})
		}
	}
	return &txtar.Archive{Comment: out.Comment, Files: append(out.Files,
		txtar.File{Name: "upstream saw", Data: []byte(c.normal(c.upstream.told()))},
		txtar.File{Name: "records", Data: []byte(c.normal(tell(c.rig.records())))})}
}

// message is one step.
func (c *conversation) message(n, text string) {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	words := append(strings.Fields(lines[0]), "", "", "", "")
	who, verb, path := words[0], words[1], words[2]
	if verb == "WAIT" {
		c.streams[path].rest()
		return
	}
	a := c.agents[who]
	if a == nil {
		a = c.rig.agent(who, "")
		c.agents[who] = a
	}
	a.url = c.rig.url + path
	body = c.fill(strings.TrimSpace(body))
	var headers []string
	for _, h := range lines[1:] {
		headers = append(headers, c.fill(h))
	}
	session := a.session
	switch verb {
	case "BEGIN":
		a.session = ""
		a.initialize()
		c.given[n+".session"] = a.session
		return
	case "MODERN":
		var own []string
		body, own = modernize(c.t, body)
		headers, verb, session = append(own, headers...), http.MethodPost, ""
	case "TASKS":
		var own []string
		body, own = modernize(c.t, declaring(c.t, body))
		headers, verb, session = append(own, headers...), http.MethodPost, ""
	case "LEGACY":
		verb = http.MethodPost
	default:
		session = ""
	}
	sender := *a
	sender.session = session
	req := sender.request(c.t.Context(), verb, body, headers...)
	if words[3] == "until" {
		s := sender.open(req)
		c.streams[n] = s
		events, err := strconv.Atoi(words[4])
		if err != nil {
			c.t.Fatal(err)
		}
		for range events {
			s.next()
		}
		return
	}
	res, err := a.client.Do(req)
	if err != nil {
		c.t.Fatalf("message %s: %v", n, err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("message %s: %v", n, err)
	}
	if id := res.Header.Get("Mcp-Session-Id"); id != "" {
		a.session = id
	}
	c.answer(n, res, string(got))
}

// answer keeps what a client got, and what it was given to carry.
func (c *conversation) answer(n string, res *http.Response, body string) {
	var b strings.Builder
	fmt.Fprintln(&b, res.StatusCode)
	for _, name := range answerHeaders {
		if v := res.Header.Get(name); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", strings.TrimRight(body, "\n"))
	c.answers[n] = strings.TrimRight(b.String(), "\n") + "\n"
	last := answered{header: res.Header, body: body}.last()
	for name, value := range map[string]string{
		"session": res.Header.Get("Mcp-Session-Id"),
		"cursor":  gjson.Get(last, "result.nextCursor").String(),
		"event":   eventID(body),
		"state":   gjson.Get(last, "result.requestState").String(),
		"task":    gjson.Get(last, "result.task.taskId").String() + gjson.Get(last, "result.taskId").String(),
	} {
		if value != "" && !c.known(value) {
			c.given[n+"."+name] = value
		}
	}
}

// known reports whether an answer before gave the value away.
func (c *conversation) known(value string) bool {
	for _, given := range c.given {
		if given == value {
			return true
		}
	}
	return false
}

// fill puts what was given away in the place of its name.
func (c *conversation) fill(text string) string {
	for name, value := range c.given {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	return text
}

var (
	uuids   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	events  = regexp.MustCompile(`(?m)^id: [A-Z2-7]{13}\.([0-9]+)\.([0-9]+)$`)
	digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
)

// normal puts names in the place of what is another each time.
func (c *conversation) normal(text string) string {
	text = events.ReplaceAllString(text, "id: <event $1.$2>")
	for name, value := range c.given {
		if !strings.HasSuffix(name, ".event") {
			text = strings.ReplaceAll(text, value, "${"+name+"}")
		}
	}
	text = uuids.ReplaceAllString(text, "<id>")
	return digests.ReplaceAllString(text, "<digest>")
}

// tell writes records down, a line each: what they are about and how it went.
func tell(records []audit.Record) string {
	var b strings.Builder
	for _, r := range records {
		b.WriteString(r.Kind.String())
		say := func(name, value string) {
			if value != "" {
				fmt.Fprintf(&b, " %s=%s", name, value)
			}
		}
		if r.Kind != audit.Outcome {
			say("who", r.Caller.Client)
			say("era", r.Era)
			say("method", r.Method)
		}
		if r.Target != "" {
			say(r.TargetKind.String(), r.Target)
		}
		if r.Kind == audit.Intent || r.Kind == audit.Refusal || r.Kind == audit.Event {
			say("effect", r.Effect.String())
			say("rule", r.Rule)
			say("args", r.Args.String())
		}
		say("reason", r.Reason.String())
		if r.Kind == audit.Outcome || r.Kind == audit.Event {
			say("outcome", r.Outcome.String())
			say("result", r.Result.String())
			say("error", r.Error.String())
		}
		for _, f := range r.Findings {
			say("masked", fmt.Sprintf("%s:%s:%s:%d", f.Profile, f.Path, f.Surface, f.Count))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
