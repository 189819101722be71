package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"mcpguard/toolpolicy"
)

func newPolicyFmtCommand(env *environment) *cobra.Command {
	var write, list, check bool
	cmd := &cobra.Command{
		Use:        "fmt [FILE|FOLDER|-...]",
		SuggestFor: []string{"format"},
		Short:      "Lay policies and their tests out in one way",
		Long: `Lay policies and their tests out in one way: two spaces a level, comments of
neighbouring lines in one column, braces that do not fit on a line opened. What
the files say, its order and its comments stay. The result goes to the standard
output; with -w it replaces the file. A folder means its .yaml files, tests
included, - the standard input, and no argument the policy of the configuration.

Exit code 3: a file has mistakes that keep it from being read, or with --check a
file is not laid out so.`,
		Example: "  mcpguard policy fmt -w policy.yaml policy_test.yaml\n  mcpguard policy fmt --check policies/",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				path, err := configuredPolicy(env, "fmt")
				if err != nil {
					return err
				}
				args = []string{path}
			}
			if write && check {
				return usageError(hinted{"format policies: --check writes nothing", "-w or --check"})
			}
			return formatPolicies(env, args, write, list, check)
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write the result to the file")
	cmd.Flags().BoolVarP(&list, "list", "l", false, "name the files that are laid out otherwise, instead of showing the result")
	cmd.Flags().BoolVar(&check, "check", false, "name them, and exit with code 3 if there are any; write nothing")
	return cmd
}

// formatted is what is said about one file.
type formatted struct {
	File    string `json:"file"`
	Changed bool   `json:"changed"` // it is, or was, laid out otherwise
	text    []byte
}

// formatPolicies formats everything before it writes anything.
func formatPolicies(env *environment, args []string, write, list, check bool) error {
	var all []formatted
	for _, arg := range args {
		paths, err := formatPaths(arg)
		if err != nil {
			return usageError(fmt.Errorf("format policies: %w", err))
		}
		for _, path := range paths {
			f, err := formatPolicy(env, path, write)
			if err != nil {
				return policyError(err)
			}
			all = append(all, f)
		}
	}
	changed := 0
	for _, f := range all {
		if !f.Changed {
			continue
		}
		changed++
		if write {
			if err := replaceFile(f.File, f.text); err != nil {
				return fmt.Errorf("format %s: %w", f.File, err)
			}
		}
	}
	if err := reportFormatted(env, all, list || check, write); err != nil {
		return err
	}
	if check && changed > 0 {
		return problemsFound()
	}
	return nil
}

func formatPolicy(env *environment, path string, write bool) (formatted, error) {
	var text []byte
	var err error
	switch {
	case path != "-":
		text, err = readBounded(path, maxPolicyFile)
	case write:
		err = hinted{"format the standard input: it cannot be written to", "leave -w out"}
	default:
		text, err = io.ReadAll(io.LimitReader(env.stdin, maxPolicyFile+1))
	}
	if err != nil {
		return formatted{}, fmt.Errorf("format policies: %w", err)
	}
	out, err := toolpolicy.Format(path, text)
	if err != nil {
		return formatted{}, err
	}
	return formatted{path, !bytes.Equal(text, out), out}, nil
}

// formatPaths are the files that an argument means.
func formatPaths(arg string) ([]string, error) {
	if arg == "-" {
		return []string{arg}, nil
	}
	paths, err := policyPaths(arg)
	if err != nil {
		return nil, err
	}
	tests, err := policyTestPaths(arg)
	switch {
	case len(paths) == 1 && paths[0] == arg, errors.Is(err, errNoTests):
		return paths, nil
	case err != nil:
		return nil, err
	}
	return append(paths, tests...), nil
}

func reportFormatted(env *environment, all []formatted, list, wrote bool) error {
	if env.output != outputTable {
		return writeItems(env, all)
	}
	for _, f := range all {
		switch {
		case list && f.Changed:
			fmt.Fprintln(env.stdout, printable(f.File))
		case !list && !wrote:
			if _, err := env.stdout.Write(f.text); err != nil {
				return fmt.Errorf("format %s: %w", f.File, err)
			}
		}
	}
	return nil
}

// replaceFile puts a text in the place of a file's, at once: whoever reads the
// file finds the old one or the new one. Its permissions stay.
func replaceFile(path string, text []byte) error {
	path, err := filepath.EvalSymlinks(path) // the file itself, not the link to it
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".mcpguard-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
