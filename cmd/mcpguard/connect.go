package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// connectOptions are what an entry is made of.
type connectOptions struct {
	print     bool
	url       string
	name      string
	auth      string
	tokenFile string
	command   string
	policy    string
}

// The ways in which an agent proves who it is.
const (
	authToken = "token"
	authNone  = "none"
)

// defaultEndpoint is where mcpguard listens when nobody says otherwise.
const defaultEndpoint = "http://127.0.0.1:8437/mcp"

func newConnectCommand(env *environment) *cobra.Command {
	var o connectOptions
	cmd := &cobra.Command{
		Use:   "connect --print CLIENT [flags] [-- COMMAND ARGUMENT...]",
		Short: "Print the entry that points an agent at mcpguard",
		Long: `connect prints the entry for an agent's own configuration: towards an mcpguard
that listens at --url, or, with a COMMAND, around a server that the agent starts
(mcpguard wrap). It writes no file. Where the entry goes, and which variable has
to hold the token, it says on stderr; the token itself is never printed.

Clients: ` + clientNames() + `.`,
		Example: `  mcpguard connect --print claude-code --name crm --url http://127.0.0.1:8437/mcp/crm
  mcpguard connect --print claude-desktop --name fs --policy ~/.config/mcpguard/policy.yaml -- npx -y @modelcontextprotocol/server-filesystem /srv/projects`,
		RunE: func(cmd *cobra.Command, args []string) error {
			clients, command, err := splitAtDash(cmd, args)
			if err == nil {
				err = o.check(clients, command)
			}
			if err != nil {
				return usageError(err)
			}
			e, err := o.entry(clients[0], command)
			if err != nil {
				return usageError(err)
			}
			return e.print(env)
		},
		ValidArgsFunction: cobra.FixedCompletions(strings.Split(clientNames(), ", "), cobra.ShellCompDirectiveNoFileComp),
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.print, "print", false, "print the entry; nothing else is available in this version")
	flags.StringVar(&o.url, "url", "", "endpoint of mcpguard, `URL` (default "+defaultEndpoint+")")
	flags.StringVar(&o.name, "name", "mcpguard", "the server's `NAME` in the agent")
	flags.StringVar(&o.auth, "auth", authToken, "`HOW` the agent proves who it is: token, or none where trust_loopback is on")
	flags.StringVar(&o.tokenFile, "token-file", "~/.config/mcpguard/token", "`FILE` with the token, mode 0600, for agents that need a bridge")
	flags.StringVar(&o.command, "command", "mcpguard", "`PATH` of mcpguard, for agents that start it")
	flags.StringVar(&o.policy, "policy", "", "`PATH` of the policy of a COMMAND")
	completeFlag(cmd, "auth", authToken, authNone)
	return cmd
}

// splitAtDash parts what stands before -- from the command behind it.
func splitAtDash(cmd *cobra.Command, args []string) (before, behind []string, err error) {
	at := cmd.ArgsLenAtDash()
	if at < 0 {
		return args, nil, nil
	}
	if at == len(args) {
		return nil, nil, errors.New("there is no COMMAND behind --")
	}
	return args[:at], args[at:], nil
}

func (o *connectOptions) check(clients, command []string) error {
	switch {
	case len(clients) != 1:
		return hinted{"connect needs one CLIENT: " + clientNames(), "mcpguard connect --print claude-code"}
	case !o.print:
		return hinted{"connect writes no files in this version", "mcpguard connect --print " + clients[0]}
	case o.auth == "oauth":
		return hinted{"--auth oauth is not available in this version", "--auth token"}
	case o.auth != authToken && o.auth != authNone:
		return hinted{fmt.Sprintf("there is no --auth %q", o.auth), "--auth token, or --auth none"}
	case len(command) > 0 && o.url != "":
		return hinted{"there are a --url and a COMMAND", "one of them"}
	case len(command) > 0 && o.policy == "":
		return hinted{"--policy is missing: nothing would be allowed", "--policy ~/.config/mcpguard/policy.yaml"}
	case len(command) == 0 && o.policy != "":
		return hinted{"--policy is for a COMMAND; an mcpguard that listens has its own", "mcpguard serve --policy " + o.policy}
	}
	if reason := badUpstreamName(o.name); reason != "" {
		return hinted{fmt.Sprintf("--name: the name %q %s", o.name, reason), "--name crm"}
	}
	if o.url == "" {
		o.url = defaultEndpoint
	}
	if _, err := bridgeURL(o.url); err != nil {
		return err
	}
	return o.anchor()
}

// anchor makes the paths of an entry absolute. An agent starts mcpguard in a folder
// of its own choosing: a file of that name there may be somebody else's.
func (o *connectOptions) anchor() error {
	paths := []*string{&o.policy, &o.tokenFile}
	if strings.ContainsRune(o.command, filepath.Separator) { // else it is looked up in PATH
		paths = append(paths, &o.command)
	}
	for _, path := range paths {
		if *path == "" || strings.HasPrefix(*path, "~/") {
			continue
		}
		full, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("make %s absolute: %w", *path, err)
		}
		*path = full
	}
	return nil
}
