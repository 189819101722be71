package mcpproxy

import (
	"context"
	"errors"
	"fmt"

	"mcpguard/toolcall"
)

// leg is the way from one session to its upstream. Both transports look alike
// from here on: a request has an answer, and an answer is a stream of messages.
type leg interface {
	// send forwards one message. Of a request it returns the answer, which the
	// caller must close; of every other message the answer is nil. An error says
	// that the upstream could not be reached or did not accept the message.
	send(ctx context.Context, m outbound) (*answer, error)
	// listen opens the stream of messages that answer no request. It returns
	// errNoStream where the upstream has none.
	listen(ctx context.Context, lastEventID string) (*answer, error)
	// end tells the upstream that the session is over, and lets go of all it holds.
	end(ctx context.Context)
	// over reports whether the session is of no use any more, because what it hangs
	// on is gone.
	over() bool
	// tied reports whether the session hangs on a process or a connection of this
	// mcpguard's, and ends with it.
	tied() bool
}

// outbound is a message on its way upstream.
type outbound struct {
	frame   frame
	version string            // protocol revision of the message
	era     era               //
	headers map[string]string // Mcp-Param-* of a modern request, held to its body
	room    *lease            // what its answer holds; nil: the upstream's own lease
	own     bool              // mcpguard's own: what names no request is not for its answer
}

// answer is what an upstream says to one request.
type answer struct {
	status int // HTTP status; 200 over stdio
	next   func() (inbound, error)
	close  func()
}

// inbound is one message of an answer. An inbound without a frame carries only
// an event id or a retry time.
type inbound struct {
	frame frame
	event event // id and retry as the upstream sent them; no data
}

var (
	// errNoStream says that an upstream offers no stream of its own.
	errNoStream = errors.New("the upstream offers no event stream")
	// errSessionOver says that the upstream ended the session.
	errSessionOver = errors.New("the upstream ended the session")
)

// upstreamError is a fault of the upstream: down, late, or unreadable.
type upstreamError struct {
	upstream string
	what     string // for the caller; never quotes the upstream
	cut      bool   // the connection was lost: it may be there again
	status   int    // HTTP status for the caller, where the upstream's own says something; else 0
	err      error
}

func (e *upstreamError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("upstream %s %s", e.upstream, e.what)
	}
	return fmt.Sprintf("upstream %s %s: %v", e.upstream, e.what, e.err)
}

func (e *upstreamError) Unwrap() error { return e.err }

// parseInbound reads a message of an upstream as strictly as a client's.
func parseInbound(upstream, text string, limits toolcall.Limits) (frame, error) {
	f, err := readFrame(text, limits)
	if err == nil && f.kind == response && !f.result.IsZero() {
		err = f.readResult()
	}
	return f, unreadable(upstream, err)
}

// unreadable is the fault of an upstream that sent what nobody can read.
func unreadable(upstream string, err error) error {
	if err == nil {
		return nil
	}
	return &upstreamError{upstream: upstream, what: "sent a message that cannot be read: " + refusalOf(err).Reason}
}
