package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/spf13/cobra"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// livePolicy shows the guard's own client everything that upstreams define. Nothing
// that a server asks of it is allowed.
const livePolicy = `version: 1
roles:
  everyone:
    allow: ["*/*", {prompt: "*/*"}, {resource: "*/*"}]
`

// liveTimeout is how long one upstream may take to say what it defines.
const liveTimeout = time.Minute

// definitions are what one upstream defines, as it sends it.
type definitions struct {
	upstream string
	lists    map[string][]toolcall.JSON // by the member of the result: tools, prompts, resources, resourceTemplates
	words    toolcall.JSON              // its instructions; zero without any
	err      error                      // why the upstream did not say it, or not all
}

// askUpstreams asks every configured upstream what it defines, all at once. It goes
// through a guard of its own, with a record that is thrown away: what an upstream
// sends is bounded and read as strictly as under serve, its processes are started
// and ended in the same way, and the configured store is not touched. The error is
// one of the guard's; those of upstreams stand in the definitions.
func askUpstreams(ctx context.Context, cfg *Config, env *environment) (_ []definitions, err error) {
	dir, err := os.MkdirTemp("", "mcpguard-live-")
	if err != nil {
		return nil, fmt.Errorf("ask the upstreams: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(livePolicy), 0o600); err != nil {
		return nil, fmt.Errorf("ask the upstreams: %w", err)
	}
	own := *cfg
	own.Policy, own.Store, own.Keys = policy, "sqlite://"+filepath.Join(dir, "mcpguard.db"), filepath.Join(dir, "keys")
	own.Stdio, own.Listen, own.AllowedHosts, own.AllowedOrigins, own.TLS = true, "localhost:0", nil, nil, nil
	own.Identity = Identity{Local: &LocalUser{}}
	own.Admin, own.ObserveUntil, own.PinLock = nil, time.Time{}, ""
	own.Upstreams = slices.Clone(cfg.Upstreams)
	for i := range own.Upstreams {
		own.Upstreams[i].Pins = Pins{Mode: pinsOff} // all of it, whoever accepted what
	}
	log := slog.New(slog.DiscardHandler)
	g, err := wire(ctx, &own, env, log)
	if err != nil {
		return nil, fmt.Errorf("ask the upstreams: %w", err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRecords)
		defer cancel()
		err = errors.Join(err, g.close(end))
	}()
	pipe := newStdioPipe()
	server := newServer(g.handler(), log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(pipe) }()
	way := &http.Transport{DialContext: pipe.Dial, DisableCompression: true}
	all := make([]definitions, len(cfg.Upstreams))
	var asked sync.WaitGroup
	for i := range cfg.Upstreams {
		asked.Go(func() { all[i] = ask(ctx, cfg.Upstreams[i].Name, way) })
	}
	asked.Wait()
	way.CloseIdleConnections()
	g.proxy.Drain()
	if err := server.Close(); err != nil {
		return nil, fmt.Errorf("ask the upstreams: %w", err)
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		return nil, fmt.Errorf("ask the upstreams: %w", ended)
	}
	return all, nil
}

// ask is one session with one upstream.
func ask(ctx context.Context, upstream string, way http.RoundTripper) definitions {
	d := definitions{upstream: upstream, lists: map[string][]toolcall.JSON{}}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	over, err := transport.NewStreamableHTTP("http://localhost/mcp/"+upstream,
		transport.WithHTTPBasicClient(&http.Client{Transport: way}), transport.WithHTTPLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		d.err = err
		return d
	}
	c := client.NewClient(&listener{over, &d})
	defer func() { d.err = errors.Join(d.err, c.Close()) }()
	if d.err = c.Start(ctx); d.err != nil {
		return d
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion, hello.Params.ClientInfo = mcp.LATEST_PROTOCOL_VERSION, mcp.Implementation{Name: "mcpguard", Version: buildVersion(debug.ReadBuildInfo()).Version}
	if _, d.err = c.Initialize(ctx, hello); d.err != nil {
		return d
	}
	offers := c.GetServerCapabilities()
	if offers.Tools != nil {
		_, d.err = c.ListTools(ctx, mcp.ListToolsRequest{})
	}
	if offers.Prompts != nil && d.err == nil {
		_, d.err = c.ListPrompts(ctx, mcp.ListPromptsRequest{})
	}
	if offers.Resources != nil && d.err == nil {
		if _, d.err = c.ListResources(ctx, mcp.ListResourcesRequest{}); d.err == nil {
			_, d.err = c.ListResourceTemplates(ctx, mcp.ListResourceTemplatesRequest{})
		}
	}
	return d
}

// listener keeps the lists of a session as they come: the client's own types lose
// members that it does not know.
type listener struct {
	*transport.StreamableHTTP
	heard *definitions
}

// SendRequest implements transport.Interface.
func (l *listener) SendRequest(ctx context.Context, r transport.JSONRPCRequest) (*transport.JSONRPCResponse, error) {
	answer, err := l.StreamableHTTP.SendRequest(ctx, r)
	hello := r.Method == "initialize" || r.Method == string(mcp.MethodServerDiscover)
	if err != nil || answer == nil || answer.Error != nil || !hello && !strings.HasSuffix(r.Method, "/list") {
		return answer, err
	}
	result, err := toolcall.Parse(string(answer.Result), toolcall.Limits{Bytes: maxLockText, Depth: 128})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.Method, err)
	}
	if hello {
		l.heard.words = result.Member("instructions")
		return answer, nil
	}
	for _, key := range [...]string{"tools", "prompts", "resources", "resourceTemplates"} {
		for e := result.Member(key).Elements(); e.Next(); {
			if len(l.heard.lists[key]) == maxDefinitions {
				return nil, fmt.Errorf("read %s: more than %d definitions", r.Method, maxDefinitions)
			}
			l.heard.lists[key] = append(l.heard.lists[key], e.Value())
		}
	}
	return answer, nil
}

