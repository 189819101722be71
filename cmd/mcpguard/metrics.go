package main

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
	"mcpguard/toolcall"
)

// metrics counts what the record tells. The values of labels are names of the
// configuration, of the policy and of mcpguard itself, never what a caller or an
// upstream chose: nobody can make the process count without end (law 14).
type metrics struct {
	registry  *prometheus.Registry
	handler   http.Handler // of one scrape
	upstreams []string

	decisions *prometheus.CounterVec
	outcomes  *prometheus.CounterVec
	observed  *prometheus.CounterVec
	would     *prometheus.CounterVec
	stages    *prometheus.HistogramVec
	reloads   *prometheus.CounterVec
}

// noRule stands where no rule matched.
const noRule = "none"

// elsewhere stands for an upstream that the configuration does not have.
const elsewhere = "other"

// stageSeconds are the bounds of the histogram: a decision takes microseconds, an
// upstream's answer up to a minute.
var stageSeconds = []float64{0.00001, 0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60}

func newMetrics(cfg *Config) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
	for i := range cfg.Upstreams {
		m.upstreams = append(m.upstreams, cfg.Upstreams[i].Name)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	m.decisions = counter("mcpguard_decisions_total", "Decisions that are in the record: what was let through, held or refused, by which rule.", "upstream", "effect", "rule")
	m.outcomes = counter("mcpguard_outcomes_total", "How calls ended that were forwarded.", "outcome")
	m.observed = counter("mcpguard_observed_total", "Decisions that an observed rule would have changed.", "upstream", "rule")
	m.would = counter("mcpguard_would_total", "Calls let through because the deployment is only observed: what policy would have done, by which rule.", "upstream", "effect", "rule")
	m.reloads = counter("mcpguard_policy_loads_total", "Loads of the policy by their result: loaded, unchanged or refused.", "result")
	m.stages = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "mcpguard_stage_seconds", Help: "How long the stages of calls took.", Buckets: stageSeconds}, []string{"stage"})
	m.registry.MustRegister(m.stages, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// gauge is a number that is looked up when somebody asks.
func (m *metrics) gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

func (m *metrics) reloaded(result string) { m.reloads.WithLabelValues(result).Inc() }

// measure adds what is looked up when somebody asks.
func (g *guard) measure() {
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	g.metrics.gauge("mcpguard_sessions", "Open sessions.", func() float64 { return float64(g.proxy.Sessions()) })
	g.metrics.gauge("mcpguard_observing", "1 while the whole deployment is only observed, and policy stops no call.",
		func() float64 { return truth(g.judge.observes()) })
	g.metrics.gauge("mcpguard_policy_loaded_timestamp_seconds", "When the policy in force came into force.",
		func() float64 { return float64(g.policies.since().UnixNano()) / 1e9 })
	g.metrics.gauge("mcpguard_store_failed", "1 while the last write of the record failed.",
		func() float64 { return truth(g.health.lastFailure() != nil) })
}

// note counts what one record tells.
func (m *metrics) note(r *audit.Record) {
	upstream := elsewhere
	if slices.Contains(m.upstreams, r.Upstream) {
		upstream = r.Upstream
	}
	switch r.Kind {
	case audit.Intent, audit.Refusal:
		rule := cmp.Or(r.Rule, noRule)
		m.decisions.WithLabelValues(upstream, r.Effect.String(), rule).Inc()
		for _, id := range r.Shadow {
			m.observed.WithLabelValues(upstream, id).Inc()
		}
		if r.Would != "" {
			m.would.WithLabelValues(upstream, r.Would, rule).Inc()
		}
	case audit.Outcome:
		if r.Outcome != toolcall.OutcomeUnknown {
			m.outcomes.WithLabelValues(r.Outcome.String()).Inc()
		}
	}
	for i := range r.Stages {
		m.stages.WithLabelValues(r.Stages[i].Name).Observe(r.Stages[i].Took.Seconds())
	}
}

// counting is the record with numbers about it.
type counting struct {
	mcpproxy.Recorder
	metrics *metrics
}

// Put is the record's.
func (c counting) Put(r audit.Record) *audit.Commit {
	c.metrics.note(&r)
	return c.Recorder.Put(r)
}
