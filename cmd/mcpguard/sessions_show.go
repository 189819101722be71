package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/store"
	"mcpguard/toolcall"
)

func newSessionsShowCommand(env *environment) *cobra.Command {
	var url string
	var full bool
	cmd := &cobra.Command{
		Use:        "show ID|PREFIX|latest",
		SuggestFor: []string{"get", "view"},
		Short:      "Show what happened in a session, call by call",
		Long: `Show what happened in a session, call by call: the decision and the rule that
made it, the arguments and the result as policy keeps them, how the call ended
and how long it took, and what was redacted. The server may be running.`,
		Example: "  mcpguard sessions show latest\n  mcpguard sessions show 019a8f2e --full\n  mcpguard sessions show latest -o jsonl",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return hinted{"name one session, or latest", "mcpguard sessions show latest"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withReader(cmd.Context(), env, url, func(r *store.Reader) error {
				session, err := findSession(cmd.Context(), r, args[0])
				if err != nil {
					return err
				}
				return showSession(cmd.Context(), env, r, session, full)
			})
		},
	}
	bindStore(cmd, &url)
	cmd.Flags().BoolVar(&full, "full", false, "show arguments and results whole")
	return cmd
}

// sessionReader is what showing a session needs of a store.
type sessionReader interface {
	audit.Reader
	audit.BlobReader
}

// findSession finds the one session that name stands for.
func findSession(ctx context.Context, r sessionReader, name string) (audit.SessionInfo, error) {
	filter := audit.Filter{Prefix: name, Limit: 2}
	if name == "latest" {
		filter = audit.Filter{Limit: 1}
	}
	found, err := r.Sessions(ctx, filter)
	switch {
	case errors.Is(err, audit.ErrPrefix):
		return audit.SessionInfo{}, fail(exitUsage, err, "mcpguard sessions ls")
	case err != nil:
		return audit.SessionInfo{}, err
	case len(found) == 0:
		return audit.SessionInfo{}, fail(exitFailure, fmt.Errorf("show session %s: %w", name, audit.ErrNotFound), "mcpguard sessions ls")
	case len(found) > 1:
		return audit.SessionInfo{}, fail(exitUsage, fmt.Errorf("show session %s: several ids begin so", name),
			fmt.Sprintf("%s or %s", found[0].ID, found[1].ID))
	}
	return found[0], nil
}

// A moment is one thing that happened in a session: a call with its end, or
// anything else that was recorded.
type moment struct {
	audit.Record
	End *audit.Record // of a call that was forwarded; nil: nobody knows
}

// Took is how long a call was away; 0 when nobody knows.
func (m *moment) Took() time.Duration {
	if m.End == nil {
		return 0
	}
	return m.End.At.Sub(m.At)
}

// moments reads a session in the order in which its parts began.
func moments(ctx context.Context, r sessionReader, session toolcall.ID) ([]*moment, error) {
	var all []*moment
	open := map[toolcall.ID]*moment{}
	for e, err := range r.Entries(ctx, session) {
		if err != nil {
			return nil, err
		}
		record, err := audit.Decode(e)
		if err != nil {
			return nil, err
		}
		if err := record.Fetch(ctx, r); err != nil {
			return nil, err
		}
		if call := open[record.Call]; record.Kind == audit.Outcome && call != nil {
			call.End = &record
			delete(open, record.Call)
			continue
		}
		m := &moment{Record: record}
		if record.Kind == audit.Intent {
			open[record.Call] = m
		}
		all = append(all, m)
	}
	return all, nil
}

// showSession writes a session in the form that the command line asks for.
func showSession(ctx context.Context, env *environment, r sessionReader, session audit.SessionInfo, full bool) error {
	all, err := moments(ctx, r, session.ID)
	if err != nil {
		return err
	}
	switch env.output {
	case outputTable:
		printSession(env.stdout, session, all, full)
		return nil
	case outputJSON:
		shown := struct {
			Session sessionJSON  `json:"session"`
			Records []momentJSON `json:"records"`
		}{sessionInJSON(session), make([]momentJSON, len(all))}
		for i, m := range all {
			shown.Records[i] = momentInJSON(m)
		}
		return writeJSON(escaping(env).stdout, shown)
	}
	lines := make([]momentJSON, len(all))
	for i, m := range all {
		lines[i] = momentInJSON(m)
	}
	return writeItems(escaping(env), lines)
}

