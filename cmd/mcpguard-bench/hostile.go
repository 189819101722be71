package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"time"
)

// hostile measures law 14: what a caller that keeps to the rules waits for, alone
// and while another attacks. In each round both are measured, one after the
// other, and their ratio is taken; the median over the rounds is what counts.
type hostile struct {
	guard   string
	keep    string
	rounds  int
	during  time.Duration
	most    float64
	attacks []attack
}

// The caller that is measured: clients that make a call, and pause.
const (
	bystanders     = 8
	bystanderPause = 10 * time.Millisecond
	bystanderBytes = 1 << 10
)

func parseHostile(args []string) (*hostile, error) {
	h := &hostile{}
	flags := flag.NewFlagSet("mcpguard-bench hostile", flag.ContinueOnError)
	flags.StringVar(&h.guard, "guard", "", "path of the mcpguard binary")
	flags.StringVar(&h.keep, "keep", "", "folder for configurations, records and logs, kept afterwards (default: a temporary one)")
	flags.IntVar(&h.rounds, "rounds", 3, "rounds; in each, the caller is measured alone and under attack")
	flags.DurationVar(&h.during, "d", 3*time.Second, "time of each measurement")
	flags.Float64Var(&h.most, "most", 2, "by how much the p99 may grow; more, and the exit status is 1")
	only := flags.String("only", "", "regular expression over names of attacks")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 || h.rounds < 1 || h.during <= 0 {
		return nil, errors.New("read the command line: -rounds and -d must be above zero, and there are no arguments")
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return nil, fmt.Errorf("read -only: %w", err)
	}
	for _, at := range attacks() {
		if wanted.MatchString(at.name) {
			h.attacks = append(h.attacks, at)
		}
	}
	if len(h.attacks) == 0 {
		return nil, fmt.Errorf("read -only: no attack is called like %q", *only)
	}
	if h.guard, err = filepath.Abs(h.guard); err != nil {
		return nil, fmt.Errorf("read -guard: %w", err)
	}
	if info, err := os.Stat(h.guard); err != nil || info.IsDir() {
		return nil, errors.Join(fmt.Errorf("read -guard: %s is no program", h.guard), err)
	}
	return h, nil
}

