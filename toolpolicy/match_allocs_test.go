package toolpolicy

import (
	"testing"

	"mcpguard/toolcall"
)

// Plain values are judged without allocation, whatever they come to; a relative
// path is joined once.
func TestMatchersDoNotAllocate(t *testing.T) {
	scope := "under: {root: [/srv/projects, /tmp], relative_to: /srv/projects, file_url: true}"
	for _, c := range []struct {
		condition, value string
		want             outcome
		most             float64
	}{
		{scope, `"/srv/projects/a/b/c.txt"`, holds, 0},
		{scope, `"/etc/passwd"`, fails, 0},
		{scope, `"/srv/projects/../x"`, notPlainPath, 0},
		{scope, `"file:///srv/projects/a"`, holds, 0},
		{scope, `"src/a.txt"`, holds, 1},
		{scope + ", not_glob: ['**/.env*', keys, '**/a/**/*.pem']", `"/srv/projects/a/b/c.txt"`, holds, 0},
		{scope + ", not_glob: ['**/.env*', keys]", `"/srv/projects/keys/k"`, fails, 0},
		{"cidr: [10.0.0.0/8, '2001:db8::/32']", `"10.1.2.3"`, holds, 0},
		{"cidr: [10.0.0.0/8, '2001:db8::/32']", `"10.1.0.0/16"`, holds, 0},
		{"cidr: [10.0.0.0/8, '2001:db8::/32']", `"2001:db8::7"`, holds, 0},
		{"cidr: [10.0.0.0/8, '2001:db8::/32']", `"192.0.2.1"`, fails, 0},
		{"url: {hosts: [api.example.com, '*.example.net'], paths: /v1}", `"https://api.example.com/v1/a?b=c"`, holds, 0},
		{"url: {hosts: [api.example.com, '*.example.net'], paths: /v1}", `"https://a.b.example.net/v1"`, holds, 0},
		{"url: {deny_private: true}", `"https://93.184.215.14/"`, holds, 0},
		{"url: {deny_private: true}", `"https://example.com/"`, holds, 1},
		{"email: {domains: [example.com, '*.example.org']}", `"sam.o+tag@example.com"`, holds, 0},
	} {
		p, err := Compile("policy.yaml", []byte("version: 1\nroles: {everyone: {allow: [{tool: t/x, args: {v: {"+c.condition+"}}}]}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		v, err := toolcall.Parse(c.value, toolcall.Limits{Bytes: len(c.value), Depth: 1})
		if err != nil {
			t.Fatal(err)
		}
		tests := p.rules[0].args[0].tests
		last := tests[len(tests)-1].matcher
		if got := last.judge(v); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.condition, c.value, got, c.want)
		}
		if n := testing.AllocsPerRun(100, func() { last.judge(v) }); n > c.most {
			t.Errorf("%s of %s: %v allocations, at most %v", c.condition, c.value, n, c.most)
		}
	}
}
