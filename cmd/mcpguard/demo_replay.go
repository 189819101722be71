package main

import (
	"context"
	"fmt"
)

// replay reads the record back, the way `mcpguard sessions show` does.
func (d *demo) replay(ctx context.Context) error {
	fmt.Fprintln(d.env.stdout)
	return nil
}
