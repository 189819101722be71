package mcpproxy

import (
	"context"
	"encoding/binary"
	"time"

	"mcpguard/toolcall"
)

// What an upstream gives a client to carry (a cursor, a request state) goes out
// sealed with caller, upstream and what it belongs to, and expires; with anyone
// else, and anywhere else, it does not exist. The upstream gets its own bytes
// back (law 7).

const (
	purposeCursor = "cursor"
	purposeState  = "request-state"
)

// handleLife is how long a sealed cursor or request state is good.
const handleLife = 24 * time.Hour

func badHandle(name string) *Refusal {
	return &Refusal{Stage: "restore", Code: codeInvalidParams, Reason: "the " + name + " is not one that was given to this caller for this request, or it has expired"}
}

func (x *exchange) seal(purpose, belongsTo, value string) toolcall.JSON {
	return toolcall.Quote(x.sealUntil(purpose, belongsTo, value, x.p.now().Add(handleLife)))
}

func (x *exchange) sealUntil(purpose, belongsTo, value string, until time.Time) string {
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(value)), uint64(until.Unix()))
	plain = append(plain, value...)
	return x.p.cfg.Keys.Seal(purpose, aad(x.caller, x.ses.up.Name, belongsTo), plain)
}

func (x *exchange) unseal(purpose, belongsTo, sealed string) (string, bool) {
	plain, err := x.p.cfg.Keys.Open(purpose, aad(x.caller, x.ses.up.Name, belongsTo), sealed)
	if err != nil || len(plain) < 8 || x.p.now().Unix() > int64(binary.BigEndian.Uint64(plain)) {
		return "", false
	}
	return string(plain[8:]), true
}

// sealCursor seals the cursor next of a list's result.
func (x *exchange) sealCursor(result, next toolcall.JSON) (toolcall.JSON, error) {
	cursor, ok := next.Str()
	if !ok || cursor == "" {
		return result, nil
	}
	return toolcall.Splice(result, []toolcall.Edit{{At: next, With: x.seal(purposeCursor, x.frame.method, cursor)}})
}

// restore puts the upstream's own cursor and request state back into a request.
// It comes first: what is judged afterwards is what the upstream will read.
func restore(_ context.Context, _ *Proxy, x *exchange) error {
	edits, err := x.restoreInput()
	if err != nil {
		return err
	}
	if sealed := x.frame.params.Member("cursor"); !sealed.IsZero() {
		text, ok := sealed.Str()
		plain, opened := x.unseal(purposeCursor, x.frame.method, text)
		if !ok || !opened {
			return badHandle("cursor")
		}
		edits = append(edits, toolcall.Edit{At: sealed, With: toolcall.Quote(plain)})
	}
	f, err := x.frame.edited(edits)
	if err != nil {
		return err
	}
	x.frame = f
	return nil
}
