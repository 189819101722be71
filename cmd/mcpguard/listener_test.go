package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// door is the agents' listener of a guard, over TCP or TLS, with short timeouts.
type door struct {
	t      *testing.T
	dial   func() (net.Conn, error)
	called *atomic.Int64 // tools/call that the upstream was sent
}

const (
	headerTime = 300 * time.Millisecond
	readTime   = 600 * time.Millisecond
)

func openDoor(t *testing.T, overTLS bool) *door {
	t.Helper()
	called := new(atomic.Int64)
	echo := echoUpstream(64)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if strings.Contains(string(body), `"tools/call"`) {
			called.Add(1)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		echo.ServeHTTP(w, r)
	}))
	t.Cleanup(up.Close)
	cert, key := certificate(t)
	text := "listen: 127.0.0.1:0\npolicy: policy.yaml\nstore: sqlite://record.db\nkeys: keys/\n" +
		"upstreams: {echo: {url: " + up.URL + "/mcp}}\nidentity: {local: {trust_loopback: true}}\n"
	if overTLS {
		text += "tls: {cert: cert.pem, key: key.pem}\n"
	}
	dir := folder(t, map[string]string{"mcpguard.yaml": text, "cert.pem": cert, "key.pem": key,
		"policy.yaml": "version: 1\nroles: {everyone: {allow: [\"*/*\"]}}\n"})
	env := osEnvironment()
	env.stderr = io.Discard
	cfg, err := LoadConfig(filepath.Join(dir, "mcpguard.yaml"), overrides{}, env)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	g, err := wire(t.Context(), cfg, env, log)
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(g.handler(), log)
	server.ReadHeaderTimeout, server.ReadTimeout = headerTime, readTime
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if err := g.close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	d := &door{t: t, called: called}
	d.dial = func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
	if overTLS {
		d.dial = func() (net.Conn, error) {
			return tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		}
	}
	return d
}

