package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mcpguard/audit"
	"mcpguard/store"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// recordedJSON is what the record says about a call that is explained.
type recordedJSON struct {
	At       time.Time `json:"at"`
	Session  string    `json:"session"`
	Call     string    `json:"call"`
	Decision string    `json:"decision"`
	Rule     string    `json:"rule,omitempty"`
	File     string    `json:"file,omitempty"`
	Line     int       `json:"line,omitempty"`
	Policy   string    `json:"policy"`
	Verdicts string    `json:"verdicts,omitempty"`
	Same     bool      `json:"same"` // policy and verdicts are those of then
	Now      string    `json:"verdicts_now,omitempty"`
}

// explainRecorded explains a call of the record, by the policy of then or, where a
// path is given, by that one. The arguments are those that the record keeps,
// redacted; where that changed what a condition comes to, the answer says so.
func explainRecorded(ctx context.Context, env *environment, path string, f *explainFlags) error {
	if f.callerGiven() || f.targetGiven() || f.args != "" || f.at != "" || f.tools != "" {
		return usageError(hinted{"explain a recorded call: the record says who asked and for what", "--record with --session, --store and a policy alone"})
	}
	return withReader(ctx, env, f.store, func(r *store.Reader) error {
		session, err := findSession(ctx, r, f.session)
		if err != nil {
			return err
		}
		all, err := moments(ctx, r, session.ID)
		if err != nil {
			return err
		}
		m, err := recordedCall(all, f.record)
		if err != nil {
			return err
		}
		var policy *toolpolicy.Policy
		if path != "" {
			policy, err = loadPolicy(path)
		} else {
			policy, err = policyOfThen(ctx, r, m.Policy)
		}
		if err != nil {
			return err
		}
		call, err := callOfThen(ctx, r, m)
		if err != nil {
			return err
		}
		return explainAgain(env, policy, call, m)
	})
}

func explainAgain(env *environment, policy *toolpolicy.Policy, call *toolcall.Call, m *moment) error {
	e := policy.Explain(call)
	now := policy.Judge(call).Verdicts
	then := recordedJSON{At: m.At, Session: m.Session.String(), Call: m.Call.String(), Decision: m.Effect.String(), Rule: m.Rule,
		File: m.File, Line: m.Line, Policy: m.Policy, Verdicts: m.Verdicts, Now: now,
		Same: m.Policy == policy.Digest() && m.Verdicts == now}
	if env.output != outputTable {
		j := explanationInJSON(call, &e)
		j.Recorded = &then
		return writeItem(escaping(env), j)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "recorded %s: %s", then.At.Format(time.RFC3339), then.Decision)
	if then.Rule != "" {
		fmt.Fprintf(&b, " by %s at %s:%d", then.Rule, then.File, then.Line)
	}
	switch {
	case then.Same:
		b.WriteString("\nthe arguments that the record keeps come to the same verdicts\n\n")
	case then.Policy != policy.Digest():
		b.WriteString("\njudged by another policy than then, from the arguments that the record keeps redacted\n\n")
	default:
		fmt.Fprintf(&b, "\nthe record keeps the arguments redacted, and they come to other verdicts than those of then: %s, now %s\n\n", then.Verdicts, now)
	}
	if _, err := io.WriteString(env.stdout, printable(b.String())); err != nil {
		return err
	}
	return printExplanation(env.stdout, call, &e)
}

// recordedCall finds a call by its id or how that begins.
func recordedCall(all []*moment, id string) (*moment, error) {
	var found *moment
	for _, m := range all {
		if m.Kind != audit.Intent && m.Kind != audit.Refusal || m.Call.IsZero() || !strings.HasPrefix(m.Call.String(), strings.ToLower(id)) {
			continue
		}
		if found != nil {
			return nil, fail(exitUsage, fmt.Errorf("explain call %s: several ids begin so", id), fmt.Sprintf("%s or %s", found.Call, m.Call))
		}
		found = m
	}
	if found == nil {
		return nil, fail(exitUsage, fmt.Errorf("explain call %s: the session has no such call", id), "--session SESSION, or mcpguard sessions show SESSION -o json for the ids of its calls")
	}
	return found, nil
}

// policyOfThen is the policy behind a digest.
func policyOfThen(ctx context.Context, r audit.BlobReader, digest string) (*toolpolicy.Policy, error) {
	blob, err := r.Blob(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("find the policy of then: %w", err)
	}
	var texts map[string]string
	if err := json.Unmarshal(blob, &texts); err != nil {
		return nil, fmt.Errorf("read the policy of then: %w", err)
	}
	var files []toolpolicy.File
	for name, text := range texts {
		files = append(files, toolpolicy.File{Name: name, Text: []byte(text)})
	}
	policy, err := toolpolicy.CompileFiles(files)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the policy of then with this version: %w", err)
	case policy.Digest() != digest:
		return nil, fmt.Errorf("read the policy of then: it is not what the record names: %w", audit.ErrIntegrity)
	}
	return policy, nil
}

// callOfThen is a call as the record keeps it.
func callOfThen(ctx context.Context, r audit.BlobReader, m *moment) (*toolcall.Call, error) {
	c := &toolcall.Call{ID: m.Call, Caller: m.Caller, Session: m.Session, Upstream: m.Upstream, Kind: m.TargetKind, Name: m.Target, At: m.At}
	if m.ArgsSize > 0 || !m.Args.IsZero() {
		args, err := toolcall.Parse(m.Args.String(), toolcall.Limits{Bytes: maxPolicyFile, Depth: 128})
		if err != nil || args.Type() != toolcall.ObjectType {
			return nil, fail(exitFailure, errors.New("explain a recorded call: the record does not keep its arguments"), "the verdicts of sessions show -o json, beside the policy of then")
		}
		c.Args = args
	}
	if m.Definition == "" {
		return c, nil
	}
	blob, err := r.Blob(ctx, m.Catalogue)
	if err != nil {
		return nil, fmt.Errorf("find the tools of then: %w", err)
	}
	pages, err := toolcall.Parse(string(blob), toolcall.Limits{Bytes: len(blob), Depth: 130})
	if err != nil {
		return nil, fmt.Errorf("read the tools of then: %w", err)
	}
	for page := pages.Elements(); page.Next(); {
		for tool := page.Value().Member("tools").Elements(); tool.Next(); {
			if def := toolcall.NewToolDef(m.Upstream, tool.Value()); def != nil && def.Digest.String() == m.Definition {
				c.Def = def
				return c, nil
			}
		}
	}
	return nil, fmt.Errorf("read the tools of then: %s is not among them: %w", m.Target, audit.ErrIntegrity)
}
