package identity

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Failure says why nobody was recognised. Its text is for the operator and
// never holds the credential; what the client may know is in Challenge.
type Failure struct {
	status int
	code   string        // RFC 6750, section 3.1; "" when no credential came
	retry  time.Duration // of a 429
	reason string
}

func (f *Failure) Error() string {
	if f.reason == "" {
		return "authenticate: refused"
	}
	return "authenticate: " + f.reason
}

// Challenge is the HTTP status and the WWW-Authenticate header of the answer
// (RFC 6750, section 3). A request that came without a credential is told the
// scheme and no error. The zero Failure is a plain 401.
func (f *Failure) Challenge() (status int, header string) {
	status = f.status
	if status == 0 {
		status = http.StatusUnauthorized
	}
	header = `Bearer realm="mcpguard"`
	if f.code != "" {
		header += fmt.Sprintf(", error=%q", f.code)
	}
	return status, header
}

// RetryAfter is the Retry-After header of a 429, in whole seconds; "" for
// every other status.
func (f *Failure) RetryAfter() string {
	if f.status != http.StatusTooManyRequests {
		return ""
	}
	return strconv.Itoa(max(1, int(f.retry.Round(time.Second)/time.Second)))
}

func noCredential() *Failure {
	return &Failure{reason: "the request has no Authorization header"}
}

func otherScheme() *Failure {
	return &Failure{reason: "the Authorization header is not of the Bearer scheme"}
}

func malformed(reason string) *Failure {
	return &Failure{status: http.StatusBadRequest, code: "invalid_request", reason: reason}
}

// invalidToken answers unknown, expired and misplaced tokens alike, so that a
// stranger does not learn which of them once existed.
func invalidToken(reason string) *Failure {
	return &Failure{code: "invalid_token", reason: reason}
}

func tooManyFailures(retry time.Duration) *Failure {
	return &Failure{
		status: http.StatusTooManyRequests,
		retry:  retry,
		reason: "too many failed attempts from this address",
	}
}
