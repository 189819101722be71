package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mcpguard/store"
	"mcpguard/toolcall"
)

func newToolsLockCommand(env *environment) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Print the accepted definitions as a lock file",
		Long: `Print what was accepted of each upstream, to be reviewed and kept beside the
policy: {"UPSTREAM": {"tools": [...], "prompts": [...], "resourceTemplates":
[...], "instructions": "..."}}. Named by pins.lock, the file is the authority, and
nothing else is shown to agents. Tests of a policy read it as tools. Of several
accepted forms it has the one that was accepted last. The server may be running.`,
		Example: "  mcpguard tools lock > tools.lock.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withReader(cmd.Context(), env, url, func(r *store.Reader) error {
				all, err := r.Pins(cmd.Context())
				if err != nil {
					return err
				}
				lock, err := lockFile(cmd.Context(), r, pinsWhere(all, func(p *toolcall.Pin) bool { return p.State == toolcall.PinAccepted }))
				if err != nil {
					return err
				}
				_, err = env.stdout.Write(lock)
				return err
			})
		},
	}
	bindStore(cmd, &url)
	return cmd
}

// lockFile is the lock file of accepted pins. A definition whose words are not kept
// as the upstream sent them cannot stand in one.
func lockFile(ctx context.Context, texts pinTexts, accepted []toolcall.Pin) ([]byte, error) {
	type lists struct{ tools, prompts, templates, instructions []string }
	byUpstream := map[string]*lists{}
	var upstreams []string
	for i, p := range accepted {
		if slices.ContainsFunc(accepted, func(other toolcall.Pin) bool { return laterForm(&other, &accepted[i]) }) {
			continue
		}
		text, err := texts.PinText(ctx, p)
		if err != nil {
			return nil, err
		}
		if !isDefinition(text, p.Digest) {
			return nil, fail(exitFailure, fmt.Errorf("print a lock file: the words of %s %s/%s are not kept as they came", p.Kind, p.Upstream, p.Name),
				"write it by hand: it is too long, or a redaction profile changed it")
		}
		of := byUpstream[p.Upstream]
		if of == nil {
			of = &lists{}
			byUpstream[p.Upstream] = of
			upstreams = append(upstreams, p.Upstream)
		}
		list := map[toolcall.PinKind]*[]string{toolcall.PinTool: &of.tools, toolcall.PinPrompt: &of.prompts,
			toolcall.PinTemplate: &of.templates, toolcall.PinInstructions: &of.instructions}[p.Kind]
		*list = append(*list, text)
	}
	var b strings.Builder
	for i, name := range upstreams {
		of := byUpstream[name]
		fmt.Fprintf(&b, "%s%s:{%s:[%s]", comma(i), toolcall.Quote(name).Text(), `"tools"`, strings.Join(of.tools, ","))
		if len(of.prompts) > 0 {
			fmt.Fprintf(&b, `,"prompts":[%s]`, strings.Join(of.prompts, ","))
		}
		if len(of.templates) > 0 {
			fmt.Fprintf(&b, `,"resourceTemplates":[%s]`, strings.Join(of.templates, ","))
		}
		if len(of.instructions) > 0 {
			fmt.Fprintf(&b, `,"instructions":%s`, of.instructions[0])
		}
		b.WriteByte('}')
	}
	var out bytes.Buffer
	if err := json.Indent(&out, []byte("{"+b.String()+"}"), "", "  "); err != nil {
		return nil, fmt.Errorf("print a lock file: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// laterForm reports whether a is another form of what b defines, accepted later.
func laterForm(a, b *toolcall.Pin) bool {
	if a.Upstream != b.Upstream || a.Kind != b.Kind || a.Name != b.Name || a.Digest == b.Digest {
		return false
	}
	order := cmp.Or(a.Decided.Compare(b.Decided), a.Seen.Compare(b.Seen), bytes.Compare(a.Digest[:], b.Digest[:]))
	return order > 0
}

// isDefinition reports whether a text is the definition of that digest.
func isDefinition(text string, digest toolcall.Digest) bool {
	j, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: maxDepth})
	return err == nil && sha256.Sum256(j.AppendCanonical(nil)) == digest
}
