package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"mcpguard/toolpolicy"
)

func newPolicyCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "policy",
		Short:   "Check, test, explain, compare, lay out and reload policies",
		Example: "  mcpguard policy check policy.yaml\n  mcpguard policy test",
		Args:    onlySubcommands,
		RunE:    needsSubcommand,
	}
	cmd.AddCommand(newPolicyCheckCommand(env), newPolicyTestCommand(env), newPolicyDiffCommand(env), newPolicyAccessCommand(env), newPolicyInitCommand(env),
		newPolicyReloadCommand(env))
	cmd.AddCommand(newPolicyExplainCommand(env), newPolicyFmtCommand(env), newPolicySchemaCommand(env))
	return cmd
}

func newPolicyCheckCommand(env *environment) *cobra.Command {
	var lint lintOptions
	cmd := &cobra.Command{
		Use:        "check [FILE|FOLDER...]",
		SuggestFor: []string{"validate", "lint", "verify"},
		Short:      "Report every mistake of a policy, and what is most likely one",
		Long: `Report every mistake of a policy, each at its line and column. Every argument is
a policy of its own: a file, or a folder whose .yaml files make one policy
together. Without an argument it is the policy of the configuration.

A policy that compiles is also looked through for rules that cannot do what they
say, that others leave nothing to, or that let through what nobody thought of.
These are warnings. More are found with what the upstreams define: recorded in a
file, --tools, or asked of the upstreams of the configuration, --live, which starts
those that are processes.

Exit code 3: there are mistakes, or, with --strict, warnings. 7: --live, and no
upstream answers.`,
		Example: "  mcpguard policy check policy.yaml\n  mcpguard policy check --live --strict\n  mcpguard policy check policies/ --tools tools.lock.json -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			known, err := lint.known(cmd.Context(), env, len(args) == 0)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				path, err := configuredPolicy(env, "check")
				if err != nil {
					return err
				}
				args = []string{path}
			}
			var checked []policyCheck
			for _, path := range args {
				c, err := checkPolicy(path, known)
				if err != nil {
					return usageError(err)
				}
				checked = append(checked, c)
			}
			if err := reportChecks(env, checked); err != nil {
				return err
			}
			return lint.verdict(checked)
		},
	}
	lint.bind(cmd)
	return cmd
}

// configuredPolicy is the path of the policy that the configuration names, for a
// command of mcpguard policy that was given none.
func configuredPolicy(env *environment, command string) (string, error) {
	if path, err := configPath(env.config, false, env); path == "" && err == nil {
		return "", usageError(hinted{
			command + " a policy: neither it nor a configuration is named, and there is no " + defaultConfig,
			"mcpguard policy " + command + " policy.yaml",
		})
	}
	c, err := LoadConfig(env.config, overrides{}, env)
	if err != nil {
		return "", usageError(err)
	}
	return fromHere(c.Policy), nil
}

// fromHere is a path as people would write it in the working directory: relative
// where it lies below.
func fromHere(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path // which is absolute, and as good
	}
	if short, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(short) {
		return short
	}
	return path
}

// policyCheck is what is said about one policy.
type policyCheck struct {
	Policy   string              `json:"policy"`
	OK       bool                `json:"ok"`
	Digest   string              `json:"digest,omitempty"`
	Mistakes []checkMistake      `json:"mistakes,omitempty"`
	Warnings []warningJSON       `json:"warnings,omitempty"`
	found    toolpolicy.Mistakes // the same mistakes, to be rendered
	doubtful []toolpolicy.Warning
}

// mistakeJSON is a mistake in JSON.
type mistakeJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Try     string `json:"try,omitempty"`
}

func mistakeInJSON(m toolpolicy.Mistake) mistakeJSON {
	return mistakeJSON{m.File, m.Line, m.Col, m.Message, m.Hint}
}

// checkPolicy compiles a policy. Its error is one of reading; mistakes are
// what it was to find.
func checkPolicy(path string, known toolpolicy.Known) (policyCheck, error) {
	policy, err := loadPolicy(path)
	c := policyCheck{Policy: path, OK: err == nil}
	if errors.As(err, &c.found) {
		for _, m := range c.found {
			c.Mistakes = append(c.Mistakes, checkMistake{mistakeInJSON(m), "error"})
		}
		return c, nil
	}
	if err != nil {
		return c, err
	}
	c.Digest = policy.Digest()
	return c, c.lint(path, policy, known)
}

