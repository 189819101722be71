package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"mcpguard/store"
	"mcpguard/toolcall"
)

func newToolsDiffCommand(env *environment) *cobra.Command {
	var url, kind string
	cmd := &cobra.Command{
		Use:   "diff [UPSTREAM/NAME]",
		Short: "Show what waits to be accepted against what was before",
		Long: `Show every definition that nobody accepted, line by line against the one that
it was compared with, or the forms of one definition alone. Characters that
people do not see are shown as \u{...}. The server may be running.

Exit code 3: something waits to be accepted.`,
		Example: "  mcpguard tools diff\n  mcpguard tools diff crm/refund",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			named := func(*toolcall.Pin) bool { return true }
			if len(args) == 1 || kind != "" {
				arg := "*/*"
				if len(args) == 1 {
					arg = args[0]
				}
				t, err := pinTarget(arg, kind, "")
				if err != nil {
					return usageError(err)
				}
				named = func(p *toolcall.Pin) bool {
					return (len(args) == 0 || p.Upstream == t.Upstream && p.Name == t.Name) && (t.Kind == toolcall.NoPinKind || p.Kind == t.Kind)
				}
			}
			return withReader(cmd.Context(), env, url, func(r *store.Reader) error {
				all, err := r.Pins(cmd.Context())
				if err != nil {
					return err
				}
				some := pinsWhere(all, named)
				if len(args) == 1 && len(some) == 0 { // a check must not pass because a name is misspelt
					return neverSeen(args[0], all)
				}
				return showDiffs(cmd.Context(), env, r, pinsWhere(some, func(p *toolcall.Pin) bool { return p.State != toolcall.PinAccepted }))
			})
		},
	}
	bindStore(cmd, &url)
	bindKind(cmd, &kind)
	return cmd
}

// neverSeen is the error where a command names a definition that no upstream has
// shown.
func neverSeen(name string, all []toolcall.Pin) error {
	var names []string
	for i := range all {
		names = append(names, all[i].Upstream+"/"+all[i].Name)
	}
	return fail(exitUsage, fmt.Errorf("show what waits: no such definition was seen: %s", name), cmp.Or(nearest(name, names), "mcpguard tools ls"))
}

// pinTexts is where the words of definitions are.
type pinTexts interface {
	PinText(ctx context.Context, p toolcall.Pin) (string, error)
}

// diffJSON is a definition that waits, with what it was compared with.
type diffJSON struct {
	pinJSON
	Before json.RawMessage `json:"before,omitempty"` // absent where there was none, or it was too long to keep
	After  json.RawMessage `json:"after,omitempty"`
}

func showDiffs(ctx context.Context, env *environment, texts pinTexts, waiting []toolcall.Pin) error {
	var all []diffJSON
	for i := range waiting {
		p := &waiting[i]
		after, err := texts.PinText(ctx, *p)
		if err != nil {
			return err
		}
		was := *p
		was.Digest = p.Was
		before, err := texts.PinText(ctx, was)
		if err != nil {
			return err
		}
		if env.output != outputTable {
			all = append(all, diffJSON{pinInJSON(p), json.RawMessage(before), json.RawMessage(after)})
			continue
		}
		printDiff(env.stdout, p, before, after)
	}
	if env.output != outputTable {
		if err := writeItems(escaping(env), all); err != nil {
			return err
		}
	}
	if len(waiting) > 0 {
		return problemsFound()
	}
	if env.output == outputTable {
		fmt.Fprintln(env.stderr, "nothing waits to be accepted")
	}
	return nil
}

func printDiff(w io.Writer, p *toolcall.Pin, before, after string) {
	fmt.Fprintf(w, "%s %s: %s (%s), first seen %s, digest %s\n", p.Kind, visible(p.Upstream+"/"+p.Name), p.State, p.Causes,
		clock(p.Seen), p.Digest.String()[:shortDigest])
	switch {
	case after == "":
		fmt.Fprintln(w, "  its words were not kept: it is too long, or could not be redacted safely")
	case before == "" && !p.Was.IsZero():
		fmt.Fprintln(w, "  the words of the one before were not kept")
	case before != "" && before == after:
		fmt.Fprintln(w, "  they read the same after redaction, and differ before")
	}
	if after != "" {
		for _, line := range diffLines(definitionLines(before), definitionLines(after)) {
			fmt.Fprintln(w, "  "+visible(line))
		}
	}
	fmt.Fprintln(w)
}

// definitionLines is a definition as people read it: a member a line, and long
// texts broken where they break.
func definitionLines(text string) []string {
	if text == "" {
		return nil
	}
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
		return strings.Split(text, "\n") // redaction may have left something else
	}
	return strings.Split(strings.ReplaceAll(b.String(), `\n`, "\\n\n      "), "\n")
}

// maxDiffCells bounds the work of a diff: lines before times lines after.
const maxDiffCells = 4 << 20

// diffLines is what to take out ("-") and to put in ("+") to get from a to b, by
// the longest common subsequence of lines. Where that is too much work, all of a
// goes and all of b comes.
func diffLines(a, b []string) []string {
	var out, end []string
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		out = append(out, "  "+a[0])
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		end = append(end, "  "+a[len(a)-1])
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	common := make([][]int32, len(a)+1) // common[i][j]: of a[i:] and b[j:]
	if (len(a)+1)*(len(b)+1) <= maxDiffCells {
		for i := range common {
			common[i] = make([]int32, len(b)+1)
		}
		for i := len(a) - 1; i >= 0; i-- {
			for j := len(b) - 1; j >= 0; j-- {
				if a[i] == b[j] {
					common[i][j] = common[i+1][j+1] + 1
				} else {
					common[i][j] = max(common[i+1][j], common[i][j+1])
				}
			}
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && common[i] != nil && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i] == nil || common[i+1][j] >= common[i][j+1]):
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	for i := len(end) - 1; i >= 0; i-- {
		out = append(out, end[i])
	}
	return out
}

// visible is a line in which every character can be seen: beside what moves a
// cursor, also selectors and letters without a shape are shown as their escapes.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		const blankBraille = 0x2800
		if unicode.IsPrint(r) && r != blankBraille && !unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	return b.String()
}
