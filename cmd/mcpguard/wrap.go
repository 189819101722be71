package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mcpguard/identity"
	"mcpguard/mcpproxy"
	"mcpguard/store"
)

// wrapOptions are what wrap is told beside a configuration.
type wrapOptions struct {
	name   string
	env    []string // names of variables that the server gets as well
	policy string
	store  string
	keys   string
}

func newWrapCommand(env *environment) *cobra.Command {
	var o wrapOptions
	cmd := &cobra.Command{
		Use:   "wrap --name NAME [flags] [-- COMMAND ARGUMENT...]",
		Short: "Guard one MCP server over stdio, as an agent's command",
		Long: `wrap starts an MCP server and stands between it and the agent that started wrap,
over stdin and stdout, with no daemon. The caller is the local user, in the
groups of identity.local. Without a COMMAND the server is the upstream NAME of
the configuration. No configuration file is read that is not named: an agent
starts its servers in folders of other people's.

The server gets PATH, HOME, LANG and the variables that --env names. The record
is kept in the first store that no other wrap of that name is writing:
wrap-NAME-1.db, wrap-NAME-2.db and so on, beside the configured store, or in
$XDG_STATE_HOME/mcpguard.`,
		Example: `  mcpguard wrap --name fs --policy ~/.config/mcpguard/policy.yaml -- npx -y @modelcontextprotocol/server-filesystem /srv/projects
  mcpguard wrap --name github --config ~/.config/mcpguard/mcpguard.yaml --env GITHUB_TOKEN -- github-mcp-server stdio`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash > 0 || dash < 0 && len(args) > 0 {
				return usageError(hinted{"the server's command comes behind --", "mcpguard wrap --name NAME -- COMMAND ARGUMENT..."})
			}
			// A write to a pipe that the agent has closed is an error like any other:
			// calls have to be recorded, and the server to be stopped.
			signal.Ignore(syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
			defer stop()
			return o.run(ctx, env, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "the server's `NAME` in policies and records")
	flags.StringSliceVar(&o.env, "env", nil, "`NAME` of an environment variable that the server gets; repeatable")
	flags.StringVar(&o.policy, "policy", "", "policy file or folder, `PATH`")
	flags.StringVar(&o.store, "store", "", "where the record is kept, `sqlite://PATH`; for one wrap at a time")
	flags.StringVar(&o.keys, "keys", "", "the keyring's folder, `DIR`")
	return cmd
}

// run serves until the agent is gone.
func (o *wrapOptions) run(ctx context.Context, env *environment, command []string) (err error) {
	cfg, err := o.load(env, command)
	if err != nil {
		return usageError(err)
	}
	log := slog.New(slog.NewTextHandler(env.stderr, nil))
	defer tuneMemory(env, cfg.Limits.Memory)()
	g, err := o.open(ctx, cfg, env, log)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRecords)
		defer cancel()
		err = errors.Join(err, g.close(end))
	}()
	log.Info("guarding", "upstream", o.name, "store", cfg.StorePath())
	return serveStdio(ctx, g, cfg, env, log)
}

// load is the configuration of one wrapped server.
func (o *wrapOptions) load(env *environment, command []string) (*Config, error) {
	if o.name == "" {
		return nil, hinted{"--name is missing: rules of the policy call the server by it", "--name fs"}
	}
	if reason := badUpstreamName(o.name); reason != "" {
		return nil, hinted{fmt.Sprintf("--name: the name %q %s", o.name, reason), "--name fs"}
	}
	home, err := userHome(env)
	if err != nil {
		return nil, err
	}
	flags := overrides{settings: map[string]string{}, named: true}
	for key, value := range map[string]string{"policy": o.policy, "store": o.store, "keys": o.keys} {
		if value != "" {
			flags.settings[key] = home.expand(value)
		}
	}
	if len(command) > 0 {
		if flags.wrapped, err = o.upstream(env, command); err != nil {
			return nil, err
		}
	} else if len(o.env) > 0 {
		return nil, hinted{"--env is for a COMMAND; the configuration has the variables of its upstreams", "upstreams: {" + o.name + ": {env: {...}}}"}
	}
	file := home.expand(env.config)
	if named, _ := env.lookup("MCPGUARD_CONFIG"); file == "" && named == "" {
		if err := o.missing(env, command); err != nil {
			return nil, err
		}
		flags.standard(env, "keys", filepath.Join(home.state(), "keys"))
		flags.standard(env, "store", "sqlite://"+filepath.Join(home.state(), "mcpguard.db"))
	}
	cfg, err := LoadConfig(file, flags, env)
	if err != nil {
		return nil, err
	}
	if cfg.Identity.Local == nil {
		return nil, hinted{"the configuration has no identity.local, and the caller over stdio is the local user", "identity: {local: {groups: [engineers]}}"}
	}
	cfg.Stdio, cfg.Listen, cfg.AllowedOrigins = true, "localhost:0", nil
	return cfg, o.choose(cfg)
}

