package mcpproxy

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"unsafe"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// Purposes of keyed digests: what they are taken over.
const (
	digestParams = "params" // canonical form of all params that the upstream reads
	digestResult = "result" // bytes of the result as the upstream sent it
)

// record begins a record about x.
func (x *exchange) record(k audit.Kind) audit.Record {
	return audit.Record{
		Kind: k, Session: x.ses.id, Call: x.callID(), At: x.p.now(),
		Caller: x.caller, Roles: x.snap.Roles(x.caller),
		ClientName: x.client.Name, ClientVersion: x.client.Version, ClientAddr: x.addr,
		Era: x.version, Upstream: x.ses.up.Name, Method: cut(x.frame.method, maxName),
		Catalogue: x.catalogue, Policy: x.snap.Digest(),
	}
}

// describe adds what a call is and what policy said about it.
func (x *exchange) describe(rec *audit.Record, call *toolcall.Call, d toolcall.Decision, params toolcall.JSON) {
	rec.Call, rec.Target, rec.TargetKind = call.ID, cut(call.Name, maxName), call.Kind
	if call.Def != nil {
		rec.Definition = call.Def.Digest.String()
	}
	rec.Effect, rec.Rule, rec.File, rec.Line, rec.Shadow = d.Effect, d.Rule, d.File, d.Line, d.Shadow
	rec.Reason = redact.Public(d.Reason)
	rec.Verdicts = d.Verdicts
	if d.Observed {
		rec.Would = d.Would.String()
	}
	rec.ArgsSize = call.Args.Len()
	if x.p.cfg.Keep.Args == KeepNone {
		return
	}
	rec.ArgsDigest = x.p.digest(digestParams, params)
	if x.p.cfg.Keep.Args == KeepDigest || call.Args.IsZero() {
		return
	}
	limit := maxKeptArgs
	if d.Effect != toolcall.Allow {
		limit = maxRefusedArgs
	}
	if call.Args.Len() > limit {
		rec.Args = redact.Public(`"[too long: only size and digest are kept]"`)
		return
	}
	names := d.Redact
	if len(names) == 0 && d.Effect != toolcall.Allow {
		names = x.snap.Redactions(call.Caller, call.Upstream, call.Name)
	}
	clean, _, err := x.snap.Redactor(names).Clean(call.Args, surfaceOfArgs(call))
	if err != nil {
		clean = redact.Public(`"[withheld: the arguments could not be redacted safely]"`)
	}
	rec.Args = clean
}

// What the record keeps of a caller's words. A refused call costs its caller
// nothing, so less is kept of it (law 14).
const (
	maxName        = 512       // bytes of a method or a target
	maxKeptArgs    = 256 << 10 // bytes of arguments; of longer ones the digest
	maxRefusedArgs = 8 << 10
)

// digests lends buffers for canonical forms.
var digests = sync.Pool{New: func() any { return new([]byte) }}

// digest is the keyed digest of a value's canonical form.
func (p *Proxy) digest(purpose string, v toolcall.JSON) toolcall.Digest {
	if v.IsZero() {
		return toolcall.Digest{}
	}
	buf := digests.Get().(*[]byte)
	*buf = v.AppendCanonical((*buf)[:0])
	sum := p.cfg.Keys.MAC(purpose, *buf)
	if cap(*buf) > 64<<10 {
		*buf = nil
	}
	digests.Put(buf)
	return sum
}

// begin makes the intent durable, or, where policy and configuration allow it,
// starts to.
//
// A caller whose answers wait for room in memory, because its client does not read
// them, begins no more calls: they would take an upstream's time for nothing
// (law 14).
func (p *Proxy) begin(ctx context.Context, x *exchange) error {
	if err := x.lease.follow(ctx); err != nil {
		return err
	}
	rec := x.record(audit.Intent)
	rec.Stages = x.stages
	rec.Durability = x.durability().String()
	x.stages = nil // Put has encoded them when the next ones are noted
	x.lease.heavy(x.frame.raw.Len(), func() {
		x.describe(&rec, x.call, x.decision, x.frame.params)
		if x.task != nil {
			x.describeTask(&rec)
		}
		x.intent = p.cfg.Record.Put(rec)
	})
	if x.durability() == Overlapped {
		return nil
	}
	if err := x.intent.Wait(ctx); err != nil {
		x.intent = nil // nothing was forwarded: there is no outcome to tell
		return unrecorded(err)
	}
	return nil
}

