package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/store"
	"mcpguard/toolcall"
)

var sessionNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// recorded is a store with two sessions: sam's, with one of everything, and
// fran's, with one call. It stays open for writing, as under a running server.
func recorded(t *testing.T) (url string, sams toolcall.ID) {
	t.Helper()
	url = "sqlite://" + filepath.Join(t.TempDir(), "guard.db")
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(t.Context(), audit.Config{Sink: s, Keys: keyring.NewEphemeral(), Chain: "a", Edge: "laptop"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(log.Close(context.Background()), s.Close()); err != nil {
			t.Error(err)
		}
	})
	sams = testID(t)
	for _, r := range append(samsSession(t, sams), fransSession(t)...) {
		if err := log.Put(r).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return url, sams
}

func testID(t *testing.T) toolcall.ID {
	t.Helper()
	id, err := toolcall.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func samsSession(t *testing.T, session toolcall.ID) []audit.Record {
	sam := toolcall.Caller{Person: "sam@example.com", Subject: "nightly", Issuer: "token", Client: "nightly", Groups: []string{"support"}}
	read, lost := testID(t), testID(t)
	at := func(ms int) time.Time { return sessionNoon.Add(time.Duration(ms) * time.Millisecond) }
	return []audit.Record{
		{Kind: audit.SessionStart, Session: session, At: at(0), Caller: sam, Upstream: "crm", ClientName: "probe", ClientVersion: "1.2"},
		{Kind: audit.List, Session: session, At: at(10), Caller: sam, Upstream: "crm", Method: "tools/list"},
		{Kind: audit.Intent, Session: session, Call: read, At: at(100), Caller: sam, Upstream: "crm", Method: "tools/call",
			Target: "get_customer", TargetKind: toolcall.Tool, Args: redact.Public(`{"id":7}`), Effect: toolcall.Allow,
			Rule: "support/allow/1", File: "policy.yaml", Line: 12, Shadow: []string{"support/deny/9"},
			ClientName: "probe", ClientVersion: "1.2", ClientAddr: "192.0.2.7", Stages: took("decide", 40)},
		{Kind: audit.Outcome, Session: session, Call: read, At: at(112), Outcome: toolcall.OutcomeOK,
			Stages:   append(took("upstream", 9000), took("redact", 70)...),
			Result:   redact.Public(`{"name":"Ada","ssn":"[redacted]","note":"` + strings.Repeat("long ", 50) + `"}`),
			Findings: []redact.Finding{{Profile: "pii", Path: "**.ssn", Surface: "structured", Count: 2}}},
		{Kind: audit.Refusal, Session: session, Call: testID(t), At: at(200), Caller: sam, Upstream: "crm", Method: "tools/call",
			Target: "delete_customer\x1b[2J\u202e", TargetKind: toolcall.Tool, Args: redact.Public("{\"why\":\"\u009b31m\"}"), Effect: toolcall.Deny,
			Rule: "everyone/deny/1", File: "policy.yaml", Line: 6, Reason: redact.Public("Deletions go through\nchange management."),
			Outcome: toolcall.OutcomeRefused},
		{Kind: audit.Intent, Session: session, Call: lost, At: at(300), Caller: sam, Upstream: "crm", Method: "tools/call",
			Target: "search_notes", TargetKind: toolcall.Tool, Effect: toolcall.Allow, Rule: "support/allow/2", File: "policy.yaml", Line: 13},
		{Kind: audit.SessionEnd, Session: session, At: at(400), Caller: sam, Reason: redact.Public("deleted by the client")},
	}
}

func took(stage string, us time.Duration) []audit.Stage {
	return []audit.Stage{{Name: stage, Took: us * time.Microsecond}}
}

func fransSession(t *testing.T) []audit.Record {
	fran := toolcall.Caller{Person: "fran@example.com", Subject: "fran", Issuer: "local"}
	session, call := testID(t), testID(t)
	return []audit.Record{
		{Kind: audit.Intent, Session: session, Call: call, At: sessionNoon.Add(48 * time.Hour), Caller: fran, Upstream: "fs",
			Target: "read", TargetKind: toolcall.Tool, Effect: toolcall.Allow},
		{Kind: audit.Outcome, Session: session, Call: call, At: sessionNoon.Add(48*time.Hour + time.Second), Outcome: toolcall.OutcomeOK},
	}
}

// sessions runs mcpguard sessions, with the given arguments, on a store.
func sessions(t *testing.T, url string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, output: outputTable,
		now: func() time.Time { return sessionNoon.Add(49 * time.Hour) }}
	code = run(t.Context(), env, append(append([]string{"sessions"}, args...), "--store", url))
	return out.String(), errs.String(), code
}

func TestSessionsShowTellsWhatHappened(t *testing.T) {
	url, sams := recorded(t)
	out, errs, code := sessions(t, url, "show", sams.String())
	if code != 0 || errs != "" {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	want := `session ` + sams.String() + `
  caller    sam@example.com (nightly of token, client nightly)
  client    probe 1.2, as it says
  upstream  crm
  time      2026-03-01T12:00:00Z to 2026-03-01T12:00:00Z
  calls     2 forwarded (1 failed), 1 refused
  observed  1 x support/deny/9 would have decided otherwise

12:00:00.000  session start
12:00:00.010  list     tools/list
12:00:00.100  allow    crm/get_customer
                  args    {"id":7}
                  rule    support/allow/1 at policy.yaml:12
                  observe support/deny/9 would have decided otherwise
                  ok in 12ms
                  result  {"name":"Ada","ssn":"[redacted]","note":"` + (strings.Repeat("long ", 50))[:119] + `... [293 bytes, --full shows all]
                  redact  pii **.ssn in structured, 2 values
12:00:00.200  deny     crm/delete_customer\u{1b}[2J\u{202e}
                  args    {"why":"\u{9b}31m"}
                  rule    everyone/deny/1 at policy.yaml:6: Deletions go through\nchange management.
12:00:00.300  allow    crm/search_notes
                  rule    support/allow/2 at policy.yaml:13
                  unknown: forwarded; still under way, or lost with the process
12:00:00.400  session end deleted by the client
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	whole, _, _ := sessions(t, url, "show", sams.String(), "--full")
	if !strings.Contains(whole, strings.Repeat("long ", 50)+`"}`) {
		t.Errorf("--full does not show all:\n%s", whole)
	}
}

func TestSessionsShowFindsASessionByItsName(t *testing.T) {
	url, sams := recorded(t)
	for _, name := range []string{sams.String(), strings.ToUpper(sams.String()), strings.ReplaceAll(sams.String(), "-", "")} {
		if out, errs, code := sessions(t, url, "show", name); code != 0 || !strings.Contains(out, "session "+sams.String()) {
			t.Errorf("%s: exit code %d, %s%s", name, code, out, errs)
		}
	}
	if out, _, code := sessions(t, url, "show", "latest"); code != 0 || !strings.Contains(out, "fran@example.com") {
		t.Errorf("latest: exit code %d, %s", code, out)
	}
	for name, c := range map[string]struct {
		code int
		want string
	}{
		sams.String()[:4]:   {exitUsage, "several ids begin so"},
		"ffff":              {exitFailure, "not found\ntry: mcpguard sessions ls\n"},
		"nonsense":          {exitUsage, `"nonsense" is no beginning of a session id`},
		sams.String() + "0": {exitUsage, "no beginning of a session id: it is longer"},
	} {
		if out, errs, code := sessions(t, url, "show", name); code != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%s: exit code %d, %s; want %d and %q", name, code, errs, c.code, c.want)
		}
	}
}

