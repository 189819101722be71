package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCompareWithGuard keeps the harness and mcpguard together: the
// configuration that the harness writes is one that mcpguard takes, and every
// check of every kind of scenario holds through it, in each durability mode.
func TestCompareWithGuard(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "mcpguard")
	if out, err := exec.Command("go", "build", "-o", binary, "mcpguard/cmd/mcpguard").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	o, err := parseOptions([]string{"-guard", binary, "-rounds", "1", "-keep", t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o.warm, o.during = 10*time.Millisecond, 50*time.Millisecond
	o.scenarios = []scenario{
		{kind: kindCall, version: legacyVersion, clients: 4, bytes: 1 << 10},
		{kind: kindCall, version: modernVersion, clients: 4, bytes: 32 << 10},
		{kind: kindCall, version: legacyVersion, clients: 2, bytes: 1 << 20},
		{kind: kindList, version: legacyVersion, clients: 2, listed: listedTools},
		{kind: kindList, version: modernVersion, clients: 2, listed: listedTools},
		{kind: kindSession, version: legacyVersion, clients: 4, bytes: 1 << 10},
		{kind: kindIdle, version: legacyVersion, clients: 10, bytes: 1 << 10},
	}
	var out, progress strings.Builder
	if err := o.compare(t.Context(), &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, durability := range durabilities {
		if n := strings.Count(out.String(), "\n| mcpguard-"+durability+" |"); n != len(o.scenarios) {
			t.Errorf("mcpguard-%s has %d rows, want one for each of %d scenarios", durability, n, len(o.scenarios))
		}
	}
}
