package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"mcpguard/audit"
	"mcpguard/redact"
)

// shownText is how many characters of arguments and results are shown unless
// all are asked for.
const shownText = 160

// printSession writes a session for people.
func printSession(w io.Writer, s audit.SessionInfo, all []*moment, full bool) {
	fmt.Fprintf(w, "session %s\n", s.ID)
	fmt.Fprintf(w, "  caller    %s\n", oneLine(describeCaller(s)))
	if s.Client != "" {
		fmt.Fprintf(w, "  client    %s, as it says\n", oneLine(clientOf(s, all)))
	}
	if s.Upstream != "" {
		fmt.Fprintf(w, "  upstream  %s\n", oneLine(s.Upstream))
	}
	fmt.Fprintf(w, "  time      %s to %s\n", clock(s.Start), clock(s.Last))
	fmt.Fprintf(w, "  calls     %d forwarded (%d failed), %d refused\n", s.Calls, s.Failed, s.Refused)
	for _, line := range wouldHave(all) {
		fmt.Fprintf(w, "  observed  %s\n", oneLine(line))
	}
	fmt.Fprintln(w)
	for _, m := range all {
		printMoment(w, m, full)
	}
}

// wouldHave counts what observation let pass, by rule, in the order in which it
// first happened.
func wouldHave(all []*moment) []string {
	var lines []string
	counts := map[string]int{}
	add := func(line string) {
		if counts[line]++; counts[line] == 1 {
			lines = append(lines, line)
		}
	}
	for _, m := range all {
		if m.Would != "" {
			add(cmp.Or(m.Rule, "no rule") + " would have said " + m.Would)
		}
		for _, rule := range m.Shadow {
			add(rule + " would have decided otherwise")
		}
	}
	for i, line := range lines {
		lines[i] = fmt.Sprintf("%d x %s", counts[line], line)
	}
	return lines
}

func describeCaller(s audit.SessionInfo) string {
	i := s.Identity
	if i.IsZero() {
		return strings.TrimSpace(personOf(s) + " " + refText(s.Who))
	}
	text := fmt.Sprintf("%s (%s of %s", cmp.Or(i.Person, i.Subject), i.Subject, i.Issuer)
	if i.Client != "" {
		text += ", client " + i.Client
	}
	if len(i.Act) > 0 {
		text += ", acting through " + strings.Join(i.Act, ", ")
	}
	return text + ")"
}

func refText(r audit.Ref) string {
	if r.IsZero() {
		return ""
	}
	return r.String()
}

// clientOf is the client with its version, which only records have.
func clientOf(s audit.SessionInfo, all []*moment) string {
	for _, m := range all {
		if m.ClientName == s.Client && m.ClientVersion != "" {
			return s.Client + " " + m.ClientVersion
		}
	}
	return s.Client
}

// margin is where the details of a moment stand.
const margin = "                "

func printMoment(w io.Writer, m *moment, full bool) {
	detail := func(format string, args ...any) { fmt.Fprintf(w, margin+format+"\n", args...) }
	fmt.Fprintf(w, "%s  %s\n", m.At.UTC().Format("15:04:05.000"), headline(m))
	if !m.Args.IsZero() {
		detail("  args    %s", shorten(m.Args, full))
	}
	if by := ruling(m); by != "" {
		detail("  rule    %s", by)
	}
	if m.Would != "" {
		detail("  observe policy would have said %s", oneLine(m.Would))
	}
	if len(m.Shadow) > 0 {
		detail("  observe %s would have decided otherwise", oneLine(strings.Join(m.Shadow, ", ")))
	}
	end := m.ending()
	if end == nil {
		return
	}
	switch m.Kind {
	case audit.Intent:
		detail("  %s", outcomeLine(m, end))
	case audit.Outcome: // of a task, after its call
		detail("  %s", outcomeName(end))
	}
	if !end.Result.IsZero() {
		text := shorten(end.Result, full)
		if end.ResultCut {
			text += fmt.Sprintf(" [the head of %d bytes]", end.ResultSize)
		}
		detail("  result  %s", text)
	}
	if !end.Error.IsZero() {
		detail("  error   %s", shorten(end.Error, full))
	}
	for _, f := range end.Findings {
		detail("  redact  %s", oneLine(redaction(f)))
	}
}

// headline says what happened in a few words.
func headline(m *moment) string {
	target := m.Method
	if m.Target != "" {
		target = strings.TrimPrefix(m.Upstream+"/"+m.Target, "/")
	}
	if !m.Task.IsZero() {
		target = m.Method + " of " + target
	}
	word := strings.ReplaceAll(m.Kind.String(), "_", " ")
	if d := decisionOf(m); d != "" {
		word = d
	}
	line := fmt.Sprintf("%-8s", word)
	if target != "" {
		line += " " + target
	}
	switch m.Kind {
	case audit.SessionStart, audit.SessionEnd, audit.Event, audit.ToolChange:
		if !m.Reason.IsZero() {
			line += " " + m.Reason.String()
		}
	}
	return strings.TrimRight(oneLine(line), " ")
}

// ruling names the rule, where it stands and why it is there.
func ruling(m *moment) string {
	if decisionOf(m) == "" {
		return ""
	}
	text := cmp.Or(m.Rule, "none")
	if m.File != "" {
		text += fmt.Sprintf(" at %s:%d", m.File, m.Line)
	}
	if !m.Reason.IsZero() {
		text += ": " + m.Reason.String()
	}
	if text == "none" {
		return ""
	}
	return oneLine(text)
}

func outcomeLine(m *moment, end *audit.Record) string {
	if m.End == nil {
		return "unknown: forwarded; still under way, or lost with the process"
	}
	return fmt.Sprintf("%s in %s", outcomeName(end), m.Took().Round(10*time.Microsecond))
}

func outcomeName(end *audit.Record) string { return strings.ReplaceAll(end.Outcome.String(), "_", " ") }

func redaction(f redact.Finding) string {
	return fmt.Sprintf("%s %s in %s, %s", f.Profile, f.Path, f.Surface, count(f.Count, "value"))
}

// shorten is a kept value on one line, cut unless all of it is wanted.
func shorten(c redact.Clean, full bool) string {
	text := c.String()
	if full {
		return oneLine(text)
	}
	n := 0
	for i := range text {
		if n == shownText {
			return fmt.Sprintf("%s... [%d bytes, --full shows all]", oneLine(text[:i]), len(text))
		}
		n++
	}
	return oneLine(text)
}

// oneLine is text that can neither move the cursor nor begin a line of its own.
func oneLine(s string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(printable(s))
}

// escaping is env with a stdout that makes JSON safe for a terminal: characters
// that could change what is seen are escaped, which JSON reads back unchanged.
func escaping(env *environment) *environment {
	safe := *env
	safe.stdout = jsonEscaper{env.stdout}
	return &safe
}

// jsonEscaper takes whole JSON texts, as json.Encoder writes them.
type jsonEscaper struct{ w io.Writer }

func (e jsonEscaper) Write(text []byte) (int, error) {
	hostile := func(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) }
	if !bytes.ContainsFunc(text, hostile) {
		return e.w.Write(text)
	}
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case !hostile(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	if _, err := io.WriteString(e.w, b.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}
