package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mcpguard/audit"
	"mcpguard/identity"
	"mcpguard/keyring"
	"mcpguard/mcpproxy"
	"mcpguard/store"
	"mcpguard/toolcall"
)

func newToolsAcceptCommand(env *environment) *cobra.Command {
	var kind, digest string
	var all bool
	cmd := &cobra.Command{
		Use:   "accept UPSTREAM/NAME... | --all",
		Short: "Accept definitions that wait",
		Long: `Accept definitions that wait, in the name of the user who runs this command. It
is recorded. What was accepted before stays accepted. Where several forms wait
under a name, --digest says which, so that nobody accepts another than they have
looked at.

A running server accepts them at once, over its control socket, and tells the
clients whose lists change. With none running, the command writes the store. With
pins.lock in the configuration that file is the authority, and nothing can be
accepted beside it.`,
		Example: "  mcpguard tools accept crm/refund\n  mcpguard tools accept crm/refund --digest 3f2a90c1b7de\n  mcpguard tools accept --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			targets, err := acceptTargets(args, all, kind, digest)
			if err != nil {
				return usageError(err)
			}
			cfg, err := LoadConfig(env.config, overrides{}, env)
			if err != nil {
				return usageError(err)
			}
			return acceptTools(cmd.Context(), cfg, env, targets)
		},
	}
	bindKind(cmd, &kind)
	cmd.Flags().StringVar(&digest, "digest", "", "of several forms, the one whose digest begins with `HEX`")
	cmd.Flags().BoolVar(&all, "all", false, "everything that waits")
	return cmd
}

// acceptTargets is what the command line names; none is all.
func acceptTargets(args []string, all bool, kind, digest string) ([]mcpproxy.PinTarget, error) {
	switch {
	case all && (len(args) > 0 || kind != "" || digest != ""):
		return nil, hinted{"--all takes no names, no --kind and no --digest", "one of them"}
	case !all && len(args) == 0:
		return nil, hinted{"it is not said what to accept", "UPSTREAM/NAME, or --all"}
	case digest != "" && len(args) > 1:
		return nil, hinted{"--digest is of one definition, and several are named", "one command for each"}
	}
	var targets []mcpproxy.PinTarget
	for _, arg := range args {
		t, err := pinTarget(arg, kind, digest)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// acceptTools lets the running server accept, and where none runs does it here.
func acceptTools(ctx context.Context, cfg *Config, env *environment, targets []mcpproxy.PinTarget) error {
	accepted, err := acceptThrough(ctx, controlPath(cfg.StorePath()), targets)
	if exitCode(err) == exitUnreachable {
		accepted, err = acceptOffline(ctx, cfg, env, targets)
	}
	if err != nil {
		return err
	}
	return writeAccepted(env, accepted)
}

// chainOfCommands names the chain of what commands change while no server runs.
const chainOfCommands = "commands"

// acceptOffline accepts what waits in a store that no server writes.
func acceptOffline(ctx context.Context, cfg *Config, env *environment, targets []mcpproxy.PinTarget) (all []pinJSON, err error) {
	g, err := openOffline(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRecords)
		defer cancel()
		err = errors.Join(err, g.close(end))
	}()
	user := identity.OSUser()
	accepted, err := g.acceptTools(ctx, toolcall.Caller{Person: user, Subject: user, Issuer: "local"}, targets)
	if err != nil {
		return nil, acceptFailure(err)
	}
	for i := range accepted {
		all = append(all, pinInJSON(&accepted[i]))
	}
	return all, nil
}

// acceptTools accepts what waits of upstreams, in somebody's name, and tells those
// who listen. No target is all that wait of the configured upstreams.
func (g *guard) acceptTools(ctx context.Context, who toolcall.Caller, targets []mcpproxy.PinTarget) ([]toolcall.Pin, error) {
	if len(targets) == 0 {
		waiting, err := g.waitingTools(ctx)
		if err != nil || len(waiting) == 0 {
			return nil, err
		}
		targets = waiting
	}
	accepted, err := g.pins.Accept(ctx, who, targets)
	if err == nil && g.proxy != nil {
		g.proxy.DefinitionsAccepted(accepted)
	}
	return accepted, err
}

// waitingTools are the definitions of the configured upstreams that nobody accepted,
// each by its digest.
func (g *guard) waitingTools(ctx context.Context) ([]mcpproxy.PinTarget, error) {
	all, err := g.store.Pins(ctx)
	if err != nil {
		return nil, err
	}
	var targets []mcpproxy.PinTarget
	for _, p := range pinsWhere(all, func(p *toolcall.Pin) bool {
		return p.State != toolcall.PinAccepted && slices.Contains(g.upstreams, p.Upstream)
	}) {
		targets = append(targets, mcpproxy.PinTarget{Upstream: p.Upstream, Kind: p.Kind, Name: p.Name, Digest: p.Digest.String()})
	}
	return targets, nil
}

// openOffline is a guard without a proxy, of a store that is there and that nobody
// writes. It takes the store's lock and writes a chain of its own.
func openOffline(ctx context.Context, cfg *Config, env *environment) (_ *guard, err error) {
	log := slog.New(slog.NewTextHandler(env.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g := &guard{log: log, now: env.now, upstreams: namesOf(cfg.Upstreams)}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close(ctx))
		}
	}()
	if _, err := os.Stat(cfg.StorePath()); err != nil {
		return nil, readFailure(fmt.Errorf("open the store: %w", err))
	}
	if err := keysAreThere(ctx, cfg); err != nil {
		return nil, err
	}
	keys, err := keyring.Open(cfg.Keys)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fail(exitFailure, fmt.Errorf("open the keys: %w", err), "the user who runs mcpguard")
	case err != nil:
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	if g.store, err = store.Open(ctx, cfg.Store); err != nil {
		if errors.Is(err, store.ErrLocked) {
			return nil, fail(exitFailure, fmt.Errorf("open the store: %w", err), "the user who runs that mcpguard: it does not answer on its control socket")
		}
		return nil, storeFailure(err)
	}
	record := recordConfig(cfg, g.store, keys, env, log)
	record.Chain = chainOfCommands
	if g.record, err = audit.Open(ctx, record); err != nil {
		return nil, fmt.Errorf("open the record: %w", err)
	}
	g.pins, err = pinbook(cfg, g.store, g.record, env, log)
	return g, err
}

// acceptFailure says what to try where nothing was accepted.
func acceptFailure(err error) error {
	switch {
	case errors.Is(err, mcpproxy.ErrNotWaiting):
		return fail(exitUsage, err, "mcpguard tools ls --waiting")
	case errors.Is(err, mcpproxy.ErrSeveralWait):
		return fail(exitUsage, err, "--digest, or --kind: mcpguard tools diff shows them")
	case errors.Is(err, mcpproxy.ErrLockRules):
		return fail(exitUsage, err, "review the definition, and put it into the file of pins.lock")
	}
	return err
}

func writeAccepted(env *environment, accepted []pinJSON) error {
	if env.output != outputTable {
		return writeItems(escaping(env), accepted)
	}
	if len(accepted) == 0 {
		fmt.Fprintln(env.stderr, "nothing waits to be accepted")
		return nil
	}
	for i := range accepted {
		p := &accepted[i]
		fmt.Fprintf(env.stdout, "accepted %s %s, digest %.*s, first seen %s\n", visible(p.Kind), visible(p.Upstream+"/"+p.Name),
			shortDigest, visible(p.Digest), p.Seen.UTC().Format(time.RFC3339))
	}
	return nil
}
