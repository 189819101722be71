package main

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsGivenBackOnceAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := 0
		trim := &trimmer{next: http.NotFoundHandler(), release: func() { released++ }}
		defer trim.start()()
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		pass(10 * trimEvery)
		if released != 0 {
			t.Errorf("released %d times before the first request", released)
		}
		for range 8 {
			trim.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/mcp", nil))
			pass(trimEvery / 2)
		}
		if released != 0 {
			t.Errorf("released %d times under load", released)
		}
		pass(10 * trimEvery)
		if released != 1 {
			t.Errorf("released %d times after the burst, want once", released)
		}
	})
}

// Law 14: the collector has room for all that messages may hold, and their copies.
func TestCollectorHasRoomForMessages(t *testing.T) {
	if got, least := softMemory(256<<20), int64(copies*256<<20); got <= least {
		t.Errorf("the bound is %d, for messages and copies of %d", got, least)
	}
	if got := softMemory(math.MaxInt64); got < math.MaxInt64/2 {
		t.Errorf("the bound overflows to %d", got)
	}
}
