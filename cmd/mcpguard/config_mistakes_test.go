package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpguard/toolpolicy"
)

// found is the mistakes of a text, as "line:col message | hint".
func found(t *testing.T, text string, variables ...string) []string {
	t.Helper()
	_, err := loadText(t, text, overrides{}, variables...)
	var mistakes toolpolicy.Mistakes
	if err != nil && !errors.As(err, &mistakes) {
		t.Fatalf("load: %v", err)
	}
	var lines []string
	for _, m := range mistakes {
		lines = append(lines, fmt.Sprintf("%d:%d %s | %s", m.Line, m.Col, m.Message, m.Hint))
	}
	return lines
}

// Every mistake is found at once, at its place, in the order of the lines.
func TestAllMistakesAtOnce(t *testing.T) {
	got := strings.Join(found(t, `listn: 127.0.0.1:8437
store: postgres://guard
upstreams:
  crm: {evn: {}}
  a__b: {command: x}
identity:
  oidc: []
limits: {request: 1MB, depth: 129}
limits: {}
`), "\n")
	want := `1:1 unknown key "listn" | listen
2:8 store: PostgreSQL is not available in this version | sqlite://mcpguard.db
4:3 upstreams.crm has neither a url nor a command | {url: http://127.0.0.1:9101/mcp}
4:9 unknown key "evn" | env
5:3 the upstream name "a__b" holds __, which parts upstream and tool | 1 to 32 of A-Z a-z 0-9 _ -, without __
7:3 identity.oidc: OIDC is not available in this version | identity.tokens or identity.local
8:19 limits.request: it is not a size | a number and B, KiB, MiB or GiB, such as 1MiB
8:31 limits.depth: 129 is more than the 128 levels that are ever read | 
9:1 the key "limits" stands here twice | 
0:0 policy is missing: nothing would be allowed | policy: policy.yaml`
	if got != want {
		t.Errorf("mistakes are\n%s\nwant\n%s", got, want)
	}
}