// What is read of catalogues is bounded: the definitions of an upstream in each
// list, and the bytes of a recorded catalogue.
const (
	maxDefinitions = 10_000
	maxLockText    = 64 << 20
)

// lockOf is the recorded catalogue of what upstreams defined, with the definitions
// as they came.
func lockOf(all []definitions) ([]byte, error) {
	lock := lockText{}
	for _, d := range all {
		if d.err != nil {
			continue
		}
		of := lock.of(d.upstream)
		for kind, key := range map[toolcall.PinKind]string{
			toolcall.PinTool: "tools", toolcall.PinPrompt: "prompts", toolcall.PinTemplate: "resourceTemplates",
		} {
			for _, definition := range d.lists[key] {
				of.add(kind, definition.Text())
			}
		}
		of.add(toolcall.PinInstructions, d.words.Text())
	}
	return lock.bytes()
}

// liveCatalogue asks the upstreams of a configuration. Those that do not answer are
// told on stderr, and are not in it; without any that does the error is
// exitUnreachable's.
func liveCatalogue(ctx context.Context, cfg *Config, env *environment) (*toolpolicy.Catalogue, error) {
	all, err := askUpstreams(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	if err := tellFailures(all, cfg, env); err != nil {
		return nil, err
	}
	lock, err := lockOf(all)
	if err != nil {
		return nil, err
	}
	return toolpolicy.ReadCatalogue("of the upstreams", lock)
}

// tellFailures says which upstreams did not answer. It fails where none did.
func tellFailures(all []definitions, cfg *Config, env *environment) error {
	failed := 0
	for i, d := range all {
		if d.err == nil {
			continue
		}
		failed++
		why := strings.TrimPrefix(d.err.Error(), mcp.ErrInternalError.Error()+": ") // it is no caller who reads it
		for _, secret := range cfg.Upstreams[i].Secrets() {
			if secret != "" {
				why = strings.ReplaceAll(why, secret, "[secret]")
			}
		}
		fmt.Fprintf(env.stderr, "upstream %s does not say what it defines: %s\n", d.upstream, printable(why))
	}
	if failed == len(all) {
		return fail(exitUnreachable, errors.New("ask the upstreams: none of them answers"), "mcpguard config show, and start the servers")
	}
	return nil
}

// readCatalogueFile reads a recorded catalogue.
func readCatalogueFile(path string) (*toolpolicy.Catalogue, error) {
	const from = "mcpguard tools lock prints one, and mcpguard policy init --from-upstreams --lock writes one"
	text, err := readBounded(path, maxLockText)
	if err != nil {
		return nil, fail(exitUsage, fmt.Errorf("read the tools: %w", err), from)
	}
	c, err := toolpolicy.ReadCatalogue(path, text)
	if err != nil {
		return nil, fail(exitUsage, err, from)
	}
	return c, nil
}

// nearestTool is the tool of a catalogue that a misspelt upstream/name most likely
// meant, or "".
func nearestTool(c *toolpolicy.Catalogue, target string) string {
	var names []string
	for _, def := range c.Tools() {
		names = append(names, def.Upstream+"/"+def.Name)
	}
	return nearest(target, names)
}

// knowing are the flags of commands that hold a policy against what upstreams define.
type knowing struct {
	tools string
	live  bool
}

func (k *knowing) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.tools, "tools", "", "what the upstreams define, recorded in `FILE` like tools.lock.json")
	cmd.Flags().BoolVar(&k.live, "live", false, "ask the upstreams of the configuration what they define")
}

// catalogue is what the flags name; nil where they name nothing.
func (k knowing) catalogue(ctx context.Context, env *environment) (*toolpolicy.Catalogue, error) {
	switch {
	case k.live && k.tools != "":
		return nil, usageError(hinted{"--live and --tools are two catalogues", "one of them"})
	case k.tools != "":
		return readCatalogueFile(k.tools)
	case !k.live:
		return nil, nil
	}
	cfg, err := liveConfig(env)
	if err != nil {
		return nil, usageError(err)
	}
	return liveCatalogue(ctx, cfg, env)
}

// liveConfig reads a configuration for its upstreams. Its policy need not be there
// yet: another one decides what the upstreams are asked.
func liveConfig(env *environment) (*Config, error) {
	return LoadConfig(env.config, overrides{settings: map[string]string{"policy": "."}}, env)
}
