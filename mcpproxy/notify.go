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
		if uri, _ := f.params.Member("uri").Str(); !x.snap.Visible(x.caller, toolcall.Resource, x.ses.up.Name, uri) {
			return frame{}, false
		}
	default:
		unknown = true
		if _, err := x.rule(ctx, x.asked(f.method, f.params), f.params, audit.Event, x.ses.up.Name); err != nil {
			p.logRefusal(refusalOf(err))
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

// clientNotifications are the notifications that a client may send.
var clientNotifications = map[string]bool{
	"notifications/initialized": true, "notifications/cancelled": true, "notifications/progress": true,
	"notifications/roots/list_changed": true,
}

// notify forwards a client's notification.
func (p *Proxy) notify(ctx context.Context, x *exchange) {
	ctx, release := x.lifetime(ctx)
	defer release()
	switch {
	case clientNotifications[x.frame.method]:
	case !foreign(x.frame.method):
		p.refuse(ctx, x, &Refusal{Stage: "find", Code: codeMethodNotFound, Status: http.StatusBadRequest, Reason: "a request needs an id"})
		return
	default:
		call := x.outside(toolcall.Method, x.frame.method, x.frame.params)
		if _, err := x.rule(ctx, call, x.frame.params, audit.Event, x.caller.Key()); err != nil {
			r := p.upstreamRefusal(err)
			if !r.Failed {
				r = &Refusal{Stage: r.Stage, Code: codeMethodNotFound, Status: http.StatusBadRequest, Reason: "Method not found"}
			}
			p.logRefusal(r)
			p.answer(x, r)
			return
		}
	}
	if _, err := x.ses.leg.send(ctx, outbound{frame: x.frame, version: x.version, era: x.ses.era, headers: x.params}); err != nil {
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
