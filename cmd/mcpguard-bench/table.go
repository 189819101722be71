package main

import (
	"fmt"
	"io"
	"strings"
)

// column is one figure of a table, alone or as a ratio to the floor's.
type column struct {
	title, metric, to, format string
}

// callColumns are those of scenarios that are about speed.
var callColumns = []column{
	{"calls/s", "rate", "", "%.0f"},
	{"/ floor", "rate", nameFloor, "%.2f"},
	{"p50 µs", "p50", "", "%.0f"},
	{"added p50 / floor", added, nameFloor, "%.2f"},
	{"p99 µs", "p99", "", "%.0f"},
	{"/ floor", "p99", nameFloor, "%.2f"},
	{"CPU µs a call", "cpu", "", "%.0f"},
	{"/ floor", "cpu", nameFloor, "%.2f"},
	{"peak MB", "peak", "", "%.0f"},
}

// idleColumns are those of the scenario that is about memory.
var idleColumns = []column{
	{"KiB a session", "idle", "", "%.1f"},
	{"peak MB", "peak", "", "%.0f"},
}

// writeTable writes the medians of one scenario as a Markdown table.
func writeTable(w io.Writer, sc scenario, names []string, s series) error {
	columns := callColumns
	if sc.kind == kindIdle {
		columns = idleColumns
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n| |", sc.title())
	for _, c := range columns {
		b.WriteString(" " + c.title + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(columns)) + "\n")
	for _, name := range names {
		if _, ran := s[name]; !ran {
			continue
		}
		b.WriteString("| " + name + " |")
		for _, c := range columns {
			b.WriteString(" " + s.cell(name, c) + " |")
		}
		b.WriteByte('\n')
	}
	for _, name := range names {
		if errs := s.errors(name); len(errs) > 0 {
			fmt.Fprintf(&b, "\n%s: %d errors, its figures of those rounds left out; the first: %v\n", name, len(errs), errs[0])
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the table of %s: %w", sc.name(), err)
	}
	return nil
}

func (s series) cell(name string, c column) string {
	if name == nameDirect && (c.metric == "cpu" || c.metric == "peak" || c.metric == "idle" || c.metric == added) {
		return "" // there is no proxy
	}
	v, ok := s.typical(name, c.metric, c.to)
	if !ok {
		return "-"
	}
	return fmt.Sprintf(c.format, v)
}
