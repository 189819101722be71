package identity

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"

	"mcpguard/toolcall"
)

// LocalClient is the verified client of a caller who proved to be the local
// user with the local token. A caller whom trust_loopback let in has none.
const LocalClient = "local-token"

// Local is the laptop's user. The zero Local is nobody.
type Local struct {
	Username      string          // of the operating system; "" refuses
	Groups        []string        // as the configuration says; none gives the role everyone
	SHA256        toolcall.Digest // of the local token; zero: no token is the local user's
	TrustLoopback bool            // a loopback request without any credential is this user's
}

func (l *Local) caller(client string) toolcall.Caller {
	return toolcall.Caller{
		Person:  l.Username,
		Subject: l.Username,
		Issuer:  "local",
		Client:  client,
		Groups:  slices.Clone(l.Groups),
	}
}

// OSUser names who runs this process: the login name, or "uid:N" where the
// number has none, as in a container.
func OSUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid:" + strconv.Itoa(os.Getuid())
}

// fromLoopback reports whether the peer of the connection is this machine. A
// peer that cannot be read is not.
func fromLoopback(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().IsLoopback()
}

// relayed names the header by which a proxy says that it passes on somebody
// else's request; "" when there is none. The loopback peer is the proxy then.
func relayed(r *http.Request) string {
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Real-Ip"} {
		if len(r.Header.Values(name)) > 0 {
			return name
		}
	}
	return ""
}

// trusted lets a request without a credential in as the local user, or says
// why not.
func (l *Local) trusted(r *http.Request) (toolcall.Caller, error) {
	switch {
	case l == nil || l.Username == "" || !l.TrustLoopback:
		return toolcall.Caller{}, noCredential()
	case !fromLoopback(r):
		return toolcall.Caller{}, noCredential()
	}
	if name := relayed(r); name != "" {
		f := noCredential()
		f.reason = fmt.Sprintf("a loopback request with the header %s comes from somewhere else", name)
		return toolcall.Caller{}, f
	}
	return l.caller(""), nil
}