// send writes raw bytes and returns all that comes until the server closes, or
// until it is silent, after an answer or for longer than its timeouts; closed says
// which.
func (d *door) send(raw string) (got string, closed bool) {
	d.t.Helper()
	conn, err := d.dial()
	if err != nil {
		d.t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(conn, raw) // the server may refuse to read all of it
	}()
	var b strings.Builder
	part := make([]byte, 4096)
	for {
		silence := readTime + time.Second
		if b.Len() > 0 {
			silence = readTime / 4
		}
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			d.t.Fatal(err)
		}
		n, err := conn.Read(part)
		b.Write(part[:n])
		if err != nil {
			_ = conn.Close() // the server may have been first
			<-sent
			return b.String(), !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

const goodCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},"_meta":` +
	`{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`

// rawPost is a good modern call as bytes, with more header lines.
func rawPost(body string, lines ...string) string {
	head := "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nMcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for _, line := range lines {
		if strings.HasPrefix(line, "Content-Length") || strings.HasPrefix(line, "Transfer-Encoding") {
			length = ""
		}
		if name, _, _ := strings.Cut(line, ":"); name == "Host" && line != "Host: 127.0.0.1" {
			head = strings.Replace(head, "Host: 127.0.0.1\r\n", "", 1)
		}
		head += line + "\r\n"
	}
	return head + length + "\r\n" + body
}

// Requests that two readers could read differently, that are too large, or that
// do not end, are refused over TCP and over TLS, and reach no upstream.
func TestListenerAttacks(t *testing.T) {
	n := fmt.Sprint(len(goodCall))
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(goodCall), goodCall)
	smuggled := rawPost(goodCall)
	attacks := []struct{ name, raw, want string }{ // want: status, "" when an answer is not due
		{"two Authorization", rawPost(goodCall, "Authorization: Bearer a", "Authorization: Bearer b"), "400"},
		{"two of them, of other cases", rawPost(goodCall, "Authorization: Bearer a", "aUTHORIZATION: Bearer a"), "400"},
		{"two Mcp-Session-Id", rawPost(goodCall, "Mcp-Session-Id: a", "Mcp-Session-Id: a"), "400"},
		{"two Content-Type", rawPost(goodCall, "Content-Type: application/json"), "400"},
		{"two Mcp-Method", rawPost(goodCall, "Mcp-Method: tools/call"), "400"},
		{"a Mcp-Name of something else", strings.Replace(rawPost(goodCall), "Mcp-Name: echo", "Mcp-Name: safe", 1), "400"},
		{"two Content-Length", rawPost(goodCall, "Content-Length: "+n, "Content-Length: 3"), "400"},
		{"Content-Length as a list", rawPost(goodCall, "Content-Length: "+n+", "+n), "400"},
		{"Content-Length with a sign", rawPost(goodCall, "Content-Length: +"+n), "400"},
		{"a negative Content-Length", rawPost(goodCall, "Content-Length: -1"), "400"},
		{"a hexadecimal Content-Length", rawPost(goodCall, "Content-Length: 0x10"), "400"},
		{"another Transfer-Encoding", rawPost(goodCall, "Transfer-Encoding: gzip"), "501"},
		{"two Transfer-Encodings", rawPost(chunk+"0\r\n\r\n", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "501"},
		{"Transfer-Encoding identity", rawPost(goodCall, "Transfer-Encoding: identity"), "501"},
		{"a chunk without a size", rawPost("zz\r\n"+goodCall, "Transfer-Encoding: chunked"), "400"},
		{"Content-Encoding", rawPost(goodCall, "Content-Encoding: gzip"), "415"},
		{"an empty Content-Encoding", rawPost(goodCall, "Content-Encoding:"), "415"},
		{"two Hosts", rawPost(goodCall, "Host: 127.0.0.1"), "400"},
		{"another Host", rawPost(goodCall, "Host: evil.example"), "403"},
		{"another host in the target", strings.Replace(rawPost(goodCall), "POST /mcp", "POST http://evil.example/mcp", 1), "403"},
		{"no Host", strings.Replace(rawPost(goodCall), "Host: 127.0.0.1\r\n", "", 1), "400"},
		{"HTTP/1.0 without a Host", strings.NewReplacer("Host: 127.0.0.1\r\n", "", "HTTP/1.1", "HTTP/1.0").Replace(rawPost(goodCall)), "403"},
		{"a page's Origin", rawPost(goodCall, "Origin: https://evil.example"), "403"},
		{"a space before the colon", rawPost(goodCall, "X-A : b"), "400"},
		{"a NUL in a value", rawPost(goodCall, "X-A: a\x00b"), "400"},
		{"a bare CR in a value", rawPost(goodCall, "X-A: a\rAuthorization: b"), "400"},
		{"headers over the limit", rawPost(goodCall, "X-A: "+strings.Repeat("a", 80<<10)), "431"},
		{"many headers", rawPost(goodCall, strings.TrimSuffix(strings.Repeat("X-A: a\r\n", 20_000), "\r\n")), "431"},
		{"a body over the limit", rawPost("", "Content-Length: 2097152"), "413"},
		{"chunks over the limit", rawPost(strings.Repeat("10000\r\n"+strings.Repeat(" ", 1<<16)+"\r\n", 17), "Transfer-Encoding: chunked"), "413"},
		{"no body", rawPost(""), "400"},
		{"another Expect", rawPost(goodCall, "Expect: the-impossible"), "417"},
		{"a method that is none", strings.Replace(rawPost(goodCall), "POST", "PO ST", 1), "400"},
		{"a target with a query", strings.Replace(rawPost(goodCall), "/mcp", "/mcp?a=b", 1), "404"},
		{"a target that is encoded", strings.Replace(rawPost(goodCall), "/mcp", "/%6dcp", 1), "404"},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "403"},
		{"GET with a body", "GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nMcp-Session-Id: a\r\nContent-Length: 5\r\n\r\n", "400"},
		{"GET with chunks", "GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
		{"DELETE with a body", "DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n", "400"},
		{"a request line that does not end", "POST /m", "400"},
		{"headers that do not end", "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n", ""},
		{"a body that does not end", strings.TrimSuffix(rawPost(goodCall), "}"), "400"},
		{"chunks that do not end", rawPost(chunk, "Transfer-Encoding: chunked"), "400"},
	}
	for _, overTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", overTLS), func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, overTLS)
			if got, closed := d.send(rawPost(goodCall)); !strings.HasPrefix(got, "HTTP/1.1 200 ") || closed || d.called.Load() != 1 {
				t.Fatalf("a good call: closed %v, %s", closed, got)
			}
			t.Run("attacks", func(t *testing.T) {
				for _, a := range attacks {
					t.Run(a.name, func(t *testing.T) {
						t.Parallel()
						got, closed := d.send(a.raw)
						_, status, _ := strings.Cut(got, " ")
						if a.want == "" && (got != "" || !closed) || !strings.HasPrefix(status, a.want) {
							t.Errorf("closed %v, got %q, want %q", closed, got, a.want)
						}
					})
				}
			})
			// What a Content-Length of 0 would leave over must not become a request.
			got, closed := d.send(rawPost(chunk+"0\r\n\r\n"+smuggled, "Content-Length: 0", "Transfer-Encoding: chunked"))
			if strings.Count(got, "HTTP/1.1 ") != 1 || !closed {
				t.Errorf("smuggled: %d answers, closed %v: %s", strings.Count(got, "HTTP/1.1 "), closed, got)
			}
			if n := d.called.Load(); n != 2 {
				t.Errorf("%d calls reached the upstream, want the good one and the one in chunks", n)
			}
		})
	}
}

// A client that sends its request byte by byte is cut off in the time of one
// request, whatever it sends.
func TestListenerSlowloris(t *testing.T) {
	d := openDoor(t, false)
	for name, slow := range map[string]string{
		"headers":     strings.Repeat("X-A: b\r\n", 1000),
		"a body":      rawPost(strings.Repeat(" ", 8000)),
		"a GET body":  "GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8000\r\n\r\n" + strings.Repeat(" ", 8000),
		"after a 401": strings.Replace(rawPost(strings.Repeat(" ", 8000)), "/mcp", "/nowhere", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := d.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }() // the server was first
			begun, gone := time.Now(), make(chan struct{})
			go func() {
				defer close(gone)
				_, _ = io.Copy(io.Discard, bufio.NewReader(conn))
			}()
			head, rest, _ := strings.Cut(slow, "\r\n\r\n")
			if rest != "" {
				if _, err := io.WriteString(conn, head+"\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				slow = rest
			} else if _, err := io.WriteString(conn, "POST /mcp HTTP/1.1\r\n"); err != nil {
				t.Fatal(err)
			}
			drip := time.NewTicker(20 * time.Millisecond)
			defer drip.Stop()
			for i := 0; ; i++ {
				select {
				case <-gone:
					if took := time.Since(begun); took > readTime+2*time.Second {
						t.Errorf("cut off after %v", took)
					}
					return
				case <-drip.C:
				}
				if time.Since(begun) > 10*time.Second {
					t.Fatal("not cut off in 10 seconds")
				}
				_, _ = io.WriteString(conn, slow[i:i+1]) // fails when the server has closed
			}
		})
	}
}

// The server that users run has the timeouts and limits that the tests shorten.
func TestListenerIsBounded(t *testing.T) {
	s := newServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 || s.MaxHeaderBytes > 1<<17 {
		t.Errorf("a bound is missing: %+v", s)
	}
}

// HTTP/2 is not offered: the rules above are those of HTTP/1.1, and its streams
// have no deadlines of their own.
func TestListenerSpeaksHTTP1(t *testing.T) {
	d := openDoor(t, true)
	conn, err := d.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // nothing was written
	if p := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("negotiated %q", p)
	}
}
