package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// drain is how long calls under way may still take after SIGTERM.
const drain = 10 * time.Second

// lastWords is how long callers may take to read that their calls were ended.
const lastWords = 2 * time.Second

// lastRecords is how long the record may take to be complete after that.
const lastRecords = 10 * time.Second

func newServeCommand(env *environment) *cobra.Command {
	var flags overrides
	var until string
	cmd := &cobra.Command{
		Use:        "serve",
		SuggestFor: []string{"start", "run"},
		Short:      "Guard MCP servers: decide, redact and record every call",
		Long: `serve listens for agents and stands in front of the configured MCP servers. It
ends at SIGTERM or SIGINT, when the calls under way have their outcome. It reads
its policy again when the files change, at SIGHUP and at mcpguard policy reload:
a policy with a mistake, or whose own tests fail, changes nothing.`,
		Example: `  mcpguard serve --config mcpguard.yaml
  mcpguard serve --upstream http://127.0.0.1:9101/mcp --policy policy.yaml
  mcpguard serve --upstream-cmd "npx -y @modelcontextprotocol/server-filesystem /srv/projects" --policy policy.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := LoadConfig(env.config, flags, env)
			if err != nil {
				return usageError(err)
			}
			if until != "" {
				if cfg.ObserveUntil, err = parseObservation(until, env.now()); err != nil {
					return usageError(err)
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return serve(ctx, cfg, env, drain)
		},
	}
	flags.bind(cmd.Flags())
	cmd.Flags().StringVar(&until, "observe-until", "", "let through what policy would stop, and record it, until `DATE` (at most 90 days)")
	return cmd
}

// serve runs until ctx ends, and then gives calls under way until drain.
func serve(ctx context.Context, cfg *Config, env *environment, drain time.Duration) (err error) {
	log := slog.New(slog.NewTextHandler(env.stderr, nil))
	defer tuneMemory(env, cfg.Limits.Memory)()
	g, err := wire(ctx, cfg, env, log)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRecords)
		defer cancel()
		err = errors.Join(err, g.close(end))
	}()
	listener, scheme, err := listen(cfg)
	if err != nil {
		return err
	}
	desk, err := openAdmin(g, cfg, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, desk.close()) }()
	warnOfPrograms(cfg, log)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	trim := &trimmer{next: g.handler(), release: debug.FreeOSMemory}
	defer trim.start()()
	server := newServer(trim, log)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	g.announce(cfg, env, scheme+"://"+listener.Addr().String())
	desk.announce(env)
	defer g.watch(ctx, env)()
	over := g.judge.over()
	for {
		select {
		case <-hangups:
			g.reload(ctx, env, causeHangup)
		case <-over:
			if err := g.observationOver(ctx); err != nil {
				log.Error("end the observation", "err", err)
			}
		case err := <-failed:
			return fmt.Errorf("serve: %w", err)
		case err := <-desk.failed:
			return fmt.Errorf("serve: %w", err)
		case <-ctx.Done():
			log.Info("stopping", "drain", drain)
			desk.admin.draining.Store(true)
			g.proxy.Drain()
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
			defer cancel()
			if err := server.Shutdown(end); err != nil {
				log.Warn("calls were still under way: they are ended and recorded as such", "err", err)
				// A client that does not read holds up the writing of its answer.
				cut := time.AfterFunc(lastWords, func() {
					if err := server.Close(); err != nil {
						log.Warn("close the connections", "err", err)
					}
				})
				defer cut.Stop()
				g.proxy.Close()
				return server.Close()
			}
			return nil
		}
	}
}

// announce tells where agents find mcpguard, and how they prove who they are.
func (g *guard) announce(cfg *Config, env *environment, base string) {
	fmt.Fprintf(env.stderr, "mcpguard is listening: %s\n", endpoints(cfg, base))
	if !cfg.ObserveUntil.IsZero() {
		fmt.Fprintf(env.stderr, "WARNING: this deployment is only observed until %s: policy stops no call of a tool, prompt or resource, and lists show everything\n",
			cfg.ObserveUntil.Format(time.RFC3339))
	}
	if g.token.path == "" {
		return
	}
	made := ""
	if g.token.created {
		made = ", made just now"
	}
	fmt.Fprintf(env.stderr, "the local user's token is in %s%s: send it as Authorization: Bearer\n", g.token.path, made)
	if cfg.Identity.Local.TrustLoopback {
		fmt.Fprintln(env.stderr, "WARNING: trust_loopback is on: every process on this machine may call as the local user, without a token")
	}
}

// newServer bounds what a client may take before its request is even read.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelInfo),
	}
}

func listen(cfg *Config) (l net.Listener, scheme string, err error) {
	return listenAt(cfg.Listen, cfg.TLS)
}

// listenAt opens a listener; without a certificate it speaks plain HTTP.
func listenAt(address string, t *TLS) (l net.Listener, scheme string, err error) {
	if t == nil {
		l, err = net.Listen("tcp", address)
		if err != nil {
			return nil, "", listenFailure(err)
		}
		return l, "http", nil
	}
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, "", usageError(fmt.Errorf("load the listener's certificate: %w", err))
	}
	l, err = tls.Listen("tcp", address, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	})
	if err != nil {
		return nil, "", listenFailure(err)
	}
	return l, "https", nil
}

// warnOfPrograms tells of upstreams whose program is not there. It is no mistake:
// it may come, and the other upstreams are guarded meanwhile.
func warnOfPrograms(cfg *Config, log *slog.Logger) {
	for _, u := range cfg.Upstreams {
		if err := findProgram(u); err != nil {
			log.Warn("the program of an upstream is not there: its calls will fail", "upstream", u.Name, "err", err)
		}
	}
}

// findProgram looks for what would be started, as os/exec does: a name with a
// slash from the upstream's folder on, any other in PATH.
func findProgram(u Upstream) error {
	program := u.Command
	switch {
	case program == "":
		return nil
	case strings.Contains(program, "/") && !filepath.IsAbs(program) && u.Cwd != "":
		program = filepath.Join(u.Cwd, program)
	}
	_, err := exec.LookPath(program)
	if err != nil && strings.Contains(program, " ") {
		return fmt.Errorf("%w: arguments go into args", err)
	}
	return err
}

// listenFailure says what to try where the address is somebody else's, or may not
// be had.
func listenFailure(err error) error {
	said := fmt.Errorf("listen for agents: %w", err)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fail(exitFailure, said, "--listen 127.0.0.1:0 for a free port, or end what listens there")
	}
	if errors.Is(err, fs.ErrPermission) { // ports below 1024 are root's on most systems
		return fail(exitFailure, said, "a port above 1023, or give the program the right: setcap cap_net_bind_service=+ep $(command -v mcpguard)")
	}
	return said
}
