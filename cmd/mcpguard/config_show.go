package main

import (
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newConfigCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Look at the configuration",
		Example: "  mcpguard config show --origin",
		Args:    onlySubcommands,
		RunE:    needsSubcommand,
	}
	cmd.AddCommand(newConfigShowCommand(env))
	return cmd
}

func newConfigShowCommand(env *environment) *cobra.Command {
	var flags overrides
	var withOrigin bool
	cmd := &cobra.Command{
		Use:        "show",
		SuggestFor: []string{"check", "validate", "print"},
		Short:      "Show every setting as it takes effect",
		Long: `Show every setting as it takes effect: a flag wins over MCPGUARD_ variables,
these over the file, the file over the defaults. What could be a secret is
shown as its reference, or as [secret].`,
		Example: "  mcpguard config show --origin\n  mcpguard config show --config /etc/mcpguard/mcpguard.yaml -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := LoadConfig(env.config, flags, env)
			if err != nil {
				return usageError(err)
			}
			return showSettings(env, c.settings, withOrigin)
		},
	}
	cmd.Flags().BoolVar(&withOrigin, "origin", false, "say where each value comes from")
	flags.bind(cmd.Flags())
	return cmd
}

func showSettings(env *environment, settings []setting, withOrigin bool) error {
	if env.output != outputTable {
		return writeItems(env, settings)
	}
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	for _, s := range settings {
		line := printable(s.Key) + "\t" + printable(s.Value)
		if withOrigin {
			line += "\t" + printable(s.Origin)
		}
		fmt.Fprintln(w, line)
	}
	return w.Flush()
}

// secretOption matches options whose value is a secret, more or less surely.
var secretOption = regexp.MustCompile(`(?i)token|key|secret|passw|pwd|auth|cred|bearer|cookie|session|dsn|header|^-H$`)

// shownArgs is how a command's arguments are shown: options, paths, package
// names and short words as they are, except what follows an option with a
// telling name. Whatever else it is could be a key, and is hidden.
func shownArgs(written []string) []string {
	shown := make([]string, len(written))
	hideNext := false
	for i, arg := range written {
		option, value, assigned := strings.Cut(arg, "=")
		telling := secretOption.MatchString(option)
		switch {
		case strings.Contains(arg, "${"):
			shown[i] = shownReferences(arg)
		case strings.HasPrefix(arg, "-") && assigned:
			shown[i] = option + "=" + shownWord(value, telling)
		case strings.HasPrefix(arg, "-"):
			shown[i] = arg
		default:
			shown[i] = shownWord(arg, hideNext)
		}
		hideNext = telling && !assigned && strings.HasPrefix(arg, "-")
	}
	return shown
}

func shownWord(word string, hide bool) string {
	path := strings.HasPrefix(word, "/") || strings.HasPrefix(word, "./") || strings.HasPrefix(word, "../")
	scoped := strings.HasPrefix(word, "@") && strings.Contains(word, "/")
	if hide || strings.Contains(word, "?") || len(word) >= 16 && !path && !scoped {
		return "[secret]"
	}
	return word
}
