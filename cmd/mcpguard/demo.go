package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mark3labs/mcp-go/server"
	"github.com/spf13/cobra"

	"mcpguard/identity"
)

//go:embed demo/mcpguard.yaml demo/policy.yaml
var demoConfig embed.FS

func newDemoCommand(env *environment) *cobra.Command {
	var stay bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a denial, a redaction and the record, with nothing to set up",
		Long: `demo starts two small MCP servers, puts mcpguard in front of them, and lets a
scripted agent call tools over the real protocol. It prints what the agent sees,
and then what the record says. With --serve it stays up for a client of yours.`,
		Example: "  mcpguard demo\n  mcpguard demo --serve",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return runDemo(ctx, env, stay)
		},
	}
	cmd.Flags().BoolVar(&stay, "serve", false, "stay up for a client of your own, until interrupted")
	return cmd
}

// demo is a running demonstration: a folder, two servers, and a guard that is
// configured and wired exactly as serve does it.
type demo struct {
	env    *environment
	dir    string
	cfg    *Config
	guard  *guard
	tokens map[string]identity.Secret // by token name
	base   string                     // http://host:port of the guard
	stops  []func()
}

func runDemo(ctx context.Context, env *environment, stay bool) (err error) {
	d, err := startDemo(ctx, env)
	if d != nil {
		defer func() { err = errors.Join(err, d.close()) }()
	}
	if err != nil {
		return fmt.Errorf("start the demo: %w", err)
	}
	if err := d.play(ctx); err != nil {
		return fmt.Errorf("play the demo: %w", err)
	}
	if stay {
		d.invite()
		<-ctx.Done()
	}
	return nil
}

// startDemo returns what has started even when it fails, so that it can be
// closed.
func startDemo(ctx context.Context, env *environment) (d *demo, err error) {
	d = &demo{env: env, tokens: map[string]identity.Secret{}}
	if d.dir, err = os.MkdirTemp("", "mcpguard-demo-"); err != nil {
		return nil, err
	}
	words, err := d.upstreams()
	if err != nil {
		return d, err
	}
	for name, variable := range map[string]string{"support-agent": "DEMO_SUPPORT", "build-agent": "DEMO_BUILD"} {
		token := identity.NewToken()
		d.tokens[name] = token
		words = append(words, variable, token.Digest().String())
	}
	for _, name := range [...]string{"mcpguard.yaml", "policy.yaml"} {
		text, err := demoConfig.ReadFile("demo/" + name)
		if err != nil {
			return d, err
		}
		filled := strings.NewReplacer(words...).Replace(string(text))
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(filled), 0o600); err != nil {
			return d, err
		}
	}
	inner := *env
	inner.environ = nil // the demo is the same for everybody
	if d.cfg, err = LoadConfig(filepath.Join(d.dir, "mcpguard.yaml"), overrides{}, &inner); err != nil {
		return d, err
	}
	if d.guard, err = wire(ctx, d.cfg, &inner, slog.New(slog.DiscardHandler)); err != nil {
		return d, err
	}
	d.base, err = d.listen(d.guard.handler())
	return d, err
}

// upstreams starts the demo's MCP servers, and returns their addresses beside
// the words that stand for them in the configuration.
func (d *demo) upstreams() (words []string, err error) {
	for word, s := range map[string]*server.MCPServer{"DEMO_CRM": newDemoCRM(), "DEMO_FILES": newDemoFiles()} {
		base, err := d.listen(server.NewStreamableHTTPServer(s))
		if err != nil {
			return nil, err
		}
		words = append(words, word, base+"/mcp")
	}
	return words, nil
}

// listen serves h on a free port of loopback until the demo closes.
func (d *demo) listen(h http.Handler) (base string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := newServer(h, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with ErrServerClosed
	}()
	d.stops = append(d.stops, func() {
		_ = srv.Close() // the listener is closed either way
		<-done
	})
	return "http://" + l.Addr().String(), nil
}

// close ends everything, and leaves nothing behind.
func (d *demo) close() error {
	var errs []error
	if d.guard != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		d.guard.proxy.Drain()
		errs = append(errs, d.guard.close(ctx))
	}
	for i := len(d.stops) - 1; i >= 0; i-- {
		d.stops[i]()
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// invite tells how to point a client of one's own at the demo.
func (d *demo) invite() {
	w := d.env.stdout
	fmt.Fprintf(w, "\nStill serving. Point an MCP client at one of these, until you press Ctrl-C:\n")
	for _, at := range [...]struct{ upstream, token string }{{"crm", "support-agent"}, {"files", "build-agent"}} {
		fmt.Fprintf(w, "  %s/mcp/%s\n    Authorization: Bearer %s\n", d.base, at.upstream, d.tokens[at.token].Reveal())
	}
	fmt.Fprintf(w, "The policy is %s: edit it in your own copy, this folder goes when the demo ends.\n", d.cfg.Policy)
}

// indented prints text with every line indented.
func indented(w io.Writer, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		fmt.Fprintln(w, "    "+line)
	}
}

// demoPatience bounds one step of the script.
const demoPatience = 10 * time.Second
