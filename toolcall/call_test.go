package toolcall_test

import (
	"errors"
	"sort"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// Zero values refuse: nobody, no kind, deny, unknown.
func TestZeroVocabularyRefuses(t *testing.T) {
	if d := (toolcall.Decision{}); d.Effect != toolcall.Deny || !d.Miss.IsZero() {
		t.Error("the zero decision does not deny")
	}
	if (toolcall.Verdict)(0) != toolcall.VerdictUnknown {
		t.Error("the zero verdict is a judgement")
	}
	if (toolcall.Outcome)(0) != toolcall.OutcomeUnknown {
		t.Error("the zero outcome claims to know")
	}
	if (toolcall.Kind)(0) != toolcall.NoKind {
		t.Error("the zero kind is a kind")
	}
	var c toolcall.Call
	if !c.ID.IsZero() || !c.Caller.IsZero() || c.Def.Declares("a") || !c.Args.IsZero() {
		t.Error("the zero call is somebody's")
	}
}

func TestCallerIsZero(t *testing.T) {
	for _, c := range []struct {
		caller toolcall.Caller
		zero   bool
	}{
		{toolcall.Caller{}, true},
		{toolcall.Caller{Subject: "sam"}, true},
		{toolcall.Caller{Issuer: "local"}, true},
		{toolcall.Caller{Person: "sam", Client: "agent", Groups: []string{"eng"}}, true},
		{toolcall.Caller{Subject: "sam", Issuer: "local"}, false},
	} {
		if got := c.caller.IsZero(); got != c.zero {
			t.Errorf("%+v is nobody: %v, want %v", c.caller, got, c.zero)
		}
	}
}

// Law 7: no two callers share a key, however their names are cut.
func TestCallerKey(t *testing.T) {
	callers := []toolcall.Caller{
		{Issuer: "a", Subject: "b c"}, {Issuer: "a b", Subject: "c"}, {Issuer: "", Subject: "a b c"}, {Issuer: "a b c"},
		{Issuer: "1:a", Subject: "b"}, {Issuer: "1", Subject: ":a b"},
	}
	seen := map[string]bool{}
	for _, c := range callers {
		if seen[c.Key()] {
			t.Errorf("%+v shares the key %q", c, c.Key())
		}
		seen[c.Key()] = true
	}
	same := toolcall.Caller{Issuer: "a", Subject: "b c", Person: "sam", Client: "agent", Groups: []string{"x"}}
	if same.Key() != callers[0].Key() {
		t.Error("the key hangs on more than issuer and subject")
	}
}

func TestIDs(t *testing.T) {
	var made []string
	for range 5000 {
		id, err := toolcall.NewID()
		if err != nil || id.IsZero() {
			t.Fatalf("make an id: %v, %v", id, err)
		}
		made = append(made, id.String())
		if back, err := toolcall.ParseID(id.String()); err != nil || back != id {
			t.Fatalf("%s read back as %s, %v", id, back, err)
		}
	}
	if !sort.StringsAreSorted(made) {
		t.Error("ids do not sort by time")
	}
	for i := 1; i < len(made); i++ {
		if made[i] == made[i-1] {
			t.Fatalf("%s was made twice", made[i])
		}
	}
	if made[0][14] != '7' {
		t.Errorf("%s is no UUIDv7", made[0])
	}
	for _, text := range []string{"", "x", strings.ReplaceAll(made[0], "-", ""), "{" + made[0] + "}", "urn:uuid:" + made[0], made[0] + " ", made[0][:35] + "g", strings.Repeat("0", 36)} {
		if id, err := toolcall.ParseID(text); !errors.Is(err, toolcall.ErrID) || !id.IsZero() {
			t.Errorf("%q: got %s, %v; want ErrID", text, id, err)
		}
	}
}

func TestNames(t *testing.T) {
	call := toolcall.Call{Upstream: "fs", Name: "file:///srv/a"}
	for want, got := range map[string]string{
		"fs/file:///srv/a": call.Target(),
		"none":             toolcall.NoKind.String(), "tool": toolcall.Tool.String(), "resource": toolcall.Resource.String(),
		"prompt": toolcall.Prompt.String(), "request": toolcall.Request.String(), "method": toolcall.Method.String(),
		"kind(99)": toolcall.Kind(99).String(),
		"deny":     toolcall.Deny.String(), "approve": toolcall.Approve.String(), "allow": toolcall.Allow.String(),
		"nothing": toolcall.NoType.String(), "type(99)": toolcall.Type(99).String(),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := toolcall.Effect(99).String(); got != "deny" {
		t.Errorf("an effect that does not exist says %s", got)
	}
}

func TestOutcomes(t *testing.T) {
	names := map[string]bool{}
	for o := toolcall.OutcomeUnknown; o <= toolcall.OutcomeCancelled; o++ {
		names[o.String()] = true
	}
	if len(names) != int(toolcall.OutcomeCancelled)+1 || names[""] {
		t.Errorf("the outcomes are called %v", names)
	}
	if got := toolcall.Outcome(99).String(); got != "unknown" {
		t.Errorf("an outcome that does not exist says %s", got)
	}
}
