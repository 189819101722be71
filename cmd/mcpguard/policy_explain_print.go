package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// explanationJSON is an explanation in JSON.
type explanationJSON struct {
	Decision   string           `json:"decision"`
	Rule       string           `json:"rule,omitempty"`
	File       string           `json:"file,omitempty"`
	Line       int              `json:"line,omitempty"`
	Reason     string           `json:"reason,omitempty"`
	Told       string           `json:"told,omitempty"` // of a denial: what the caller reads
	Policy     string           `json:"policy"`
	Kind       string           `json:"kind"`
	Target     string           `json:"target"`
	Roles      []string         `json:"roles"`
	Lacking    []lackedJSON     `json:"roles_lacking,omitempty"`
	Rules      []consideredJSON `json:"rules"`
	Elsewhere  int              `json:"rules_elsewhere,omitempty"`
	Undeclared []string         `json:"undeclared,omitempty"`
	Redactions []appliedJSON    `json:"redactions,omitempty"`
	Limits     []limitJSON      `json:"limits,omitempty"` // that count the call; how much of them is used up is not looked at
	Shadow     []string         `json:"shadow,omitempty"`
	Recorded   *recordedJSON    `json:"recorded,omitempty"` // of a call of the record
}

type lackedJSON struct {
	Role  string `json:"role"`
	Rules int    `json:"rules"`
}

type consideredJSON struct {
	Rule       string          `json:"rule"`
	File       string          `json:"file"`
	Line       int             `json:"line"`
	Effect     string          `json:"effect"`
	About      string          `json:"about"`
	Matches    string          `json:"matches"`
	Decides    bool            `json:"decides,omitempty"`
	Observed   bool            `json:"observed,omitempty"`
	WouldAlter bool            `json:"would_alter,omitempty"`
	Conditions []conditionJSON `json:"conditions,omitempty"`
}

type conditionJSON struct {
	Path    string `json:"path,omitempty"`
	Want    string `json:"want"`
	Verdict string `json:"verdict"`
	Why     string `json:"why,omitempty"`
}

type limitJSON struct {
	Limit string `json:"limit"`
	Owner string `json:"owner"`
	File  string `json:"file"`
	Line  int    `json:"line"`
}

type appliedJSON struct {
	Profile string   `json:"profile"`
	From    []string `json:"from"`
}

// verdictWord is a verdict as people and programs read it.
func verdictWord(v toolcall.Verdict) string {
	switch v {
	case toolcall.VerdictTrue:
		return "true"
	case toolcall.VerdictFalse:
		return "false"
	}
	return "unknown"
}

func explanationInJSON(c *toolcall.Call, e *toolpolicy.Explanation) explanationJSON {
	d := &e.Decision
	j := explanationJSON{Decision: d.Effect.String(), Rule: d.Rule, File: d.File, Line: d.Line, Reason: d.Reason,
		Policy: d.Policy, Kind: c.Kind.String(), Target: c.Target(), Roles: e.Roles, Rules: []consideredJSON{},
		Elsewhere: e.Elsewhere, Undeclared: e.Undeclared, Shadow: d.Shadow}
	if d.Effect == toolcall.Deny {
		_, j.Told, _ = d.Told()
	}
	for _, l := range e.Lacking {
		j.Lacking = append(j.Lacking, lackedJSON{l.Role, l.Rules})
	}
	for _, r := range e.Considered {
		out := consideredJSON{Rule: r.Rule, File: r.File, Line: r.Line, Effect: r.Verb, About: r.About, Matches: verdictWord(r.Verdict),
			Decides: r.Decides, Observed: r.Observed, WouldAlter: r.WouldAlter}
		for _, c := range r.Conditions {
			out.Conditions = append(out.Conditions, conditionJSON{c.Path, c.Want, verdictWord(c.Verdict), c.Got})
		}
		j.Rules = append(j.Rules, out)
	}
	for _, l := range d.Limits {
		j.Limits = append(j.Limits, limitJSON{l.Words, l.Owner, l.File, l.Line})
	}
	for _, a := range e.Redactions {
		j.Redactions = append(j.Redactions, appliedJSON{a.Profile, a.From})
	}
	return j
}

// printExplanation writes an explanation for people: the decision, then the
// rules in the order of the policy.
func printExplanation(w io.Writer, c *toolcall.Call, e *toolpolicy.Explanation) error {
	d := &e.Decision
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", d.Effect, c.Target())
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-10s %s\n", label, text)
		}
	}
	if d.Rule != "" {
		line("rule", fmt.Sprintf("%s at %s:%d", d.Rule, d.File, d.Line))
	}
	line("reason", d.Reason)
	if d.Effect == toolcall.Deny {
		if _, told, _ := d.Told(); told != d.Reason {
			line("told", told)
		}
	}
	line("roles", strings.Join(e.Roles, ", "))
	for _, l := range e.Lacking {
		line("lacks", fmt.Sprintf("%s (%s about this)", l.Role, count(l.Rules, "rule")))
	}
	if e.Unknown {
		line("arguments", "the tool's schema is not known, so rules that name arguments allow nothing")
	}
	line("undeclared", strings.Join(e.Undeclared, ", "))
	for _, a := range e.Redactions {
		line("redact", a.Profile+" ("+strings.Join(a.From, ", ")+")")
	}
	for _, l := range d.Limits {
		line("limit", fmt.Sprintf("%s of %s at %s:%d", l.Words, l.Owner, l.File, l.Line))
	}
	line("observed", strings.Join(d.Shadow, ", "))
	line("policy", d.Policy)
	for i := range e.Considered {
		printConsidered(&b, &e.Considered[i])
	}
	if len(e.Considered) == 0 {
		b.WriteString("\nno rule of these roles is about it\n")
	}
	if e.Elsewhere > 0 {
		fmt.Fprintf(&b, "\n%s of these roles about something else\n", count(e.Elsewhere, "rule"))
	}
	_, err := io.WriteString(w, printable(b.String()))
	return err
}

func printConsidered(b *strings.Builder, r *toolpolicy.Considered) {
	fmt.Fprintf(b, "\n%s:%d: %s %s (%s %s)", r.File, r.Line, verdictWord(r.Verdict), r.Rule, r.Verb, r.About)
	switch {
	case r.Decides:
		b.WriteString(", decides")
	case r.WouldAlter:
		b.WriteString(", observed: it would have changed the decision")
	case r.Observed:
		b.WriteString(", observed")
	}
	b.WriteByte('\n')
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, c := range r.Conditions {
		row := "  " + verdictWord(c.Verdict) + "\t" + tabless(strings.TrimSpace(c.Path+" "+c.Want))
		if c.Got != "" {
			row += "\t" + tabless(c.Got)
		}
		fmt.Fprintln(table, row)
	}
	// A strings.Builder takes everything.
	_ = table.Flush()
}

// tabless keeps text in its column.
func tabless(s string) string { return strings.ReplaceAll(s, "\t", `\t`) }
