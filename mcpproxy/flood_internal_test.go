package mcpproxy

import (
	"testing"
	"time"
)

// Refusals are answered at once, then in turn, and none later than longestTurn.
func TestTurnsOfRefusals(t *testing.T) {
	f := newFlood(answersPerSecond)
	now := time.Now()
	for i := range refusalsAtOnce {
		if wait := f.turn("sam", now); wait != 0 {
			t.Fatalf("refusal %d waits %s", i, wait)
		}
	}
	for i := range 10 {
		if wait, want := f.turn("sam", now), time.Duration(i+1)*time.Second/answersPerSecond; wait.Round(time.Microsecond) != want {
			t.Errorf("refusal %d beyond waits %s, want %s", i, wait, want)
		}
	}
	for range 10 * answersPerSecond {
		if wait := f.turn("sam", now); wait > longestTurn {
			t.Fatalf("a refusal waits %s", wait)
		}
	}
	if wait := f.turn("fran", now); wait != 0 {
		t.Errorf("another caller waits %s", wait)
	}
	if wait := f.turn("sam", now.Add(2*longestTurn)); wait != 0 {
		t.Errorf("much later it still waits %s", wait)
	}
}
