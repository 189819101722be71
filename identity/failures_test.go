package identity

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func statusOf(t *testing.T, err error) int {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("error is %v, want a Failure", err)
	}
	status, _ := f.Challenge()
	return status
}

// fail uses up what an address may fail.
func exhaust(t *testing.T, c *Chain, from string) {
	t.Helper()
	for i := range failureBurst {
		_, err := c.Authenticate(request(from, "Bearer guess"))
		if status := statusOf(t, err); status != 401 {
			t.Fatalf("failure %d of %d is answered %d", i+1, failureBurst, status)
		}
	}
}

func TestFailuresAreLimitedPerAddress(t *testing.T) {
	c := laptop(t, false)
	exhaust(t, c, there)
	_, err := c.Authenticate(request(there, "Bearer guess"))
	if status := statusOf(t, err); status != 429 {
		t.Errorf("failure %d is answered %d, want 429", failureBurst+1, status)
	}
	var f *Failure
	if errors.As(err, &f); f.RetryAfter() != "1" {
		t.Errorf("Retry-After is %q, want 1 second", f.RetryAfter())
	}
	if _, err := c.Authenticate(request("192.0.2.8:1", "Bearer guess")); statusOf(t, err) != 401 {
		t.Errorf("another address is answered %v", err)
	}
}

// Law 14: a bad client does not lock out the good ones behind the same proxy,
// also not those that were never seen before.
func TestGoodTokenPassesBesideABadClient(t *testing.T) {
	for _, c := range []struct{ name, from, token string }{
		{"a static token from the same address", there, samsToken},
		{"over another connection", "192.0.2.7:50001", samsToken},
		{"the local token", here, localToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain := laptop(t, false)
			exhaust(t, chain, c.from)
			for range 3 {
				if caller, err := chain.Authenticate(request(c.from, "Bearer "+c.token)); err != nil || caller.IsZero() {
					t.Fatalf("caller %+v, error %v", caller, err)
				}
				if _, err := chain.Authenticate(request(c.from, "Bearer guess")); statusOf(t, err) != 429 {
					t.Fatalf("a guess beside it is answered %v", err)
				}
			}
		})
	}
}

// Failures are failures, whatever is wrong with the credential.
func TestEveryFailureIsLimited(t *testing.T) {
	for name, authorization := range map[string]string{
		"expired": "Bearer " + expiredToken, "the local token from afar": "Bearer " + localToken,
		"malformed": "Bearer a b", "another scheme": "Basic c2FtOng=",
	} {
		c := laptop(t, false)
		exhaust(t, c, there)
		if _, err := c.Authenticate(request(there, authorization)); statusOf(t, err) != 429 {
			t.Errorf("%s: answered %v, want 429", name, err)
		}
	}
}

func TestAllowanceComesBack(t *testing.T) {
	c := laptop(t, false)
	now := noon()
	c.now = func() time.Time { return now }
	exhaust(t, c, there)
	now = now.Add(failureEvery)
	for _, want := range []int{401, 429} {
		if _, err := c.Authenticate(request(there, "Bearer guess")); statusOf(t, err) != want {
			t.Errorf("one period later a failure is answered %v, want %d", err, want)
		}
	}
}

func TestIPv6HostIsOneAddress(t *testing.T) {
	c := laptop(t, false)
	for i := range failureBurst {
		from := fmt.Sprintf("[2001:db8:0:1::%x]:1", i+1)
		if _, err := c.Authenticate(request(from, "Bearer guess")); statusOf(t, err) != 401 {
			t.Fatalf("failure %d: %v", i+1, err)
		}
	}
	if _, err := c.Authenticate(request("[2001:db8:0:1:ffff::1]:1", "Bearer guess")); statusOf(t, err) != 429 {
		t.Errorf("another address of the same /64: %v", err)
	}
	if _, err := c.Authenticate(request("[2001:db8:0:2::1]:1", "Bearer guess")); statusOf(t, err) != 401 {
		t.Errorf("another /64: %v", err)
	}
}

// Memory is bounded whoever knocks, and room comes back.
func TestAddressesAreBounded(t *testing.T) {
	f := newFailures()
	now := noon()
	for i := range maxAddresses + 500 {
		from := fmt.Sprintf("10.%d.%d.1:1", i/256, i%256)
		f.note(from, now)
	}
	if len(f.addresses) != maxAddresses {
		t.Fatalf("%d addresses are kept, want %d", len(f.addresses), maxAddresses)
	}
	if f.note("10.250.1.1:1", now) {
		t.Error("the addresses beyond the bound have no limit")
	}
	now = now.Add(time.Hour)
	if !f.note("10.251.1.1:1", now) {
		t.Error("the limit is still there an hour later")
	}
	if len(f.addresses) != 1 {
		t.Errorf("%d addresses are kept an hour later, want the new one", len(f.addresses))
	}
}
