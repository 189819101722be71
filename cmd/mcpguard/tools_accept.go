package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
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

The server must not be running: this version writes the store itself. With
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
			return acceptOffline(cmd.Context(), cfg, env, targets)
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

// chainOfCommands names the chain of what commands change while no server runs.
const chainOfCommands = "commands"

// acceptOffline accepts what waits in a store that no server writes.
func acceptOffline(ctx context.Context, cfg *Config, env *environment, targets []mcpproxy.PinTarget) (err error) {
	g, err := openOffline(ctx, cfg, env)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRecords)
		defer cancel()
		err = errors.Join(err, g.close(end))
	}()
	if len(targets) == 0 {
		if targets, err = g.waitingTools(ctx, cfg); err != nil {
			return err
		}
		if len(targets) == 0 {
			fmt.Fprintln(env.stderr, "nothing waits to be accepted")
			return nil
		}
	}
	user := identity.OSUser()
	accepted, err := g.acceptTools(ctx, toolcall.Caller{Person: user, Subject: user, Issuer: "local"}, targets)
	if err != nil {
		return acceptFailure(err)
	}
	return writeAccepted(env, accepted)
}

// waitingTools are the definitions of the configured upstreams that nobody accepted,
// each by its digest.
func (g *guard) waitingTools(ctx context.Context, cfg *Config) ([]mcpproxy.PinTarget, error) {
	all, err := g.store.Pins(ctx)
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	for i := range cfg.Upstreams {
		ours[cfg.Upstreams[i].Name] = true
	}
	var targets []mcpproxy.PinTarget
	for _, p := range pinsWhere(all, func(p *toolcall.Pin) bool { return p.State != toolcall.PinAccepted && ours[p.Upstream] }) {
		targets = append(targets, mcpproxy.PinTarget{Upstream: p.Upstream, Kind: p.Kind, Name: p.Name, Digest: p.Digest.String()})
	}
	return targets, nil
}

// openOffline is a guard without a proxy, of a store that is there and that nobody
// writes. It takes the store's lock and writes a chain of its own.
func openOffline(ctx context.Context, cfg *Config, env *environment) (_ *guard, err error) {
	log := slog.New(slog.NewTextHandler(env.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g := &guard{log: log, now: env.now}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close(ctx))
		}
	}()
	if _, err := os.Stat(cfg.StorePath()); err != nil {
		return nil, readFailure(fmt.Errorf("open the store: %w", err))
	}
	if err := keysAreThere(cfg); err != nil {
		return nil, err
	}
	keys, err := keyring.Open(cfg.Keys)
	if err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	if g.store, err = store.Open(ctx, cfg.Store); err != nil {
		if errors.Is(err, store.ErrLocked) {
			return nil, fail(exitFailure, fmt.Errorf("open the store: %w", err), "end the running mcpguard first: this version changes nothing through it")
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

func writeAccepted(env *environment, accepted []toolcall.Pin) error {
	if env.output != outputTable {
		all := make([]pinJSON, len(accepted))
		for i := range accepted {
			all[i] = pinInJSON(&accepted[i])
		}
		return writeItems(escaping(env), all)
	}
	for i := range accepted {
		p := &accepted[i]
		fmt.Fprintf(env.stdout, "accepted %s %s, digest %s, first seen %s\n", p.Kind, visible(p.Upstream+"/"+p.Name),
			p.Digest.String()[:shortDigest], p.Seen.UTC().Format(time.RFC3339))
	}
	return nil
}
