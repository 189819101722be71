package mcpproxy_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpguard/mcpproxy"
)

// Every fault of an upstream is a clear error to the client, an outcome in the
// record, and nothing to anybody else.

// smallResults is a limit that an upstream is soon over.
func smallResults(l *mcpproxy.Limits) { l.Result = 64 << 10 }

// late is what the client hears of a hung upstream.
const late = "did not answer in time"

// hijacked answers with raw bytes, and then closes the connection unless told
// to keep it open. A whole answer must say so (Connection: close): else the proxy
// may send the next call on a connection that is about to close, and that call
// fails, because it is sent once.
func hijacked(t *testing.T, keep bool, parts ...string) func(http.ResponseWriter, heard) {
	return func(w http.ResponseWriter, _ heard) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if keep {
			t.Cleanup(func() { closing(t, conn) })
		} else {
			defer closing(t, conn)
		}
		for _, p := range parts {
			if _, err := io.WriteString(conn, p); err != nil {
				return // the proxy hung up
			}
		}
	}
}

// until writes something again and again, until the proxy hangs up.
func until(contentType, something string) func(http.ResponseWriter, heard) {
	return func(w http.ResponseWriter, m heard) {
		w.Header().Set("Content-Type", contentType)
		for {
			if _, err := io.WriteString(w, something); err != nil {
				return
			}
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			time.Sleep(100 * time.Microsecond) // gently: the test machine is shared
		}
	}
}

func body(contentType, text string) func(http.ResponseWriter, heard) {
	return func(w http.ResponseWriter, m heard) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, strings.ReplaceAll(text, "$id", string(m.ID)))
	}
}

func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text) // into memory
	_ = z.Close()
	return b.String()
}

