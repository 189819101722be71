package mcpproxy

import (
	"context"
	"fmt"
	"strconv"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// maxSubscribed bounds the resources of one subscription: each is a record.
const maxSubscribed = 256

// subscribe judges each resource of subscriptions/listen. Each verdict is an
// event of the call that the subscription is.
func (p *Proxy) subscribe(ctx context.Context, x *exchange) {
	filter := x.frame.params.Member("notifications")
	uris, err := subscribed(filter)
	if err != nil {
		p.refuse(ctx, x, err)
		return
	}
	if err := x.subscribedTasks(ctx, filter); err != nil {
		p.refuse(ctx, x, err)
		return
	}
	filter = x.frame.params.Member("notifications") // as the upstream will read it
	id, err := toolcall.NewID()
	if err != nil {
		p.fail(x, fmt.Errorf("make a call id: %w", err))
		return
	}
	verdicts := make([]audit.Record, 0, len(uris))
	for _, uri := range uris {
		call := x.outside(toolcall.Resource, uri, toolcall.JSON{})
		call.ID = id
		d := x.snap.Evaluate(call)
		if d.Effect != toolcall.Allow {
			x.call, x.decision = call, d
			p.refuse(ctx, x, x.unknown())
			return
		}
		rec := x.record(audit.Event)
		x.describe(&rec, call, d, x.frame.params)
		verdicts = append(verdicts, rec)
	}
	commits := make([]*audit.Commit, 0, len(verdicts))
	for _, rec := range verdicts {
		commits = append(commits, p.cfg.Record.Put(rec))
	}
	for _, c := range commits {
		if err := c.Wait(ctx); err != nil {
			p.fail(x, unrecorded(err))
			return
		}
	}
	call := x.outside(toolcall.Method, x.frame.method, filter)
	call.ID = id
	listens, leave := p.join(x, 0)
	defer leave()
	x.listens = listens
	p.admitted(ctx, x, call, x.unruled())
}

// subscribed are the resources of a filter of subscriptions/listen, which is held
// to what is judged of it.
func subscribed(filter toolcall.JSON) ([]string, error) {
	if t := filter.Type(); t != toolcall.NoType && t != toolcall.ObjectType {
		return nil, badFrame("params.notifications must be an object")
	}
	if err := noFoldedNames(filter, filterNames); err != nil {
		return nil, err
	}
	list := filter.Member("resourceSubscriptions")
	if t := list.Type(); t != toolcall.NoType && t != toolcall.ArrayType {
		return nil, badFrame("resourceSubscriptions must be an array of strings")
	}
	var uris []string
	for e := list.Elements(); e.Next(); {
		uri, ok := e.Value().Str()
		switch {
		case !ok:
			return nil, badFrame("resourceSubscriptions must be an array of strings")
		case len(uris) == maxSubscribed:
			return nil, badFrame("a subscription to more than " + strconv.Itoa(maxSubscribed) + " resources")
		}
		uris = append(uris, uri)
	}
	return uris, nil
}
