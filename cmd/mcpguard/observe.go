package main

import (
	"context"
	"fmt"
	"time"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
	"mcpguard/redact"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// maxObservation is how long a deployment may be observed without another start:
// a guard that guards nothing must not be forgotten.
const maxObservation = 90 * 24 * time.Hour

// parseObservation reads the end of an observation: a day, up to its first moment
// in UTC, or a moment in RFC 3339.
func parseObservation(text string, now time.Time) (time.Time, error) {
	until, err := parseExpiry(text)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("--observe-until: %w", err)
	case !until.After(now):
		return time.Time{}, hinted{"--observe-until: " + text + " is past: policy decides", "leave it out"}
	case until.Sub(now) > maxObservation:
		return time.Time{}, hinted{"--observe-until: " + text + " is more than 90 days away", now.UTC().Add(maxObservation).Format(time.DateOnly)}
	}
	return until, nil
}

// startCause is what the record says of the first policy of a process.
func startCause(cfg *Config) string {
	if cfg.ObserveUntil.IsZero() {
		return causeStart
	}
	return causeStart + ", and only observed until " + cfg.ObserveUntil.Format(time.RFC3339)
}

// observationOver is called at the moment from which on policy decides: it is
// recorded, and clients are told whose lists are shorter now.
func (g *guard) observationOver(ctx context.Context) error {
	g.log.Warn("the observation is over: policy decides from here on")
	p := g.engine.Current()
	g.proxy.PolicyChanged(observed{snapshot{p}}, snapshot{p})
	rec := audit.Record{Kind: audit.Event, At: g.now(), Policy: p.Digest(), Reason: redact.Public("the observation is over: policy decides")}
	if err := g.record.Put(rec).Wait(ctx); err != nil {
		return fmt.Errorf("record the end of the observation: %w", err)
	}
	return nil
}

// judge is a policy engine as the proxy sees it. Until a moment it only observes.
type judge struct {
	engine *toolpolicy.Engine
	until  time.Time // zero: policy decides
	now    func() time.Time
}

func (j judge) Current() mcpproxy.Snapshot { return j.of(j.engine.Current()) }

// of is a policy as it is in force now. Without a policy there is nothing to
// observe: everything is denied.
func (j judge) of(p *toolpolicy.Policy) mcpproxy.Snapshot {
	if p != nil && j.observes() {
		return observed{snapshot{p}}
	}
	return snapshot{p}
}

func (j judge) observes() bool { return !j.until.IsZero() && j.now().Before(j.until) }

// over is sent the moment at which an observation ends; nil where there is none.
func (j judge) over() <-chan time.Time {
	if j.until.IsZero() {
		return nil
	}
	return time.After(j.until.Sub(j.now()))
}

// observed is a policy that stops no call of a tool, prompt or resource: what it
// would have done is told beside. It masks, and judges what a server asks of the
// client and what the protocol does not have, as ever.
type observed struct{ snapshot }

func (o observed) Evaluate(c *toolcall.Call) toolcall.Decision {
	return letThrough(c, o.snapshot.Evaluate(c))
}

func (o observed) Judge(c *toolcall.Call) toolcall.Decision {
	return letThrough(c, o.snapshot.Judge(c))
}

// Visible lists everything: what is hidden would never be called, and nobody would
// learn that somebody needs it.
func (o observed) Visible(c toolcall.Caller, kind toolcall.Kind, upstream, name string) bool {
	return ofAgents(kind) || o.snapshot.Visible(c, kind, upstream, name)
}

// VisibilityKey differs from that of the same policy when it decides.
func (o observed) VisibilityKey(c toolcall.Caller) string {
	return "observed: " + o.snapshot.VisibilityKey(c) // no role has a colon in its name
}

// ListKey is the same under every policy: everything is listed.
func (o observed) ListKey(c toolcall.Caller, kind toolcall.Kind, upstream string) string {
	if ofAgents(kind) {
		return "everything"
	}
	return o.snapshot.ListKey(c, kind, upstream)
}

// limiter counts for the proxy. While policy only observes, a limit that is used up
// stops no call either, and is told beside.
type limiter struct {
	*toolpolicy.Meter
	judge judge
}

func (l limiter) Reserve(c *toolcall.Call, d toolcall.Decision, resumes toolcall.ID, at time.Time) toolcall.Decision {
	charged := l.Meter.Reserve(c, d, resumes, at)
	if charged.Effect == toolcall.Deny && l.judge.observes() {
		return letThrough(c, charged)
	}
	return charged
}

// ofAgents reports whether calls of a kind are what agents do.
func ofAgents(k toolcall.Kind) bool {
	return k == toolcall.Tool || k == toolcall.Prompt || k == toolcall.Resource
}

// letThrough allows a call that policy would stop. Its durability is the strict
// one: no rule says that it only reads.
func letThrough(c *toolcall.Call, d toolcall.Decision) toolcall.Decision {
	if d.Effect == toolcall.Allow || !ofAgents(c.Kind) {
		return d
	}
	d.Observed, d.Would, d.Effect = true, d.Effect, toolcall.Allow
	d.Asks, d.Reads = nil, false
	return d
}
