package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// kind is what the agents of a scenario do.
type kind uint8

const (
	kindCall    kind = iota + 1 // tools/call, as fast as answers come
	kindList                    // tools/list of a long catalogue
	kindSession                 // a legacy session from initialize to DELETE, with one call
	kindIdle                    // sessions that are held and do nothing
)

// scenario is one point of measurement.
type scenario struct {
	kind    kind
	version string // of the protocol
	clients int
	bytes   int // of each result
	listed  int // tools at bigPath
}

// name is how goals and -only call the scenario.
func (sc scenario) name() string {
	era := ""
	if sc.version == modernVersion {
		era = "-modern"
	}
	switch sc.kind {
	case kindCall:
		return fmt.Sprintf("call%s/%dx%s", era, sc.clients, size(sc.bytes))
	case kindList:
		return fmt.Sprintf("list%s/%dx%d", era, sc.clients, sc.listed)
	case kindSession:
		return fmt.Sprintf("session/%d", sc.clients)
	default:
		return fmt.Sprintf("idle/%d", sc.clients)
	}
}

// title is how tables call it.
func (sc scenario) title() string {
	clients := "1 client"
	if sc.clients != 1 {
		clients = fmt.Sprintf("%d clients", sc.clients)
	}
	what := ""
	switch sc.kind {
	case kindCall:
		what = "results of " + size(sc.bytes)
	case kindList:
		what = fmt.Sprintf("tools/list of %d tools", sc.listed)
	case kindSession:
		what = "a session from initialize to DELETE with one call"
	case kindIdle:
		what = "sessions held idle after one call"
	}
	return fmt.Sprintf("`%s`: %s, %s, protocol %s", sc.name(), clients, what, sc.version)
}

func size(bytes int) string {
	switch {
	case bytes >= 1<<20 && bytes%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", bytes>>20)
	case bytes >= 1<<10 && bytes%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", bytes>>10)
	}
	return fmt.Sprintf("%dB", bytes)
}

// step is one unit of work of an agent.
func (sc scenario) step(a *agent) error {
	switch sc.kind {
	case kindList:
		return a.list(sc.listed)
	case kindSession:
		return errors.Join(a.open(), a.call(sc.bytes), a.end())
	default:
		return a.call(sc.bytes)
	}
}

func (sc scenario) path() string {
	if sc.kind == kindList {
		return bigPath
	}
	return benchPath
}

// agents makes the clients; all but those of the session scenario are connected.
func (sc scenario) agents(to *contender) ([]*agent, error) {
	agents := make([]*agent, sc.clients)
	for i := range agents {
		agents[i] = newAgent(to, i, sc.version, sc.path())
		if sc.kind == kindSession {
			continue
		}
		if err := agents[i].open(); err != nil {
			return agents[:i+1], fmt.Errorf("client %d of %s: %w", i, to.name, err)
		}
	}
	return agents, nil
}

// run measures one contender: the warm-up does not count, nor what is under way
// when time is up. A contender so slow that no call has come back by then gets
// the time until one has.
func (sc scenario) run(to *contender, warm, during time.Duration) (s sample) {
	agents, err := sc.agents(to)
	defer func() {
		for _, a := range agents {
			if err := errors.Join(a.end(), a.close()); err != nil {
				s.errs = append(s.errs, err)
			}
		}
	}()
	if err != nil {
		s.errs = append(s.errs, err)
		return s
	}
	var measuring, stopped atomic.Bool
	answered := make(chan struct{}, 1) // some call was measured
	ended := make(chan struct{})       // all agents gave up
	took := make([][]time.Duration, len(agents))
	failed := make([][]error, len(agents))
	var running sync.WaitGroup
	for i, a := range agents {
		running.Go(func() {
			for !stopped.Load() {
				begin := time.Now()
				if err := sc.step(a); err != nil {
					failed[i] = append(failed[i], err)
					return
				}
				if measuring.Load() {
					took[i] = append(took[i], time.Since(begin))
					select {
					case answered <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	go func() {
		running.Wait()
		close(ended)
	}()
	time.Sleep(warm)
	before, err := to.begin()
	begin := time.Now()
	measuring.Store(true)
	time.Sleep(during)
	select {
	case <-answered:
	case <-ended:
	}
	measuring.Store(false)
	s.elapsed = time.Since(begin)
	after, errAfter := to.measure()
	stopped.Store(true)
	<-ended

	s.errs = append(slices.Concat(failed...), s.errs...)
	if err := errors.Join(err, errAfter); err != nil {
		s.errs = append(s.errs, err)
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	s.calls, s.p50, s.p99 = len(all), quantile(all, .5), quantile(all, .99)
	if s.calls == 0 {
		s.errs = append(s.errs, fmt.Errorf("%s answered no call in %s", to.name, during))
		return s
	}
	s.cpu = (after.cpu - before.cpu) / time.Duration(s.calls)
	s.peak = after.peak
	return s
}

// hold measures what sessions cost that are open and do nothing.
func (sc scenario) hold(to *contender, during time.Duration) (s sample) {
	before, err := to.begin()
	if err != nil {
		s.errs = append(s.errs, err)
		return s
	}
	agents, err := sc.agents(to)
	defer func() {
		for _, a := range agents {
			if err := errors.Join(a.end(), a.close()); err != nil {
				s.errs = append(s.errs, err)
			}
		}
	}()
	for i := 0; err == nil && i < len(agents); i++ {
		err = agents[i].call(sc.bytes)
	}
	if err != nil {
		s.errs = append(s.errs, err)
		return s
	}
	time.Sleep(during)
	after, err := to.measure()
	if err != nil {
		s.errs = append(s.errs, err)
		return s
	}
	s.calls, s.elapsed, s.peak = sc.clients, during, after.peak
	s.idle = max(0, after.rss-before.rss) / int64(sc.clients)
	return s
}

// begin starts a measurement of the contender's process, if it has one.
func (c *contender) begin() (usage, error) {
	if c.proc == nil {
		return usage{}, nil
	}
	if err := c.proc.resetPeak(); err != nil {
		return usage{}, err
	}
	return c.proc.measure()
}

func (c *contender) measure() (usage, error) {
	if c.proc == nil {
		return usage{}, nil
	}
	return c.proc.measure()
}