func TestMistakes(t *testing.T) {
	const digest = `"0100000000000000000000000000000000000000000000000000000000000002"`
	token := func(fields string) string { return smallest + "identity: {tokens: [{" + fields + "}]}\n" }
	upstream := func(body string) string { return "policy: policy.yaml\nupstreams: {crm: " + body + "}\n" }
	for _, c := range []struct{ name, text, want string }{
		{"an empty file", "", "0:0 the file is empty"},
		{"comments only", "# nothing\n", "0:0 the file is empty"},
		{"a list", "- listen\n", "1:1 the configuration is not a mapping"},
		{"not YAML", "listen: [1\npolicy: x\n", "it is not YAML"},
		{"a tab", "\tlisten: x\n", "1:1 it is not YAML: found character that cannot start any token | spaces where the line begins: YAML takes no tabs there"},
		{"not UTF-8", "listen: \xff\n", "it is not YAML"},
		{"a second document", smallest + "---\n" + smallest, "a second document"},
		{"an anchor", "policy: &p policy.yaml\nupstreams: {crm: {url: http://127.0.0.1:1/}}\n", "1:9 policy uses an anchor or alias"},
		{"a merge key", smallest + "<<: {listen: x}\n", "3:1 a key that is not plain text"},
		{"another tool's top key", smallest + "mcpServers: {}\n", "| upstreams, with the same block below it"},
		{"no value", smallest + "listen:\n", "listen has no value"},
		{"a list for a value", smallest + "listen: [a]\n", "3:9 listen is not a single value"},

		{"no port", smallest + "listen: localhost\n", "3:9 listen: it is not host:port"},
		{"a named port", smallest + "listen: localhost:http\n", "the port is not a number"},
		{"a port too high", smallest + "listen: localhost:65536\n", "the port is not a number"},
		{"a unix socket", smallest + "listen: unix:/run/x.sock\n", "the port is not a number"},
		{"a policy that is not there", "policy: none.yaml\nupstreams: {crm: {url: http://h/}}\n", "1:9 policy: stat "},
		{"an empty policy", "policy: ''\nupstreams: {crm: {url: http://h/}}\n", "1:9 policy: it is empty"},
		{"an unknown store", smallest + "store: mysql://x\n", "there is no such kind of store"},
		{"a store without a kind", smallest + "store: guard.db\n", "it names no kind of store"},
		{"a store in memory", smallest + "store: 'sqlite://:memory:'\n", "does not survive"},
		{"a store with options", smallest + "store: sqlite://x.db?mode=ro\n", "takes no options"},
		{"a half tls", smallest + "tls: {cert: c.pem}\n", "tls needs both cert and key"},
		{"tls files that are not there", smallest + "tls: {cert: c.pem, key: k.pem}\n", "3:13 tls: open "},
		{"an empty tls", smallest + "tls: {}\n", "3:6 tls needs both cert and key"},
		{"YAML 1.1's truth", smallest + "behind_tls_proxy: yes\n", "3:19 behind_tls_proxy: it is neither true nor false"},
		{"an origin with a path", smallest + "allowed_origins: [https://a.example.com/]\n", "is not scheme://host"},
		{"a pattern of hosts", smallest + "allowed_hosts: ['*.example.com']\n", "takes no patterns"},
		{"a host twice", smallest + "allowed_hosts: [a, a]\n", "has an entry twice"},
		{"hosts that are no list", smallest + "allowed_hosts: a\n", "allowed_hosts is not a list"},
		{"an admin listener without a key", smallest + "admin: 127.0.0.1:8438\n", "3:8 admin is not a mapping"},
		{"an admin listener nowhere", smallest + "admin: {groups: {admin: [a]}}\n", "3:8 admin has no listen | admin: {listen:"},
		{"admins who are nobody", smallest + "admin: {listen: '127.0.0.1:1', groups: {admin: []}}\n", "admin.groups.admin is empty: nobody is in it"},
		{"an unknown standing", smallest + "admin: {listen: '127.0.0.1:1', groups: {approver: [a]}}\n", `unknown key "approver"`},
		{"an unknown key of admin", smallest + "admin: {listen: '127.0.0.1:1', token: a}\n", `unknown key "token"`},
		{"less memory than two results", smallest + "limits: {memory: 63MiB}\n", "limits.memory is less than twice the largest limits.result"},
		{"a result larger than the memory", upstream("{url: http://h/, limits: {result: 200MiB}}"), "limits.memory is less than twice the largest limits.result"},
		{"an unknown limit", smallest + "limits: {requests: 1}\n", `unknown key "requests" | request`},
		{"a limit of nothing", smallest + "limits: {sessions: 0}\n", "it is not a positive whole number"},
		{"an octal limit", smallest + "limits: {sessions: 010}\n", "it is not a positive whole number"},
		{"limits without any", smallest + "limits:\n", "limits has no value"},
		{"raw arguments", smallest + "record: {arguments: raw}\n", `record.arguments: "raw" is none of redacted, digest, none`},
		{"an unknown durability", smallest + "record: {durability: fast}\n", `record.durability: "fast" is none of strict, overlapped, relaxed`},
		{"retention without a unit", smallest + "record: {retention: {age: 30}}\n", "record.retention.age: it is not a duration"},
		{"an unknown key of retention", smallest + "record: {retention: {days: 30}}\n", `unknown key "days"`},
		{"a bare reference", smallest + "listen: ${LISTEN}\n", "${LISTEN} says not where its value is | ${env:LISTEN}"},
		{"a variable that is not set", smallest + "listen: ${env:LISTEN}\n", "the variable LISTEN is not set"},

		{"a token without an owner", token("name: a, sha256: " + digest + ", expires: 2027-01-31"), "identity.tokens[0] has no owner"},
		{"a token without an expiry", token("name: a, owner: b, sha256: " + digest), "identity.tokens[0] has no expires"},
		{"a token whose expiry is no day", token("name: a, owner: b, sha256: " + digest + ", expires: never"), "it is not a day or a moment"},
		{"a token with a short digest", token(`name: a, owner: b, sha256: "01", expires: 2027-01-31`), "is not 64 hexadecimal digits"},
		{"a token for its digest", token("name: a, owner: b, sha256: mcpg_hunter, expires: 2027-01-31"), "identity.tokens[0].sha256 is the token itself, where its digest belongs | mcpguard token new, for another token"},
		{"a token in clear", token("name: a, owner: b, token: mcpg_x, sha256: " + digest + ", expires: 2027-01-31"), `unknown key "token"`},
		{"a name that is a number", token("name: 17, owner: b, sha256: " + digest + ", expires: 2027-01-31"), "name is not text | put it in quotes"},
		{"a token's name twice", token("name: a, owner: b, sha256: " + digest + ", expires: 2027-01-31}, {name: a, owner: b, sha256: \"" + strings.Repeat("ab", 32) + "\", expires: 2027-01-31"), `the token name "a" is used twice`},
		{"a token's digest twice", token("name: a, owner: b, sha256: " + digest + ", expires: 2027-01-31}, {name: c, owner: b, sha256: " + digest + ", expires: 2027-01-31"), `the token "a" has the same digest`},
		{"an unknown identity", smallest + "identity: {tokns: []}\n", `unknown key "tokns" | tokens`},
		{"an unknown key of local", smallest + "identity: {local: {group: [a]}}\n", `unknown key "group" | groups`},

		{"no upstreams", "policy: policy.yaml\n", "0:0 upstreams is missing"},
		{"empty upstreams", "policy: policy.yaml\nupstreams: {}\n", "2:12 upstreams is empty"},
		{"an upstream with both", upstream("{url: http://h/, command: x}"), "2:13 upstreams.crm has a url and a command"},
		{"an upstream with nothing", upstream("{}"), "has neither a url nor a command"},
		{"an upstream that is text", upstream("http://h/"), "upstreams.crm is not a mapping"},
		{"a name with a dot", "policy: policy.yaml\nupstreams: {a.b: {command: x}}\n", "holds other characters"},
		{"a long name", "policy: policy.yaml\nupstreams: {" + strings.Repeat("a", 33) + ": {command: x}}\n", "is not 1 to 32 characters long"},
		{"a transport that is none", upstream("{transport: websocket, url: http://h/}"), `upstreams.crm.transport: "websocket" is none of auto, streamable-http, sse`},
		{"a transport and another type", upstream("{type: sse, transport: auto, url: http://h/}"), "upstreams.crm.transport contradicts the type sse"},
		{"a transport of a command", upstream("{transport: sse, command: a}"), "upstreams.crm.transport does not fit a command"},
		{"sharing that is none", upstream("{share: everybody, command: a}"), `upstreams.crm.share: "everybody" is none of session, caller, all`},
		{"sharing of a url", upstream("{share: all, url: http://h/}"), "upstreams.crm.share does not fit a url"},
		{"an unknown type", upstream("{type: ws, url: http://h/}"), `there is no type "ws"`},
		{"a type that does not fit", upstream("{type: stdio, url: http://h/}"), "upstreams.crm.type does not fit a url"},
		{"arguments of a URL", upstream("{url: http://h/, args: [a]}"), "upstreams.crm.args does not fit a url"},
		{"headers of a command", upstream("{command: x, headers: {a: b}}"), "upstreams.crm.headers does not fit a command"},
		{"a URL that is none", upstream("{url: h/mcp}"), "it is not a URL"},
		{"a URL of files", upstream("{url: file:///etc}"), "it is not a URL"},
		{"a URL of ftp", upstream("{url: ftp://h/}"), "it is neither http nor https"},
		{"a URL with a password", upstream("{url: http://u:p@h/}"), "it holds a user or password"},
		{"a URL with a fragment", upstream("{url: http://h/#x}"), "it holds a fragment"},
		{"an agent's own key", upstream("{url: http://h/, autoApprove: [a]}"), `unknown key "autoApprove" | a rule under allow in the policy`},
		{"a header of ours", upstream("{url: http://h/, headers: {Mcp-Session-Id: x}}"), "the header Mcp-Session-Id is mcpguard's own to set"},
		{"another header of ours", upstream("{url: http://h/, headers: {HOST: x}}"), "the header HOST is mcpguard's own to set"},
		{"a header with a line break", upstream(`{url: http://h/, headers: {X-A: "a\r\nX-B: b"}}`), "the value of X-A holds a control character"},
		{"a header that is no name", upstream("{url: http://h/, headers: {'X A': b}}"), `"X A" is no name of a header`},
		{"a header twice", upstream("{url: http://h/, headers: {X-A: a, x-a: b}}"), "has x-a twice, in another case"},
		{"a variable that is no name", upstream("{command: x, env: {A-B: c}}"), `"A-B" is no name of a variable`},
		{"a variable that is a number", upstream("{command: x, env: {A: 1}}"), "upstreams.crm.env.A is not text | put it in quotes"},
		{"an empty command", upstream("{command: ' '}"), "command is empty"},
		{"arguments that are no list", upstream("{command: x, args: -y}"), "args is not a list"},
		{"an editor's reference", upstream("{command: x, env: {A: '${input:key}'}}"), "there is no reference ${input:key}"},
		{"a reference without an end", upstream("{command: x, env: {A: '${B'}}"), "a reference without its closing brace"},
		{"a secret's file that is not there", upstream("{command: x, env: {A: '${file:none}'}}"), "resolve ${file:none}: open "},
		{"a general limit on an upstream", upstream("{command: x, limits: {sessions: 3}}"), `unknown key "sessions"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := found(t, c.text)
			if len(got) != 1 || !strings.Contains(got[0], c.want) {
				t.Errorf("mistakes are %q, want one: %q", got, c.want)
			}
		})
	}
}

// What is written once and used twice would be checked in one place only.
func TestAnchorsAreRefused(t *testing.T) {
	got := found(t, "policy: policy.yaml\nupstreams: {crm: &u {url: http://h/}, crm2: *u}\n")
	if len(got) != 2 || !strings.HasPrefix(got[0], "2:18 ") || !strings.HasPrefix(got[1], "2:45 ") {
		t.Errorf("mistakes are %q, want one at the anchor and one at the alias", got)
	}
}

// A misspelt variable of ours is refused; what others put into the environment
// under our name is not.
func TestUnknownVariables(t *testing.T) {
	got := found(t, smallest, "MCPGUARD_LISTN=127.0.0.1:1", "MCPGUARD_SERVICE_HOST=10.0.0.1", "MCPGUARD_PORT=tcp://10.0.0.1:8437", "MCPGUARD_TEST_REQUIRE=all")
	if len(got) != 1 || !strings.Contains(got[0], "there is no such setting | MCPGUARD_LISTEN") {
		t.Errorf("mistakes are %q, want the misspelt one", got)
	}
	if got := found(t, smallest, "MCPGUARD_LISTEN=nowhere"); len(got) != 1 || !strings.Contains(got[0], "listen: it is not host:port") {
		t.Errorf("mistakes are %q, want the wrong value", got)
	}
}

// A listener that others can reach needs tokens, and TLS somewhere.
func TestReach(t *testing.T) {
	const tokens = `identity: {local: {}, tokens: [{name: a, owner: sam, sha256: "0100000000000000000000000000000000000000000000000000000000000002", expires: 2027-01-31}]}` + "\n"
	const noTokens, noTLS = "there are no identity.tokens", "without TLS"
	for _, c := range []struct {
		listen, more string
		want         []string
	}{
		{"127.0.0.1:0", "", nil},
		{"127.8.8.8:1", "", nil},
		{"'[::1]:1'", "", nil},
		{"localhost:1", "", nil},
		{"'[::ffff:127.0.0.1]:1'", "", nil},
		{"0.0.0.0:1", "", []string{noTokens, noTLS}},
		{"':1'", "", []string{noTokens, noTLS}},
		{"'[::]:1'", "", []string{noTokens, noTLS}},
		{"192.0.2.1:1", tokens, []string{noTLS}},
		{"guard.example.com:1", tokens, []string{noTLS}},
		{"localhost.example.com:1", tokens, []string{noTLS}},
		{"0.0.0.0:1", "behind_tls_proxy: true\n", []string{noTokens}},
		{"0.0.0.0:1", tokens + "behind_tls_proxy: true\n", nil},
		{"0.0.0.0:1", "behind_tls_proxy: true\nidentity: {local: {trust_loopback: true}}\n", []string{noTokens, "every request of the proxy comes over loopback"}},
	} {
		got := found(t, smallest+"listen: "+c.listen+"\n"+c.more)
		ok := len(got) == len(c.want)
		for i := range min(len(got), len(c.want)) {
			ok = ok && strings.Contains(got[i], c.want[i])
		}
		if !ok {
			t.Errorf("listen %s with %q: mistakes are %q, want %q", c.listen, c.more, got, c.want)
		}
	}
}

func TestFlagMistakesNameTheFlag(t *testing.T) {
	for _, c := range []struct {
		flags overrides
		want  string
	}{
		{overrides{settings: map[string]string{"listen": "x"}}, "--listen: listen: it is not host:port"},
		{overrides{settings: map[string]string{"listen": "0.0.0.0:1"}}, "--listen: 0.0.0.0:1 can be reached"},
		{overrides{settings: map[string]string{"policy": "nowhere.yaml"}}, "nowhere.yaml: no such file or directory"},
		{overrides{settings: map[string]string{"record.durability": "fast"}}, "--durability: record.durability:"},
		{overrides{upstream: "nowhere"}, "--upstream: it is not a URL"},
		{overrides{upstreamCmd: "a 'b"}, "--upstream-cmd: the command line ends inside a quotation"},
		{overrides{upstream: "http://h/", upstreamCmd: "a"}, "--upstream-cmd: there is an --upstream too"},
	} {
		_, err := loadText(t, smallest, c.flags)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want %q", err, c.want)
		}
	}
}

func TestTooLargeAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcpguard.yaml")
	if err := os.WriteFile(path, []byte(strings.Repeat("#", maxConfig+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(path, overrides{}, testEnvironment()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error is %v", err)
	}
}