// durability is what this call's answer waits for.
func (x *exchange) durability() Durability {
	if !x.decision.Reads || x.reserved { // what it took must not be forgotten
		return Strict
	}
	return x.p.cfg.Keep.Durability
}

// finish makes the outcome durable. An error means that the answer must not
// leave.
//
// The client may be gone, or mcpguard closing: the outcome is told all the same.
func (p *Proxy) finish(x *exchange, end ending) error {
	ctx := p.last
	x.settleLimits(toolcall.Settlement{Outcome: end.outcome}) // with the outcome, in one transaction
	if x.intent == nil {
		return nil
	}
	who := x.caller
	who.Groups = nil // the intent has them
	rec := audit.Record{
		Kind: audit.Outcome, Session: x.ses.id, Call: x.call.ID, At: p.now(), Caller: who,
		Outcome: end.outcome, Findings: end.findings, Stages: x.stages,
		Error: redact.Public(end.reason), ResultSize: end.raw.Len(),
	}
	var outcome *audit.Commit
	x.lease.heavy(end.raw.Len(), func() {
		p.keep(&rec, end.result, end.raw)
		outcome = p.cfg.Record.Put(rec)
	})
	switch x.durability() {
	case Relaxed:
		if err := outcome.Wait(ended); err != nil && !errors.Is(err, context.Canceled) {
			p.log.Error("an outcome that nobody waits for was not kept", "err", err)
		}
		return nil
	case Overlapped:
		if err := x.intent.Wait(ctx); err != nil {
			return unrecorded(err)
		}
	}
	if err := outcome.Wait(ctx); err != nil {
		return unrecorded(err)
	}
	return nil
}

// ended is a context to look with, and not to wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// keep puts a result into a record, in the detail that is configured.
func (p *Proxy) keep(rec *audit.Record, clean redact.Clean, raw toolcall.JSON) {
	switch p.cfg.Keep.Results {
	case KeepNone:
		return
	case KeepRedacted:
		rec.Result = clean
	}
	if !raw.IsZero() {
		rec.ResultDigest = p.cfg.Keys.MAC(digestResult, bytesOf(raw.Text()))
	}
}

// bytesOf is the bytes of s, only to be read.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// keepResult is keep for a body that was not redacted yet.
func (p *Proxy) keepResult(rec *audit.Record, r *redact.Redactor, body toolcall.JSON) {
	rec.ResultSize = body.Len()
	clean, findings, err := r.Clean(body, surfaceOfAnswer(body))
	if err != nil {
		clean = redact.Public(`"[withheld: the answer could not be redacted safely]"`)
	}
	rec.Findings = findings
	p.keep(rec, clean, body)
}

// recordRefusal makes a refusal durable.
func (p *Proxy) recordRefusal(ctx context.Context, x *exchange, r *Refusal) error {
	rec := x.record(audit.Refusal)
	if x.call != nil {
		x.describe(&rec, x.call, x.decision, x.frame.params)
		if x.task != nil {
			x.describeTask(&rec)
		}
		rec.Durability = Strict.String()
	} else {
		rec.Target = cut(x.target(), maxName)
	}
	rec.Effect, rec.Outcome = toolcall.Deny, toolcall.OutcomeRefused
	if x.decision.Effect == toolcall.Approve {
		rec.Effect = toolcall.Approve
	}
	rec.Reason = redact.Public(cmp.Or(r.recorded, r.Reason))
	if r.Hidden { // what is hidden leaves the same record as what does not exist
		rec.Reason, rec.Definition, rec.Verdicts = redact.Public("not there for this caller"), "", ""
	}
	rec.Stages = x.stages
	return p.putRefusal(ctx, rec, rec.Caller.Key())
}