// missing is what the command line has to say where no configuration does.
func (o *wrapOptions) missing(env *environment, command []string) error {
	if len(command) == 0 {
		return hinted{"there is neither a COMMAND nor a configuration", "mcpguard wrap --name " + o.name + " --policy PATH -- COMMAND ARGUMENT..."}
	}
	if policy, _ := env.lookup("MCPGUARD_POLICY"); o.policy == "" && policy == "" {
		return hinted{"--policy is missing: nothing would be allowed", "--policy ~/.config/mcpguard/policy.yaml"}
	}
	return nil
}

// choose leaves the one upstream that is wrapped.
func (o *wrapOptions) choose(cfg *Config) error {
	for _, u := range cfg.Upstreams {
		if u.Name == o.name {
			cfg.Upstreams = []Upstream{u}
			return nil
		}
	}
	return hinted{fmt.Sprintf("the configuration has no upstream %s, and there is no COMMAND", o.name), "mcpguard wrap --name " + o.name + " -- COMMAND ARGUMENT..."}
}

// upstream is the server that the command line starts. What --env names is a
// secret: agents hand keys to servers that way.
func (o *wrapOptions) upstream(env *environment, command []string) (*Upstream, error) {
	u := &Upstream{Name: o.name, Command: command[0]}
	if u.Command == "" {
		return nil, errors.New("the COMMAND is empty")
	}
	// Now, where the agent shows that its entry does not work, and not at the
	// first message.
	if err := findProgram(*u); err != nil {
		return nil, hinted{fmt.Sprintf("find the COMMAND: %v", err), "its full path: an agent's PATH may be another than your shell's"}
	}
	for _, arg := range command[1:] {
		u.Args = append(u.Args, identity.NewSecret(arg))
	}
	for _, name := range o.env {
		value, err := variable(name, env)
		if err != nil {
			return nil, fmt.Errorf("--env: %w", err)
		}
		u.Env = append(u.Env, SecretPair{Name: name, Value: identity.NewSecret(value)})
	}
	return u, nil
}

// maxWraps bounds the stores of one wrapped server.
const maxWraps = 64

// open wires the guard with the first store that nobody else writes: a store has
// one writer, and an agent may start its servers as often as it likes. A store
// that the command line names is the only one.
func (o *wrapOptions) open(ctx context.Context, cfg *Config, env *environment, log *slog.Logger) (*guard, error) {
	if o.store != "" {
		return wire(ctx, cfg, env, log)
	}
	folder := filepath.Dir(cfg.StorePath())
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the record: %w", err)
	}
	for n := 1; n <= maxWraps; n++ {
		cfg.Store = "sqlite://" + filepath.Join(folder, "wrap-"+o.name+"-"+strconv.Itoa(n)+".db")
		g, err := wire(ctx, cfg, env, log)
		if !errors.Is(err, store.ErrLocked) {
			return g, err
		}
	}
	return nil, fmt.Errorf("open the store: %d other wraps of %s are running", maxWraps, o.name)
}

// drainStdio is how long requests may still take when the agent has closed
// stdin, and drainSignal when it, or somebody else, told mcpguard to end: who
// sends a signal to a stdio server sends SIGKILL soon after.
const (
	drainStdio  = 10 * time.Second
	drainSignal = time.Second
)

// serveStdio carries the agent's messages to the guard's door, which has no other
// client.
func serveStdio(ctx context.Context, g *guard, cfg *Config, env *environment, log *slog.Logger) (err error) {
	pipe := newStdioPipe()
	server := newServer(g.handler(), log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(pipe) }()
	transport := &http.Transport{DialContext: pipe.Dial, DisableCompression: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}
	err = mcpproxy.Stdio{
		URL:       &url.URL{Scheme: "http", Host: "localhost", Path: "/mcp/" + cfg.Upstreams[0].Name},
		Transport: transport, In: env.stdin, Out: env.stdout,
		Result: int(cfg.Upstreams[0].Limits.Result) + envelopeRoom,
		Drain:  drainStdio, DrainCut: drainSignal, Log: log,
	}.Serve(ctx)
	g.proxy.Drain()
	transport.CloseIdleConnections()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainSignal)
	defer cancel()
	if stuck := server.Shutdown(end); stuck != nil {
		log.Warn("calls were still under way: they are ended and recorded as such", "err", stuck)
		g.proxy.Close()
		err = errors.Join(err, server.Close())
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve the pipe: %w", ended))
	}
	return err
}

// envelopeRoom is what mcpguard's own words may add to a result.
const envelopeRoom = 1 << 20
