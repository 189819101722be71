package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// startTime is how long a contender may take to listen.
const startTime = 30 * time.Second

// compare starts everything, measures round by round, prints the tables and
// judges the goals. A call that failed anywhere is an error, after the tables.
func (o *options) compare(ctx context.Context, out, progress io.Writer) (err error) {
	dir := o.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "mcpguard-bench-"); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	f := &field{dir: dir}
	defer func() { err = errors.Join(err, f.stop()) }()
	if err := f.start(o.guard); err != nil {
		return err
	}
	all, err := o.measure(ctx, f.contenders, progress)
	if err != nil {
		return err
	}
	return o.report(out, f.contenders, all)
}

// measure runs the rounds. Who goes first changes from round to round.
func (o *options) measure(ctx context.Context, contenders []*contender, progress io.Writer) (map[string]series, error) {
	all := map[string]series{}
	for _, sc := range o.scenarios {
		all[sc.name()] = series{}
	}
	for round := range o.rounds {
		for _, sc := range o.scenarios {
			for i := range contenders {
				if err := ctx.Err(); err != nil {
					return nil, fmt.Errorf("measure %s: %w", sc.name(), err)
				}
				c := contenders[(i+round)%len(contenders)]
				var s sample
				switch {
				case sc.kind != kindIdle:
					s = sc.run(c, o.warm, o.during)
				case c.proc == nil || round > 0:
					continue // direct holds nothing, and memory once grown stays
				default:
					s = sc.hold(c, o.during)
				}
				all[sc.name()][c.name] = append(all[sc.name()][c.name], s)
				fmt.Fprintf(progress, "round %d of %d  %-20s %-20s %8.0f/s  p50 %6.0f µs  %d errors\n",
					round+1, o.rounds, sc.name(), c.name, metrics["rate"](s), metrics["p50"](s), len(s.errs))
			}
		}
	}
	return all, nil
}

// report prints what was measured, and returns what is wrong with it.
func (o *options) report(out io.Writer, contenders []*contender, all map[string]series) error {
	if _, err := io.WriteString(out, about(o)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	names := make([]string, len(contenders))
	for i, c := range contenders {
		names[i] = c.name
	}
	var wrong []error
	for _, sc := range o.scenarios {
		s := all[sc.name()]
		if err := writeTable(out, sc, names, s); err != nil {
			return err
		}
		for _, name := range names {
			if errs := s.errors(name); len(errs) > 0 {
				wrong = append(wrong, fmt.Errorf("%s: %s: %d calls failed", sc.name(), name, len(errs)))
			}
		}
	}
	for _, g := range o.goals {
		kept, err := g.check(all)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if _, err := fmt.Fprintf(out, "\n%s\n", kept); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return errors.Join(wrong...)
}

// field is everything that runs during a comparison.
type field struct {
	processes
	dir        string
	contenders []*contender
}

// start starts the upstream, the floor and, where guard names a binary,
// mcpguard in each durability mode, all at the same time: an idle contender
// costs the others nothing.
func (f *field) start(guard string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the harness itself: %w", err)
	}
	upstream, err := freeAddress()
	if err != nil {
		return err
	}
	if _, err := f.launch("upstream", f.dir, upstream, self, "upstream", "-listen", upstream, "-tools", fmt.Sprint(listedTools)); err != nil {
		return err
	}
	f.add(nameDirect, upstream, "", nil)

	floor, err := freeAddress()
	if err != nil {
		return err
	}
	proc, err := f.launch(nameFloor, f.dir, floor, self, "floor", "-listen", floor, "-to", "http://"+upstream)
	if err != nil {
		return err
	}
	f.add(nameFloor, floor, "", proc)

	if guard == "" {
		return nil
	}
	for _, durability := range durabilities {
		name := "mcpguard-" + durability
		proc, listen, tokens, err := f.guard(guard, filepath.Join(f.dir, name), name, guardFiles("http://"+upstream, durability))
		if err != nil {
			return err
		}
		f.add(name, listen, tokens[0], proc)
	}
	return nil
}

func (f *field) add(name, address, token string, proc *process) {
	f.contenders = append(f.contenders, &contender{
		name: name, base: &url.URL{Scheme: "http", Host: address}, token: token, guards: token != "", proc: proc,
	})
}
