package identity

import (
	"errors"
	"net/http"

	"mcpguard/toolcall"
)

// StdioClient is the verified client of a caller over stdio: whoever started
// this process, for nobody else holds the other ends of its stdin and stdout.
const StdioClient = "stdio"

// StdioAddr is the remote address of a request that came over stdio. No
// connection of a network has it.
const StdioAddr = "stdio"

// Stdio takes whoever started this process for the local user (MCP,
// Authorization: a server over stdio has no other credential than its
// environment). It refuses what did not come over stdio. The zero Stdio
// refuses everything.
type Stdio struct{ local Local }

// NewStdio recognises one user. A user without a name is refused.
func NewStdio(l Local) (*Stdio, error) {
	if l.Username == "" {
		return nil, errors.New("read the local user: no name")
	}
	return &Stdio{local: l}, nil
}

// Authenticate says who asks. Every error is a *Failure.
func (s *Stdio) Authenticate(r *http.Request) (toolcall.Caller, error) {
	if s == nil || s.local.Username == "" || r.RemoteAddr != StdioAddr {
		return toolcall.Caller{}, noCredential()
	}
	return s.local.caller(StdioClient), nil
}
