//go:build race

package toolcall_test

// raceEnabled: the race detector makes sync.Pool forget at random, so counts of
// allocations mean nothing.
const raceEnabled = true
