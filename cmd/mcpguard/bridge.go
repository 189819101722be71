package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mcpguard/identity"
	"mcpguard/mcpproxy"
)

// bridgeToken is the variable that holds the token where no file does.
const bridgeToken = "MCPGUARD_TOKEN"

type bridgeOptions struct{ url, tokenFile string }

func newBridgeCommand(env *environment) *cobra.Command {
	var o bridgeOptions
	cmd := &cobra.Command{
		Use:   "bridge --url URL [--token-file FILE]",
		Short: "Connect an agent that only speaks stdio to an mcpguard over HTTP",
		Long: `bridge carries the messages of the agent that started it, over stdin and stdout,
to an mcpguard that listens at URL, and the answers back. It decides nothing:
policy and record are at the other end.

The token is read from a file that only its owner can read (mode 0600), or from
the environment variable MCPGUARD_TOKEN, once, at the start. It never stands on
the command line, where every user of the machine can read it. Over http:// it
goes to loopback addresses alone.`,
		Example: `  mcpguard bridge --url https://guard.example.com/mcp/crm --token-file ~/.config/mcpguard/token
  MCPGUARD_TOKEN=mcpg_... mcpguard bridge --url http://127.0.0.1:8437/mcp`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGPIPE) // see wrap
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
			defer stop()
			return o.run(ctx, env)
		},
	}
	cmd.Flags().StringVar(&o.url, "url", "", "endpoint of an mcpguard, `URL`")
	cmd.Flags().StringVar(&o.tokenFile, "token-file", "", "`FILE` with the token, mode 0600; ~ is the home folder")
	return cmd
}

func (o *bridgeOptions) run(ctx context.Context, env *environment) error {
	at, err := bridgeURL(o.url)
	if err != nil {
		return usageError(err)
	}
	token, err := o.token(env)
	if err != nil {
		return usageError(err)
	}
	header := http.Header{}
	if token.IsZero() {
		fmt.Fprintln(env.stderr, "mcpguard bridge: no token is sent: name its file with --token-file, or set "+bridgeToken+", where the server asks for one")
	} else {
		header.Set("Authorization", "Bearer "+token.Reveal())
	}
	transport := bridgeTransport()
	defer transport.CloseIdleConnections()
	return mcpproxy.Stdio{
		URL: at, Header: header, Transport: transport, In: env.stdin, Out: env.stdout,
		Drain: drainStdio, DrainCut: drainSignal, Log: slog.New(slog.NewTextHandler(env.stderr, nil)),
	}.Serve(ctx)
}

// bridgeURL reads the endpoint. A token must not cross a network in clear.
func bridgeURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, hinted{"--url is missing", "--url http://127.0.0.1:8437/mcp"}
	}
	at, err := url.Parse(text)
	switch {
	case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https":
		return nil, hinted{"--url: it is no URL of a server", "--url https://guard.example.com/mcp"}
	case at.User != nil || at.RawQuery != "" || at.Fragment != "":
		return nil, hinted{"--url: it holds a user, a query or a fragment", "the token comes from --token-file or " + bridgeToken}
	case at.Scheme == "http" && !isLoopback(at.Hostname()):
		return nil, hinted{"--url: http:// to " + at.Hostname() + " would send the token in clear", "https://"}
	}
	return at, nil
}

// isLoopback reports whether a host is this machine. A name other than localhost
// is not: what it resolves to may change.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// token is the caller's credential; zero where nothing says that there is one.
func (o *bridgeOptions) token(env *environment) (identity.Secret, error) {
	if o.tokenFile == "" {
		text, set := env.lookup(bridgeToken)
		if set && !goodToken(text) {
			return identity.Secret{}, errors.New("read " + bridgeToken + ": it holds no token")
		}
		return identity.NewSecret(text), nil
	}
	home, err := userHome(env)
	if err != nil {
		return identity.Secret{}, err
	}
	text, err := readPrivate(home.expand(o.tokenFile))
	if err != nil {
		return identity.Secret{}, fmt.Errorf("read the token: %w", err)
	}
	text = strings.TrimRight(text, "\r\n")
	if !goodToken(text) {
		return identity.Secret{}, fmt.Errorf("read the token: %s does not hold one token", o.tokenFile)
	}
	return identity.NewSecret(text), nil
}

// goodToken reports whether text can stand in an Authorization header (RFC 6750,
// section 2.1).
func goodToken(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return text != ""
}

// maxTokenFile bounds what is read of a token file, in bytes.
const maxTokenFile = 16 << 10

// readPrivate reads a small file that its owner alone can read. What is checked
// is the file that was opened, whatever the path leads to by then.
func readPrivate(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", hinted{fmt.Sprintf("others can read %s (mode %#o)", path, info.Mode().Perm()), "chmod 600 " + path}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxTokenFile {
		return "", fmt.Errorf("%s is larger than a token", path)
	}
	return string(text), nil
}

// bridgeTransport is the client side of HTTP towards an mcpguard. As a transport
// it follows no redirect: an answer must not choose where the token goes.
func bridgeTransport() *http.Transport {
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     time.Minute,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		DisableCompression:  true,
	}
}
