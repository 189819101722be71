package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// accessOptions are the flags of policy access.
type accessOptions struct {
	knowing
	subject     string
	client      string
	groups      []string
	tool        string
	unusedSince string
	store       string
}

func newPolicyAccessCommand(env *environment) *cobra.Command {
	var o accessOptions
	cmd := &cobra.Command{
		Use:   "access [FILE|FOLDER]",
		Short: "Say who may call what",
		Long: `Say who may call what: for each tool what every role may do, for one caller
(--subject, --groups, --client) everything that they may do, or for one --tool
everybody who may call it. Arguments are not judged: "allow on conditions" means
that it depends on them. Without --tools or --live the rows are what the rules
select; one with a star stands for the names that have no row of their own.
Without an argument it is the policy of the configuration.

With --unused-since the grants are listed (rules that allow, or ask) that no
recorded call was decided by since then. A grant that only ever applied beside an
earlier one counts as unused: the earlier one decided. What retention removed
from the record cannot be counted, and is told.`,
		Example: `  mcpguard policy access policy.yaml --tools tools.lock.json
  mcpguard policy access --groups support,eng
  mcpguard policy access --tool payments/refund
  mcpguard policy access --unused-since 90d`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := policyArgument(env, args)
			if err != nil {
				return err
			}
			p, err := loadPolicy(path)
			if err != nil {
				return policyError(err)
			}
			if o.unusedSince != "" {
				return o.unused(cmd.Context(), env, p)
			}
			catalogue, err := o.catalogue(cmd.Context(), env)
			if err != nil {
				return err
			}
			return o.run(env, p, catalogue)
		},
	}
	o.knowing.bind(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.subject, "subject", "", "the caller's `SUBJECT`: the name of a token, or of the local user")
	flags.StringSliceVar(&o.groups, "groups", nil, "the caller's `GROUPS`, separated by commas")
	flags.StringVar(&o.client, "client", "", "the caller's verified `CLIENT`")
	flags.StringVar(&o.tool, "tool", "", "only who may call `UPSTREAM/NAME`")
	flags.StringVar(&o.unusedSince, "unused-since", "", "grants that no record used since `TIME`: 90d, 2026-03-01, or RFC 3339")
	bindStore(cmd, &o.store)
	return cmd
}

// policyArgument is the policy that a command is about: the one that is named, or the
// configuration's.
func policyArgument(env *environment, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	if path, err := configPath(env.config, false, env); path == "" && err == nil {
		return "", usageError(hinted{"read the policy: neither it nor a configuration is named, and there is no " + defaultConfig, "policy.yaml as the argument"})
	}
	c, err := LoadConfig(env.config, overrides{}, env)
	if err != nil {
		return "", usageError(err)
	}
	return fromHere(c.Policy), nil
}

// accessJSON is what somebody may do with something, in JSON.
type accessJSON struct {
	Kind       string   `json:"kind"`
	Target     string   `json:"target"`
	Role       string   `json:"role,omitempty"` // who has it and the role everyone; absent of one caller
	Groups     []string `json:"groups,omitempty"`
	Subjects   []string `json:"subjects,omitempty"`
	Clients    []string `json:"clients,omitempty"`
	Access     string   `json:"access"`
	Allow      string   `json:"allow"` // never, sometimes or always, as the following
	Approve    string   `json:"approve"`
	Denied     bool     `json:"denied"` // by a rule
	Rules      []string `json:"rules,omitempty"`
	Conditions []string `json:"conditions,omitempty"`
}

func accessRow(t toolpolicy.Target, role toolpolicy.Role, a toolpolicy.Access) accessJSON {
	return accessJSON{Kind: t.Kind.String(), Target: t.Upstream + "/" + t.Name, Role: role.Name, Groups: role.Groups, Subjects: role.Subjects,
		Clients: role.Clients, Access: a.String(), Allow: a.Allow.String(), Approve: a.Approve.String(), Denied: a.Denied, Rules: a.Rules, Conditions: a.Conditions}
}