func TestSessionsShowInJSON(t *testing.T) {
	url, sams := recorded(t)
	out, _, code := sessions(t, url, "show", sams.String(), "-o", "jsonl")
	if code != 0 || strings.ContainsAny(out, "\x1b\u009b\u202e") {
		t.Fatalf("exit code %d, or something that a terminal obeys in %s", code, out)
	}
	var all []momentJSON
	for line := range strings.Lines(out) {
		var m momentJSON
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, m)
	}
	if len(all) != 6 {
		t.Fatalf("%d lines, want 6", len(all))
	}
	call, refused, lost := all[2], all[3], all[4]
	if call.Decision != "allow" || call.Outcome != "ok" || *call.TookMs != 12 || string(call.Args) != `{"id":7}` || call.Kind != "tool" ||
		call.Rule != "support/allow/1" || len(call.Redactions) != 1 || call.Redactions[0].Count != 2 {
		t.Errorf("the call is %+v", call)
	}
	if call.Edge != "laptop" || call.ClientName != "probe" || call.ClientVersion != "1.2" || call.ClientAddr != "192.0.2.7" ||
		!maps.Equal(call.Stages, map[string]int64{"decide": 40, "upstream": 9000, "redact": 70}) {
		t.Errorf("the call comes from %+v", call)
	}
	if refused.Decision != "deny" || refused.Outcome != "refused" || refused.TookMs != nil || refused.Target != "delete_customer\x1b[2J\u202e" {
		t.Errorf("the refusal is %+v", refused)
	}
	if lost.Outcome != "unknown" || lost.TookMs != nil {
		t.Errorf("the call without an end is %+v", lost)
	}

	out, _, _ = sessions(t, url, "show", sams.String(), "-o", "json")
	var document struct {
		Session sessionJSON
		Records []momentJSON
	}
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		t.Fatal(err)
	}
	if document.Session.ID != sams.String() || document.Session.Person != "sam@example.com" || document.Session.Calls != 2 || len(document.Records) != 6 {
		t.Errorf("the document is of %+v with %d records", document.Session, len(document.Records))
	}
}

