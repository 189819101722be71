package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// run is the whole program but the process: it returns the exit code.
func run(ctx context.Context, env *environment, args []string) int {
	root := newRootCommand(env)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !env.started { // cobra's own: unknown flags, commands, arguments
		if takesNone(cmd) && cmd.Flags().NArg() > 0 {
			err = fmt.Errorf("%s takes no arguments", cmd.CommandPath())
		}
		err = fail(exitUsage, err, cmp.Or(hintOf(err), cmd.CommandPath()+" --help"))
	}
	report(env.stderr, err)
	return exitCode(err)
}

// takesNone reports whether a command's usage names neither an argument nor a
// command below it.
func takesNone(cmd *cobra.Command) bool { return !cmd.HasSubCommands() && cmd.Use == cmd.Name() }

func newRootCommand(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "mcpguard",
		Short: "Guard what AI agents do with tools",
		Long: `mcpguard stands between AI agents and MCP servers. For every tool call it
decides, before the tool runs, who asks and whether they may; it redacts what
comes back, and keeps a record from which the session can be read again.

Exit codes: 0 ok, 1 failure, 2 usage or configuration, 3 a check found problems,
4 the record is not what was written, 7 the other side does not answer. 5 and 6
are for commands to come.
Errors are text on stderr, whatever --output says.`,
		Example:           "  mcpguard serve --config mcpguard.yaml\n  mcpguard policy check policy.yaml",
		Args:              onlySubcommands,
		RunE:              needsSubcommand,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(*cobra.Command, []string) error { return checkOutput(env) },
	}
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.PersistentFlags().StringVarP(&env.output, "output", "o", outputTable, "`FORM` of the output: table, json or jsonl")
	root.PersistentFlags().StringVar(&env.config, "config", "", "configuration `FILE` (default mcpguard.yaml, or MCPGUARD_CONFIG)")
	completeFlag(root, "output", outputTable, outputJSON, outputJSONL)
	root.AddCommand(
		newServeCommand(env),
		newWrapCommand(env),
		newBridgeCommand(env),
		newConnectCommand(env),
		newDemoCommand(env),
		newPolicyCommand(env),
		newToolsCommand(env),
		newSessionsCommand(env),
		newTokenCommand(env),
		newConfigCommand(env),
		newVersionCommand(env),
		newCompletionCommand(env),
		newWatchdogCommand(env),
	)
	return root
}

// checkOutput runs when cobra has accepted the command line.
func checkOutput(env *environment) error {
	if !slices.Contains([]string{outputTable, outputJSON, outputJSONL}, env.output) {
		return hinted{fmt.Sprintf("there is no output form %q", env.output), "-o table, -o json or -o jsonl"}
	}
	env.started = true
	return nil
}

// onlySubcommands refuses a word that is none of the commands below, and guesses
// which was meant: by its spelling, or as other programs call it (SuggestFor).
func onlySubcommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := ""
	var names []string
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		names = append(names, c.Name())
		if slices.Contains(c.SuggestFor, args[0]) {
			meant = c.Name()
		}
	}
	meant = cmp.Or(meant, nearest(args[0], names), "--help")
	return hinted{fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath()), cmd.CommandPath() + " " + meant}
}

// needsSubcommand is what a command does that only groups others.
func needsSubcommand(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return usageError(hinted{
		fmt.Sprintf("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", ")),
		cmd.CommandPath() + " --help",
	})
}

// completeFlag offers the values of a flag to the shell.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	// The only error is a flag that the command does not have, which the test
	// of the command tree would find.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func newCompletionCommand(env *environment) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Print a completion script for bash, zsh, fish or powershell",
		Example:   "  source <(mcpguard completion bash)",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(env.stdout, true)
			case "zsh":
				return root.GenZshCompletion(env.stdout)
			case "fish":
				return root.GenFishCompletion(env.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(env.stdout)
			}
			return errors.New("print a completion script: no such shell")
		},
	}
}
