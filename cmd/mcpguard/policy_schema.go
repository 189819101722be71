package main

import (
	"io"

	"github.com/spf13/cobra"

	"mcpguard/toolpolicy"
)

func newPolicySchemaCommand(env *environment) *cobra.Command {
	var tests bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policies, for editors",
		Long: `Print the JSON Schema (2020-12) of policies, or of their tests, so that an editor
completes keys and marks mistakes while they are written. What it accepts may
still have mistakes that only mcpguard policy check finds; what it refuses has
some. An editor with the YAML language server finds it by a first line

  # yaml-language-server: $schema=policy.schema.json`,
		Example: "  mcpguard policy schema > policy.schema.json\n  mcpguard policy schema --tests > policy_test.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema := toolpolicy.Schema()
			if tests {
				schema = toolpolicy.TestsSchema()
			}
			_, err := io.WriteString(env.stdout, schema)
			return err
		},
	}
	cmd.Flags().BoolVar(&tests, "tests", false, "the schema of policy_test.yaml")
	return cmd
}