func TestSessionsLsFilters(t *testing.T) {
	url, sams := recorded(t)
	for args, want := range map[string][]string{
		"":                                    {"fran@example.com", "sam@example.com"},
		"--limit 1":                           {"fran@example.com"},
		"--limit 0":                           {"fran@example.com", "sam@example.com"},
		"--since 2h":                          {"fran@example.com"},
		"--since 7d":                          {"fran@example.com", "sam@example.com"},
		"--since 2026-03-02":                  {"fran@example.com"},
		"--since 2026-03-01T11:00:00Z":        {"fran@example.com", "sam@example.com"},
		"--caller sam@example.com":            {"sam@example.com"},
		"--caller nightly":                    {"sam@example.com"},
		"--upstream fs":                       {"fran@example.com"},
		"--decision deny":                     {"sam@example.com"},
		"--decision allow":                    {"fran@example.com", "sam@example.com"},
		"--decision approve":                  {},
		"--decision deny --upstream fs":       {},
		"--caller sam@example.com --since 1h": {},
	} {
		out, errs, code := sessions(t, url, append([]string{"ls", "-o", "jsonl"}, strings.Fields(args)...)...)
		if code != 0 {
			t.Errorf("ls %s: exit code %d: %s", args, code, errs)
		}
		var got []string
		for line := range strings.Lines(out) {
			var s sessionJSON
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				t.Fatal(err)
			}
			got = append(got, s.Person)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("ls %s: %v, want %v", args, got, want)
		}
	}
	out, _, _ := sessions(t, url, "ls")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "SESSION ") ||
		!strings.HasPrefix(lines[2], sams.String()+"  2026-03-01T12:00:00Z  2026-03-01T12:00:00Z  sam@example.com   probe   crm") {
		t.Errorf("the table is\n%s", out)
	}
	if out, errs, code := sessions(t, url, "ls", "--caller", "nobody"); code != 0 || out != "" || errs != "no sessions\n" {
		t.Errorf("without sessions: exit code %d, %q, %q", code, out, errs)
	}
	if out, _, _ := sessions(t, url, "ls", "--caller", "nobody", "-o", "json"); out != "[]\n" {
		t.Errorf("without sessions, in JSON: %q", out)
	}
}

func TestSessionsTellsWhatIsWrong(t *testing.T) {
	url, _ := recorded(t)
	for name, c := range map[string]struct {
		args []string
		url  string
		code int
		want string
	}{
		"a time":       {[]string{"ls", "--since", "yesterday"}, url, exitUsage, `--since "yesterday" is no time`},
		"a decision":   {[]string{"ls", "--decision", "maybe"}, url, exitUsage, `there is no decision "maybe"`},
		"a limit":      {[]string{"ls", "--limit", "-1"}, url, exitUsage, "--limit -1 is negative"},
		"no session":   {[]string{"show"}, url, exitUsage, "name one session"},
		"no store":     {[]string{"ls"}, url + ".missing", exitFailure, "no such file"},
		"another kind": {[]string{"ls"}, "postgres://host/db", exitUsage, "mcpguard: --store: PostgreSQL is not available in this version\ntry: sqlite://PATH\n"},
		"a bare path":  {[]string{"ls"}, "mcpguard.db", exitUsage, "mcpguard: --store: it names no kind of store\ntry: sqlite://PATH\n"},
	} {
		if _, errs, code := sessions(t, c.url, c.args...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d, %s; want %d and %q", name, code, errs, c.code, c.want)
		}
	}
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(damaged, bytes.Repeat([]byte("no database. "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := sessions(t, "sqlite://"+damaged, "ls"); code != exitFailure || !strings.Contains(errs, "not a store of mcpguard") {
		t.Errorf("another file: exit code %d, %s", code, errs)
	}
}

func TestAStoreOfSomebodyElse(t *testing.T) {
	err := readFailure(fmt.Errorf("open store x: %w", fs.ErrPermission))
	var said strings.Builder
	report(&said, err)
	if exitCode(err) != exitFailure || !strings.Contains(said.String(), "\ntry: as the user that mcpguard runs as") {
		t.Errorf("exit code %d, %s", exitCode(err), &said)
	}
}

// A damaged record is told from a mistake on the command line, whichever command
// finds it.
func TestADamagedStoreIsNoMistakeOfWhoReadsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.db")
	s, err := store.Open(t.Context(), "sqlite://"+path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(t.Context(), audit.Config{Sink: s, Keys: keyring.NewEphemeral(), Chain: "a"})
	if err != nil {
		t.Fatal(err)
	}
	session := testID(t)
	for _, r := range samsSession(t, session) {
		if err := log.Put(r).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(log.Close(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	overwritePage(t, path, "sam@example.com")
	for _, args := range [][]string{{"ls"}, {"show", "latest"}, {"show", session.String()}, {"show", session.String()[:8]}} {
		if out, errs, code := sessions(t, "sqlite://"+path, args...); code != exitIntegrity || !strings.Contains(errs, "the store is damaged") || out != "" {
			t.Errorf("%v: exit code %d, %s%s; want %d", args, code, out, errs, exitIntegrity)
		}
	}
}

// overwritePage destroys the first page of a store that holds text.
func overwritePage(t *testing.T, path, text string) {
	t.Helper()
	const size = 8192
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte(text))
	if at < size {
		t.Fatalf("%q is not behind the first page: it is at %d", text, at)
	}
	at -= at % size
	copy(b[at:at+size], bytes.Repeat([]byte{0xff}, size))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