func (o *accessOptions) run(env *environment, p *toolpolicy.Policy, catalogue *toolpolicy.Catalogue) error {
	one := o.subject != "" || o.client != "" || len(o.groups) > 0
	targets := p.Targets(catalogue)
	if o.tool != "" {
		upstream, name, ok := strings.Cut(o.tool, "/")
		if !ok || upstream == "" || name == "" {
			return usageError(hinted{fmt.Sprintf("--tool %q is no tool", o.tool), "--tool UPSTREAM/NAME"})
		}
		if catalogue != nil && catalogue.Tool(upstream, name) == nil {
			return usageError(hinted{fmt.Sprintf("--tool %s: no upstream defines it", o.tool), nearestTool(catalogue, o.tool)})
		}
		targets = []toolpolicy.Target{{Kind: toolcall.Tool, Upstream: upstream, Name: name}}
	}
	var rows []accessJSON
	for _, t := range targets {
		if one {
			rows = append(rows, accessRow(t, toolpolicy.Role{}, p.Access(o.caller(), t.Kind, t.Upstream, t.Name)))
			continue
		}
		for _, role := range p.AllRoles() {
			rows = append(rows, accessRow(t, role, p.RoleAccess(role.Name, t.Kind, t.Upstream, t.Name)))
		}
	}
	switch {
	case env.output != outputTable:
		return writeItems(escaping(env), rows)
	case one:
		return o.writeOne(env, p, rows)
	case o.tool != "":
		return writeHolders(env, rows)
	}
	return writeMatrix(env, p, rows)
}

// caller is the one that the flags describe.
func (o *accessOptions) caller() toolcall.Caller {
	c := toolcall.Caller{Person: o.subject, Subject: o.subject, Issuer: "local", Client: o.client, Groups: o.groups}
	if c.Subject == "" {
		c.Subject = "somebody"
	}
	return c
}

// writeOne shows what one caller may do.
func (o *accessOptions) writeOne(env *environment, p *toolpolicy.Policy, rows []accessJSON) error {
	fmt.Fprintf(env.stdout, "roles: %s\n", strings.Join(p.Roles(o.caller()), ", "))
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tACCESS\tRULES\tCONDITIONS")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", visible(r.named()), r.Access, orDash(r.Rules, " "), visible(orDash(r.Conditions, "; ")))
	}
	return w.Flush()
}

// writeHolders shows who may call one tool.
func writeHolders(env *environment, rows []accessJSON) error {
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROLE\tWHO\tACCESS\tRULES\tCONDITIONS")
	for _, r := range rows {
		var who []string
		for what, names := range map[string][]string{"groups": r.Groups, "subjects": r.Subjects, "clients": r.Clients} {
			if len(names) > 0 {
				who = append(who, what+" "+strings.Join(names, ", "))
			}
		}
		slices.Sort(who)
		if who == nil {
			who = []string{"everybody"}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Role, visible(strings.Join(who, "; ")), r.Access, orDash(r.Rules, " "), visible(orDash(r.Conditions, "; ")))
	}
	return w.Flush()
}

// writeMatrix shows what every role may do: a row for each target, a column for each
// role. A role's column is of those who have no other but everyone.
func writeMatrix(env *environment, p *toolpolicy.Policy, rows []accessJSON) error {
	if len(rows) == 0 {
		return usageError(errors.New("say who may call what: the policy has no rules, so nobody may call anything"))
	}
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "TARGET")
	roles := p.AllRoles()
	for _, role := range roles {
		fmt.Fprintf(w, "\t%s", role.Name)
	}
	for i, r := range rows {
		if i%len(roles) == 0 {
			fmt.Fprintf(w, "\n%s", visible(r.named()))
		}
		fmt.Fprintf(w, "\t%s", r.Access)
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// named is the target as people write it in rules.
func (r accessJSON) named() string {
	if r.Kind == toolcall.Tool.String() {
		return r.Target
	}
	return r.Kind + " " + r.Target
}

func orDash(all []string, by string) string {
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, by)
}
