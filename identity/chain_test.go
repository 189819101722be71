package identity

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpguard/toolcall"
)

// noon is when the tests are run.
func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

const (
	samsToken    = "mcpg_sams-nightly-agent-000000000000000000000000"
	expiredToken = "mcpg_expired-agent-00000000000000000000000000000"
	localToken   = "mcpg_the-laptop-00000000000000000000000000000000"
)

func digestOf(token string) toolcall.Digest { return NewSecret(token).Digest() }

// laptop is a chain with a static token, an expired one, and a local user.
func laptop(t *testing.T, trust bool) *Chain {
	t.Helper()
	c, err := New(Config{
		Tokens: []Token{
			{Name: "nightly-agent", Owner: "sam@example.com", SHA256: digestOf(samsToken), Groups: []string{"ci"}, Expires: noon().Add(time.Hour)},
			{Name: "old-agent", Owner: "fran@example.com", SHA256: digestOf(expiredToken), Groups: []string{"finance"}, Expires: noon()},
		},
		Local: &Local{Username: "sam", Groups: []string{"engineers"}, SHA256: digestOf(localToken), TrustLoopback: trust},
		Now:   noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// request comes from an address with any number of Authorization headers.
func request(from string, authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.RemoteAddr = from
	for _, v := range authorization {
		r.Header.Add("Authorization", v)
	}
	return r
}

const (
	here  = "127.0.0.1:50000"
	there = "192.0.2.7:50000"
)

func TestWhoAsks(t *testing.T) {
	sam := toolcall.Caller{Person: "sam@example.com", Subject: "nightly-agent", Issuer: "token", Client: "nightly-agent", Groups: []string{"ci"}}
	user := toolcall.Caller{Person: "sam", Subject: "sam", Issuer: "local", Client: LocalClient, Groups: []string{"engineers"}}
	trusted := user
	trusted.Client = "" // nobody proved anything
	for _, c := range []struct {
		name  string
		trust bool
		r     *http.Request
		want  toolcall.Caller
	}{
		{"a static token is its owner's agent", false, request(there, "Bearer "+samsToken), sam},
		{"the scheme may be in any case", false, request(there, "bEaReR "+samsToken), sam},
		{"the local token is the laptop's user", false, request(here, "Bearer "+localToken), user},
		{"over IPv6, too", false, request("[::1]:50000", "Bearer "+localToken), user},
		{"loopback without a credential, where it is trusted", true, request(here), trusted},
		{"as an IPv4 address in IPv6", true, request("[::ffff:127.0.0.1]:50000"), trusted},
		{"a token decides, also where loopback is trusted", true, request(here, "Bearer "+samsToken), sam},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := laptop(t, c.trust).Authenticate(c.r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("caller (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNobody(t *testing.T) {
	const plain, invalid, request400 = `Bearer realm="mcpguard"`, `Bearer realm="mcpguard", error="invalid_token"`, `Bearer realm="mcpguard", error="invalid_request"`
	relay := func(header string) *http.Request {
		r := request(here)
		r.Header.Set(header, "192.0.2.7")
		return r
	}
	inQuery := func(query string) *http.Request {
		r := request(here)
		r.URL.RawQuery = query
		return r
	}
	for _, c := range []struct {
		name   string
		trust  bool
		r      *http.Request
		status int
		header string
	}{
		{"no credential", false, request(here), 401, plain},
		{"no credential from elsewhere, where loopback is trusted", true, request(there), 401, plain},
		{"an address that cannot be read", true, request("@"), 401, plain},
		{"no address", true, request(""), 401, plain},
		{"a proxy on loopback: X-Forwarded-For", true, relay("X-Forwarded-For"), 401, plain},
		{"a proxy on loopback: Forwarded", true, relay("Forwarded"), 401, plain},
		{"an unknown token", false, request(here, "Bearer mcpg_other"), 401, invalid},
		{"an expired token", false, request(here, "Bearer "+expiredToken), 401, invalid},
		{"the local token from elsewhere", false, request(there, "Bearer "+localToken), 401, invalid},
		{"the digest is not the token", false, request(here, "Bearer "+digestOf(samsToken).String()), 401, invalid},
		{"another scheme", false, request(here, "Basic c2FtOnNhbQ=="), 401, plain},
		{"a token without a scheme", false, request(here, samsToken), 401, plain},
		{"an empty header", false, request(here, ""), 401, plain},
		{"a scheme without a token", false, request(here, "Bearer"), 400, request400},
		{"a scheme and a blank", false, request(here, "Bearer "), 400, request400},
		{"two tokens", false, request(here, "Bearer "+samsToken+" "+samsToken), 400, request400},
		{"two tokens with a comma", false, request(here, "Bearer "+samsToken+", Bearer "+samsToken), 400, request400},
		{"two headers, both good", false, request(here, "Bearer "+samsToken, "Bearer "+samsToken), 400, request400},
		{"two headers, the first good", false, request(here, "Bearer "+samsToken, "Bearer x"), 400, request400},
		{"a token in the query", true, inQuery("access_token=" + samsToken), 400, request400},
		{"a token in the query, spelt otherwise", true, inQuery("%61ccess_token=" + samsToken), 400, request400},
		{"a query that cannot be read", true, inQuery("a=%zz"), 400, request400},
		{"more than 16 KiB", false, request(here, "Bearer "+fmt.Sprintf("%016384d", 0)), 400, request400},
	} {
		t.Run(c.name, func(t *testing.T) {
			caller, err := laptop(t, c.trust).Authenticate(c.r)
			var f *Failure
			if !errors.As(err, &f) {
				t.Fatalf("got caller %+v and error %v, want a Failure", caller, err)
			}
			if !caller.IsZero() || caller.Person != "" {
				t.Errorf("the error came with the caller %+v", caller)
			}
			if status, header := f.Challenge(); status != c.status || header != c.header {
				t.Errorf("challenge is %d %s, want %d %s", status, header, c.status, c.header)
			}
		})
	}
}

// Law 3: a credential that is present decides alone.
func TestBadTokenNeverFallsBack(t *testing.T) {
	chain := laptop(t, true)
	if _, err := chain.Authenticate(request(here)); err != nil {
		t.Fatalf("without a header the local user is trusted: %v", err)
	}
	for _, header := range []string{
		"", " ", "Bearer", "Bearer ", "Bearer x", "Bearer " + expiredToken, "Basic Og==", "Negotiate x",
		"bearer\t" + samsToken, "Bearer  " + samsToken, "Bearer " + samsToken + "\x00",
	} {
		if caller, err := chain.Authenticate(request(here, header)); err == nil {
			t.Errorf("the header %q became %+v", header, caller)
		}
	}
}

// Law 3: zero values refuse.
func TestZeroValuesRefuse(t *testing.T) {
	empty, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	noLocalToken, err := New(Config{Local: &Local{Username: "sam"}})
	if err != nil {
		t.Fatal(err)
	}
	zeroExpiry, err := New(Config{Now: noon, Tokens: []Token{{Name: "a", Owner: "sam", SHA256: digestOf(samsToken)}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, chain := range map[string]*Chain{
		"nil chain": nil, "zero chain": {}, "empty config": empty, "local user without a token": noLocalToken,
		"token without an expiry": zeroExpiry,
	} {
		for _, r := range []*http.Request{request(here), request(here, "Bearer "+samsToken), request(here, "Bearer ")} {
			if caller, err := chain.Authenticate(r); err == nil {
				t.Errorf("%s: Authorization %q became %+v", name, r.Header["Authorization"], caller)
			}
		}
	}
	if status, header := new(Failure).Challenge(); status != 401 || header != `Bearer realm="mcpguard"` {
		t.Errorf("the zero Failure answers %d %s", status, header)
	}
}

func TestExpiryIsTheFirstRefusedMoment(t *testing.T) {
	now := noon()
	chain, err := New(Config{
		Tokens: []Token{{Name: "a", Owner: "sam", SHA256: digestOf(samsToken), Expires: noon().Add(time.Second)}},
		Now:    func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chain.Authenticate(request(here, "Bearer "+samsToken)); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	now = now.Add(time.Second)
	if _, err := chain.Authenticate(request(here, "Bearer "+samsToken)); err == nil {
		t.Error("the token works at the moment of its end")
	}
}

// A list that could take one caller for another does not load.
func TestAmbiguousTokensAreRefused(t *testing.T) {
	good := Token{Name: "a", Owner: "sam", SHA256: digestOf(samsToken), Expires: noon()}
	with := func(change func(*Token)) Token {
		other := good
		change(&other)
		return other
	}
	for name, c := range map[string]Config{
		"no name":              {Tokens: []Token{with(func(t *Token) { t.Name = "" })}},
		"no owner":             {Tokens: []Token{with(func(t *Token) { t.Owner = "" })}},
		"no digest":            {Tokens: []Token{with(func(t *Token) { t.SHA256 = toolcall.Digest{} })}},
		"digest of nothing":    {Tokens: []Token{with(func(t *Token) { t.SHA256 = digestOf("") })}},
		"a name twice":         {Tokens: []Token{good, with(func(t *Token) { t.SHA256 = digestOf("x") })}},
		"a digest twice":       {Tokens: []Token{good, with(func(t *Token) { t.Name = "b" })}},
		"the local token, too": {Tokens: []Token{good}, Local: &Local{Username: "sam", SHA256: good.SHA256}},
		"a nameless user":      {Local: &Local{TrustLoopback: true}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Groups are handed out as copies: a stage that sorts them changes no token.
func TestCallersShareNothing(t *testing.T) {
	chain := laptop(t, false)
	first, err := chain.Authenticate(request(here, "Bearer "+samsToken))
	if err != nil {
		t.Fatal(err)
	}
	first.Groups[0] = "admins"
	second, err := chain.Authenticate(request(here, "Bearer "+samsToken))
	if err != nil || second.Groups[0] != "ci" {
		t.Errorf("the next caller has groups %v, error %v", second.Groups, err)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	config := Config{Now: noon}
	for i := range 100 {
		config.Tokens = append(config.Tokens, Token{
			Name: fmt.Sprint("agent", i), Owner: "sam", SHA256: digestOf(fmt.Sprint(i)), Expires: noon().Add(time.Hour),
		})
	}
	chain, err := New(config)
	if err != nil {
		b.Fatal(err)
	}
	r := request(there, "Bearer 99")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := chain.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}
