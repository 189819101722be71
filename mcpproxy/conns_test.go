package mcpproxy_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"mcpguard/mcpproxy"
)

// raw is an upstream that writes its own HTTP.
type raw struct {
	url   string
	conns atomic.Int64 // accepted
}

// newRaw answers each request with what answer makes of it.
func newRaw(t *testing.T, answer func(conn net.Conn, m heard)) *raw {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &raw{url: "http://" + listener.Addr().String() + "/"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			u.conns.Add(1)
			go func() {
				defer func() { _ = conn.Close() }() // by either side
				in := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					m, err := hear(req)
					if err != nil {
						t.Error(err)
						return
					}
					answer(conn, m)
				}
			}()
		}
	}()
	t.Cleanup(func() { closing(t, listener); <-done })
	return u
}

func httpAnswer(text string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}

// An upstream that says more on a connection than it was asked, which the next
// caller could take for its own answer, loses the connection.
func TestForgedAnswersOnAConnection(t *testing.T) {
	for _, together := range []bool{true, false} {
		t.Run(fmt.Sprintf("in one piece: %v", together), func(t *testing.T) {
			said := make(chan struct{}, 1)
			forged := httpAnswer(`{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":{"text":"forged"}}}`)
			up := newRaw(t, func(conn net.Conn, m heard) {
				text := standard(m)
				if text == "" {
					text = "{}"
				}
				pieces := []string{httpAnswer(text), forged}
				if m.Method != "tools/call" {
					pieces = pieces[:1]
				}
				if together {
					pieces = []string{strings.Join(pieces, "")}
				}
				for _, p := range pieces {
					_, _ = conn.Write([]byte(p)) // the proxy may have seen enough
				}
				if m.Method == "tools/call" {
					said <- struct{}{}
				}
			})
			r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{{Name: "crm", URL: up.url}}})
			sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
			for i := range 20 {
				a := []*agent{sam, fran}[i%2]
				marker := fmt.Sprintf("call %d", i)
				if got := a.call("1", "echo", say(marker)); got.get("result.structuredContent.text").Str != marker {
					t.Fatalf("%s got %s", marker, got)
				}
				<-said
			}
		})
	}
}

// A connection is used again while it is good. One that the upstream closed in
// the meantime is not, and no call is lost over it.
func TestConnectionsAreReused(t *testing.T) {
	up := newRaw(t, func(conn net.Conn, m heard) {
		_, _ = conn.Write([]byte(httpAnswer(standard(m)))) // a failure shows in the test's answers
	})
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{{Name: "crm", URL: up.url}}})
	a := r.agent("sam", "/mcp")
	for i := range 50 {
		if got := a.modern(toolCall("1", "echo", say(fmt.Sprint(i)))); got.reason() != "" {
			t.Fatalf("call %d: %s", i, got)
		}
	}
	if n := up.conns.Load(); n != 1 {
		t.Errorf("50 calls in a row took %d connections", n)
	}

	closer := newPeer(t)
	r = newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{closer.upstream("crm")}})
	a = r.agent("sam", "/mcp")
	answers := 0
	for i := range 20 {
		if got := a.modern(toolCall("1", "echo", say(fmt.Sprint(i)))); got.reason() == "" {
			answers++
		}
		closer.CloseClientConnections()
	}
	// A connection may be closed in the very moment in which it is chosen: such a
	// call fails, and never runs twice. That is rare even on a busy machine.
	if ran := len(closer.all("tools/call")); answers < 15 || ran != answers {
		t.Errorf("of 20 calls, each behind a connection that was closed, %d were answered and %d ran", answers, ran)
	}
}

// A session that ends leaves its connection to the next.
func TestEndingASessionKeepsTheConnection(t *testing.T) {
	up := newRaw(t, func(conn net.Conn, m heard) {
		answer := "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}" // of a notification, and of DELETE
		if text := standard(m); text != "" {
			answer = strings.Replace(httpAnswer(text), "\r\n", "\r\nMcp-Session-Id: upstream-session\r\n", 1)
		}
		_, _ = conn.Write([]byte(answer)) // a failure shows in the test's answers
	})
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{{Name: "crm", URL: up.url}}})
	for i := range 10 {
		a := r.legacy("sam", "/mcp")
		if got := a.call("1", "echo", say("hello")); got.reason() != "" {
			t.Fatalf("call %d: %s", i, got)
		}
		if got := a.do(a.request(t.Context(), http.MethodDelete, "")); got.status != http.StatusNoContent {
			t.Fatalf("end of session %d: %s", i, got)
		}
	}
	if n := up.conns.Load(); n != 1 {
		t.Errorf("10 sessions one after the other took %d connections", n)
	}
}

// The answer's head may come in pieces, behind interim answers, and its body
// chunked or to the end of the connection.
func TestShapesOfAnswers(t *testing.T) {
	shapes := map[string]func(text string) (answer string, closes bool){
		"interim": func(text string) (string, bool) {
			return "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + httpAnswer(text), false
		},
		"chunked": func(text string) (string, bool) {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x;ext=1\r\n%s\r\n%x\r\n%s\r\n0\r\nTrailer: x\r\n\r\n",
				10, text[:10], len(text)-10, text[10:]), false
		},
		"to the end": func(text string) (string, bool) {
			return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + text, true
		},
		"HTTP/1.0": func(text string) (string, bool) {
			return "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + text, true
		},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			up := newRaw(t, func(conn net.Conn, m heard) {
				answer, closes := shape(standard(m))
				for _, piece := range []string{answer[:7], answer[7:]} {
					_, _ = conn.Write([]byte(piece)) // a failure shows in the test's answers
				}
				if closes {
					_ = conn.Close() // the reader of the next request sees it
				}
			})
			r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{{Name: "crm", URL: up.url}}})
			a := r.agent("sam", "/mcp")
			for i := range 5 {
				if got := a.modern(toolCall("1", "echo", say(fmt.Sprint(i)))); got.get("result.structuredContent.text").Str != fmt.Sprint(i) {
					t.Fatalf("call %d: %s", i, got)
				}
			}
		})
	}
}
