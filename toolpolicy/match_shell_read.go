package toolpolicy

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// script is all that a command of a shell does: which programs it runs with
// which words, which files it opens, and by what it holds together.
type script struct {
	commands []shellCommand
	uses     shellUse
}

type shellCommand struct {
	words []shellWord
	files []shellFile
}

// shellWord is one argument as the program gets it, the program's name first.
// What a word that expands turns into is known to the shell alone.
type shellWord struct {
	text    string // "" when it expands
	expands bool
}

// shellFile is a file that a redirection opens.
type shellFile struct {
	path   shellWord
	writes bool
}

// shellUse is a set of constructs.
type shellUse uint16

const (
	usesPipe shellUse = 1 << iota
	usesAnd
	usesOr
	usesSequence
	usesBackground
	usesQuiet
	usesGlob
	usesVariables
	usesSubstitution
)

// shellUses are their names in a policy, in the order of the bits.
var shellUses = [...]string{"pipe", "and", "or", "sequence", "background", "quiet", "glob", "variables", "substitution"}

// expansions are the constructs whose words are not known beforehand.
const expansions = usesGlob | usesVariables | usesSubstitution

func (u shellUse) names() []string {
	var names []string
	for i, name := range shellUses {
		if u&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// shellLanguages are those of the parser. What it does not read alike in all of
// them is not read.
var shellLanguages = [...]syntax.LangVariant{syntax.LangPOSIX, syntax.LangBash, syntax.LangMirBSDKorn, syntax.LangZsh}

// readShell reads a command that a tool hands to a shell; ok is false when it is
// too long or empty, when shells could take it apart differently, and when it
// holds anything but commands joined by the constructs above: assignments,
// functions, groups, conditions, loops, here-documents.
func readShell(text string) (s script, ok bool) {
	if !plainShell(text) {
		return script{}, false
	}
	return parseShell(text)
}

func parseShell(text string) (s script, ok bool) {
	for i, language := range shellLanguages {
		file, err := syntax.NewParser(syntax.Variant(language), syntax.KeepComments(true)).Parse(strings.NewReader(text), "")
		if err != nil || len(file.Last) > 0 {
			return script{}, false
		}
		r := shellReader{text: text}
		if !r.statements(file.Stmts) {
			return script{}, false
		}
		if i == 0 {
			s = r.script
		} else if !s.same(&r.script) {
			return script{}, false
		}
	}
	return s, true
}

func (s *script) same(other *script) bool {
	return s.uses == other.uses && slices.EqualFunc(s.commands, other.commands, func(a, b shellCommand) bool {
		return slices.Equal(a.words, b.words) && slices.Equal(a.files, b.files)
	})
}

// shellReader walks a syntax tree. It knows few kinds of nodes; any other ends
// the reading.
type shellReader struct {
	script
	text string
}

func (r *shellReader) statements(list []*syntax.Stmt) bool {
	for i, s := range list {
		if s.Background {
			r.uses |= usesBackground
		} else if i < len(list)-1 {
			r.uses |= usesSequence
		}
		if !r.statement(s) {
			return false
		}
	}
	return len(list) > 0
}

func (r *shellReader) statement(s *syntax.Stmt) bool {
	if s.Negated || s.Coprocess || s.Disown || len(s.Comments) > 0 {
		return false
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		return r.call(c, s.Redirs)
	case *syntax.BinaryCmd:
		switch c.Op {
		case syntax.AndStmt:
			r.uses |= usesAnd
		case syntax.OrStmt:
			r.uses |= usesOr
		case syntax.Pipe:
			r.uses |= usesPipe
		default:
			return false
		}
		return len(s.Redirs) == 0 && r.statement(c.X) && r.statement(c.Y)
	}
	return false
}

func (r *shellReader) call(c *syntax.CallExpr, redirections []*syntax.Redirect) bool {
	if len(c.Assigns) > 0 || len(c.Args) == 0 {
		return false
	}
	command := shellCommand{words: make([]shellWord, 0, len(c.Args))}
	for _, arg := range c.Args {
		w, ok := r.word(arg)
		if !ok {
			return false
		}
		command.words = append(command.words, w)
	}
	for _, redirection := range redirections {
		if !r.redirection(&command, redirection) {
			return false
		}
	}
	r.commands = append(r.commands, command)
	return true
}

func (r *shellReader) redirection(command *shellCommand, n *syntax.Redirect) bool {
	if n.Hdoc != nil || n.N != nil && !slices.Contains([]string{"0", "1", "2"}, n.N.Value) {
		return false // dash reads 10> as a word and a redirection
	}
	w, ok := r.word(n.Word)
	if !ok {
		return false
	}
	switch n.Op {
	case syntax.RdrIn, syntax.RdrOut, syntax.AppOut:
		if w.text == "/dev/null" {
			r.uses |= usesQuiet
		} else {
			command.files = append(command.files, shellFile{w, n.Op != syntax.RdrIn})
		}
	case syntax.DplOut: // >&1 or >&2, says plainShell
		r.uses |= usesQuiet
	default:
		return false
	}
	return true
}

func (r *shellReader) word(w *syntax.Word) (shellWord, bool) {
	if len(w.Parts) == 1 { // the common ones, without a copy
		if lit, ok := w.Parts[0].(*syntax.Lit); ok && !strings.ContainsAny(lit.Value, `\*?[`) {
			return shellWord{text: lit.Value}, true
		}
	}
	var b strings.Builder
	expands := false
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			if unescape(&b, p.Value, "") {
				r.uses |= usesGlob
				expands = true
			}
		case *syntax.SglQuoted:
			if p.Dollar {
				return shellWord{}, false
			}
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			if p.Dollar {
				return shellWord{}, false
			}
			for _, inner := range p.Parts {
				if lit, ok := inner.(*syntax.Lit); ok {
					unescape(&b, lit.Value, "$`\"\\")
				} else if expands = true; !r.expansion(inner) {
					return shellWord{}, false
				}
			}
		default:
			if expands = true; !r.expansion(p) {
				return shellWord{}, false
			}
		}
	}
	if expands {
		return shellWord{expands: true}, true
	}
	return shellWord{text: b.String()}, true
}

// expansion is $name, ${name} or $(...), whose commands are the script's too.
func (r *shellReader) expansion(part syntax.WordPart) bool {
	switch p := part.(type) {
	case *syntax.ParamExp:
		r.uses |= usesVariables
		// Judged by its text: a kind of expansion that a later parser knows must
		// not pass for a plain one.
		text := r.text[p.Pos().Offset():p.End().Offset()]
		return p.Param != nil && (text == "$"+p.Param.Value || text == "${"+p.Param.Value+"}")
	case *syntax.CmdSubst:
		r.uses |= usesSubstitution
		return !p.Backquotes && !p.TempFile && !p.ReplyVar && len(p.Last) == 0 && r.statements(p.Stmts)
	}
	return false
}

// unescape writes what a literal stands for: a backslash goes before one of
// the given characters, before any when none is given. It reports whether an
// unescaped character makes the word a pattern for names of files, which can
// only be outside of quotes.
func unescape(b *strings.Builder, raw, escapable string) (glob bool) {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\\' && i+1 < len(raw) && (escapable == "" || strings.IndexByte(escapable, raw[i+1]) >= 0):
			i++
			b.WriteByte(raw[i])
		case escapable == "" && (c == '*' || c == '?' || c == '['):
			glob = true
		default:
			b.WriteByte(c)
		}
	}
	return glob
}
