package mcpproxy

import (
	"context"
	"maps"
	"slices"

	"mcpguard/toolcall"
)

// said is what one message tells of a task, beside its id.
type said struct {
	ended   bool // the message has how the task ended
	outcome toolcall.Outcome
	result  toolcall.JSON // the tool's result, inlined; zero: none
	failed  toolcall.JSON // the JSON-RPC error, inlined; zero: none
	asked   []string      // the keys of what it asks the client for; nil: it says nothing of that
}

// state makes the state of a task fit to leave, wherever an upstream tells it:
// body is the object of f that has it. The upstream's id becomes the client's;
// what the task asks the client for is judged like any question; an inlined
// result is read as strictly as one that comes by itself. Redaction comes after it,
// over f.where. what, where it is not nil, is told what the state says.
func (x *exchange) state(ctx context.Context, f frame, body toolcall.JSON, t *task, what *said) (frame, error) {
	if err := noFoldedNames(body, taskNames); err != nil {
		return frame{}, &upstreamError{upstream: x.ses.up.Name, what: "told of a task what cannot be read: " + refusalOf(err).Reason}
	}
	if id, ok := body.Member("taskId").Str(); !ok || id != t.id {
		return frame{}, x.afterwards("task", "it is about another task than the one that was asked for", nil)
	}
	var s said
	if err := x.readState(ctx, body, &s); err != nil {
		return frame{}, err
	}
	if err := x.taskAsks(ctx, t, s.asked); err != nil {
		return frame{}, err
	}
	edits := []toolcall.Edit{{At: body.Member("taskId"), With: toolcall.Quote(t.Handle)}}
	edits = append(edits, relatedEdits(f.result.Member("_meta"), t)...)
	edits = append(edits, relatedEdits(f.params.Member("_meta"), t)...)
	edits = append(edits, relatedEdits(s.result.Member("_meta"), t)...)
	if what != nil {
		*what = s
	}
	return x.surveyed(f, edits)
}

// readState reads the part of a task's state that hangs on its status.
func (x *exchange) readState(ctx context.Context, body toolcall.JSON, s *said) error {
	status, _ := body.Member("status").Str()
	asks := body.Member("inputRequests")
	s.result, s.failed = body.Member("result"), body.Member("error")
	inlined := x.ses.era == modern
	switch {
	case !body.Member("requestState").IsZero(), !inlined && !(asks.IsZero() && s.result.IsZero() && s.failed.IsZero()),
		status != "input_required" && !asks.IsZero(), status != "completed" && !s.result.IsZero(), status != "failed" && !s.failed.IsZero():
		return x.afterwards("task", "it says of a task what the protocol does not have in that place", nil)
	}
	if err := x.linksAsked(ctx, s.failed); err != nil {
		return err
	}
	switch status {
	case "input_required":
		if t := asks.Type(); t != toolcall.NoType && t != toolcall.ObjectType {
			return x.afterwards("task", "it asks the client for something in a form that the protocol does not have", nil)
		}
		asked, err := x.mayAsk(ctx, asks)
		if err == nil && !asks.IsZero() {
			s.asked = slices.AppendSeq([]string{}, maps.Keys(asked))
		}
		return err
	case "cancelled":
		s.ended, s.outcome = true, toolcall.OutcomeCancelled
	case "failed":
		s.ended, s.outcome = inlined, toolcall.OutcomeError
	case "completed":
		s.ended, s.outcome = inlined, toolcall.OutcomeOK
		if s.result.IsZero() {
			s.ended = false
			return nil
		}
		parts, err := readInlined(s.result)
		switch {
		case err != nil:
			return &upstreamError{upstream: x.ses.up.Name, what: "sent a result of a task that cannot be read: " + refusalOf(err).Reason}
		case promisesMore(parts) || asksInput(parts):
			return x.afterwards("task", "the result of a task is no last word", nil)
		case parts.isError.Type() == toolcall.True:
			s.outcome = toolcall.OutcomeToolError
		}
	}
	return nil
}

// readInlined reads a result that stands in a task as strictly as one that
// stands by itself.
func readInlined(result toolcall.JSON) (resultParts, error) {
	if result.Type() != toolcall.ObjectType {
		return resultParts{}, badFrame("it is no object")
	}
	f := frame{result: result}
	err := f.readResult()
	return f.parts, err
}

// surveyed is f with edits, and where the words of task states stand in it: those
// of an inlined result where they would stand in one by itself.
func (x *exchange) surveyed(f frame, edits []toolcall.Edit) (frame, error) {
	f, err := f.edited(edits)
	if err != nil {
		return frame{}, err
	}
	body := f.result
	if f.kind != response {
		body = f.params
	}
	var s survey
	s.container(body, nil, false)
	if task := body.Member("task"); task.Type() == toolcall.ObjectType {
		s.container(task, nil, false)
	}
	for e := body.Member("tasks").Elements(); e.Next(); {
		s.part("", e.Value(), nil)
	}
	for _, name := range [...]string{"result", "error"} {
		if inlined := body.Member(name); inlined.Type() == toolcall.ObjectType {
			s.container(inlined, nil, false)
		}
	}
	f.where, f.surveyed = s.where, true
	return f, nil
}
