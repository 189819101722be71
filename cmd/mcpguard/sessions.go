package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mcpguard/audit"
	"mcpguard/store"
	"mcpguard/toolcall"
)

func newSessionsCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sessions",
		Short:   "Read recorded sessions",
		Example: "  mcpguard sessions ls --since 24h\n  mcpguard sessions show latest",
		Args:    onlySubcommands,
		RunE:    needsSubcommand,
	}
	cmd.AddCommand(newSessionsListCommand(env), newSessionsShowCommand(env))
	return cmd
}

// sessionFilter is what the flags of ls say.
type sessionFilter struct {
	store, since, caller, upstream, decision string
	limit                                    int
}

func newSessionsListCommand(env *environment) *cobra.Command {
	var f sessionFilter
	cmd := &cobra.Command{
		Use:        "ls",
		SuggestFor: []string{"list"},
		Short:      "List recorded sessions, the newest first",
		Long: `List recorded sessions, the newest first. REFUSED counts calls that never
reached the upstream, FAILED those that were forwarded and did not end well, or
of which nobody knows how they ended. The server may be running. Every mcpguard
wrap keeps a store of its own, and says at its start which: name it by --store.`,
		Example: "  mcpguard sessions ls --since 24h --decision deny\n  mcpguard sessions ls --caller sam@example.com -o jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.parse(env.now())
			if err != nil {
				return usageError(err)
			}
			return withReader(cmd.Context(), env, f.store, func(r *store.Reader) error {
				found, err := r.Sessions(cmd.Context(), filter)
				if err != nil {
					return err
				}
				return writeSessions(env, found)
			})
		},
	}
	bindStore(cmd, &f.store)
	cmd.Flags().StringVar(&f.since, "since", "", "only sessions active since `TIME`: 90m, 24h, 7d, 2026-03-01, or RFC 3339")
	cmd.Flags().StringVar(&f.caller, "caller", "", "only of this person, subject or client, `NAME`")
	cmd.Flags().StringVar(&f.upstream, "upstream", "", "only with this upstream, `NAME`")
	cmd.Flags().StringVar(&f.decision, "decision", "", "only with a call of this `DECISION`: allow, approve or deny")
	cmd.Flags().IntVar(&f.limit, "limit", 50, "at most `N` sessions; 0: all")
	completeFlag(cmd, "decision", toolcall.Allow.String(), toolcall.Approve.String(), toolcall.Deny.String())
	return cmd
}

func bindStore(cmd *cobra.Command, url *string) {
	cmd.Flags().StringVar(url, "store", "", "the store to read, `sqlite://PATH` (default: that of the configuration)")
}

func (f *sessionFilter) parse(now time.Time) (audit.Filter, error) {
	filter := audit.Filter{Caller: f.caller, Upstream: f.upstream, Limit: f.limit}
	if f.limit < 0 {
		return filter, hinted{fmt.Sprintf("--limit %d is negative", f.limit), "--limit 50"}
	}
	if f.since != "" {
		since, err := parseSince("--since", f.since, now)
		if err != nil {
			return filter, err
		}
		filter.Since = since
	}
	switch f.decision {
	case "":
	case toolcall.Allow.String():
		filter.Effects = []toolcall.Effect{toolcall.Allow}
	case toolcall.Approve.String():
		filter.Effects = []toolcall.Effect{toolcall.Approve}
	case toolcall.Deny.String():
		filter.Effects = []toolcall.Effect{toolcall.Deny}
	default:
		return filter, hinted{fmt.Sprintf("there is no decision %q", f.decision), "--decision allow, approve or deny"}
	}
	return filter, nil
}

// parseSince reads a span before now or a time, the value of a flag. A date begins
// where the computer is.
func parseSince(flag, text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if span, err := time.ParseDuration(text); err == nil && span >= 0 {
		return now.Add(-span), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return at, nil
	}
	return time.Time{}, hinted{fmt.Sprintf("%s %q is no time", flag, text), fmt.Sprintf("%[1]s 24h, %[1]s 7d or %[1]s 2026-03-01", flag)}
}

// withReader opens the store for reading: the one that the flag or the
// environment names, or the configuration's.
func withReader(ctx context.Context, env *environment, url string, do func(*store.Reader) error) error {
	url, err := storeOf(env, url)
	if err != nil {
		return err
	}
	r, err := store.OpenReader(ctx, url)
	if err != nil {
		return readFailure(err)
	}
	return errors.Join(readFailure(do(r)), r.Close())
}