func reportChecks(env *environment, checked []policyCheck) error {
	mistakes := 0
	for i := range checked {
		mistakes += len(checked[i].Mistakes)
	}
	if err := writeChecks(env, checked); err != nil {
		return err
	}
	if mistakes > 0 {
		return problemsFound()
	}
	return nil
}

func writeChecks(env *environment, checked []policyCheck) error {
	if env.output != outputTable {
		return writeItems(env, checked)
	}
	for _, c := range checked {
		if c.OK {
			writeWarnings(env, c)
			continue
		}
		fmt.Fprint(env.stderr, printable(c.found.Render()))
		fmt.Fprintf(env.stderr, "%s: %s\n", printable(c.Policy), count(len(c.Mistakes), "mistake"))
	}
	return nil
}

// writeItems writes a list as one JSON document, or one line an item.
func writeItems[T any](env *environment, items []T) error {
	if env.output == outputJSON {
		return writeJSON(env.stdout, items)
	}
	enc := json.NewEncoder(env.stdout)
	enc.SetEscapeHTML(false)
	for _, item := range items {
		if err := enc.Encode(item); err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
	}
	return nil
}

// writeItem writes one item as a JSON document, indented or on one line.
func writeItem[T any](env *environment, item T) error {
	if env.output == outputJSON {
		return writeJSON(env.stdout, item)
	}
	return writeItems(env, []T{item})
}

// count is "1 mistake", "2 mistakes".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func newPolicyTestCommand(env *environment) *cobra.Command {
	var cover bool
	var least int
	cmd := &cobra.Command{
		Use:   "test [FILE|FOLDER...]",
		Short: "Run the tests of a policy",
		Long: `Run the tests of a policy: calls, and what the policy must say to them. A folder
means its *_test.yaml files; without an argument it is the current folder.
Paths inside a test file start from its own folder.

With --cover it also tells which rules no test's decision names, and which of
their conditions were never true or never false. A rule counts once, a condition
once for each answer.

Exit code 3: a test failed, or less is covered than --min-cover demands.`,
		Example: "  mcpguard policy test policy_test.yaml\n  mcpguard policy test policies/ -o jsonl\n  mcpguard policy test --min-cover 80",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			if least < 0 || least > 100 {
				return usageError(hinted{"run policy tests: --min-cover is a percentage, from 0 to 100", "--min-cover 80"})
			}
			var tried *coverage
			if cover || least > 0 {
				tried = newCoverage()
			}
			var results []testResult
			for _, arg := range args {
				paths, err := policyTestPaths(arg)
				if err != nil {
					return fail(exitUsage, fmt.Errorf("find policy tests: %w", err), "the folder or the name of a policy_test.yaml")
				}
				for _, path := range paths {
					ran, err := runPolicyTests(path, tried)
					if err != nil {
						return testsBroken(env, path, err)
					}
					results = append(results, ran...)
				}
			}
			return reportTests(env, results, tried, least)
		},
	}
	cmd.Flags().BoolVar(&cover, "cover", false, "tell what the tests do not try")
	cmd.Flags().IntVar(&least, "min-cover", 0, "least `PERCENT` of the policy that the tests must try (with --cover)")
	return cmd
}

// testsBroken says why no test could run: mistakes in the form that the command
// line asks for.
func testsBroken(env *environment, path string, err error) error {
	var mistakes toolpolicy.Mistakes
	if !errors.As(err, &mistakes) || env.output == outputTable {
		return policyError(err)
	}
	broken := struct {
		File     string        `json:"file"`
		OK       bool          `json:"ok"`
		Mistakes []mistakeJSON `json:"mistakes"`
	}{File: path}
	for _, m := range mistakes {
		broken.Mistakes = append(broken.Mistakes, mistakeInJSON(m))
	}
	if err := writeItem(env, broken); err != nil {
		return err
	}
	return problemsFound()
}

