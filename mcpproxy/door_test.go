package mcpproxy_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

// Who may knock: names of this host, and pages of it, unless the configuration
// names others (MCP, Streamable HTTP, "Security Warning").
func TestHostAndOrigin(t *testing.T) {
	type knock struct{ host, origin string }
	for _, c := range []struct {
		name  string
		setup setup
		in    []knock
		out   []knock
	}{
		{"on loopback", setup{},
			[]knock{{"localhost", ""}, {"127.0.0.1:8437", ""}, {"[::1]:8437", ""}, {"LOCALHOST:1", ""}, {"127.8.8.8", ""},
				{"localhost", "http://localhost:3000"}, {"localhost", "https://127.0.0.1"}, {"localhost", "http://[::1]:9"}},
			[]knock{{"evil.example", ""}, {"localhost.evil.example", ""}, {"127.0.0.1.evil.example", ""}, {"10.0.0.1", ""}, {"[fe80::1]", ""},
				{"localhost", "http://evil.example"}, {"localhost", "null"}, {"localhost", "http://localhost.evil.example"},
				{"localhost", "http://localhost@evil.example"}, {"localhost", "file://"}, {"localhost", "%zz"}}},
		{"on loopback, with another name", setup{hosts: []string{"guard.test"}, origins: []string{"https://app.example"}},
			[]knock{{"guard.test", ""}, {"guard.test:443", "https://app.example"}, {"localhost", "https://app.example"}},
			[]knock{{"guard.test.evil.example", ""}, {"guard.test", "https://app.example.evil.example"}, {"guard.test", "http://app.example"}}},
		{"beyond loopback, behind names", setup{public: true, hosts: []string{"guard.example"}},
			[]knock{{"guard.example", ""}, {"guard.example:443", ""}},
			[]knock{{"localhost", ""}, {"evil.example", ""}, {"guard.example", "http://localhost"}, {"guard.example", "https://guard.example"}}},
		{"beyond loopback", setup{public: true},
			[]knock{{"anything.example", ""}},
			[]knock{{"anything.example", "https://page.example"}, {"anything.example", "http://localhost"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newPeer(t)
			c.setup.policy, c.setup.upstreams = losslessPolicy, []mcpproxy.Upstream{up.upstream("crm")}
			r := newRig(t, c.setup)
			agent := r.agent("sam", "/mcp")
			try := func(k knock) int {
				req := agent.modernRequest(t.Context(), toolCall("1", "echo", `{}`))
				req.Host = k.host
				if k.origin != "" {
					req.Header.Set("Origin", k.origin)
				}
				return agent.do(req).status
			}
			for _, k := range c.in {
				if status := try(k); status != http.StatusOK {
					t.Errorf("%+v: %d", k, status)
				}
			}
			calls := len(up.all("tools/call"))
			for _, k := range c.out {
				if status := try(k); status != http.StatusForbidden {
					t.Errorf("%+v: %d", k, status)
				}
			}
			if n := len(up.all("tools/call")); n != calls {
				t.Errorf("%d strangers reached the upstream", n-calls)
			}
		})
	}
}

// Two origins are none.
func TestTwoOriginsAreRefused(t *testing.T) {
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	a := r.agent("sam", "/mcp")
	req := a.request(t.Context(), http.MethodPost, ping)
	req.Header["Origin"] = []string{"http://localhost", "http://localhost"}
	if got := a.do(req); got.status != http.StatusForbidden {
		t.Errorf("got %d", got.status)
	}
}

// A header of which there are two is refused where it matters: another hop could
// take the other one.
func TestHeadersThatStandTwice(t *testing.T) {
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	for _, name := range []string{"Authorization", "Mcp-Session-Id", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", "Last-Event-Id", "Content-Type"} {
		req := a.request(t.Context(), http.MethodPost, ping)
		value := req.Header.Get(name)
		req.Header[name] = []string{value, value}
		if got := a.do(req); got.status != http.StatusBadRequest || !strings.Contains(got.reason(), "twice") {
			t.Errorf("two %s: %d %s", name, got.status, got)
		}
	}
}

func TestContentTypes(t *testing.T) {
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	for value, want := range map[string]int{
		"application/json":                      http.StatusOK,
		"application/json; charset=utf-8":       http.StatusOK,
		"Application/JSON;charset=\"UTF-8\"":    http.StatusOK,
		"application/json; charset=utf-16":      http.StatusUnsupportedMediaType,
		"application/json; charset=iso-8859-1":  http.StatusUnsupportedMediaType,
		"text/plain":                            http.StatusUnsupportedMediaType,
		"application/json-seq":                  http.StatusUnsupportedMediaType,
		"application/x-www-form-urlencoded":     http.StatusUnsupportedMediaType,
		"multipart/form-data; boundary=x":       http.StatusUnsupportedMediaType,
		"application/json, application/json":    http.StatusUnsupportedMediaType,
		"application/json; charset=utf-8; a=b;": http.StatusOK,
		"":                                      http.StatusUnsupportedMediaType,
	} {
		if got := a.post(ping, "Content-Type: "+value); got.status != want {
			t.Errorf("%q: %d, want %d", value, got.status, want)
		}
	}
	for _, encoding := range []string{"gzip", "identity", "br", "x"} {
		if got := a.post(ping, "Content-Encoding: "+encoding); got.status != http.StatusUnsupportedMediaType {
			t.Errorf("Content-Encoding %s: %d", encoding, got.status)
		}
	}
}

// A path that another hop could read differently names nothing, and neither does
// one without an upstream behind it. All of them answer alike.
func TestPaths(t *testing.T) {
	crm, erp := newPeer(t), newPeer(t)
	one := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{crm.upstream("crm")}})
	two := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{crm.upstream("crm"), erp.upstream("erp")}})
	for _, c := range []struct {
		path     string
		one, two int // status with one upstream, and with two
	}{
		{"/mcp", 200, 404}, {"/t/mcp", 200, 404},
		{"/mcp/crm", 200, 200}, {"/t/mcp/crm", 200, 200}, {"/mcp/erp", 404, 200},
		{"/", 404, 404}, {"/mcp/", 404, 404}, {"/mcp/crm/", 404, 404}, {"/mcp/none", 404, 404}, {"/mcp/CRM", 404, 404},
		{"/mcp//crm", 404, 404}, {"//mcp/crm", 404, 404}, {"/mcp/./crm", 404, 404}, {"/mcp/x/../crm", 404, 404},
		{"/mcp%2fcrm", 404, 404}, {"/mcp/%2e%2e/mcp/crm", 404, 404}, {"/mcp/crm%00", 404, 404}, {"/mcp/c%2frm", 404, 404},
		{"/mcp/crm?x=1", 404, 404}, {"/mcp;x/crm", 404, 404}, {"/t/t/mcp", 404, 404}, {"/tmcp", 404, 404},
		{"/mcp/crm%2e", 404, 404}, {"/MCP", 404, 404},
	} {
		for r, want := range map[*rig]int{one: c.one, two: c.two} {
			if got := status(t, r, c.path); got != want {
				t.Errorf("%s: %d, want %d", c.path, got, want)
			}
		}
	}
}

