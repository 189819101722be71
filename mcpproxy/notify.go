package mcpproxy

import (
	"context"
	"errors"
	"net/http"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// overheard makes a server's notification fit for the client. ok is false when
// the client may not hear it.
func (p *Proxy) overheard(ctx context.Context, x *exchange, f frame) (_ frame, ok bool) {
	m := p.methods.find(fromServer, notification, f.method, x.revision())
	if m.sees == noPlace || m.sees == byName {
		if _, err := x.asked(ctx, m, f.params, audit.Event); err != nil {
			p.logRefusal(refusalOf(err))
			return frame{}, false
		}
	}
	if m.hear != nil && !m.hear(x, f) {
		return frame{}, false
	}
	if m.tell != nil {
		return m.tell(p, ctx, x, f)
	}
	f, names, err := x.related(ctx, f)
	if errors.Is(err, errNotTheirs) {
		return frame{}, false
	}
	clean := f
	if err == nil {
		clean, err = x.cleaned(f, m.sees == byName, names)
	}
	if err != nil {
		p.log.Warn("a notification is withheld", "upstream", x.ses.up.Name, "err", err)
		return frame{}, false
	}
	return clean, true
}

// toolsChanged: the catalogue that this session shares is not its own any more.
func toolsChanged(x *exchange, _ frame) bool {
	x.ses.diverge()
	return true
}

// resourceUpdated tells of resources that the caller may see.
func resourceUpdated(x *exchange, f frame) bool {
	uri, _ := f.params.Member("uri").Str()
	return x.reachable(uri)
}

// notify serves a client's notification.
func (p *Proxy) notify(ctx context.Context, x *exchange) {
	ctx, release := x.lifetime(ctx)
	defer release()
	x.method = p.methods.find(fromClient, notification, x.frame.method, x.revision())
	switch x.method.sees {
	case noPlace:
		reason := "this notification has no place here"
		if p.methods[messageName{fromClient, request, x.frame.method}] != nil {
			reason = "a request needs an id"
		}
		p.refuse(ctx, x, &Refusal{Stage: "find", Code: codeMethodNotFound, Status: http.StatusBadRequest, Reason: reason})
	case byName:
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
		p.relayNotice(ctx, x)
	default:
		if err := p.recordRemark(ctx, x); err != nil {
			p.fail(x, err)
			return
		}
		x.method.serve(p, ctx, x)
	}
}

// relayNotice forwards a notification.
func (p *Proxy) relayNotice(ctx context.Context, x *exchange) {
	if _, err := x.ses.leg.send(ctx, outbound{frame: x.frame, version: x.version, era: x.ses.era, headers: x.params}); err != nil {
		p.fail(x, err)
		return
	}
	x.out.empty(http.StatusAccepted)
}

// cancelled forwards a cancellation, and ends the request that it names.
func (p *Proxy) cancelled(ctx context.Context, x *exchange) {
	p.relayNotice(ctx, x)
	if x.ses.era != legacy || x.settled.Load() {
		return
	}
	if running := x.ses.running(x.frame.params.Member("requestId")); running != nil && running.cancel != nil {
		running.cancel(errCancelled)
	}
}