// storeOf is the store that a command means: the one that the flag or the
// environment names, or the configuration's.
func storeOf(env *environment, url string) (string, error) {
	from := "--store"
	if url == "" {
		from = "MCPGUARD_STORE"
		url, _ = env.lookup(from)
	}
	if url != "" {
		if _, err := store.Path(url); err != nil {
			return "", fail(exitUsage, fmt.Errorf("%s: %w", from, err), "sqlite://PATH")
		}
		return url, nil
	}
	if path, err := configPath(env.config, false, env); path == "" && err == nil {
		return "", usageError(hinted{"find the store: neither it nor a configuration is named, and there is no " + defaultConfig, "--store sqlite://PATH, or --config FILE of the server that records"})
	}
	c, err := LoadConfig(env.config, overrides{}, env)
	if err != nil {
		return "", usageError(err)
	}
	return c.Store, nil
}

// readFailure gives an error of reading the store its exit code.
func readFailure(err error) error {
	var known *failure
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, audit.ErrIntegrity), errors.Is(err, store.ErrCorrupt):
		return fail(exitIntegrity, err, "")
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitFailure, err, "--store sqlite://PATH, or --config FILE of the server that records")
	case errors.Is(err, fs.ErrPermission):
		return fail(exitFailure, err, "as the user that mcpguard runs as, or a backup of the store that is yours")
	case errors.Is(err, store.ErrOlder):
		return fail(exitFailure, err, "mcpguard serve, once: it brings the store up to date")
	case errors.Is(err, store.ErrNewer):
		return fail(exitFailure, err, "the mcpguard that wrote it")
	}
	return err
}

// sessionJSON is a session in JSON.
type sessionJSON struct {
	ID       string    `json:"id"`
	Start    time.Time `json:"start"`
	Last     time.Time `json:"last"`
	Person   string    `json:"person,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	Issuer   string    `json:"issuer,omitempty"`
	Verified string    `json:"verified_client,omitempty"`
	Act      []string  `json:"act,omitempty"`
	Who      string    `json:"identity,omitempty"` // the reference, which stays when the names are erased
	Client   string    `json:"client,omitempty"`   // what the client says of itself
	Upstream string    `json:"upstream,omitempty"`
	Calls    int       `json:"calls"`
	Refused  int       `json:"refused"`
	Failed   int       `json:"failed"`
}

func sessionInJSON(s audit.SessionInfo) sessionJSON {
	j := sessionJSON{ID: s.ID.String(), Start: s.Start, Last: s.Last, Person: s.Identity.Person, Subject: s.Identity.Subject,
		Issuer: s.Identity.Issuer, Verified: s.Identity.Client, Act: s.Identity.Act, Client: s.Client, Upstream: s.Upstream,
		Calls: s.Calls, Refused: s.Refused, Failed: s.Failed}
	if !s.Who.IsZero() {
		j.Who = s.Who.String()
	}
	return j
}

func writeSessions(env *environment, found []audit.SessionInfo) error {
	if env.output != outputTable {
		all := make([]sessionJSON, len(found))
		for i, s := range found {
			all[i] = sessionInJSON(s)
		}
		return writeItems(escaping(env), all)
	}
	if len(found) == 0 {
		fmt.Fprintln(env.stderr, "no sessions")
		return nil
	}
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tSTARTED\tLAST\tCALLER\tCLIENT\tUPSTREAM\tCALLS\tREFUSED\tFAILED")
	for _, s := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", s.ID, clock(s.Start), clock(s.Last), oneLine(personOf(s)),
			oneLine(cmp.Or(s.Client, "-")), oneLine(cmp.Or(s.Upstream, "-")), s.Calls, s.Refused, s.Failed)
	}
	return w.Flush()
}

// personOf is who a session is of, for people.
func personOf(s audit.SessionInfo) string {
	switch {
	case !s.Identity.IsZero():
		return cmp.Or(s.Identity.Person, s.Identity.Subject)
	case !s.Who.IsZero():
		return "[erased]"
	}
	return "-"
}

// clock is a time for people, in UTC, so that two of them can be compared.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
