package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"mcpguard/toolpolicy"
)

// lintOptions are the flags of policy check.
type lintOptions struct {
	knowing
	strict bool
}

func (o *lintOptions) bind(cmd *cobra.Command) {
	o.knowing.bind(cmd)
	cmd.Flags().BoolVar(&o.strict, "strict", false, "warnings fail the check")
}

// known is what policies are held against. Of a configuration, where one is read, its
// upstreams are known as well.
func (o *lintOptions) known(ctx context.Context, env *environment, configured bool) (known toolpolicy.Known, err error) {
	if configured || o.live || env.config != "" {
		if known.Upstreams, err = configuredUpstreams(env); err != nil {
			return known, err
		}
	}
	known.Catalogue, err = o.catalogue(ctx, env)
	return known, err
}

// configuredUpstreams are the names of the upstreams of the configuration; none where
// there is no configuration.
func configuredUpstreams(env *environment) ([]string, error) {
	if path, err := configPath(env.config, false, env); path == "" && err == nil {
		return nil, nil
	}
	cfg, err := LoadConfig(env.config, overrides{}, env)
	if err != nil {
		return nil, usageError(err)
	}
	names := make([]string, len(cfg.Upstreams))
	for i := range cfg.Upstreams {
		names[i] = cfg.Upstreams[i].Name
	}
	return names, nil
}

// verdict is exit code 3 where warnings count.
func (o *lintOptions) verdict(checked []policyCheck) error {
	for i := range checked {
		if o.strict && len(checked[i].Warnings) > 0 {
			return problemsFound()
		}
	}
	return nil
}

// checkMistake is a mistake in JSON, with how much it weighs.
type checkMistake struct {
	mistakeJSON
	Severity string `json:"severity"` // error, or warning
}

// warningJSON is a warning in JSON.
type warningJSON struct {
	Name string `json:"name"`
	Rule string `json:"rule,omitempty"`
	checkMistake
}

// lint notes the warnings about a policy that compiled.
func (c *policyCheck) lint(path string, p *toolpolicy.Policy, known toolpolicy.Known) error {
	paths, err := policyPaths(path)
	if err != nil {
		return err
	}
	whole := make(map[string]string, len(paths))
	for _, p := range paths {
		whole[filepath.Base(p)] = p
	}
	c.doubtful = p.Lint(known)
	for i := range c.doubtful {
		w := &c.doubtful[i]
		w.File = whole[w.File]
		c.Warnings = append(c.Warnings, warningJSON{w.Name, w.Rule, checkMistake{mistakeInJSON(w.Mistake), "warning"}})
	}
	return nil
}

// writeWarnings shows a policy that compiled to a person.
func writeWarnings(env *environment, c policyCheck) {
	for _, w := range c.doubtful {
		w.Message = fmt.Sprintf("warning: %s [%s]", w.Message, w.Name)
		fmt.Fprint(env.stderr, printable(toolpolicy.Mistakes{w.Mistake}.Render()))
	}
	fmt.Fprintf(env.stdout, "%s: ok, %s\n", printable(c.Policy), c.Digest)
	if n := len(c.doubtful); n > 0 {
		fmt.Fprintf(env.stderr, "%s: %s\n", printable(c.Policy), count(n, "warning"))
	}
}
