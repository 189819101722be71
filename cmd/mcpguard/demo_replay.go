package main

import (
	"context"
	"fmt"
	"slices"

	"mcpguard/audit"
	"mcpguard/store"
)

// replay reads both sessions back from the record, with the code of sessions show
// and beside the running guard, as an investigator would.
func (d *demo) replay(ctx context.Context) error {
	w := d.env.stdout
	fmt.Fprintln(w, "\n7. All of it is in the record, refusals too. This is `mcpguard sessions show`:")
	env := *d.env
	env.output = outputTable // the transcript is text, whatever -o says
	return withReader(ctx, &env, d.cfg.Store, func(r *store.Reader) error {
		found, err := r.Sessions(ctx, audit.Filter{})
		if err != nil {
			return err
		}
		slices.Reverse(found) // the oldest first, as the agents came
		for _, s := range found {
			fmt.Fprintln(w)
			if err := showSession(ctx, &env, r, s, false); err != nil {
				return err
			}
		}
		return nil
	})
}
