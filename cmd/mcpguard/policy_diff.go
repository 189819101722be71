package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// diffOptions are the flags of policy diff.
type diffOptions struct {
	knowing
	calls  []string
	failOn string
}

func newPolicyDiffCommand(env *environment) *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what a policy decides otherwise than another",
		Long: `Say what the policy NEW decides otherwise than OLD: of every call in --calls, and
of what everybody who has a role may do with every tool. Each is a file or a folder.

--calls takes files of tests, folders with *_test.yaml, and files of one JSON object
a line: {"as": {"groups": ["support"]}, "call": "payments/refund", "args": {...}}.

A change is loosened (more passes, or more is shown), tightened, same (another rule
says it) or unclear: only calls could tell. --fail-on loosened fails for what is
loosened or unclear, and --fail-on tightened likewise.

Exit code 3: there is such a change.`,
		Example: `  mcpguard policy diff old.yaml policy.yaml --calls policy_test.yaml
  mcpguard policy diff old/ policies/ --tools tools.lock.json --fail-on loosened`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return hinted{"name two policies", "mcpguard policy diff old.yaml policy.yaml"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("fail-on") {
				if err := oneOf(o.failOn, toolpolicy.Loosened.String(), toolpolicy.Tightened.String()); err != nil {
					return usageError(fmt.Errorf("--fail-on: %w", err))
				}
			}
			var policies [2]*toolpolicy.Policy
			for i, path := range args {
				var err error
				if policies[i], err = loadPolicy(path); err != nil {
					return policyError(err)
				}
			}
			catalogue, err := o.catalogue(cmd.Context(), env)
			if err != nil {
				return err
			}
			changes, err := o.compare(policies[0], policies[1], catalogue)
			if err != nil {
				return policyError(err)
			}
			if err := writeChanges(env, changes); err != nil {
				return err
			}
			return o.verdict(changes)
		},
	}
	o.knowing.bind(cmd)
	cmd.Flags().StringSliceVar(&o.calls, "calls", nil, "compare over the calls of `FILE`; repeatable")
	cmd.Flags().StringVar(&o.failOn, "fail-on", "", "exit code 3 for a change of this `DRIFT`: loosened or tightened")
	completeFlag(cmd, "fail-on", toolpolicy.Loosened.String(), toolpolicy.Tightened.String())
	return cmd
}

// changeJSON is a change in JSON.
type changeJSON struct {
	Drift  string `json:"drift"`
	What   string `json:"what"`
	Who    string `json:"who"`
	Target string `json:"target"`
	Name   string `json:"name,omitempty"` // of the call
	File   string `json:"file,omitempty"` // where the call is written
	Line   int    `json:"line,omitempty"`
	Old    string `json:"old"`
	New    string `json:"new"`
}

func (o *diffOptions) compare(old, other *toolpolicy.Policy, catalogue *toolpolicy.Catalogue) ([]changeJSON, error) {
	var all []changeJSON
	calls, err := o.read(catalogue)
	if err != nil {
		return nil, err
	}
	for _, c := range calls {
		if change, ok := toolpolicy.Compare(old, other, c.Call); ok {
			target := toolpolicy.Target{Kind: c.Call.Kind, Upstream: c.Call.Upstream, Name: c.Call.Name}
			all = append(all, changeJSON{change.Drift.String(), change.What, c.Call.Caller.Subject, target.String(), c.Name, c.File, c.Line, change.Old, change.New})
		}
	}
	targets := append(old.Targets(catalogue), other.Targets(catalogue)...)
	seen := map[toolpolicy.Target]bool{}
	for _, t := range targets {
		if seen[t] {
			continue
		}
		seen[t] = true
		for _, who := range holders(old, other) {
			if change, ok := toolpolicy.CompareAccess(old, other, who.caller, t); ok {
				all = append(all, changeJSON{Drift: change.Drift.String(), What: change.What, Who: who.name, Target: t.String(), Old: change.Old, New: change.New})
			}
		}
	}
	return all, nil
}

// holder is somebody whom a role is of.
type holder struct {
	name   string
	caller toolcall.Caller
}

