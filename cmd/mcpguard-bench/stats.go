package main

import (
	"slices"
	"time"
)

// sample is what one contender did in one scenario of one round.
type sample struct {
	calls   int
	elapsed time.Duration
	p50     time.Duration
	p99     time.Duration
	cpu     time.Duration // of the proxy, per call; zero where there is no proxy
	peak    int64         // bytes of the proxy's memory at most
	idle    int64         // bytes a held session takes, in the idle scenario
	errs    []error       // with one, the figures of this round do not count
}

// quantile is the smallest value that a share q of the sorted values does not
// exceed (the nearest-rank method).
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(q * float64(len(sorted)))
	if float64(rank) < q*float64(len(sorted)) {
		rank++
	}
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median is the middle value, or the mean of the two in the middle; ok is false
// for no values.
func median(values []float64) (m float64, ok bool) {
	if len(values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2], true
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2, true
}

// metrics are the figures that tables and goals name.
var metrics = map[string]func(sample) float64{
	"rate": func(s sample) float64 { return float64(s.calls) / s.elapsed.Seconds() },
	"p50":  func(s sample) float64 { return s.p50.Seconds() * 1e6 },
	"p99":  func(s sample) float64 { return s.p99.Seconds() * 1e6 },
	"cpu":  func(s sample) float64 { return s.cpu.Seconds() * 1e6 },
	"peak": func(s sample) float64 { return float64(s.peak) / (1 << 20) },
	"idle": func(s sample) float64 { return float64(s.idle) / (1 << 10) },
}

// added is the metric that needs direct beside it: by how much the median
// latency exceeds that without a proxy.
const added = "added"

// series holds the samples of one scenario: by contender, one a round.
type series map[string][]sample

// value is a metric of a contender in one round; ok is false where it has none.
func (s series) value(name, metric string, round int) (v float64, ok bool) {
	rounds := s[name]
	if round >= len(rounds) || len(rounds[round].errs) > 0 {
		return 0, false
	}
	if metric == added {
		direct, ok := s.value(nameDirect, "p50", round)
		if !ok {
			return 0, false
		}
		own, ok := s.value(name, "p50", round)
		return own - direct, ok
	}
	read, ok := metrics[metric]
	if !ok {
		return 0, false
	}
	return read(rounds[round]), true
}

// typical is the median over the rounds of a metric, or of its ratio to another
// contender's in the same round. A machine's speed drifts while it is measured;
// only what was measured side by side is compared.
func (s series) typical(name, metric, to string) (float64, bool) {
	var values []float64
	for round := range s[name] {
		v, ok := s.value(name, metric, round)
		if !ok {
			continue
		}
		if to != "" {
			base, ok := s.value(to, metric, round)
			if !ok || base <= 0 {
				continue
			}
			v /= base
		}
		values = append(values, v)
	}
	return median(values)
}

// errors are those of all rounds of a contender.
func (s series) errors(name string) []error {
	var errs []error
	for _, round := range s[name] {
		errs = append(errs, round.errs...)
	}
	return errs
}
