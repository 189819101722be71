package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mcpguard/audit"
	"mcpguard/store"
	"mcpguard/toolpolicy"
)

// Every command says what it does and how it is used, and none is without an
// own decision about its arguments.
func TestCommandTree(t *testing.T) {
	var walk func(*cobra.Command)
	commands := 0
	walk = func(c *cobra.Command) {
		commands++
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short help is %q", c.CommandPath(), c.Short)
		}
		if !strings.Contains(c.Example, "mcpguard") {
			t.Errorf("%s has no example", c.CommandPath())
		}
		if c.RunE == nil || c.Run != nil {
			t.Errorf("%s does not return its error", c.CommandPath())
		}
		for line := range strings.Lines(c.Long) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 84 {
				t.Errorf("%s: a line of its help has %d characters: %s", c.CommandPath(), n, line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if name, _ := pflag.UnquoteUsage(f); name == "string" || name == "strings" || name == "int" {
				t.Errorf("%s: the value of --%s is called %q", c.CommandPath(), f.Name, name)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRootCommand(testEnvironment()))
	if commands < 8 {
		t.Errorf("the tree has %d commands", commands)
	}
}

func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"no error":            {nil, 0},
		"any error":           {errors.New("x"), 1},
		"usage":               {usageError(errors.New("x")), 2},
		"wrapped":             {fmt.Errorf("serve: %w", usageError(errors.New("x"))), 2},
		"mistakes of a file":  {fmt.Errorf("serve: %w", toolpolicy.Mistakes{{File: "a"}}), 2},
		"problems":            {problemsFound(), 3},
		"integrity":           {fail(exitIntegrity, errors.New("x"), ""), 4},
		"a broken chain":      {fmt.Errorf("serve: %w", audit.ErrIntegrity), 4},
		"a damaged store":     {usageError(fmt.Errorf("serve: %w", store.ErrCorrupt)), 4},
		"denied":              {fail(exitDenied, errors.New("x"), ""), 5},
		"pending":             {fail(exitPending, errors.New("x"), ""), 6},
		"unreachable":         {fail(exitUnreachable, errors.New("x"), ""), 7},
		"a code over another": {fail(exitDenied, usageError(errors.New("x")), ""), 5},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: exit code %d, want %d", name, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nothing":                  {nil, ""},
		"reported already":         {problemsFound(), ""},
		"plain":                    {errors.New("open x: gone"), "mcpguard: open x: gone\n"},
		"with a suggestion":        {fail(1, errors.New("x"), "y"), "mcpguard: x\ntry: y\n"},
		"a hint below":             {fmt.Errorf("a: %w", hinted{"x", "y"}), "mcpguard: a: x\ntry: y\n"},
		"suggestion over hint":     {fail(1, hinted{"x", "y"}, "z"), "mcpguard: x\ntry: z\n"},
		"what a terminal may obey": {errors.New("\x1b[2J"), "mcpguard: \\u{1b}[2J\n"},
		"mistakes": {usageError(toolpolicy.Mistakes{{File: "p.yaml", Line: 2, Col: 3, Message: "no", Hint: "yes", Source: "a b"}}),
			"p.yaml:2:3: no\n    2 | a b\n      |   ^\n  try: yes\n"},
		"a line that is not shown": {usageError(toolpolicy.Mistakes{{File: "p.yaml", Line: 2, Col: 3, Message: "no", Hint: "yes", Source: notShown}}),
			"p.yaml:2:3: no\n    2 | [not shown]\n  try: yes\n"},
		"a damaged store":               {fmt.Errorf("serve: %w", store.ErrCorrupt), "mcpguard: serve: the store is damaged\ntry: restore a backup of the store and its keys\n"},
		"a broken chain, exit code set": {fail(exitIntegrity, audit.ErrIntegrity, ""), "mcpguard: the chain of records is broken\ntry: restore a backup of the store and its keys\n"},
	} {
		var b bytes.Buffer
		if report(&b, c.err); b.String() != c.want {
			t.Errorf("%s: reported %q, want %q", name, b.String(), c.want)
		}
	}
}
