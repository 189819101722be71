package main

import (
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
