package mcpproxy

import (
	"context"

	"mcpguard/toolcall"
)

// pump passes on what an upstream says on one stream, message by message, until
// the response to x, or the end of the stream. For a stream that answers no
// request, x has no frame. alive is called for every sign of life.
func (p *Proxy) pump(ctx context.Context, a *answer, x *exchange, alive func()) error {
	for {
		in, err := a.next()
		if err != nil {
			return err
		}
		alive()
		x.refresh()
		if p.received(ctx, &in, a.status, x) {
			return nil
		}
		x.passed(in.event)
	}
}

// received passes on one message; it is true for the response to x. What it needs
// on the stack is not held while a stream is silent.
func (p *Proxy) received(ctx context.Context, in *inbound, status int, x *exchange) bool {
	switch in.frame.kind {
	case noFrame:
		if (in.event.hasID || in.event.retry != "") && x.frame.kind == request && x.ses.era == legacy {
			x.out.begin() // a call that takes its time: the client, too, can come back for it
		}
	case notification:
		f, ok := p.overheard(ctx, x, in.frame)
		if ok {
			x.out.say(f.raw.Text(), x.snap.Digest())
			p.agreed(x, f)
		}
	case request:
		f, ok := p.question(ctx, x, in.frame)
		if ok {
			x.out.say(f.raw.Text(), x.snap.Digest())
		}
	case response:
		of := x.ownerOf(in.frame)
		if of == nil {
			p.log.Warn("an upstream answered a request that nobody made", "upstream", x.ses.up.Name)
			break
		}
		text, status := p.settle(ctx, of, in.frame, status)
		if of != x {
			x.ses.leave(of)
		}
		switch {
		case text == "":
		case of == x:
			x.out.final(status, text, x.snap.Digest())
			return true
		default:
			x.out.say(text, x.snap.Digest())
		}
	}
	return false
}

// ownerOf is the request that a response belongs to: x itself, or, in a legacy
// session, one whose answer comes on another stream. An error without an id can
// only be about x.
func (x *exchange) ownerOf(f frame) *exchange {
	if x.frame.kind == request && (f.id.Equal(x.frame.id) || f.id.Type() == toolcall.Null) {
		return x
	}
	if x.ses.era != legacy {
		return nil
	}
	return x.ses.running(f.id)
}
