//go:build !linux

package main

import (
	"errors"
	"os"
	"testing"
)

// asOrdinaryUser ends a test of root: only Linux lets a thread reach files as
// another user does.
func asOrdinaryUser(t *testing.T, _ string) {
	t.Helper()
	if os.Geteuid() == 0 {
		Lacking(t, "a user who is not root", errors.ErrUnsupported)
	}
}
