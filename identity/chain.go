package identity

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"mcpguard/toolcall"
)

// Config says whom a Chain recognises. The zero Config is nobody.
type Config struct {
	Tokens []Token          // static tokens; none: none is accepted
	Local  *Local           // the laptop's user; nil: there is none
	Now    func() time.Time // nil: time.Now
}

// Chain recognises callers. It is safe for concurrent use. A nil or zero Chain
// refuses everybody.
type Chain struct {
	tokens   []Token
	local    *Local
	digests  []toolcall.Digest // of tokens, in their order, then of the local token
	now      func() time.Time
	failures *failures
}

// New checks the configuration: a list of tokens that could take one caller
// for another, or a local user without a name, is refused.
func New(c Config) (*Chain, error) {
	if err := checkTokens(c.Tokens); err != nil {
		return nil, err
	}
	chain := &Chain{tokens: slices.Clone(c.Tokens), now: c.Now, failures: newFailures()}
	if chain.now == nil {
		chain.now = time.Now
	}
	for i := range chain.tokens {
		chain.digests = append(chain.digests, chain.tokens[i].SHA256)
	}
	if c.Local == nil {
		return chain, nil
	}
	local := *c.Local
	if local.Username == "" {
		return nil, errors.New("read the local user: no name")
	}
	if !local.SHA256.IsZero() {
		if find(chain.digests, local.SHA256) >= 0 {
			return nil, errors.New("read the local user: a static token has the digest of the local token")
		}
		chain.digests = append(chain.digests, local.SHA256)
	}
	chain.local = &local
	return chain, nil
}

// Authenticate says who asks. Every error is a *Failure. The order is: a
// present Authorization header decides alone; only without one may a loopback
// request be the local user's, where the configuration trusts loopback. A good
// token always passes; an address that failed too often gets a 429 for failures.
func (c *Chain) Authenticate(r *http.Request) (toolcall.Caller, error) {
	if c == nil || c.failures == nil {
		return toolcall.Caller{}, noCredential()
	}
	token, present, err := bearer(r)
	if err == nil && !present {
		return c.local.trusted(r)
	}
	var caller toolcall.Caller
	if err == nil {
		caller, err = c.holder(find(c.digests, token.Digest()), r)
	}
	if err != nil && !c.failures.note(r.RemoteAddr, c.now()) {
		return toolcall.Caller{}, tooManyFailures(failureEvery)
	}
	return caller, err
}

// holder is who holds the token with index i, if it is good now and here.
func (c *Chain) holder(i int, r *http.Request) (toolcall.Caller, error) {
	switch {
	case i < 0:
		return toolcall.Caller{}, invalidToken("the token is not known")
	case i == len(c.tokens):
		if !fromLoopback(r) {
			return toolcall.Caller{}, invalidToken("the local token came from another machine")
		}
		return c.local.caller(LocalClient), nil
	}
	if t := &c.tokens[i]; !c.now().Before(t.Expires) {
		return toolcall.Caller{}, invalidToken("the token " + t.Name + " expired on " + t.Expires.UTC().Format(time.RFC3339))
	}
	return c.tokens[i].caller(), nil
}