// policyError is the mistakes that somebody asked for, or a file that cannot be
// read.
func policyError(err error) error {
	var mistakes toolpolicy.Mistakes
	if errors.As(err, &mistakes) {
		return fail(exitProblems, err, "")
	}
	return usageError(err)
}

// testResult is what is said about one test.
type testResult struct {
	File     string   `json:"file"`
	Line     int      `json:"line,omitempty"` // none of a recorded call
	Name     string   `json:"name"`
	OK       bool     `json:"ok"`
	Failures []string `json:"failures,omitempty"`
}

// runPolicyTests runs one file, and counts what it tries. Its error says why no
// test could run.
func runPolicyTests(path string, tried *coverage) ([]testResult, error) {
	tests, err := readPolicyTests(path)
	if err != nil {
		return nil, err
	}
	return tests.run(tried.load(tests.file))
}

// policyTests is a test file that was read, with the tools that it names.
type policyTests struct {
	path string
	file *toolpolicy.TestFile
}

func readPolicyTests(path string) (*policyTests, error) {
	text, err := readBounded(path, maxPolicyFile)
	if err != nil {
		return nil, fmt.Errorf("read policy tests: %w", err)
	}
	file, err := loadTests(path, text)
	if err != nil {
		return nil, err
	}
	t := &policyTests{path, file}
	if name := file.ToolsPath(); name != "" {
		recorded, err := readCatalogueFile(besideFile(path, name))
		if err != nil {
			return nil, fmt.Errorf("read the tests of %s: %w", path, err)
		}
		file.UseTools(recorded)
	}
	for _, name := range file.SessionPaths() {
		const from = "mcpguard sessions show SESSION -o json prints one"
		text, err := readBounded(besideFile(path, name), maxSessionFile)
		if err != nil {
			return nil, fail(exitUsage, fmt.Errorf("read the sessions of %s: %w", path, err), from)
		}
		if err := file.LoadSession(besideFile(path, name), text); err != nil {
			return nil, fail(exitUsage, err, from)
		}
	}
	return t, nil
}

// policy is the path of the policy that is tested.
func (t *policyTests) policy() string { return besideFile(t.path, t.file.PolicyPath()) }

// besideFile is a path that a file names, from the file's folder on.
func besideFile(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// maxSessionFile bounds a recorded session that tests name, in bytes.
const maxSessionFile = 64 << 20

// run runs the tests against the policy that load gives for its path. Its error
// says why no test could run.
func (t *policyTests) run(load func(path string) (*toolpolicy.Policy, error)) ([]testResult, error) {
	var broken error // a policy that does not load fails no test: nothing was tested
	ran := t.file.Run(func(name string) (*toolpolicy.Policy, error) {
		policy, err := load(besideFile(t.path, name))
		if broken == nil {
			broken = err
		}
		return policy, err
	})
	if broken != nil {
		return nil, broken
	}
	results := make([]testResult, len(ran))
	for i, r := range ran {
		results[i] = testResult{r.File, r.Line, r.Name, r.OK(), r.Failures}
	}
	return results, nil
}

func reportTests(env *environment, results []testResult, tried *coverage, least int) error {
	failed := 0
	for _, r := range results {
		if !r.OK {
			failed++
		}
	}
	if tried == nil || env.output == outputTable {
		if err := writeTests(env, results, failed); err != nil {
			return err
		}
	}
	if tried != nil {
		if err := reportCoverage(env, results, tried, least); err != nil {
			return err
		}
	}
	switch {
	case failed > 0:
		return problemsFound()
	case len(results) == 0:
		return usageError(errors.New("run policy tests: the files hold no test"))
	}
	return nil
}

func writeTests(env *environment, results []testResult, failed int) error {
	if env.output != outputTable {
		return writeItems(env, results)
	}
	for _, r := range results {
		if r.OK {
			continue
		}
		place := printable(r.File)
		if r.Line > 0 {
			place += ":" + strconv.Itoa(r.Line)
		}
		fmt.Fprintf(env.stdout, "FAIL %s: %s\n", place, printable(r.Name))
		for _, why := range r.Failures {
			fmt.Fprintf(env.stdout, "     %s\n", printable(why))
		}
	}
	_, err := fmt.Fprintf(env.stdout, "%s, %d failed\n", count(len(results), "test"), failed)
	return err
}
