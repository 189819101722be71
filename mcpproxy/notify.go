package mcpproxy

import (
	"context"
	"net/http"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// overheard makes a server's notification fit for the client. ok is false when
// the client may not hear it.
func (p *Proxy) overheard(ctx context.Context, x *exchange, f frame) (_ frame, ok bool) {
	unknown := false
	switch f.method {
	case "notifications/message", "notifications/progress", "notifications/cancelled",
		"notifications/elicitation/complete", "notifications/subscriptions/acknowledged":
	case "notifications/tools/list_changed":
		x.ses.diverge()
	case "notifications/prompts/list_changed", "notifications/resources/list_changed":
	case "notifications/resources/updated":
		if uri, _ := f.params.Member("uri").Str(); !x.snap.Visible(x.ses.caller, toolcall.Resource, x.ses.up.Name, uri) {
			return frame{}, false
		}
	default:
		unknown = true
		if !p.allowedUnknown(ctx, x, f) {
			return frame{}, false
		}
	}
	clean, err := x.cleaned(f, unknown)
	if err != nil {
		p.log.Warn("a notification is withheld", "upstream", x.ses.up.Name, "err", err)
		return frame{}, false
	}
	return clean, true
}

// allowedUnknown judges a notification that the protocol does not have.
func (p *Proxy) allowedUnknown(ctx context.Context, x *exchange, f frame) bool {
	call, d, err := x.judge(f.method, f.params)
	if err != nil {
		p.log.Error("judge a notification", "err", err)
		return false
	}
	rec := x.record(audit.Event)
	if d.Effect != toolcall.Allow {
		rec.Kind, rec.Outcome = audit.Refusal, toolcall.OutcomeRefused
	}
	x.describe(&rec, call, d, f.params)
	if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
		p.log.Error("record a notification", "err", err)
		return false
	}
	return d.Effect == toolcall.Allow
}

// clientNotifications are the notifications that a client may send.
var clientNotifications = map[string]bool{
	"notifications/initialized": true, "notifications/cancelled": true, "notifications/progress": true,
	"notifications/roots/list_changed": true,
}

// notify forwards a client's notification.
func (p *Proxy) notify(ctx context.Context, x *exchange) {
	ctx, release := x.lifetime(ctx)
	defer release()
	if !clientNotifications[x.frame.method] && !p.allowedUnknown(ctx, x, x.frame) {
		p.answer(x, &Refusal{Stage: "decide", Code: codeMethodNotFound, Status: http.StatusBadRequest, Reason: "Method not found"})
		return
	}
	if _, err := x.ses.leg.send(ctx, outbound{frame: x.frame, version: x.version, era: x.ses.era, headers: x.paramHeaders()}); err != nil {
		p.fail(ctx, x, err)
		return
	}
	if x.frame.method == "notifications/cancelled" && x.ses.era == legacy {
		if running := x.ses.running(x.frame.params.Member("requestId")); running != nil && running.cancel != nil {
			running.cancel(errCancelled)
		}
	}
	x.out.empty(http.StatusAccepted)
}
