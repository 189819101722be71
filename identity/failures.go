package identity

import (
	"net/netip"
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

// failures limits failed attempts per remote address. It is asked about
// failures only: a token that verifies passes from an address whatever others
// there did, so that nobody is locked out by a bad client behind the same proxy
// (law 14). A guesser gains nothing by that: tokens are 256 random bits.
type failures struct {
	mu        sync.Mutex
	addresses map[netip.Prefix]*rate.Limiter
	rest      *rate.Limiter // of the addresses beyond maxAddresses
	swept     time.Time     // when addresses was last looked through
}

func newAllowance() *rate.Limiter {
	return rate.NewLimiter(rate.Every(failureEvery), failureBurst)
}

func newFailures() *failures {
	return &failures{addresses: map[netip.Prefix]*rate.Limiter{}, rest: newAllowance()}
}

// note counts a failed attempt, and reports whether the address may still fail.
func (f *failures) note(remote string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at(origin(remote), now).AllowN(now, 1)
}

// at finds the allowance of an address, or makes room for it.
func (f *failures) at(from netip.Prefix, now time.Time) *rate.Limiter {
	if l := f.addresses[from]; l != nil {
		return l
	}
	if len(f.addresses) >= maxAddresses && now.Sub(f.swept) >= failureEvery {
		f.swept = now
		for key, l := range f.addresses {
			if l.TokensAt(now) >= failureBurst {
				delete(f.addresses, key) // as good as new
			}
		}
	}
	if len(f.addresses) >= maxAddresses {
		return f.rest
	}
	l := newAllowance()
	f.addresses[from] = l
	return l
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