// putRefusal makes a refusal durable, unless whoever caused it, a caller or an
// upstream, is refused so often that the record of it would drive out what
// matters: then it is counted, and the next one that is kept tells how many were
// not (law 14).
func (p *Proxy) putRefusal(ctx context.Context, rec audit.Record, by string) error {
	before, ok := p.flood.admit(by, p.now())
	if !ok {
		return &Refusal{Stage: "flood", Code: codeInternal, Status: http.StatusTooManyRequests, Failed: true,
			Reason: "too many messages were refused: slow down"}
	}
	if before > 0 {
		rec.Reason = redact.Public(rec.Reason.String() + " (" + strconv.Itoa(before) + " refusals before this one were counted, not kept)")
	}
	if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
		return unrecorded(err)
	}
	return nil
}

// spare refuses a message that leaves a record, and that no limit of policy
// bounds, when a caller sends so many that the record of them would drive out
// what matters (law 14).
func (p *Proxy) spare(by string) error {
	if _, ok := p.chatter.admit(by, p.now()); !ok {
		return &Refusal{Stage: "flood", Code: codeInternal, Status: http.StatusTooManyRequests, Failed: true,
			Reason: "too many messages beside calls: slow down"}
	}
	return nil
}

// recordRemark makes a client's message durable, as an event, before it goes on.
// One that says nothing leaves no record.
func (p *Proxy) recordRemark(ctx context.Context, x *exchange) error {
	if x.method.record != asEvent || x.frame.bare() {
		return nil
	}
	if err := p.spare(x.caller.Key()); err != nil {
		return err
	}
	rec := x.record(audit.Event)
	x.describe(&rec, x.outside(toolcall.Method, x.frame.method, x.frame.params), x.unruled(), x.frame.params)
	if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
		return unrecorded(err)
	}
	return nil
}

// recordStray keeps evidence of a message that was refused before it belonged to
// a session.
func (p *Proxy) recordStray(rq *requestOf, f *frame, r *Refusal) error {
	if r.Stage == "internal" || r.Failed {
		return nil
	}
	snap := p.cfg.Judge.Current()
	rec := audit.Record{
		Kind: audit.Refusal, At: p.now(), Caller: rq.caller, Roles: snap.Roles(rq.caller), ClientAddr: hostname(rq.r.RemoteAddr),
		Upstream: rq.up.Name, Method: cut(f.method, maxEcho), Outcome: toolcall.OutcomeRefused,
		Policy: snap.Digest(), Reason: redact.Public(r.Reason),
	}
	return p.putRefusal(rq.r.Context(), rec, rec.Caller.Key())
}

// recordUnasked keeps evidence of a question of a server that several sessions
// share: it is refused, and in no session's name.
func (p *Proxy) recordUnasked(ctx context.Context, up *upstream, f frame) error {
	rec := audit.Record{
		Kind: audit.Refusal, At: p.now(), Upstream: up.Name, Method: cut(f.method, maxName),
		Target:  p.methods.find(fromServer, request, f.method, in20251125).ask, // the revision that has them all
		Outcome: toolcall.OutcomeRefused, Policy: p.cfg.Judge.Current().Digest(),
		Reason: redact.Public("asked by a process that sessions share"),
	}
	if rec.Target != "" {
		rec.TargetKind = toolcall.Request
	}
	return p.putRefusal(ctx, rec, up.Name)
}

// recordSession makes the start or the end of a session durable.
func (p *Proxy) recordSession(ses *session, k audit.Kind, why string) error {
	snap := p.cfg.Judge.Current()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := p.cfg.Record.Put(audit.Record{
		Kind: k, Session: ses.id, At: p.now(), Caller: ses.caller, Roles: snap.Roles(ses.caller),
		ClientName: ses.client.Name, ClientVersion: ses.client.Version,
		Era: ses.version, Upstream: ses.up.Name, Policy: snap.Digest(), Reason: redact.Public(why),
	}).Wait(ctx)
	if err != nil {
		return unrecorded(err)
	}
	return nil
}

// unrecorded refuses because the record cannot be kept (law 2).
func unrecorded(err error) *Refusal {
	r := &Refusal{Stage: "record", Code: codeInternal, Status: http.StatusServiceUnavailable, Failed: true, err: err,
		Reason: "the record cannot be kept, so nothing is forwarded and nothing is answered: try again later"}
	if errors.Is(err, audit.ErrBusy) {
		r.Status = http.StatusTooManyRequests
	}
	return r
}
