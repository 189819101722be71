package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/store"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// A grant counts as used when a record says that what it says decided, under
// whatever id that had then; a rule that now has the id of another does not.
func TestUnusedGrants(t *testing.T) {
	const then = "version: 1\nroles: {support: {groups: [support], allow: [crm/old, crm/get, crm/late]}}\n"
	const now = "version: 1\nroles: {support: {groups: [support], deny: [crm/x], allow: [crm/get, {tool: crm/new, observe: true}, crm/late, {tool: crm/get, args: {id: 7}}], approve: [{tool: crm/pay, id: pay, by: [finance]}]}}\n"
	dir := t.TempDir()
	url := "sqlite://" + filepath.Join(dir, "guard.db")
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
	old, err := toolpolicy.Compile("policy.yaml", []byte(then))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{"policy.yaml": then})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutBlob(t.Context(), "policy", old.Digest(), text); err != nil {
		t.Fatal(err)
	}
	sam := toolcall.Caller{Person: "sam", Subject: "sam", Issuer: "local"}
	put := func(rule, policy string, effect toolcall.Effect, at time.Time) {
		t.Helper()
		kind := audit.Intent
		if effect != toolcall.Allow {
			kind = audit.Refusal
		}
		r := audit.Record{Kind: kind, Call: testID(t), Session: testID(t), At: at, Caller: sam, Upstream: "crm", Method: "tools/call",
			Target: "x", TargetKind: toolcall.Tool, Effect: effect, Rule: rule, Policy: policy}
		if err := log.Put(r).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(path, []byte(now), 0o600); err != nil {
		t.Fatal(err)
	}
	unused := func(since string) string {
		t.Helper()
		var out bytes.Buffer
		env := testEnvironment()
		env.stdout, env.stderr, env.now = &out, &out, func() time.Time { return sessionNoon }
		if code := run(t.Context(), env, []string{"policy", "access", path, "--unused-since", since, "--store", url, "-o", "jsonl"}); code != exitOK {
			t.Fatalf("exit code %d: %s", code, &out)
		}
		var rules []string
		for line := range strings.Lines(out.String()) {
			var g grantJSON
			if err := json.Unmarshal([]byte(line), &g); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			rules = append(rules, g.Rule)
		}
		return strings.Join(rules, " ")
	}
	want := func(since, rules string) {
		t.Helper()
		if got := unused(since); got != rules {
			t.Errorf("unused since %s: %s, want %s", since, got, rules)
		}
	}
	want("30d", "support/allow/1 support/allow/3 support/allow/4 support/pay")
	// crm/get was the second rule, and is the first; the third was crm/late, as it is.
	put("support/allow/2", old.Digest(), toolcall.Allow, sessionNoon.Add(-24*time.Hour))
	want("30d", "support/allow/3 support/allow/4 support/pay")
	put("support/allow/3", old.Digest(), toolcall.Allow, sessionNoon.Add(-10*24*time.Hour))
	want("30d", "support/allow/4 support/pay")
	want("7d", "support/allow/3 support/allow/4 support/pay")
	// A question counts; so does what a policy decided whose text is gone. A denial
	// and a rule that is there no more do not.
	put("support/pay", "sha256:gone", toolcall.Approve, sessionNoon)
	put("support/allow/4", old.Digest(), toolcall.Deny, sessionNoon)
	put("support/allow/1", old.Digest(), toolcall.Allow, sessionNoon)
	want("7d", "support/allow/3 support/allow/4")
}