// status is that of an initialize on a path, sent as it is: http.Client would
// clean it.
func status(t *testing.T, r *rig, path string) int {
	t.Helper()
	address := strings.TrimPrefix(r.url, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, conn)
	body := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		path, address, r.tokens["sam"].Reveal(), len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	res.Body.Close()
	return res.StatusCode
}

// A message over the limit is 413, announced or not, and harms nobody.
func TestOversizeRequests(t *testing.T) {
	up := newPeer(t)
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")},
		limits: func(l *mcpproxy.Limits) { l.Request = 4096 }})
	a := r.legacy("sam", "/mcp")
	fits := func(n int) string {
		frame := toolCall("1", "echo", `{"text":""}`)
		return toolCall("1", "echo", `{"text":"`+strings.Repeat("x", n-len(frame))+`"}`)
	}
	if got := a.post(fits(4096)); got.status != http.StatusOK {
		t.Errorf("a message as long as the limit: %d", got.status)
	}
	for what, length := range map[string]int64{"announced": 0, "chunked": -1} {
		req := a.request(t.Context(), http.MethodPost, fits(4097))
		if length != 0 {
			req.ContentLength = length
		}
		if got := a.do(req); got.status != http.StatusRequestEntityTooLarge || !strings.Contains(got.reason(), "too large") {
			t.Errorf("%s: %d %s", what, got.status, got)
		}
	}
	if n := len(up.all("tools/call")); n != 1 {
		t.Errorf("the upstream heard %d calls, want the one that fits", n)
	}
	if n := len(r.recorded(audit.Refusal)); n != 2 {
		t.Errorf("%d refusals are recorded", n)
	}
	if got := a.post(ping); got.status != http.StatusOK {
		t.Errorf("after that: %s", got)
	}
}

// Nesting is bounded in both directions.
func TestDeepNesting(t *testing.T) {
	up := newPeer(t)
	deep := strings.Repeat("[", 130) + strings.Repeat("]", 130)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		sayJSON(w, m.result(`{"content":[],"structuredContent":`+deep+`}`))
	}
	r := newRig(t, setup{policy: losslessPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
	a := r.legacy("sam", "/mcp")
	if got := a.call("1", "echo", `{"a":`+deep+`}`); got.status != http.StatusBadRequest || !strings.Contains(got.reason(), "nested too deeply") {
		t.Errorf("a request: %s", got)
	}
	if got := a.call("1", "echo", `{}`); !strings.Contains(got.reason(), "nested too deeply") || strings.Contains(got.body, "[[[[[[[") {
		t.Errorf("a result: %s", got)
	}
	if r.outcomes() != "failed" {
		t.Errorf("outcomes: %s", r.outcomes())
	}
}
