package toolpolicy

import (
	"strings"
	"testing"
)

// A path longer than any system takes is not read.
func TestVastPathsAreNoPaths(t *testing.T) {
	if long := "/" + strings.Repeat("ä/", maxPath/3-1) + "a"; !plainPath(long) {
		t.Errorf("a path of %d bytes is not read", len(long))
	}
	if long := "/" + strings.Repeat("ä/", maxPath/3+1) + "a"; plainPath(long) {
		t.Errorf("a path of %d bytes is read", len(long))
	}
}
