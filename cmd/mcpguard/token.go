package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"mcpguard/identity"
)

func newTokenCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Make tokens for agents",
		Example: "  mcpguard token new --name nightly-agent --owner sam@example.com --groups ci --expires 90d",
		Args:    onlySubcommands,
		RunE:    needsSubcommand,
	}
	cmd.AddCommand(newTokenNewCommand(env))
	return cmd
}

// tokenEntry is an entry of identity.tokens, in the order of the file.
type tokenEntry struct {
	Name    string   `json:"name"`
	Owner   string   `json:"owner"`
	SHA256  string   `json:"sha256"`
	Groups  []string `json:"groups,omitempty"`
	Expires string   `json:"expires"`
}

func newTokenNewCommand(env *environment) *cobra.Command {
	var entry tokenEntry
	cmd := &cobra.Command{
		Use:        "new",
		SuggestFor: []string{"create", "add"},
		Short:      "Make a token and the entry for identity.tokens",
		Long: `Make a token and the entry for identity.tokens in mcpguard.yaml. The token is
shown once: the entry holds its digest only. Nothing is written anywhere.`,
		Example: "  mcpguard token new --name nightly-agent --owner sam@example.com --groups ci,eng --expires 2027-01-31\n" +
			"  mcpguard token new --name laptop --owner sam@example.com --expires 90d -o json",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := entry.check(env.now()); err != nil {
				return usageError(err)
			}
			token := identity.NewToken()
			entry.SHA256 = token.Digest().String()
			return entry.print(env, token)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&entry.Name, "name", "", "`NAME` of the agent that will hold the token")
	flags.StringVar(&entry.Owner, "owner", "", "the `PERSON` who answers for it")
	flags.StringSliceVar(&entry.Groups, "groups", nil, "`GROUPS` of the caller, separated by commas")
	flags.StringVar(&entry.Expires, "expires", "", "a `DAY` (2027-01-31), a moment, or a time from now (90d)")
	return cmd
}

// check validates what was given, takes the spaces off groups, and makes a
// duration a moment.
func (e *tokenEntry) check(now time.Time) error {
	for _, flag := range []struct{ name, value string }{{"name", e.Name}, {"owner", e.Owner}, {"expires", e.Expires}} {
		if strings.TrimSpace(flag.value) == "" {
			return hinted{"make a token: --" + flag.name + " is missing", "mcpguard token new --help"}
		}
	}
	for i, group := range e.Groups {
		e.Groups[i] = strings.TrimSpace(group)
	}
	for _, text := range append([]string{e.Name, e.Owner}, e.Groups...) {
		if strings.TrimSpace(text) == "" {
			return errors.New("make a token: a group is empty")
		}
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return errors.New("make a token: a name, owner or group holds characters that do not print")
		}
	}
	if d, err := parseDuration(e.Expires); err == nil {
		e.Expires = now.Add(d).UTC().Format(time.RFC3339)
	}
	expires, err := parseExpiry(e.Expires)
	if err != nil {
		return hinted{fmt.Sprintf("make a token: --expires %q is neither a day nor a time from now", e.Expires), "--expires 90d"}
	}
	if !expires.After(now) {
		return hinted{fmt.Sprintf("make a token: it would have expired on %s already", e.Expires), "--expires 90d"}
	}
	return nil
}

func (e *tokenEntry) print(env *environment, token identity.Secret) error {
	if env.output != outputTable {
		return writeItem(env, struct {
			Token string     `json:"token"`
			Entry tokenEntry `json:"entry"`
		}{token.Reveal(), *e})
	}
	_, err := fmt.Fprintf(env.stdout, `Token, shown this once:

  %s

The agent sends it as "Authorization: Bearer ...". Entry for mcpguard.yaml:

identity:
  tokens:
    - %s
`, token.Reveal(), e.yaml())
	return err
}

// yaml is the entry in flow style.
func (e *tokenEntry) yaml() string {
	groups := make([]string, len(e.Groups))
	for i, g := range e.Groups {
		groups[i] = yamlText(g)
	}
	return fmt.Sprintf("{name: %s, owner: %s, sha256: %q, groups: [%s], expires: %s}",
		yamlText(e.Name), yamlText(e.Owner), e.SHA256, strings.Join(groups, ", "), e.Expires)
}

// yamlText writes text in YAML: bare where nothing else can be read, else in
// double quotes, whose escapes are those of Go for printable text.
func yamlText(s string) string {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && strings.IndexByte("_-.@", c) < 0) {
			return strconv.Quote(s)
		}
	}
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n", "":
		return strconv.Quote(s)
	}
	return s
}
