package main

import (
	"fmt"
	"strconv"
	"strings"
)

// goal is a bound on a figure, as text like
//
//	mcpguard-strict call/64x1KiB cpu/floor <= 1.8
//
// The metrics are rate (calls/s), p50, p99 (µs), cpu (µs a call), peak (MB),
// idle (KiB a session) and added (µs by which p50 exceeds direct's).
type goal struct {
	text, contender, scenario, metric, to string
	atMost                                bool
	bound                                 float64
}

func parseGoal(text string) (goal, error) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return goal{}, fmt.Errorf("read goal %q: expected CONTENDER SCENARIO METRIC[/CONTENDER] <=|>= NUMBER", text)
	}
	g := goal{text: text, contender: fields[0], scenario: fields[1], atMost: fields[3] == "<="}
	g.metric, g.to, _ = strings.Cut(fields[2], "/")
	if metrics[g.metric] == nil && g.metric != added {
		return goal{}, fmt.Errorf("read goal %q: no metric %s", text, g.metric)
	}
	if !g.atMost && fields[3] != ">=" {
		return goal{}, fmt.Errorf("read goal %q: %s is neither <= nor >=", text, fields[3])
	}
	var err error
	if g.bound, err = strconv.ParseFloat(fields[4], 64); err != nil {
		return goal{}, fmt.Errorf("read goal %q: %w", text, err)
	}
	return g, nil
}

// check says how the goal was kept, or as an error how it was missed. A run with
// failed calls keeps no goal.
func (g goal) check(all map[string]series) (string, error) {
	s, ok := all[g.scenario]
	if !ok {
		return "", fmt.Errorf("%s: no scenario %s in this run", g.text, g.scenario)
	}
	if errs := s.errors(g.contender); len(errs) > 0 {
		return "", fmt.Errorf("%s: calls failed: %w", g.text, errs[0])
	}
	v, ok := s.typical(g.contender, g.metric, g.to)
	if !ok {
		return "", fmt.Errorf("%s: no figure", g.text)
	}
	if g.atMost && v > g.bound || !g.atMost && v < g.bound {
		return "", fmt.Errorf("%s: missed, it is %.3g", g.text, v)
	}
	return fmt.Sprintf("%s: kept, it is %.3g", g.text, v), nil
}
