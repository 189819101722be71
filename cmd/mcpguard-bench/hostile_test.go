package main

import (
	"context"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestHostileOptions(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-only", "no such attack"}, {"-guard", t.TempDir()}, {"more"}} {
		if h, err := parseHostile(args); err == nil {
			t.Errorf("%v: read as %+v", args, h)
		}
	}
}

// Every attack does what it is for: against the fixture without a guard each
// gets answers, or keeps its connections.
func TestAttacksReachTheServer(t *testing.T) {
	server := httptest.NewServer(newHostileUpstream())
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range attacks() {
		t.Run(at.name, func(t *testing.T) {
			at.clients = 2
			a := &attacker{to: &contender{name: at.name, base: base}}
			ctx, stop := contextUntil(t, func() bool { return a.taken.Load()+a.refused.Load() >= 2 })
			defer stop()
			var out strings.Builder
			if err := at.wage(ctx, a, &out); err != nil {
				t.Fatal(err)
			}
			if a.taken.Load()+a.refused.Load() < 2 {
				t.Errorf("served, refused, cut off: %s", out.String())
			}
		})
	}
}

// A caller that keeps to the rules is measured, and a wrong answer is an error.
func TestBystander(t *testing.T) {
	server := httptest.NewServer(newHostileUpstream())
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if p99, err := bystander(t.Context(), &contender{name: "direct", base: base}, 50*time.Millisecond); err != nil || p99 <= 0 {
		t.Errorf("p99 %s, %v", p99, err)
	}
	if _, err := bystander(t.Context(), &contender{name: "direct", base: base, guards: true}, 50*time.Millisecond); err == nil {
		t.Error("secrets came through, and nothing is wrong")
	}
}

// contextUntil ends when something is so, or after ten seconds.
func contextUntil(t *testing.T, ok func() bool) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	go func() {
		defer cancel()
		for !ok() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}()
	return ctx, cancel
}