// momentJSON is a moment in JSON.
type momentJSON struct {
	At       time.Time `json:"at"`
	Edge     string    `json:"edge,omitempty"`
	Record   string    `json:"record"`
	Call     string    `json:"call,omitempty"`
	Task     string    `json:"task,omitempty"`
	Decision string    `json:"decision,omitempty"`
	Rule     string    `json:"rule,omitempty"`
	File     string    `json:"file,omitempty"`
	Line     int       `json:"line,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Verdicts string    `json:"verdicts,omitempty"`
	Shadow   []string  `json:"shadow,omitempty"`
	Would    string    `json:"would,omitempty"`

	Upstream      string          `json:"upstream,omitempty"`
	Method        string          `json:"method,omitempty"`
	Kind          string          `json:"kind,omitempty"`
	Target        string          `json:"target,omitempty"`
	Args          json.RawMessage `json:"args,omitempty"`
	ArgsDigest    string          `json:"args_digest,omitempty"`
	ArgsSize      int             `json:"args_size,omitempty"`
	Groups        []string        `json:"groups,omitempty"`
	Roles         []string        `json:"roles,omitempty"`
	ClientName    string          `json:"client_name,omitempty"`
	ClientVersion string          `json:"client_version,omitempty"`
	ClientAddr    string          `json:"client_addr,omitempty"`
	Era           string          `json:"era,omitempty"`
	Policy        string          `json:"policy,omitempty"`
	Catalogue     string          `json:"catalogue,omitempty"`
	Definition    string          `json:"definition,omitempty"`

	Outcome      string           `json:"outcome,omitempty"`
	TookMs       *float64         `json:"took_ms,omitempty"`
	Result       json.RawMessage  `json:"result,omitempty"`
	ResultCut    bool             `json:"result_cut,omitempty"`
	ResultDigest string           `json:"result_digest,omitempty"`
	ResultSize   int              `json:"result_size,omitempty"`
	Error        string           `json:"error,omitempty"`
	Redactions   []redactionJSON  `json:"redactions,omitempty"`
	Durability   string           `json:"durability,omitempty"`
	Stages       map[string]int64 `json:"stages_us,omitempty"`
}

type redactionJSON struct {
	Profile string `json:"profile"`
	Path    string `json:"path"`
	Surface string `json:"surface"`
	Count   int    `json:"count"`
}

func momentInJSON(m *moment) momentJSON {
	j := momentJSON{At: m.At, Edge: m.Edge, Record: m.Kind.String(), Decision: decisionOf(m), Rule: m.Rule, File: m.File, Line: m.Line,
		Reason: m.Reason.String(), Verdicts: m.Verdicts, Shadow: m.Shadow, Would: m.Would, Upstream: m.Upstream, Method: m.Method, Target: m.Target,
		Args: rawJSON(m.Args), ArgsDigest: digestText(m.ArgsDigest), ArgsSize: m.ArgsSize, Groups: m.Caller.Groups, Roles: m.Roles,
		ClientName: m.ClientName, ClientVersion: m.ClientVersion, ClientAddr: m.ClientAddr, Stages: m.stages(),
		Era: m.Era, Policy: m.Policy, Catalogue: m.Catalogue, Definition: m.Definition, Durability: m.Durability}
	if !m.Call.IsZero() {
		j.Call = m.Call.String()
	}
	if !m.Task.IsZero() {
		j.Task = m.Task.String()
	}
	if m.TargetKind != toolcall.NoKind {
		j.Kind = m.TargetKind.String()
	}
	end := m.ending()
	if end == nil {
		return j
	}
	j.Outcome = end.Outcome.String()
	j.Result, j.ResultCut = rawJSON(end.Result), end.ResultCut
	j.ResultDigest, j.ResultSize = digestText(end.ResultDigest), end.ResultSize
	j.Error = end.Error.String()
	for _, f := range end.Findings {
		j.Redactions = append(j.Redactions, redactionJSON{f.Profile, f.Path, f.Surface, f.Count})
	}
	if m.End != nil {
		ms := float64(m.Took().Microseconds()) / 1000
		j.TookMs = &ms
	}
	return j
}

// stages is how many microseconds each stage took, up to the end where that is
// known; nil when nobody measured.
func (m *moment) stages() map[string]int64 {
	measured := m.Stages
	if m.End != nil {
		measured = slices.Concat(measured, m.End.Stages)
	}
	if len(measured) == 0 {
		return nil
	}
	took := map[string]int64{}
	for _, s := range measured {
		took[s.Name] += s.Took.Microseconds()
	}
	return took
}

// ending is the record that says how a moment ended: of a call its outcome, of
// anything else itself; nil when nobody knows, or there is nothing to end.
func (m *moment) ending() *audit.Record {
	switch m.Kind {
	case audit.Intent:
		if m.End == nil {
			return &audit.Record{} // OutcomeUnknown
		}
		return m.End
	case audit.Refusal, audit.Outcome:
		return &m.Record
	}
	return nil
}

// decisionOf is the effect of what policy decided about; "" of anything else.
func decisionOf(m *moment) string {
	if m.Kind == audit.Intent || m.Kind == audit.Refusal {
		return m.Effect.String()
	}
	return ""
}

func digestText(d toolcall.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}

// rawJSON is a kept value as it is when it is JSON, else as a JSON string.
func rawJSON(c redact.Clean) json.RawMessage {
	text := []byte(c.String())
	if c.IsZero() || json.Valid(text) {
		return text
	}
	return json.RawMessage(toolcall.AppendQuoted(nil, c.String()))
}
