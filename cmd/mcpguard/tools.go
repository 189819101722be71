package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mcpguard/mcpproxy"
	"mcpguard/store"
	"mcpguard/toolcall"
)

func newToolsCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "See what upstreams define, and accept changes",
		Long: `mcpguard pins what an upstream defines when it is first shown: tools, prompts,
resource templates and instructions. What changes is hidden until somebody
accepts it.`,
		Example: "  mcpguard tools ls --waiting\n  mcpguard tools diff crm/refund\n  mcpguard tools accept crm/refund",
		Args:    onlySubcommands,
		RunE:    needsSubcommand,
	}
	cmd.AddCommand(newToolsListCommand(env), newToolsDiffCommand(env), newToolsAcceptCommand(env), newToolsLockCommand(env))
	return cmd
}

func newToolsListCommand(env *environment) *cobra.Command {
	var url, upstream string
	var waiting bool
	cmd := &cobra.Command{
		Use:        "ls",
		SuggestFor: []string{"list"},
		Short:      "List what upstreams define, and what became of it",
		Long: `List every definition that was seen of upstreams. STATE is accepted (shown),
alerted (shown, and somebody should look at it) or quarantined (hidden, and
refused like what does not exist). CAUSES says why: new, a changed wording,
schema, hints or other part, hidden characters, or a name that resembles another
or that MCP does not allow. The server may be running.`,
		Example: "  mcpguard tools ls --waiting\n  mcpguard tools ls --upstream crm -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withReader(cmd.Context(), env, url, func(r *store.Reader) error {
				all, err := r.Pins(cmd.Context())
				if err != nil {
					return err
				}
				return writePins(env, pinsWhere(all, func(p *toolcall.Pin) bool {
					return (upstream == "" || p.Upstream == upstream) && (!waiting || p.State != toolcall.PinAccepted)
				}))
			})
		},
	}
	bindStore(cmd, &url)
	cmd.Flags().StringVar(&upstream, "upstream", "", "only of this upstream, `NAME`")
	cmd.Flags().BoolVar(&waiting, "waiting", false, "only what nobody accepted")
	return cmd
}

// pinsWhere are the pins of definitions that a command is about.
func pinsWhere(all []toolcall.Pin, want func(*toolcall.Pin) bool) []toolcall.Pin {
	var some []toolcall.Pin
	for i := range all {
		if all[i].Name != "" && want(&all[i]) {
			some = append(some, all[i])
		}
	}
	return some
}

// pinJSON is a pin in JSON.
type pinJSON struct {
	Upstream string    `json:"upstream"`
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`
	State    string    `json:"state"`
	Causes   []string  `json:"causes,omitempty"`
	Digest   string    `json:"digest"`
	Was      string    `json:"was,omitempty"`
	Seen     time.Time `json:"first_seen"`
	Decided  time.Time `json:"decided"`
	By       string    `json:"by"`
}

func pinInJSON(p *toolcall.Pin) pinJSON {
	j := pinJSON{Upstream: p.Upstream, Kind: p.Kind.String(), Name: p.Name, State: p.State.String(),
		Digest: p.Digest.String(), Seen: p.Seen, Decided: p.Decided, By: p.By}
	if p.Causes != 0 {
		j.Causes = strings.Split(p.Causes.String(), ",")
	}
	if !p.Was.IsZero() {
		j.Was = p.Was.String()
	}
	return j
}

// shortDigest is how much of a digest people are shown, in hexadecimal digits; they
// name a definition by it.
const shortDigest = 12

func writePins(env *environment, pins []toolcall.Pin) error {
	if env.output != outputTable {
		all := make([]pinJSON, len(pins))
		for i := range pins {
			all[i] = pinInJSON(&pins[i])
		}
		return writeItems(escaping(env), all)
	}
	if len(pins) == 0 {
		fmt.Fprintln(env.stderr, "no definitions")
		return nil
	}
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DEFINITION\tKIND\tSTATE\tCAUSES\tFIRST SEEN\tDECIDED BY\tDIGEST")
	for i := range pins {
		p := &pins[i]
		causes := p.Causes.String()
		if causes == "" {
			causes = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", visible(p.Upstream+"/"+p.Name), p.Kind, p.State, causes, clock(p.Seen),
			visible(p.By), p.Digest.String()[:shortDigest])
	}
	return w.Flush()
}

// pinTarget reads UPSTREAM/NAME.
func pinTarget(arg, kind, digest string) (t mcpproxy.PinTarget, err error) {
	upstream, name, ok := strings.Cut(arg, "/")
	if !ok || upstream == "" || name == "" {
		return t, hinted{fmt.Sprintf("%q is no definition", arg), "UPSTREAM/NAME, as mcpguard tools ls shows it"}
	}
	t = mcpproxy.PinTarget{Upstream: upstream, Name: name, Digest: digest}
	if kind != "" {
		if t.Kind, ok = toolcall.ParsePinKind(kind); !ok {
			return t, hinted{fmt.Sprintf("there is no kind %q", kind), "--kind tool, prompt, template or instructions"}
		}
	}
	if len(digest) > 2*len(toolcall.Digest{}) || strings.Trim(digest, "0123456789abcdefABCDEF") != "" || digest != "" && len(digest) < shortDigest {
		return t, hinted{fmt.Sprintf("--digest %q is no beginning of a digest", digest), fmt.Sprintf("at least %d of its hexadecimal digits", shortDigest)}
	}
	return t, nil
}

// bindKind declares the flag that tells apart what has the same name.
func bindKind(cmd *cobra.Command, kind *string) {
	cmd.Flags().StringVar(kind, "kind", "", "only this `KIND`: tool, prompt, template or instructions")
	completeFlag(cmd, "kind", toolcall.PinTool.String(), toolcall.PinPrompt.String(), toolcall.PinTemplate.String(), toolcall.PinInstructions.String())
}