func TestUpstreamFaults(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		serve func(http.ResponseWriter, heard)
		want  string // in the client's error
	}{
		"hangs before its answer":     {hijacked(t, true), late},
		"hangs in its headers":        {hijacked(t, true, "HTTP/1.1 200 OK\r\nContent-Ty"), late},
		"hangs in its body":           {hijacked(t, true, head+"Content-Length: 100\r\n\r\n{\"jsonrpc\""), late},
		"hangs in its stream":         {hijacked(t, true, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n"), late},
		"hangs up at once":            {hijacked(t, false), "cannot be reached"},
		"half a body":                 {hijacked(t, false, head+"Content-Length: 100\r\n\r\n{\"jsonrpc\""), "broke off its answer"},
		"half a chunk":                {hijacked(t, false, head+"Transfer-Encoding: chunked\r\n\r\nff\r\n{\"jsonrpc\""), "broke off its answer"},
		"half a stream":               {hijacked(t, false, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n"), "broke off its answer"},
		"an empty stream":             {body("text/event-stream", ""), "ended its answer without a result"},
		"a stream of nothing":         {body("text/event-stream", ": a\n\n:b\n\n"), "ended its answer without a result"},
		"no HTTP at all":              {hijacked(t, false, "SSH-2.0-OpenSSH_9.9\r\n"), "cannot be reached"},
		"garbage":                     {body("application/json", "<html>"), "cannot be read"},
		"garbage in a stream":         {body("text/event-stream", "data: <html>\n\n"), "cannot be read"},
		"JSON as a stream":            {body("text/event-stream", `{"jsonrpc":"2.0","id":$id,"result":{}}`+"\n"), "not framed as events"},
		"a batch":                     {body("application/json", `[{"jsonrpc":"2.0","id":$id,"result":{}}]`), "cannot be read"},
		"two messages":                {body("application/json", `{"jsonrpc":"2.0","id":$id,"result":{}}{"a":1}`), "cannot be read"},
		"a member twice":              {body("application/json", `{"jsonrpc":"2.0","id":$id,"result":{"content":[],"content":[]}}`), "cannot be read"},
		"a folded member":             {body("application/json", `{"jsonrpc":"2.0","id":$id,"result":{"Content":[]}}`), "cannot be read"},
		"an empty body":               {body("application/json", ""), "cannot be read"},
		"another type":                {body("text/html", "<html>"), "neither JSON nor an event stream"},
		"no type":                     {hijacked(t, false, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"), "neither JSON nor an event stream"},
		"JSON that is not UTF-8":      {body("application/json", "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"a\":\"\xff\"}}"), "cannot be read"},
		"an answer to another":        {body("application/json", `{"jsonrpc":"2.0","id":"other","result":{}}`), "ended its answer without a result"},
		"the id as a string":          {body("application/json", `{"jsonrpc":"2.0","id":"$id","result":{}}`), "ended its answer without a result"},
		"a request as an answer":      {body("application/json", `{"jsonrpc":"2.0","id":$id,"method":"tools/call"}`), "ended its answer without a result"},
		"status 500":                  {hijacked(t, false, "HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 4\r\n\r\nOops"), "HTTP status 500"},
		"status 401":                  {hijacked(t, false, "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), "HTTP status 401"},
		"status 202":                  {hijacked(t, false, "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), "HTTP status 202"},
		"another protocol":            {hijacked(t, false, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), ""},
		"gzip":                        {hijacked(t, false, head+"Content-Encoding: gzip\r\nConnection: close\r\n\r\n"+gzipped(`{"jsonrpc":"2.0","id":1,"result":{}}`)), "cannot be read"},
		"200 MB, announced":           {hijacked(t, true, head+"Content-Length: 209715200\r\n\r\n{"), "more than limits.result allows"},
		"a body without end":          {until("application/json", `{"jsonrpc":"2.0",`+strings.Repeat(" ", 4000)), "more than limits.result allows"},
		"an event without end":        {until("text/event-stream", "data: "+strings.Repeat("x", 4000)), "more than limits.result allows"},
		"comments without end":        {until("text/event-stream", ": "+strings.Repeat("x", 100)+"\n\n"), late},
		"headers without end":         {hijacked(t, true, head+strings.Repeat("X-A: "+strings.Repeat("x", 1000)+"\r\n", 2000)), "cannot be reached"},
		"interim answers without end": {hijacked(t, true, strings.Repeat("HTTP/1.1 102 Processing\r\nX-A: "+strings.Repeat("x", 1000)+"\r\n\r\n", 2000)), "cannot be reached"},
		"dribbles its body":           {until("application/json", " "), late},
		"dribbles its stream":         {until("text/event-stream", "x"), late},
		"two lengths":                 {hijacked(t, false, head+"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), "cannot be reached"},
		"a length and chunks":         {hijacked(t, false, head+"Connection: close\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), "cannot be read"},
		"an unknown encoding":         {hijacked(t, false, head+"Transfer-Encoding: gzip\r\n\r\n{}"), "cannot be reached"},
		"a chunk of no size":          {hijacked(t, false, head+"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"), "broke off its answer"},
		"a redirect to elsewhere": {func(w http.ResponseWriter, m heard) {
			w.Header().Set("Location", "http://169.254.169.254/latest/")
			w.WriteHeader(http.StatusPermanentRedirect)
		}, "HTTP status 308"},
		"a redirect": {func(w http.ResponseWriter, m heard) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "HTTP status 307"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := newPeer(t)
			first := true
			up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
				if m.Params.Name == "refund" && first {
					first = false
					c.serve(w, m)
					return
				}
				sayJSON(w, standard(m))
			}
			crm := up.upstream("crm")
			if c.want == late {
				crm.Timeout = time.Second
			}
			r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{crm}, limits: smallResults})
			sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
			sam.call("0", "echo", `{"text":"before"}`) // the catalogue is here

			got := sam.call("1", "refund", `{}`)
			if got.broken != nil || got.status != http.StatusOK || got.get("error.code").Int() != -32603 ||
				!strings.HasPrefix(got.reason(), "upstream crm ") || !strings.Contains(got.reason(), c.want) {
				t.Errorf("the client got %d %s, %v; want %q", got.status, got.body, got.broken, c.want)
			}
			if len(got.reason()) > 200 || strings.Contains(got.body, "html") || strings.Contains(got.body, "Oops") {
				t.Errorf("the upstream's words are in the error: %s", got)
			}
			for _, a := range []*agent{sam, fran} {
				if got := a.call("2", "echo", `{"text":"after"}`); got.get("result.structuredContent.text").Str != "after" {
					t.Errorf("the next call: %s", got)
				}
			}
			if r.outcomes() != "ok failed ok ok" {
				t.Errorf("outcomes: %s", r.outcomes())
			}
			if n := len(up.all("tools/call")); n != 4 {
				t.Errorf("the upstream was called %d times, want 4: nothing is sent twice", n)
			}
		})
	}
}

// An upstream that is not there.
func TestUpstreamRefusesConnection(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := nobody.Addr().String()
	closing(t, nobody)
	up := newPeer(t)
	r := newRig(t, setup{policy: losslessPolicy,
		upstreams: []mcpproxy.Upstream{{Name: "gone", URL: "http://" + address + "/mcp"}, up.upstream("crm")}})
	got := r.agent("sam", "/mcp/gone").post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	if got.reason() != "upstream gone cannot be reached" || got.header.Get("Mcp-Session-Id") != "" {
		t.Errorf("initialize: %s", got)
	}
	if strings.Contains(got.body, address) {
		t.Errorf("the address is told: %s", got)
	}
	if got := r.agent("sam", "/mcp/gone").modern(toolCall("1", "echo", `{}`)); got.reason() != "upstream gone cannot be reached" {
		t.Errorf("a modern call: %s", got)
	}
	if got := r.legacy("sam", "/mcp/crm").call("1", "echo", `{"text":"x"}`); got.reason() != "" {
		t.Errorf("another upstream: %s", got)
	}
}

// A second answer to one request is nobody's: the first counts, in the reply and
// in the record.
func TestDuplicateAnswers(t *testing.T) {
	up := newPeer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayEvents(w, m.result(`{"of":"first"}`), m.result(`{"of":"second"}`))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	got := a.call("1", "echo", `{}`)
	if got.get("result.of").Str != "first" || strings.Contains(got.body, "second") || r.outcomes() != "ok" {
		t.Errorf("got %s, outcomes %s", got, r.outcomes())
	}
}

// A catalogue that cannot be had refuses calls; it is asked for again.
func TestCatalogueFaults(t *testing.T) {
	for name, serve := range map[string]func(http.ResponseWriter, heard){
		"an error":    func(w http.ResponseWriter, m heard) { sayJSON(w, failed(`{"code":-1,"message":"no"}`)(m)[0]) },
		"garbage":     body("application/json", "{"),
		"no array":    body("application/json", `{"jsonrpc":"2.0","id":$id,"result":{"tools":{}}}`),
		"too many":    body("application/json", `{"jsonrpc":"2.0","id":$id,"result":{"tools":[`+strings.Repeat(`{},`, 16384)+`{}]}}`),
		"without end": body("application/json", `{"jsonrpc":"2.0","id":$id,"result":{"tools":[],"nextCursor":"again"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := newPeer(t)
			broken := true
			up.on["tools/list"] = func(w http.ResponseWriter, m heard) {
				if broken {
					serve(w, m)
					return
				}
				sayJSON(w, standard(m))
			}
			r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
			a := r.legacy("sam", "/mcp")
			if got := a.post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); !strings.HasPrefix(got.reason(), "upstream crm ") {
				t.Errorf("the list: %s", got)
			}
			if got := a.call("1", "echo", `{}`); got.reason() == "" {
				t.Errorf("a call: %s", got)
			}
			if n := len(up.all("tools/call")); n != 0 {
				t.Errorf("%d calls went through without a catalogue", n)
			}
			broken = false
			r.clock.forward(time.Hour)
			if got := a.call("1", "echo", `{"text":"x"}`); got.reason() != "" {
				t.Errorf("after it recovered: %s", got)
			}
		})
	}
}

// The pages of a catalogue are bounded together, not only each.
func TestCatalogueOfManyLargePages(t *testing.T) {
	up := newPeer(t)
	up.on["tools/list"] = func(w http.ResponseWriter, m heard) {
		sayJSON(w, m.result(`{"tools":[],"nextCursor":"again","x":"`+strings.Repeat("x", 1000)+`"}`))
	}
	crm := up.upstream("crm")
	crm.Result = 4 << 10
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{crm}})
	got := r.legacy("sam", "/mcp").post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	if want := "upstream crm lists more tools than limits.result allows"; got.reason() != want {
		t.Errorf("the list: %s, want %q", got, want)
	}
	if n := len(up.all("tools/list")); n != 4 {
		t.Errorf("%d pages were read, want 4", n)
	}
}

// A status of an upstream that is no message reaches a modern client, which
// learns by it that a server is legacy; a legacy client would take 404 for the
// end of its session.
func TestStatusOfAnUpstreamThatIsLegacy(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed} {
		up := newPeer(t)
		up.on["server/discover"] = func(w http.ResponseWriter, m heard) { w.WriteHeader(status) }
		r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
		got := r.agent("sam", "/mcp").modern(`{"jsonrpc":"2.0","id":1,"method":"server/discover"}`)
		if got.status != status || got.reason() != fmt.Sprintf("upstream crm answered with HTTP status %d", status) {
			t.Errorf("%d: %d %s", status, got.status, got)
		}
	}
}
