package identity

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// An address may fail failureBurst times at once, and once in failureEvery
// after that. Up to maxAddresses are told apart; the rest share one allowance.
const (
	failureBurst = 20
	failureEvery = time.Second
	maxAddresses = 4096
)

// failures limits failed attempts per remote address. An address that used up
// its failures is refused whatever it presents, so that it learns nothing from
// guessing on; except a token that was accepted from it before, so that one
// bad client does not lock out the good ones beside it (law 14).
type failures struct {
	mu        sync.Mutex
	addresses map[netip.Prefix]*attempts
	rest      attempts  // of the addresses beyond maxAddresses
	swept     time.Time // when addresses was last looked through
}

type attempts struct {
	limit *rate.Limiter
	known []int // indexes of tokens that were accepted from here
}

func newAttempts() attempts {
	return attempts{limit: rate.NewLimiter(rate.Every(failureEvery), failureBurst)}
}

func newFailures() *failures {
	return &failures{addresses: map[netip.Prefix]*attempts{}, rest: newAttempts()}
}

// note counts an attempt with the token of an index. It returns the refusal of
// an address that failed too often, else nil.
func (f *failures) note(remote string, token int, good bool, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.at(origin(remote), now)
	switch {
	case good && slices.Contains(a.known, token):
		return nil
	case a.limit.TokensAt(now) < 1:
		return tooManyFailures(failureEvery)
	case !good:
		a.limit.AllowN(now, 1)
	case a != &f.rest:
		a.known = append(a.known, token)
	}
	return nil
}

// at finds the attempts of an address, or makes room for them.
func (f *failures) at(from netip.Prefix, now time.Time) *attempts {
	if a := f.addresses[from]; a != nil {
		return a
	}
	if len(f.addresses) >= maxAddresses && now.Sub(f.swept) >= failureEvery {
		f.swept = now
		for key, a := range f.addresses {
			if a.limit.TokensAt(now) >= failureBurst {
				delete(f.addresses, key) // as good as new
			}
		}
	}
	if len(f.addresses) >= maxAddresses {
		return &f.rest
	}
	a := newAttempts()
	f.addresses[from] = &a
	return &a
}

// origin is the unit that failures are counted by: an IPv4 address, or the /64
// of an IPv6 one, which is what a single host is given. Peers without an
// address (a unix socket) are one.
func origin(remote string) netip.Prefix {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr := peer.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() && !addr.IsLoopback() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // bits always fit the address
	return prefix
}
