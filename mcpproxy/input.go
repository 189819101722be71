package mcpproxy

import (
	"context"
	"encoding/json"
	"fmt"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// Multi round-trip requests (MCP 2026-07-28): a server asks by a result, and the
// client sends its request again with the answers. What was asked travels with
// the client, sealed into the state.

// inputState is what the state of such a result carries.
type inputState struct {
	State string            `json:"s,omitempty"` // the upstream's own, as JSON text; "": it gave none
	Asked map[string]string `json:"k"`           // what was asked, by key, in policy's words
	Call  string            `json:"c,omitempty"` // whose answer asked, where it has taken of limits
}

// asksInput reports whether a result asks the client for something first, or
// carries the parts of one that does.
func asksInput(r resultParts) bool {
	kind, _ := r.resultType.Str()
	return kind == "input_required" || !r.inputRequests.IsZero() || !r.requestState.IsZero()
}

// inputAsked judges each entry of such a result like a server's request, and seals
// the state that the client carries. Where the protocol has no such result it is
// refused.
func (x *exchange) inputAsked(ctx context.Context, f frame) (frame, error) {
	kind, _ := f.parts.resultType.Str()
	requests, state := f.parts.inputRequests, f.parts.requestState
	_, isText := state.Str()
	if x.ses.era != modern || !x.method.asks || kind != "input_required" ||
		!requests.IsZero() && requests.Type() != toolcall.ObjectType || !state.IsZero() && !isText {
		return f, x.afterwards("answer", "it asks the client for something in a place where the protocol has no such answer", nil)
	}
	asked, err := x.mayAsk(ctx, requests)
	if err != nil {
		return frame{}, err
	}
	carried := inputState{State: state.Text(), Asked: asked}
	if x.reserved {
		carried.Call, x.asksMore = x.call.ID.String(), true
	}
	plain, err := json.Marshal(carried)
	if err != nil {
		return frame{}, fmt.Errorf("seal a request state: %w", err)
	}
	sealed := x.seal(purposeState, x.frame.method+" "+x.target(), string(plain))
	if !state.IsZero() {
		return f.with(state, sealed)
	}
	// The upstream keeps none. The client carries ours all the same, or nobody
	// could tell what it was asked.
	b := builder{text: f.result.Text()}
	b.raw("requestState", sealed.Text())
	text, err := b.done()
	if err != nil {
		return frame{}, fmt.Errorf("seal a request state: %w", err)
	}
	result, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: maxDepth})
	if err != nil {
		return frame{}, fmt.Errorf("seal a request state: %w", err)
	}
	return f.with(f.result, result)
}

// mayAsk judges what an upstream asks the client for in a result, entry by entry,
// and returns what that is, by key, in policy's words.
func (x *exchange) mayAsk(ctx context.Context, requests toolcall.JSON) (map[string]string, error) {
	asked := map[string]string{}
	for m := requests.Members(); m.Next(); {
		entry := m.Value()
		name, ok := entry.Member("method").Str()
		if !ok || len(asked) == maxAsked || noFoldedNames(entry, entryNames) != nil {
			return nil, x.afterwards("answer", "what it asks the client for cannot be read, or is too much", nil)
		}
		row := x.p.methods.find(asInput, request, name, x.revision())
		// An event, for what the client answers comes with another request.
		if _, err := x.asked(ctx, row, entry.Member("params"), audit.Event); err != nil {
			return nil, x.notAsked(row, err)
		}
		asked[m.Name()] = row.words()
	}
	return asked, nil
}

// restoreInput takes a client's state and answers apart: the upstream gets its own
// state, byte for byte, and of the answers those to what was asked with that
// state. Others go nowhere; the protocol lets servers ignore them.
func (x *exchange) restoreInput() ([]toolcall.Edit, error) {
	params := x.frame.params
	sealed, answers := params.Member("requestState"), params.Member("inputResponses")
	var carried inputState
	var edits []toolcall.Edit
	if !sealed.IsZero() {
		text, ok := sealed.Str()
		plain, opened := x.unseal(purposeState, x.frame.method+" "+x.target(), text)
		if !ok || !opened || json.Unmarshal([]byte(plain), &carried) != nil {
			return nil, badHandle("requestState")
		}
		if carried.Call != "" {
			var err error
			if x.resumes, err = toolcall.ParseID(carried.Call); err != nil {
				return nil, fmt.Errorf("restore a request state: %w", err)
			}
		}
		own := toolcall.Edit{At: sealed}
		if carried.State != "" {
			var err error
			if own.With, err = toolcall.Parse(carried.State, toolcall.Limits{Bytes: len(carried.State), Depth: maxDepth}); err != nil {
				return nil, fmt.Errorf("restore a request state: %w", err)
			}
		}
		edits = append(edits, own)
	}
	if answers.IsZero() || x.ses.era == legacy {
		return edits, nil
	}
	if answers.Type() != toolcall.ObjectType {
		return nil, &Refusal{Stage: "restore", Code: codeInvalidParams, Reason: "params.inputResponses must be an object"}
	}
	var unasked []toolcall.Edit
	for m := answers.Members(); m.Next(); {
		if ask, ok := carried.Asked[m.Name()]; ok {
			x.inputs = append(x.inputs, input{ask, m.Value()})
		} else {
			unasked = append(unasked, toolcall.Edit{At: m.Value()})
		}
	}
	if len(x.inputs) == 0 {
		unasked = []toolcall.Edit{{At: answers}}
	}
	return append(edits, unasked...), nil
}

// input is a client's answer to what an upstream asked by a result.
type input struct {
	ask    string
	answer toolcall.JSON
}

// recordInputs makes the answers durable that go upstream with a call: an event
// each, with the call's id.
func (p *Proxy) recordInputs(ctx context.Context, x *exchange) error {
	for _, in := range x.inputs {
		rec := x.record(audit.Event)
		rec.TargetKind, rec.Target, rec.Effect, rec.Outcome = toolcall.Request, cut(in.ask, maxName), toolcall.Allow, toolcall.OutcomeOK
		rec.Reason = redact.Public("answered by the client")
		p.keepResult(&rec, x.redactAll(), in.answer)
		if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
			return unrecorded(err)
		}
	}
	return nil
}
