package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"mcpguard/audit"
	"mcpguard/store"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// unused lists the grants of a policy that decided no recorded call since a time.
func (o *accessOptions) unused(ctx context.Context, env *environment, p *toolpolicy.Policy) error {
	since, err := parseSince("--unused-since", o.unusedSince, env.now())
	if err != nil {
		return usageError(err)
	}
	use := usage{grants: p.Grants(), policies: map[string][]toolpolicy.Grant{p.Digest(): p.Grants()}, used: map[string]bool{}}
	err = withReader(ctx, env, o.store, func(r *store.Reader) error { return use.read(ctx, r, since) })
	if err != nil {
		return err
	}
	if use.removed {
		fmt.Fprintf(env.stderr, "the record does not go back to %s: retention removed a part of it\n", clock(since))
	}
	return writeUnused(env, slices.DeleteFunc(use.grants, func(g toolpolicy.Grant) bool {
		return g.Effect == toolcall.Deny || g.Observed || use.used[g.Rule]
	}))
}

// usage is which grants decided calls.
type usage struct {
	grants   []toolpolicy.Grant
	policies map[string][]toolpolicy.Grant // of policies that decided, by digest; nil of those whose text is gone
	used     map[string]bool               // by id
	removed  bool                          // records that would count are gone
}

// maxPolicies bounds how many policies of a record are held at once.
const maxPolicies = 64

// read goes through all chains, a record at a time.
func (u *usage) read(ctx context.Context, r *store.Reader, since time.Time) error {
	chains, err := r.Chains(ctx)
	if err != nil {
		return err
	}
	for _, chain := range chains {
		for entry, err := range r.Chain(ctx, chain, 0) {
			if err != nil {
				return err
			}
			rec, err := audit.Decode(entry)
			if err != nil {
				return err
			}
			if rec.Kind == audit.Purged && (rec.Purge.Before.IsZero() || rec.Purge.Before.After(since)) {
				u.removed = true
			}
			if rec.Rule == "" || rec.At.Before(since) || rec.Effect == toolcall.Deny {
				continue
			}
			if err := u.note(ctx, r, rec.Policy, rec.Rule); err != nil {
				return err
			}
		}
	}
	return nil
}

// note counts a rule that decided under a policy. An id may have been of another rule
// there, and a rule may have had another id: what counts is what the rule says. Where
// the text of that policy is gone, the id has to do.
func (u *usage) note(ctx context.Context, blobs audit.BlobReader, policy, rule string) error {
	then, known := u.policies[policy]
	if !known {
		if len(u.policies) >= maxPolicies {
			clear(u.policies)
		}
		var err error
		if then, err = grantsOf(ctx, blobs, policy); err != nil {
			return err
		}
		u.policies[policy] = then
	}
	i := slices.IndexFunc(then, func(g toolpolicy.Grant) bool { return g.Rule == rule })
	if i < 0 {
		u.used[rule] = true
		return nil
	}
	for _, g := range u.grants {
		was := then[i]
		if g.Role == was.Role && g.Effect == was.Effect && g.Kind == was.Kind && g.Selector == was.Selector && g.Conditions == was.Conditions {
			u.used[g.Rule] = true
		}
	}
	return nil
}

// grantsOf are the rules of a policy that the store keeps; none where it does not, or
// where this version cannot read it any more.
func grantsOf(ctx context.Context, blobs audit.BlobReader, digest string) ([]toolpolicy.Grant, error) {
	blob, err := blobs.Blob(ctx, digest)
	switch {
	case errors.Is(err, audit.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var texts map[string]string
	if err := json.Unmarshal(blob, &texts); err != nil {
		return nil, fmt.Errorf("read the policy %s: %w", digest, err)
	}
	var files []toolpolicy.File
	for name, text := range texts {
		files = append(files, toolpolicy.File{Name: name, Text: []byte(text)})
	}
	// Mistakes are of a language that this version does not speak any more: no policy
	// is nil, and has no digest.
	p, _ := toolpolicy.CompileFiles(files)
	if p.Digest() != digest {
		return nil, nil
	}
	return p.Grants(), nil
}

// grantJSON is a grant in JSON.
type grantJSON struct {
	Rule       string `json:"rule"`
	Role       string `json:"role"`
	Effect     string `json:"effect"`
	Kind       string `json:"kind"`
	Target     string `json:"target"`
	Conditions string `json:"conditions,omitempty"`
	File       string `json:"file"`
	Line       int    `json:"line"`
}

func writeUnused(env *environment, grants []toolpolicy.Grant) error {
	if env.output != outputTable {
		all := make([]grantJSON, len(grants))
		for i, g := range grants {
			all[i] = grantJSON{g.Rule, g.Role, g.Effect.String(), g.Kind.String(), g.Selector, g.Conditions, g.File, g.Line}
		}
		return writeItems(escaping(env), all)
	}
	if len(grants) == 0 {
		fmt.Fprintln(env.stderr, "every grant was used")
		return nil
	}
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tEFFECT\tTARGET\tCONDITIONS\tPLACE")
	for _, g := range grants {
		conditions := g.Conditions
		if conditions == "" {
			conditions = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s:%d\n", g.Rule, g.Effect, visible(g.Selector), visible(conditions), visible(g.File), g.Line)
	}
	return w.Flush()
}
