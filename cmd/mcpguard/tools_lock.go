package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

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
	lock := lockText{}
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
		lock.of(p.Upstream).add(p.Kind, text)
	}
	return lock.bytes()
}

// lockText is what stands in a lock file or a recorded catalogue, by upstream:
// definitions as the upstreams send them.
type lockText map[string]*lockedText

type lockedText struct {
	Tools        []json.RawMessage `json:"tools"`
	Prompts      []json.RawMessage `json:"prompts,omitempty"`
	Templates    []json.RawMessage `json:"resourceTemplates,omitempty"`
	Instructions json.RawMessage   `json:"instructions,omitempty"`
}

// of is what an upstream defines: no tool yet, where it was not asked for before.
func (l lockText) of(upstream string) *lockedText {
	if l[upstream] == nil {
		l[upstream] = &lockedText{Tools: []json.RawMessage{}}
	}
	return l[upstream]
}

// add puts a definition behind the others of its kind; instructions are one text.
func (t *lockedText) add(kind toolcall.PinKind, text string) {
	switch definition := json.RawMessage(text); kind {
	case toolcall.PinTool:
		t.Tools = append(t.Tools, definition)
	case toolcall.PinPrompt:
		t.Prompts = append(t.Prompts, definition)
	case toolcall.PinTemplate:
		t.Templates = append(t.Templates, definition)
	case toolcall.PinInstructions:
		t.Instructions = definition
	}
}

// bytes is the file. Definitions are indented, and else as they came.
func (l lockText) bytes() ([]byte, error) {
	var out bytes.Buffer
	if err := writeJSON(&out, l); err != nil {
		return nil, fmt.Errorf("print a lock file: %w", err)
	}
	return out.Bytes(), nil
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