// measure wages every attack and prints a table. An attack under which the other
// caller waits too long, or gets an error, is an error at the end.
func (h *hostile) measure(ctx context.Context, out, progress io.Writer) (err error) {
	dir := h.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "mcpguard-hostile-"); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if _, err := fmt.Fprintf(out, "%s/%s, %d cores, %s; %d rounds of %s; medians\n\n"+
		"| attack | p99 µs alone | p99 µs under attack | ratio | served | refused | cut off |\n|---|---|---|---|---|---|---|\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), h.rounds, h.during); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var wrong []error
	for _, at := range h.attacks {
		w, err := h.wage(ctx, filepath.Join(dir, at.name), at, progress)
		if err != nil {
			return fmt.Errorf("attack %s: %w", at.name, err)
		}
		alone, _ := median(w.alone)
		under, _ := median(w.under)
		ratio, measured := median(w.ratios)
		row := fmt.Sprintf("%.0f | %.0f | %.2f", alone, under, ratio)
		switch {
		case w.starved != nil:
			row = fmt.Sprintf("%.0f | calls failed | ", alone)
			wrong = append(wrong, fmt.Errorf("attack %s: another caller's calls failed: %w", at.name, w.starved))
		case !measured || ratio > h.most:
			wrong = append(wrong, fmt.Errorf("attack %s: the p99 of another caller grew %.2f times, over %g", at.name, ratio, h.most))
		}
		if _, err := fmt.Fprintf(out, "| %s: %s | %s | %d | %d | %d |\n", at.name, at.about, row, w.got[0], w.got[1], w.got[2]); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return errors.Join(wrong...)
}

// waged is what an attack did, a figure a round.
type waged struct {
	alone, under []float64 // p99 in µs
	ratios       []float64
	got          [3]int64 // requests of the attacker that were served, refused, cut off
	starved      error    // why the other caller's calls failed; the rounds end with it
}

// wage measures one attack.
func (h *hostile) wage(ctx context.Context, dir string, at attack, progress io.Writer) (w waged, err error) {
	for round := 0; round < h.rounds && w.starved == nil; round++ {
		if err := h.round(ctx, filepath.Join(dir, fmt.Sprint(round)), at, &w, progress); err != nil {
			return w, err
		}
	}
	return w, nil
}

// round measures once, on a guard of its own: what the attacker held is not there
// for the next.
func (h *hostile) round(ctx context.Context, dir string, at attack, w *waged, progress io.Writer) (err error) {
	g, err := h.start(dir)
	defer func() { err = errors.Join(err, g.stop()) }()
	if err != nil {
		return err
	}
	alone, err := bystander(ctx, g.good, h.during)
	if err != nil {
		return fmt.Errorf("without an attack: %w", err)
	}
	attacker, err := startProcess(dir, "attacker", g.self, "attacker", "-to", g.bad.base.String(), "-token", g.bad.token, "-attack", at.name)
	if err != nil {
		return err
	}
	under, starved := bystander(ctx, g.good, h.during)
	if err := attacker.stop(); err != nil {
		return err
	}
	var n [3]int64
	if _, err := fmt.Sscan(attacker.tail(), &n[0], &n[1], &n[2]); err != nil {
		return fmt.Errorf("the attacker said %q: %w", attacker.tail(), err)
	}
	for i := range n {
		w.got[i] += n[i]
	}
	w.alone = append(w.alone, alone.Seconds()*1e6)
	if w.starved = starved; starved == nil {
		w.under = append(w.under, under.Seconds()*1e6)
		w.ratios = append(w.ratios, under.Seconds()/alone.Seconds())
	}
	fmt.Fprintf(progress, "%-12s p99 %s alone, %s under attack; served %d, refused %d, cut off %d\n", at.name, alone, under, n[0], n[1], n[2])
	return nil
}

// hostileField is what runs during an attack.
type hostileField struct {
	processes
	self      string
	good, bad *contender
}

func (h *hostile) start(dir string) (*hostileField, error) {
	g := &hostileField{}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return g, fmt.Errorf("make a folder: %w", err)
	}
	var err error
	if g.self, err = os.Executable(); err != nil {
		return g, fmt.Errorf("find the harness itself: %w", err)
	}
	upstream, err := freeAddress()
	if err != nil {
		return g, err
	}
	if _, err := g.launch("upstream", dir, upstream, g.self, "hostile-upstream", "-listen", upstream); err != nil {
		return g, err
	}
	_, listen, tokens, err := g.guard(h.guard, dir, "mcpguard", hostileFiles("http://"+upstream))
	if err != nil {
		return g, err
	}
	base := &url.URL{Scheme: "http", Host: listen}
	g.good = &contender{name: "mcpguard", base: base, token: tokens[0], guards: true}
	g.bad = &contender{name: "mcpguard", base: base, token: tokens[1], guards: true}
	return g, nil
}

// bystander measures the p99 of a caller that keeps to the rules. Every call must
// be answered, and rightly.
func bystander(ctx context.Context, to *contender, during time.Duration) (p99 time.Duration, err error) {
	took := make([][]time.Duration, bystanders)
	failed := make([]error, bystanders)
	var running sync.WaitGroup
	until := time.Now().Add(during)
	for i := range bystanders {
		running.Go(func() {
			a := newAgent(to, i+1, legacyVersion, benchPath)
			defer func() { failed[i] = errors.Join(failed[i], a.end(), a.close()) }()
			if failed[i] = a.open(); failed[i] != nil {
				return
			}
			for time.Now().Before(until) && ctx.Err() == nil {
				begin := time.Now()
				if failed[i] = a.call(bystanderBytes); failed[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(begin))
				time.Sleep(bystanderPause)
			}
		})
	}
	running.Wait()
	if err := errors.Join(append(failed, ctx.Err())...); err != nil {
		return 0, err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return quantile(all, .99), nil
}