// holders are callers such that every role of the policies has one: somebody without
// groups, and one for each group or subject of a role, with each of its clients.
func holders(policies ...*toolpolicy.Policy) []holder {
	nobody := toolcall.Caller{Subject: "somebody", Issuer: "local"}
	found := map[string]toolcall.Caller{"everybody": nobody}
	for _, p := range policies {
		for _, role := range p.AllRoles() {
			people := map[string]toolcall.Caller{}
			for _, g := range role.Groups {
				c := nobody
				c.Groups = []string{g}
				people["group "+g] = c
			}
			for _, s := range role.Subjects {
				c := nobody
				c.Subject = s
				people["subject "+s] = c
			}
			if len(people) == 0 {
				people["everybody"] = nobody
			}
			for name, c := range people {
				if len(role.Clients) == 0 {
					found[name] = c
				}
				for _, client := range role.Clients {
					c.Client = client
					found[name+" with client "+client] = c
				}
			}
		}
	}
	var all []holder
	for _, name := range slices.Sorted(maps.Keys(found)) {
		all = append(all, holder{name, found[name]})
	}
	return all
}

// maxCalls bounds a file of calls, in bytes.
const maxCalls = 64 << 20

// read reads the calls that the flags name. The catalogue of the flags counts, or
// else that of a file of tests.
func (o *diffOptions) read(catalogue *toolpolicy.Catalogue) ([]toolpolicy.NamedCall, error) {
	var all []toolpolicy.NamedCall
	for _, arg := range o.calls {
		paths, err := callPaths(arg)
		if err != nil {
			return nil, fmt.Errorf("find calls: %w", err)
		}
		for _, path := range paths {
			calls, err := readCalls(path, catalogue)
			if err != nil {
				return nil, err
			}
			all = append(all, calls...)
		}
	}
	return all, nil
}

// callPaths are the files that an argument means: a file itself, or the tests of a
// folder.
func callPaths(arg string) ([]string, error) {
	if info, err := os.Stat(arg); err != nil || !info.IsDir() {
		return []string{arg}, err
	}
	return policyTestPaths(arg)
}

func readCalls(path string, catalogue *toolpolicy.Catalogue) ([]toolpolicy.NamedCall, error) {
	text, err := readBounded(path, maxCalls)
	if err != nil {
		return nil, fmt.Errorf("read calls: %w", err)
	}
	if !isYAML(path) {
		return toolpolicy.ReadCalls(path, text, catalogue)
	}
	tests, err := loadTests(path, text)
	if err != nil {
		return nil, err
	}
	switch name := tests.ToolsPath(); {
	case catalogue != nil:
		tests.UseTools(catalogue)
	case name != "":
		recorded, err := readCatalogueFile(besideFile(path, name))
		if err != nil {
			return nil, fmt.Errorf("read the calls of %s: %w", path, err)
		}
		tests.UseTools(recorded)
	}
	return tests.Calls()
}

func (o *diffOptions) verdict(changes []changeJSON) error {
	for _, c := range changes {
		if o.failOn != "" && (c.Drift == o.failOn || c.Drift == toolpolicy.Unclear.String()) {
			return problemsFound()
		}
	}
	return nil
}

func writeChanges(env *environment, changes []changeJSON) error {
	if env.output != outputTable {
		return writeItems(escaping(env), changes)
	}
	if len(changes) == 0 {
		_, err := fmt.Fprintln(env.stdout, "no difference")
		return err
	}
	counts := map[string]int{}
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DRIFT\tWHAT\tWHO\tTARGET\tCALL\tOLD\tNEW")
	for _, c := range changes {
		counts[c.Drift]++
		call := "any"
		if c.Line > 0 {
			call = fmt.Sprintf("%s:%d", c.File, c.Line)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Drift, c.What, visible(c.Who), visible(c.Target), visible(call), visible(c.Old), visible(c.New))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var said []string
	for _, d := range []toolpolicy.Drift{toolpolicy.Loosened, toolpolicy.Tightened, toolpolicy.Unclear, toolpolicy.Same} {
		if n := counts[d.String()]; n > 0 {
			said = append(said, fmt.Sprintf("%d %s", n, d))
		}
	}
	_, err := fmt.Fprintf(env.stdout, "%s: %s\n", count(len(changes), "difference"), strings.Join(said, ", "))
	return err
}
