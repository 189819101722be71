package identity

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"mcpguard/toolcall"
)

// Token is a static token as the configuration lists it: everything but the
// token itself.
type Token struct {
	Name    string          // of the agent software that holds it; unique
	Owner   string          // the person who answers for what is done with it
	SHA256  toolcall.Digest // of the token
	Groups  []string        // of the caller; none gives the role everyone
	Expires time.Time       // from this moment on it is refused; zero is long past
}

// caller is who a holder of the token is.
func (t *Token) caller() toolcall.Caller {
	return toolcall.Caller{
		Person:  t.Owner,
		Subject: t.Name,
		Issuer:  "token",
		Client:  t.Name,
		Groups:  slices.Clone(t.Groups),
	}
}

// emptyDigest is the SHA-256 of nothing: the digest of a variable that was not
// set when somebody hashed it.
func emptyDigest() toolcall.Digest { return Secret{}.Digest() }

// checkTokens refuses a list that could take one caller for another.
func checkTokens(tokens []Token) error {
	names := make(map[string]bool, len(tokens))
	digests := make(map[toolcall.Digest]string, len(tokens))
	for i := range tokens {
		t := &tokens[i]
		switch {
		case t.Name == "":
			return fmt.Errorf("read static token %d: it has no name", i+1)
		case t.Owner == "":
			return fmt.Errorf("read static token %s: it has no owner", t.Name)
		case t.SHA256.IsZero() || t.SHA256 == emptyDigest():
			return fmt.Errorf("read static token %s: its digest is not one of a token", t.Name)
		case names[t.Name]:
			return fmt.Errorf("read static token %s: the name is used twice", t.Name)
		case digests[t.SHA256] != "":
			return fmt.Errorf("read static token %s: %s has the same digest", t.Name, digests[t.SHA256])
		}
		names[t.Name], digests[t.SHA256] = true, t.Name
	}
	return nil
}

// find returns the index of the digest that equals want, or -1. It compares
// with every one of them in constant time, so how long it takes says neither
// which digest matched nor how much of one did.
func find(digests []toolcall.Digest, want toolcall.Digest) int {
	found := -1
	for i := range digests {
		same := subtle.ConstantTimeCompare(digests[i][:], want[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	return found
}
