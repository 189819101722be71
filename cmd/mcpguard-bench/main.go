// Command mcpguard-bench measures mcpguard beside no proxy at all (direct) and
// beside a proxy that does nothing (the floor), and prints Markdown tables.
//
// Machines are noisy and differ, so contenders are interleaved: in each round
// every contender runs once in every scenario, and what is printed are medians
// over the rounds of figures and of ratios within a round.
//
//	mcpguard-bench -guard bin/mcpguard             all of it, some ten minutes
//	mcpguard-bench -guard bin/mcpguard -quick      one short round of a few scenarios
//	mcpguard-bench -guard bin/mcpguard -only '^call/64' -rounds 9 \
//	    -want 'mcpguard-strict call/64x1KiB cpu/floor <= 1.8'
//
//	mcpguard-bench hostile -guard bin/mcpguard     one caller attacks, another is measured
//
// mcpguard runs with everything on: a bearer token, a policy of twenty rules with
// patterns on arguments, five redacted paths, and the record in SQLite that is
// synced to disk. Every call carries a marker that must come back, and none of
// the secrets in a result may.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"time"
)

// The contenders that are no mcpguard.
const (
	nameDirect = "direct"
	nameFloor  = "floor"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "mcpguard-bench:", err)
		os.Exit(1)
	}
}

// run is main without the process. The harness starts itself again as the
// upstream and as the floor, so that each has a process of its own to measure.
func run(args []string, out, progress io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "upstream":
			return serve(args[1:], func(_ *url.URL, listed int) http.Handler { return newUpstream(listed) })
		case "floor":
			return serve(args[1:], func(to *url.URL, _ int) http.Handler { return newFloor(to) })
		case "hostile-upstream":
			return serve(args[1:], func(*url.URL, int) http.Handler { return newHostileUpstream() })
		}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if len(args) > 0 && args[0] == "attacker" {
		return runAttacker(ctx, args[1:], out)
	}
	if len(args) > 0 && args[0] == "hostile" {
		h, err := parseHostile(args[1:])
		if err == nil {
			return h.measure(ctx, out, progress)
		}
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.compare(ctx, out, progress)
}

// serve runs one of the harness's own servers until it is told to end.
func serve(args []string, handler func(to *url.URL, listed int) http.Handler) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	upstream := flags.String("to", "", "where the floor forwards to")
	listed := flags.Int("tools", 200, "tools of the long list")
	if err := flags.Parse(args); err != nil {
		return err
	}
	to, err := url.Parse(*upstream)
	if err != nil {
		return fmt.Errorf("read -to: %w", err)
	}
	return http.ListenAndServe(*listen, handler(to, *listed))
}

// options are the flags of a run.
type options struct {
	guard     string
	rounds    int
	warm      time.Duration
	during    time.Duration
	scenarios []scenario
	goals     []goal
	keep      string
}

const listedTools = 200

func parseOptions(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("mcpguard-bench", flag.ContinueOnError)
	flags.StringVar(&o.guard, "guard", "", "path of the mcpguard binary; without it only direct and floor run")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; in each, every contender runs once in every scenario")
	flags.DurationVar(&o.warm, "warm", 300*time.Millisecond, "time before each measurement")
	flags.DurationVar(&o.during, "d", 2*time.Second, "time of each measurement")
	quick := flags.Bool("quick", false, "one round of half-second measurements of a few scenarios")
	only := flags.String("only", "", "regular expression over names of scenarios, such as ^call/64")
	flags.StringVar(&o.keep, "keep", "", "folder for configurations, records and logs, kept afterwards (default: a temporary one)")
	flags.Func("want", "goal such as 'mcpguard-strict call/64x1KiB cpu/floor <= 1.8'; missed, the exit status is 1; may be given again",
		func(text string) error {
			g, err := parseGoal(text)
			o.goals = append(o.goals, g)
			return err
		})
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("read the command line: unexpected %q", flags.Arg(0))
	}
	if o.rounds < 1 || o.during <= 0 {
		return nil, errors.New("read the command line: -rounds and -d must be above zero")
	}
	o.scenarios = allScenarios()
	if *quick {
		o.rounds, o.warm, o.during = 1, 100*time.Millisecond, 500*time.Millisecond
		o.scenarios = quickScenarios()
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return nil, fmt.Errorf("read -only: %w", err)
	}
	if o.scenarios = matching(o.scenarios, wanted); len(o.scenarios) == 0 {
		return nil, fmt.Errorf("read -only: no scenario is called like %q", *only)
	}
	if o.guard != "" {
		if o.guard, err = filepath.Abs(o.guard); err != nil {
			return nil, fmt.Errorf("read -guard: %w", err)
		}
		if _, err := os.Stat(o.guard); err != nil {
			return nil, fmt.Errorf("read -guard: %w", err)
		}
	}
	return o, nil
}

func matching(all []scenario, wanted *regexp.Regexp) []scenario {
	var kept []scenario
	for _, sc := range all {
		if wanted.MatchString(sc.name()) {
			kept = append(kept, sc)
		}
	}
	return kept
}

func allScenarios() []scenario {
	var all []scenario
	for _, bytes := range []int{1 << 10, 32 << 10, 1 << 20} {
		for _, clients := range []int{1, 16, 64} {
			all = append(all, scenario{kind: kindCall, version: legacyVersion, clients: clients, bytes: bytes})
		}
	}
	return append(all,
		scenario{kind: kindCall, version: modernVersion, clients: 16, bytes: 1 << 10},
		scenario{kind: kindList, version: legacyVersion, clients: 16, listed: listedTools},
		scenario{kind: kindSession, version: legacyVersion, clients: 16, bytes: 1 << 10},
		scenario{kind: kindIdle, version: legacyVersion, clients: 1000, bytes: 1 << 10},
	)
}

func quickScenarios() []scenario {
	return []scenario{
		{kind: kindCall, version: legacyVersion, clients: 1, bytes: 1 << 10},
		{kind: kindCall, version: legacyVersion, clients: 64, bytes: 1 << 10},
		{kind: kindCall, version: legacyVersion, clients: 16, bytes: 32 << 10},
		{kind: kindCall, version: modernVersion, clients: 16, bytes: 1 << 10},
		{kind: kindList, version: legacyVersion, clients: 16, listed: listedTools},
		{kind: kindSession, version: legacyVersion, clients: 16, bytes: 1 << 10},
	}
}

// about says where the figures were taken.
func about(o *options) string {
	return fmt.Sprintf("%s/%s, %d cores, %s; %d rounds of %s; medians, ratios within a round\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), o.rounds, o.during)
}
