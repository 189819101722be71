package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mcpguard/toolcall"
)

// initOptions are the flags of policy init.
type initOptions struct {
	fromUpstreams bool
	lock, force   bool
}

func newPolicyInitCommand(env *environment) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:        "init --from-upstreams [FILE]",
		SuggestFor: []string{"new", "create"},
		Short:      "Begin a policy with what the upstreams define",
		Long: `Write a policy that denies everything, with a line for every tool, prompt and
resource of the configured upstreams that is commented out: take away the # before
what somebody needs. Tools are grouped by risk. What a server says of itself only
makes the risk higher: a tool without hints may destroy, and one that claims to
read stays something to look at.

The upstreams are asked, and those that are processes are started. FILE is
policy.yaml where none is named. With --lock their definitions are written to
tools.lock.json beside it. A file that is there is not overwritten without --force.

Exit code 7: no upstream answers.`,
		Example: "  mcpguard policy init --from-upstreams\n  mcpguard policy init --from-upstreams policies/baseline.yaml --lock",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !o.fromUpstreams {
				return usageError(hinted{"begin a policy: it is not said from what", "mcpguard policy init --from-upstreams"})
			}
			path := "policy.yaml"
			if len(args) > 0 {
				path = args[0]
			}
			return o.run(cmd.Context(), env, path)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.fromUpstreams, "from-upstreams", false, "ask the upstreams of the configuration what they define")
	flags.BoolVar(&o.lock, "lock", false, "also write tools.lock.json, beside the policy")
	flags.BoolVar(&o.force, "force", false, "overwrite files that are there")
	return cmd
}

func (o *initOptions) run(ctx context.Context, env *environment, path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return usageError(fmt.Errorf("begin a policy: %w", err))
	}
	files := []string{path}
	if o.lock {
		files = append(files, filepath.Join(filepath.Dir(path), "tools.lock.json"))
	}
	for _, file := range files { // before anything is started
		switch _, err := os.Lstat(file); {
		case err == nil && !o.force:
			return usageError(hinted{fmt.Sprintf("begin a policy: %s is there already", file), "another file, or --force to overwrite it"})
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return usageError(fmt.Errorf("begin a policy: %w", err))
		}
	}
	cfg, err := liveConfig(env)
	if err != nil {
		return usageError(err)
	}
	all, err := askUpstreams(ctx, cfg, env)
	if err != nil {
		return err
	}
	if err := tellFailures(all, cfg, env); err != nil {
		return err
	}
	lock, err := lockOf(all)
	if err != nil {
		return err
	}
	for i, text := range [][]byte{[]byte(baseline(all)), lock}[:len(files)] {
		if err := o.write(files[i], text); err != nil {
			return err
		}
		fmt.Fprintf(env.stdout, "wrote %s\n", printable(files[i]))
	}
	return nil
}

// write makes a file anew: one that appeared meanwhile is not overwritten either.
func (o *initOptions) write(path string, text []byte) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if o.force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// risk is how much a tool may do, by what its server says of it. Hints come from the
// server, so none makes it less than what the tool may do without any (MCP,
// ToolAnnotations: "clients should never make tool use decisions based on
// annotations received from untrusted servers").
type risk uint8

// The risks. The zero risk is the highest.
const (
	mayDestroy risk = iota
	mayChange
	saysItReads
)

var riskTitles = [...]string{
	"may destroy: it says so, or says nothing",
	"may change things; its server says that it destroys nothing",
	"its server says that it only reads",
}

func riskOf(tool toolcall.JSON) risk {
	hint := func(name string) toolcall.Type { return tool.Member("annotations").Member(name).Type() }
	switch {
	case hint("destructiveHint") == toolcall.True:
		return mayDestroy // whatever else it says
	case hint("readOnlyHint") == toolcall.True:
		return saysItReads
	case hint("destructiveHint") == toolcall.False:
		return mayChange
	}
	return mayDestroy
}

// baseline is a policy that denies everything, and says in comments what there is.
func baseline(all []definitions) string {
	var b strings.Builder
	b.WriteString(`version: 1

# Nothing is allowed yet. Take away the # before allow and before what this role
# needs, name the groups of those who need it, and say with which arguments where
# that matters:
#   - {tool: payments/refund, args: {amount: {max: 500}}}
# mcpguard policy check --live says what cannot work, or is open.
roles:
  agents:
    groups: [CHANGE-ME]
    #allow:
`)
	for _, d := range all {
		if d.err != nil {
			fmt.Fprintf(&b, "\n    # %s did not say what it defines.\n", d.upstream)
			continue
		}
		byRisk := map[risk][]string{}
		for _, tool := range d.lists["tools"] {
			name, _ := tool.Member("name").Str()
			byRisk[riskOf(tool)] = append(byRisk[riskOf(tool)], ruleLine("", d.upstream, name, ""))
		}
		for _, r := range []risk{saysItReads, mayChange, mayDestroy} {
			writeGroup(&b, d.upstream+", tools: "+riskTitles[r], byRisk[r])
		}
		writeGroup(&b, d.upstream+", prompts", ruleLines("prompt", d, "prompts", "name"))
		writeGroup(&b, d.upstream+", resources", ruleLines("resource", d, "resources", "uri"))
		writeGroup(&b, d.upstream+", resource templates", ruleLines("resource", d, "resourceTemplates", "uriTemplate"))
	}
	return b.String()
}

func writeGroup(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	slices.Sort(lines)
	fmt.Fprintf(b, "\n    # %s\n", title)
	for _, line := range slices.Compact(lines) {
		b.WriteString("    #  - " + line + "\n") // without the # it stands below allow
	}
}

func ruleLines(kind string, d definitions, list, member string) []string {
	var lines []string
	for _, item := range d.lists[list] {
		name, _ := item.Member(member).Str()
		open := ""
		// A template stands for what it begins with (RFC 6570).
		if prefix, _, template := strings.Cut(name, "{"); template && list == "resourceTemplates" {
			name, open = prefix, "*"
		}
		lines = append(lines, ruleLine(kind, d.upstream, name, open))
	}
	return lines
}

// ruleLine is a rule about one thing, on one line; open is what stands behind its
// name. A star in the name would stand for other things as well: there is no rule for
// such a name alone, and the line is none.
func ruleLine(kind, upstream, name, open string) string {
	switch text := quotedASCII(upstream + "/" + name + open); {
	case name == "" || strings.Contains(name, "*"):
		return "# no rule can name exactly " + quotedASCII(upstream+"/"+name)
	case kind == "":
		return text
	default:
		return "{" + kind + ": " + text + "}"
	}
}

// quotedASCII is a text as a JSON string of visible ASCII. What an upstream calls its
// things cannot end a line, and cannot look like something else.
func quotedASCII(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= 0x20 && r < 0x7F:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
