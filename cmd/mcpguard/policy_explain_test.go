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

	"mcpguard/audit"
	"mcpguard/keyring"
	"mcpguard/redact"
	"mcpguard/store"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

const policyOfRecord = `version: 1
roles:
  support:
    groups: [support]
    allow: [{tool: crm/refund, id: small, args: {amount: {max: 500}, iban: {prefix: DE}}}]
`

// recordedRefund is a store with one refused call: the arguments as they came, and
// those that the record keeps.
func recordedRefund(t *testing.T, args, kept string) (url string, call toolcall.ID) {
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
	p, err := toolpolicy.Compile("policy.yaml", []byte(policyOfRecord))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{"policy.yaml": policyOfRecord})
	if err != nil {
		t.Fatal(err)
	}
	const tools = `[{"tools":[{"name":"refund","inputSchema":{"properties":{"amount":{},"iban":{}}}}]}]`
	parsed := func(text string) toolcall.JSON {
		j, err := toolcall.Parse(text, toolcall.Limits{Bytes: 1 << 20, Depth: 64})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	first := parsed(tools).Elements()
	first.Next()
	tool := first.Value().Member("tools").Elements()
	tool.Next()
	def := toolcall.NewToolDef("crm", tool.Value())
	catalogue := "sha256:" + strings.Repeat("c", 64)
	if err := errors.Join(s.PutBlob(t.Context(), "policy", p.Digest(), text), s.PutBlob(t.Context(), "catalogue", catalogue, []byte(tools))); err != nil {
		t.Fatal(err)
	}
	call = testID(t)
	c := toolcall.Call{ID: call, Caller: toolcall.Caller{Subject: "sam", Issuer: "token", Groups: []string{"support"}}, Upstream: "crm",
		Kind: toolcall.Tool, Name: "refund", Def: def, Args: parsed(args), At: sessionNoon}
	d := p.Judge(&c)
	r := audit.Record{Kind: audit.Refusal, Session: testID(t), Call: call, At: sessionNoon, Caller: c.Caller, Upstream: "crm", Method: "tools/call",
		Target: "refund", TargetKind: toolcall.Tool, Args: redact.Public(kept), ArgsSize: len(args), Effect: d.Effect, Verdicts: d.Verdicts,
		Policy: p.Digest(), Catalogue: catalogue, Definition: def.Digest.String(), Outcome: toolcall.OutcomeRefused}
	if err := log.Put(r).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.Close(context.Background()), s.Close()); err != nil {
		t.Fatal(err)
	}
	return url, call
}

func explainOutput(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, output: outputTable, now: sessionNoon.UTC}
	code = run(t.Context(), env, append([]string{"policy", "explain"}, args...))
	return out.String(), errs.String(), code
}

// A recorded call is explained by the policy of then, and where what the record
// keeps comes to something else, the answer says so.
func TestExplainRecorded(t *testing.T) {
	const came = `{"amount":700,"iban":"DE12"}`
	url, call := recordedRefund(t, came, came)
	out, errs, code := explainOutput(t, "--store", url, "--record", call.String())
	for _, want := range []string{"recorded 2026-03-01T12:00:00Z: deny\n", "the same verdicts", "deny crm/refund", "  false  amount max 500  "} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in\n%s%s", code, want, out, errs)
		}
	}
	out, _, _ = explainOutput(t, "--store", url, "--record", call.String(), "-o", "json")
	var said struct {
		Recorded struct {
			Call, Verdicts string
			Same           bool
		}
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || !said.Recorded.Same || said.Recorded.Call != call.String() || said.Recorded.Verdicts != "1:FT" {
		t.Errorf("%v: %s", err, out)
	}

	another := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(another, []byte(strings.Replace(policyOfRecord, "500", "900", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, _ := explainOutput(t, another, "--store", url, "--record", call.String()); !strings.Contains(out, "another policy than then") || !strings.Contains(out, "allow crm/refund") {
		t.Errorf("by another policy:\n%s", out)
	}

	url, call = recordedRefund(t, came, `{"amount":700,"iban":"[redacted]"}`)
	if out, _, _ := explainOutput(t, "--store", url, "--record", call.String()); !strings.Contains(out, "other verdicts than those of then: 1:FT, now 1:FF\n") {
		t.Errorf("redacted:\n%s", out)
	}
	url, call = recordedRefund(t, came, `"[withheld]"`)
	if _, errs, code := explainOutput(t, "--store", url, "--record", call.String()); code != exitFailure || !strings.Contains(errs, "does not keep its arguments") {
		t.Errorf("withheld: %d %s", code, errs)
	}
	if _, errs, code := explainOutput(t, "--store", url, "--record", "ffffffff"); code != exitUsage || !strings.Contains(errs, "no such call") {
		t.Errorf("unknown: %d %s", code, errs)
	}
	if _, errs, code := explainOutput(t, "--store", url, "--record", call.String(), "--groups", "ops"); code != exitUsage || !strings.Contains(errs, "the record says who asked") {
		t.Errorf("both: %d %s", code, errs)
	}
}

// A policy that is not what its digest says explains nothing.
func TestExplainRecordedPolicyIsChecked(t *testing.T) {
	blobs := blobMap{"sha256:a": []byte(`{"policy.yaml":"version: 1\nroles: {}\n"}`)}
	if _, err := policyOfThen(t.Context(), blobs, "sha256:a"); !errors.Is(err, audit.ErrIntegrity) {
		t.Errorf("a policy with another digest: %v", err)
	}
	if _, err := policyOfThen(t.Context(), blobs, "sha256:b"); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a policy that is not kept: %v", err)
	}
}

type blobMap map[string][]byte

func (m blobMap) Blob(_ context.Context, digest string) ([]byte, error) {
	if b, ok := m[digest]; ok {
		return b, nil
	}
	return nil, audit.ErrNotFound
}

// One catalogue is read by every command that takes one, or by none.
func TestCommandsReadTheSameCatalogues(t *testing.T) {
	dir := t.TempDir()
	long := `{"crm":{"tools":[{"name":"refund","description":"` + strings.Repeat("x", 20<<20) + `","inputSchema":{"properties":{"amount":{},"iban":{}}}}]}}`
	for name, text := range map[string]string{
		"policy.yaml": policyOfRecord,
		"tools.json":  long,
		"policy_test.yaml": "policy: policy.yaml\ntools: tools.json\ncallers: {sam: {groups: [support]}}\n" +
			"tests: [{name: t, as: sam, call: crm/refund, args: {amount: 5, iban: DE1}, expect: allow}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	policy, tools, tests := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "tools.json"), filepath.Join(dir, "policy_test.yaml")
	for _, args := range [][]string{
		{"check", policy, "--tools", tools},
		{"test", tests},
		{"diff", policy, policy, "--calls", tests},
		{"explain", policy, "--as", "sam", "--call", "crm/refund", "--args", `{"amount":5,"iban":"DE1"}`},
		{"explain", policy, "--groups", "support", "--call", "crm/refund", "--tools", tools},
	} {
		var out, errs bytes.Buffer
		env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, output: outputTable, now: sessionNoon.UTC}
		if code := run(t.Context(), env, append([]string{"policy"}, args...)); code != exitOK {
			t.Errorf("policy %s: exit code %d\n%.500s", args[0], code, errs.String())
		}
	}
}
