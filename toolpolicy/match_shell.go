package toolpolicy

import (
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// shell: the value is a text for a shell, and all that it does is within the
// rule: every program with every argument, every file that is redirected to or
// from, every construct that joins them. What shells could read differently,
// and what is not literal, is unknown.
type shell struct {
	programs programs
	uses     shellUse
	read     []string // roots of files for <
	write    []string // roots of files for > and >>
}

func (m *shell) judge(v toolcall.JSON) outcome {
	text, ok := v.Str()
	if !ok {
		return notText
	}
	s, ok := readShell(text)
	if !ok {
		return notPlainShell
	}
	out := holds
	switch beyond := s.uses &^ m.uses; {
	case beyond&^expansions != 0:
		return fails
	case beyond != 0:
		out = notLiteral
	}
	for _, command := range s.commands {
		out = both(out, m.programs.judge(command.words))
		for _, file := range command.files {
			out = both(out, m.judgeFile(file))
		}
	}
	return out
}

// judgeFile keeps /dev out whatever the roots: bash opens connections under
// /dev/tcp and /dev/udp, and what stands under /dev/fd is open already.
func (m *shell) judgeFile(f shellFile) outcome {
	switch {
	case f.path.expands:
		return notLiteral
	case !plainPath(f.path.text):
		return notPlainArgument
	}
	if _, device := relativeTo("/dev", f.path.text); device {
		return fails
	}
	roots := m.read
	if f.writes {
		roots = m.write
	}
	return outcomeOf(belowAny(roots, f.path.text))
}

func belowAny(roots []string, path string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		_, below := relativeTo(root, path)
		return below
	})
}

func (m *shell) words() words {
	text := m.programs.text
	if uses := m.uses.names(); len(uses) > 0 {
		text += ", with " + strings.Join(uses, ", ")
	}
	if m.read != nil {
		text += ", reading under " + strings.Join(m.read, " or ")
	}
	if m.write != nil {
		text += ", writing under " + strings.Join(m.write, " or ")
	}
	return words{"shell " + text, "another command", "does something else than a shell may here: " + text}
}

// argv: the value is a list of texts, a program and its arguments, that no
// shell reads.
type argv struct{ programs programs }

func (m *argv) judge(v toolcall.JSON) outcome {
	if v.Type() != toolcall.ArrayType {
		return notWords
	}
	var list []shellWord
	for e := v.Elements(); e.Next(); {
		text, ok := e.Value().Str()
		if !ok || strings.IndexByte(text, 0) >= 0 {
			return notWords
		}
		list = append(list, shellWord{text: text})
	}
	if len(list) == 0 {
		return notWords
	}
	return m.programs.judge(list)
}

func (m *argv) words() words {
	text := m.programs.text
	return words{"argv " + text, "another command", "is not one of: " + text}
}

// programs are what may run, each by one or more entries; one that fits is
// enough.
type programs struct {
	byName map[string][]program
	text   string // how each may be called, as manuals write it
}

func (p *programs) judge(command []shellWord) outcome {
	if command[0].expands {
		return notLiteral
	}
	out := fails
	for i := range p.byName[command[0].text] {
		out = either(out, p.byName[command[0].text][i].judge(command[1:]))
	}
	return out
}

// program says which arguments a program may have. The zero program takes none.
type program struct {
	anyArgs  bool
	first    []string    // what the first argument must be one of; nil: nothing is asked
	flags    []wild      // words that begin with "-", "--" included
	operands conjunction // what every other word must meet; nil: there may be none
}

func (p *program) judge(args []shellWord) outcome {
	if p.anyArgs {
		return holds
	}
	if p.first != nil && len(args) == 0 {
		return fails
	}
	out := holds
	for i, arg := range args {
		out = both(out, p.judgeArgument(arg, i == 0))
	}
	return out
}

func (p *program) judgeArgument(arg shellWord, leads bool) outcome {
	switch {
	case arg.expands:
		return notLiteral
	case leads && p.first != nil:
		return outcomeOf(slices.Contains(p.first, arg.text))
	case strings.HasPrefix(arg.text, "-") && arg.text != "-":
		return outcomeOf(slices.ContainsFunc(p.flags, func(w wild) bool { return w.match(arg.text) }))
	case p.operands == nil:
		return fails
	}
	out := p.operands.outcome(finding{given: toolcall.Quote(arg.text), how: holds}, nil)
	if out.verdict() == toolcall.VerdictUnknown {
		return notPlainArgument // the words are about the argument of the call
	}
	return out
}

// usage is how the program may be called: "git status|log [--oneline|-n]
// [under /srv]"; "..." stands for any arguments.
func (p *program) usage(name string) string {
	parts := []string{name}
	if p.anyArgs {
		parts = append(parts, "...")
	}
	if p.first != nil {
		parts = append(parts, strings.Join(p.first, "|"))
	}
	if p.flags != nil {
		flags := make([]string, len(p.flags))
		for i, f := range p.flags {
			flags[i] = f.text
		}
		parts = append(parts, "["+strings.Join(flags, "|")+"]")
	}
	if p.operands != nil {
		parts = append(parts, "["+p.operands.want()+"]")
	}
	return strings.Join(parts, " ")
}

// both is Kleene's and, of outcomes: the first of equals is kept.
func both(a, b outcome) outcome {
	if and(a.verdict(), b.verdict()) == a.verdict() {
		return a
	}
	return b
}

// either is Kleene's or.
func either(a, b outcome) outcome {
	switch {
	case a.verdict() == toolcall.VerdictTrue || b.verdict() == toolcall.VerdictFalse:
		return a
	case b.verdict() == toolcall.VerdictTrue || a.verdict() == toolcall.VerdictFalse:
		return b
	}
	return a
}
