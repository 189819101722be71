package mcpproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"mcpguard/toolcall"
)

// maxTaskKeys bounds what is kept of the keys of one task, in bytes.
const maxTaskKeys = 16 << 10

// taskAsks keeps under which keys a task asks its owner for something, before the
// owner hears of it: answers are held to them, after a restart too. What a task
// asks for takes the place of what it asked for before. keys nil changes nothing.
func (x *exchange) taskAsks(ctx context.Context, t *task, keys []string) error {
	if keys == nil {
		return nil
	}
	slices.Sort(keys)
	text, err := json.Marshal(keys)
	switch {
	case err != nil:
		return fmt.Errorf("keep what a task asks for: %w", err)
	case len(text) > maxTaskKeys:
		return x.afterwards("task", "what it asks the client for has names that are too long to be kept", nil)
	}
	if have, ok := x.unseal(purposeTaskKeys, t.Call.String(), t.Asked); ok && have == string(text) {
		return nil // a poll tells the same again
	}
	t.Asked = x.sealUntil(purposeTaskKeys, t.Call.String(), string(text), t.Expires)
	if err := x.p.cfg.Archive.AskTask(ctx, t.Call, t.Asked); err != nil {
		return unkept(err)
	}
	return nil
}

// onlyAsked refuses answers under keys that the task t did not ask under: what a
// client says unasked was judged by nobody, and whom it would reach is not known.
func (x *exchange) onlyAsked(t *task, answers toolcall.JSON) error {
	var keys []string
	if t.Asked != "" {
		text, ok := x.unseal(purposeTaskKeys, t.Call.String(), t.Asked)
		if !ok {
			return noTask()
		}
		if err := json.Unmarshal([]byte(text), &keys); err != nil {
			return fmt.Errorf("read what a task asked for: %w", err)
		}
	}
	for m := answers.Members(); m.Next(); {
		if !slices.Contains(keys, m.Name()) {
			return &Refusal{Stage: "task", Code: codeInvalidParams,
				Reason: "params.inputResponses may have answers to what the task asked for last, under the same keys: get the task to see them"}
		}
	}
	return nil
}
